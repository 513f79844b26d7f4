"""DICOM bytes by hand, an element at a time."""

from __future__ import annotations

import struct

from amonsul.dicom import vrs
from amonsul.dicom.elements import DataSet, Element

UNDEFINED = 0xFFFFFFFF
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"

ITEM_DELIMITER = bytes.fromhex("FEFF0DE0 00000000")
SEQUENCE_DELIMITER = bytes.fromhex("FEFFDDE0 00000000")


def explicit(tag: int, vr: str, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """One element with its VR (PS3.5 §7.1.2), of any claimed length."""
    size = len(value) if length is None else length
    if vr in vrs.LONG_LENGTH:
        return struct.pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, size) + value
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), size & 0xFFFF) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """One element without VR (PS3.5 §7.1.3)."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes, *, undefined: bool = False) -> bytes:
    """One item of a sequence, of defined or undefined length (PS3.5 §7.5)."""
    if undefined:
        return struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + ITEM_DELIMITER
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def sequence(tag: int, *items: bytes, undefined: bool = False) -> bytes:
    """An explicit sequence of such items."""
    content = b"".join(items)
    return explicit(tag, "SQ", content + SEQUENCE_DELIMITER, UNDEFINED) if undefined else explicit(tag, "SQ", content)


def fragments(*parts: bytes) -> bytes:
    """The value of encapsulated pixel data, with its delimiter (PS3.5 §A.4)."""
    return b"".join(item(part) for part in parts) + SEQUENCE_DELIMITER


def part10(data_set: bytes, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """A file around a data set (PS3.10 §7.1)."""
    uid = transfer_syntax_uid.encode()
    meta = explicit(0x00020001, "OB", b"\x00\x01") + explicit(0x00020010, "UI", uid + b"\0" * (len(uid) % 2))
    return bytes(128) + b"DICM" + explicit(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + data_set


def nested(depth: int, *, undefined: bool) -> bytes:
    """Sequences in sequences, `depth` of them."""
    if undefined:
        opening = explicit(0x00400275, "SQ", b"", UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
        return opening * depth + (ITEM_DELIMITER + SEQUENCE_DELIMITER) * depth
    content = b""
    for _ in range(depth):
        content = sequence(0x00400275, item(content))
    return content


def sq(*items: DataSet) -> Element:
    """What the scanner makes of a sequence."""
    return Element("SQ", list(items))
