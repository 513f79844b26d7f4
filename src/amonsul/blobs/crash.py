"""Marked points at which a test kills the process, to prove that a crash there loses nothing and leaves nothing.

In production `crash_point` does nothing. With `AMONSUL_CRASH_POINT` in the environment (`name`, or `name:3` for the
third passage) the process kills itself there as `kill -9` would.
"""

from __future__ import annotations

import os
import signal
from typing import Final

CRASH_POINTS: Final = frozenset(
    {
        # blobs/filesystem.py
        "names.made",
        "names.synced",
        "stage.created",
        "stage.written",
        "stage.file_synced",
        "stage.folder_synced",
        "publish.before",
        "publish.after",
        "delete.before",
        "delete.after",
        "recover.published",
        "recover.discarded",
        # archive/ingest.py
        "ingest.scanned",
        "ingest.staged",
        "ingest.in_transaction",
        "ingest.committed",
        "ingest.published",
        "ingest.reclaimed",
        # archive/edit.py, archive/reclaim.py
        "delete.in_transaction",
        "delete.committed",
        "reclaim.deleted",
        "reclaim.forgotten",
        "reclaim.piece_removed",
    }
)
"""Every name there is; a test passes through each of them."""

_NAME, _, _COUNT = os.environ.get("AMONSUL_CRASH_POINT", "").partition(":")
_left = int(_COUNT or 1)


def crash_point(name: str) -> None:
    """Die here if asked to."""
    global _left
    if name == _NAME:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
