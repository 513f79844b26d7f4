"""Encapsulated pixel data as bytes (PS3.5 §A.4): offset tables, one fragment per frame, delimiter."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from amonsul.errors import NotImplementedHere

ITEM_HEAD_BYTES = 8
SEQUENCE_DELIMITATION = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ITEM = b"\xfe\xff\x00\xe0"
_MAX_OFFSET = 0xFFFFFFFF
_MAX_FRAGMENT = 0xFFFFFFFE


def item_head(length: int) -> bytes:
    """Tag and length of the item of one fragment.

    Raises:
        NotImplementedHere: so long a fragment cannot be written.
    """
    if length > _MAX_FRAGMENT:
        raise NotImplementedHere(f"A frame of {length} bytes does not fit into a fragment")
    return _ITEM + length.to_bytes(4, "little")


def padded(length: int) -> int:
    """With the byte that makes it even."""
    return length + (length & 1)


def offsets(frame_lengths: Sequence[int]) -> list[int]:
    """Of the item of each frame, from the first one."""
    found, position = [], 0
    for length in frame_lengths:
        found.append(position)
        position += ITEM_HEAD_BYTES + padded(length)
    return found


def needs_extended_offset_table(frame_lengths: Sequence[int]) -> bool:
    """An offset does not fit into 32 bits (PS3.3 §C.7.6.3.1.8)."""
    return bool(frame_lengths) and offsets(frame_lengths)[-1] > _MAX_OFFSET


def basic_offset_table(frame_lengths: Sequence[int]) -> bytes:
    """The first item; empty if the Extended Offset Table is needed instead."""
    if needs_extended_offset_table(frame_lengths):
        return item_head(0)
    table = struct.pack(f"<{len(frame_lengths)}I", *offsets(frame_lengths))
    return item_head(len(table)) + table


def extended_offset_table(frame_lengths: Sequence[int]) -> tuple[bytes, bytes]:
    """Values of Extended Offset Table and Extended Offset Table Lengths; lengths are those without padding."""
    count = len(frame_lengths)
    return struct.pack(f"<{count}Q", *offsets(frame_lengths)), struct.pack(f"<{count}Q", *frame_lengths)
