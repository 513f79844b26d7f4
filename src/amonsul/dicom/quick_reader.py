"""Whole files as pydicom data sets, quickly: nothing is decoded, and pixel data is not copied.

What pydicom reads so is a dictionary of undecoded elements; it takes a while about it, and copies everything. Here is
the same for files as they ought to be: Part 10, little endian, not deflated, elements in order, lengths that fit. A
file that differs in anything is left to pydicom, which knows what to make of it.
"""

from __future__ import annotations

import struct
from typing import Final

from pydicom.charset import convert_encodings, default_encoding, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag

from amonsul.dicom import uids, vrs
from amonsul.dicom.editing import MAX_DEPTH

_PIXEL_DATA: Final = 0x7FE00010
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_BYTES: Final = 64 << 10
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE  # as read in one number
_VRS: Final = {vr.encode(): (vr, vr in vrs.LONG_LENGTH) for vr in vrs.ALL}
_short = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_number = struct.Struct("<I").unpack_from
_pair = struct.Struct("<II").unpack_from

_Elements = dict[BaseTag, DataElement | RawDataElement]


class _Unusual(Exception):
    """It is for pydicom."""


def read_quickly(data: bytes | memoryview) -> Dataset | None:
    """A data set with its preamble and file meta information; None if pydicom should read it.

    Args:
        data: the whole file; kept as long as the pixel data of the result, which is a part of it.
    """
    try:
        return _read(memoryview(data))
    except (_Unusual, struct.error, IndexError, UnicodeDecodeError, LookupError):
        return None


def _read(data: memoryview) -> Dataset:
    if bytes(data[128:132]) != b"DICM":
        raise _Unusual
    meta, start = _elements(data, 132, is_implicit=False, is_meta=True)
    syntax = uids.transfer_syntaxes().get(_ascii(meta, _TRANSFER_SYNTAX_UID))
    if syntax is None or syntax.is_big_endian or syntax.is_deflated:
        raise _Unusual
    if syntax.is_implicit and bytes(data[start + 4 : start + 6]) in _VRS:
        raise _Unusual  # it says so, and is not
    elements, _ = _elements(data, start, is_implicit=syntax.is_implicit, is_meta=False)
    data_set = Dataset(elements)
    charset = _ascii(elements, _SPECIFIC_CHARACTER_SET)
    terms = charset.split("\\")
    if any(term not in python_encoding for term in terms):
        raise _Unusual
    data_set.set_original_encoding(syntax.is_implicit, True, convert_encodings(terms) if charset else default_encoding)
    data_set.preamble = bytes(data[:128])
    data_set.file_meta = FileMetaDataset(meta)
    return data_set


def _ascii(elements: _Elements, tag: int) -> str:
    element = elements.get(BaseTag(tag))
    return (element.value or b"").decode("ascii").strip(" \0") if element is not None else ""


def _elements(data: memoryview, at: int, *, is_implicit: bool, is_meta: bool) -> tuple[_Elements, int]:
    """All elements (of group 0002), and where the next one would be."""
    found: _Elements = {}
    end = len(data)
    before = 0
    while at < end:
        vr: str | None = None
        if is_implicit:
            group, element, length = _implicit(data, at)
            start = at + 8
        else:
            group, element, code, length = _short(data, at)
            start = at + 8
            if is_meta and group != 2:
                break
            known = _VRS.get(code)
            if known is None:
                raise _Unusual
            vr, is_long = known
            if is_long:
                (length,) = _number(data, start)
                start += 4
        if not is_meta and group < 8:
            raise _Unusual
        number = group << 16 | element  # whole numbers compare ten times as fast as tags
        if number <= before or group == 0xFFFE:
            raise _Unusual
        before = number
        is_pixels = number == _PIXEL_DATA
        if length == _UNDEFINED:
            if not is_pixels and vr not in ("SQ", None):
                raise _Unusual
            stop, at = _end_of_items(data, start, is_implicit, 0, is_pixels=is_pixels)
            vr = vr if is_pixels else "SQ"
        else:
            stop = at = start + length
            if stop > end:
                raise _Unusual
        value = data[start:stop]
        if not is_pixels or stop - start < _LONG_BYTES:
            value = value.tobytes()  # type: ignore[assignment]  # whoever takes elements apart knows no views
        tag = BaseTag(number)
        found[tag] = RawDataElement(tag, vr, length, value, start, is_implicit, True)  # type: ignore[arg-type]
    return found, at


def _end_of_items(
    data: memoryview, at: int, is_implicit: bool, depth: int, *, is_pixels: bool = False
) -> tuple[int, int]:
    """Where the items of a sequence of undefined length end, and where its delimiter does (PS3.5 §7.5)."""
    if depth > MAX_DEPTH:
        raise _Unusual
    while True:
        tag, length = _pair(data, at)
        if tag == _SEQUENCE_END and length == 0:
            return at, at + 8
        if tag != _ITEM or (is_pixels and length == _UNDEFINED):
            raise _Unusual
        at += 8
        at = _end_of_item(data, at, is_implicit, depth) if length == _UNDEFINED else at + length


def _end_of_item(data: memoryview, at: int, is_implicit: bool, depth: int) -> int:
    while True:
        (tag,) = _number(data, at)
        if tag == _ITEM_END:
            return at + 8
        if is_implicit:
            (length,) = _number(data, at + 4)
            start, is_sequence = at + 8, True
        else:
            *_, code, length = _short(data, at)
            start = at + 8
            known = _VRS.get(code)
            if known is None:
                raise _Unusual
            is_sequence = known[0] == "SQ"
            if known[1]:
                (length,) = _number(data, start)
                start += 4
        if length != _UNDEFINED:
            at = start + length
        elif is_sequence:
            _, at = _end_of_items(data, start, is_implicit, depth + 1)
        else:
            raise _Unusual
