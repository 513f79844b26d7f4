"""Elements into bytes (PS3.5 §7.1): for the small data sets that are made of found values, by the thousand.

Text is written in the character set that the receiver is known to read, unless that would lose something; then in
UTF-8. Files are not made here: values that were left in a file are written empty.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from amonsul.dicom import charsets, vrs
from amonsul.dicom.elements import DataSet, Element, Tag, items_of, numbers_of
from amonsul.dicom.uids import transfer_syntax

UTF_8: Final = "ISO_IR 192"
_SPECIFIC_CHARACTER_SET: Final = Tag(0x00080005)
_MAX_SHORT_LENGTH: Final = 0xFFFE


class _Layout(NamedTuple):
    order: str
    is_implicit: bool
    tag_and_length: struct.Struct
    short: struct.Struct
    long: struct.Struct


@lru_cache(16)
def _layout(transfer_syntax_uid: str) -> _Layout:
    syntax = transfer_syntax(transfer_syntax_uid)
    order = ">" if syntax.is_big_endian else "<"
    structs = (struct.Struct(f"{order}{form}") for form in ("HHI", "HH2sH", "HH2sHI"))
    return _Layout(order, syntax.is_implicit, *structs)


def encode_answer(elements: Mapping[Tag, Element], transfer_syntax_uid: str, charsets_known: Sequence[str]) -> bytes:
    """A data set with its Specific Character Set: the first of those given that has all characters, else UTF-8."""
    charset = fitting_charset(elements, charsets_known)
    return encode_elements({**elements, _SPECIFIC_CHARACTER_SET: Element("CS", charset)}, transfer_syntax_uid, charset)


def encode_elements(elements: Mapping[Tag, Element], transfer_syntax_uid: str, charset: str) -> bytes:
    """A data set in an uncompressed transfer syntax, in ascending order of tags."""
    return _encode(elements, _layout(transfer_syntax_uid), charset)


def fitting_charset(elements: Mapping[Tag, Element], charsets_known: Sequence[str]) -> str:
    """The first character set that all text can be written in; the first of all if there is only ASCII."""
    texts = [text for text in _texts(elements) if not text.isascii()]
    for charset in charsets_known:
        if not texts or all(_fits(text, charset) for text in texts):
            return charset
    return UTF_8


@lru_cache(1024)
def _fits(text: str, charset: str) -> bool:
    return charset == UTF_8 or charsets.decoder(charset, "ISO_IR 6").decode(charsets.encode(text, charset)) == text


def _texts(elements: DataSet) -> list[str]:
    found = []
    for element in elements.values():
        if isinstance(element.value, str):
            found.append(element.value)
        elif element.vr == "SQ":
            for item in items_of(element):
                found += _texts(item)
    return found


def _encode(elements: DataSet, layout: _Layout, charset: str) -> bytes:
    parts: list[bytes] = []
    for tag in sorted(elements):
        vr, _ = element = elements[tag]
        value = _sequence(element, layout, charset) if vr == "SQ" else _value(element, layout, charset)
        if layout.is_implicit:
            parts += (layout.tag_and_length.pack(tag >> 16, tag & 0xFFFF, len(value)), value)
        elif vr in vrs.LONG_LENGTH:
            parts += (layout.long.pack(tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)), value)
        elif len(value) > _MAX_SHORT_LENGTH:  # PS3.5 §6.2.2
            parts += (layout.long.pack(tag >> 16, tag & 0xFFFF, b"UN", 0, len(value)), value)
        else:
            parts += (layout.short.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(value)), value)
    return b"".join(parts)


def _sequence(element: Element, layout: _Layout, charset: str) -> bytes:
    parts: list[bytes] = []
    for item in items_of(element):
        own = {tag: inner for tag, inner in item.items() if tag != _SPECIFIC_CHARACTER_SET}
        content = _encode(own, layout, charset)
        parts += (layout.tag_and_length.pack(0xFFFE, 0xE000, len(content)), content)
    return b"".join(parts)


def _value(element: Element, layout: _Layout, charset: str) -> bytes:
    vr, value = element
    if vr in vrs.NUMBERS:
        return _numbers(element, layout.order)
    if not isinstance(value, str) or vr in vrs.BINARY:
        return b""
    if vr == "AT":
        return _tags(value, layout.order)
    data = charsets.encode(value, charset, vr == "PN") if vr in vrs.CHARSET_TEXT else value.encode("ascii", "ignore")
    if len(data) & 1:
        data += b"\0" if vr == "UI" else b" "
    return data


def _numbers(element: Element, order: str) -> bytes:
    vr, value = element
    try:
        if isinstance(value, str):
            number: type[int | float] = int if vr in vrs.INTEGERS else float
            numbers: Sequence[int | float] = [number(part) for part in value.split("\\") if part.strip()]
        else:
            numbers = numbers_of(element)
        return struct.pack(f"{order}{len(numbers)}{vrs.NUMBERS[vr]}", *numbers)
    except (ValueError, OverflowError, struct.error):
        return b""


def _tags(value: str, order: str) -> bytes:
    try:
        halves = [int(half, 16) for part in value.split("\\") if part for half in part.split(",")]
        return struct.pack(f"{order}{len(halves)}H", *halves)
    except (ValueError, struct.error):
        return b""
