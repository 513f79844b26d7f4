"""Byte ranges of a representation (RFC 9110 §14.1.2)."""

from __future__ import annotations

import re

from amonsul.errors import BadRange

_SINGLE = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.IGNORECASE)
_SEVERAL = re.compile(r"bytes=[\d\s,-]+", re.IGNORECASE)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open interval that a Range header asks for; None for the whole.

    Several ranges are answered with the whole, as the RFC allows.

    Raises:
        BadRange: malformed, of another unit, or with nothing in it.
    """
    if header is None:
        return None
    single = _SINGLE.fullmatch(header)
    if single is None:
        if "," in header and _SEVERAL.fullmatch(header):
            return None
        raise BadRange
    first, last = single.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        raise BadRange
    if start >= end:
        raise BadRange(f"bytes {first}-{last} of {size}")
    return start, end


def content_range(start: int, end: int, size: int) -> tuple[bytes, bytes]:
    """The header that tells what was sent."""
    return b"content-range", f"bytes {start}-{end - 1}/{size}".encode()
