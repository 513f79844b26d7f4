"""The time as the index and the REST API write it."""

from __future__ import annotations

import time


def now() -> str:
    """`YYYYMMDDTHHMMSS`, UTC."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime())
