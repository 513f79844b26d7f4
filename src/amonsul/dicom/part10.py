"""The front of a DICOM file (PS3.10 §7.1): what is written before a data set that came without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Final

from amonsul import __version__
from amonsul.errors import BadFileFormat

IMPLEMENTATION_CLASS_UID: Final = "2.25.282590196504056909179803433690663173758"
"""Names this implementation (PS3.7 §D.3.3.2), whatever its version."""

IMPLEMENTATION_VERSION_NAME: Final = f"AMONSUL {__version__}"[:16]

_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sHI")
_GROUP_LENGTH_ELEMENT = Struct("<HH2sHI")
_PREAMBLE: Final = bytes(128) + b"DICM"


def _uid(element: int, value: str) -> bytes:
    data = value.encode("ascii")
    if len(data) & 1:
        data += b"\0"
    return _SHORT.pack(0x0002, element, b"UI", len(data)) + data


def _text(element: int, vr: bytes, value: str) -> bytes:
    data = value.encode("latin-1", "replace")
    if len(data) & 1:
        data += b" "
    return _SHORT.pack(0x0002, element, vr, len(data)) + data


@lru_cache(maxsize=1024)
def _ending(transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    ending = (
        _uid(0x0010, transfer_syntax_uid)
        + _uid(0x0012, IMPLEMENTATION_CLASS_UID)
        + _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    )
    return ending + _text(0x0016, b"AE", source_ae_title) if source_ae_title else ending


_VERSION: Final = _LONG.pack(0x0002, 0x0001, b"OB", 0, 2) + b"\0\1"


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = "") -> bytes:
    """Preamble, prefix and file meta information, to be followed by the bytes of the data set."""
    meta = (
        _VERSION
        + _uid(0x0002, sop_class_uid)
        + _uid(0x0003, sop_instance_uid)
        + _ending(transfer_syntax_uid, source_ae_title)
    )
    return _PREAMBLE + _GROUP_LENGTH_ELEMENT.pack(0x0002, 0x0000, b"UL", 4, len(meta)) + meta


_MAX_HEAD: Final = 1 << 20


def data_set_of(file: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """What follows the file meta information of a file that comes in pieces (PS3.10 §7.1).

    A file without preamble, or without file meta information, is taken as it is found.

    Raises:
        BadFileFormat: the file meta information does not end.
    """
    pieces = iter(file)
    head = b""
    for piece in pieces:
        head += piece
        start = _data_set_start(head)
        if start is not None:
            if start < len(head):
                yield memoryview(head)[start:]
            yield from pieces
            return
        if len(head) > _MAX_HEAD:
            raise BadFileFormat(f"more than {_MAX_HEAD} bytes of file meta information")
    # What ends within its file meta information has no data set.


def _data_set_start(head: bytes) -> int | None:
    """Where group 0002 ends; None if that is not within `head`."""
    if len(head) < 132:
        return None
    at = 132 if head[128:132] == b"DICM" else 0
    while True:
        if at + 12 > len(head):
            return None
        group, _, vr, length = _SHORT.unpack_from(head, at)
        if group != 0x0002:
            return at
        if vr in (b"OB", b"UN", b"OW", b"SQ", b"UT"):
            length = int.from_bytes(head[at + 8 : at + 12], "little")
            at += 4
        at += 8 + length
