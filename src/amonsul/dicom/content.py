"""Raw values by path, for `/instances/{id}/content/…`."""

from __future__ import annotations

import array
from collections.abc import Sequence

from amonsul.dicom import vrs
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, format_tag, items_of
from amonsul.dicom.scanner import DEFAULT_LIMITS, Located, ScanLimits, locate
from amonsul.errors import InexistentItem

_PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


def lookup(
    data: memoryview | bytes,
    path: Sequence[str],
    dictionary: Dictionary = STANDARD,
    limits: ScanLimits = DEFAULT_LIMITS,
) -> list[str] | memoryview:
    """Walk a file along `path`: tags and indices in turn, `["AnatomicRegionSequence", "0", "0008-0104"]`.

    A data set answers its tags (`0008-0104`), a sequence or pixel data the numbers of its items. An item of pixel data
    (a fragment, the first of them the offset table; or the whole value if it is native) and any other element answer
    their bytes, in little endian. Of the padding of text, what makes its length even is left.

    Raises:
        InexistentItem: nothing there.
        UnknownDicomTag: a step is no tag.
        BadFileFormat: as `scanner.scan`.
    """
    located = locate(data, limits, dictionary)
    data_set: DataSet = located.data_set
    for depth in range(0, len(path), 2):
        tag = dictionary.tag(path[depth])
        element = data_set.get(tag)
        if element is None:
            raise InexistentItem(f"no such element: {format_tag(tag)}")
        index = path[depth + 1] if depth + 1 < len(path) else None
        if element.vr == "SQ" and not isinstance(element.value, Bulk):
            items = items_of(element)
            if index is None:
                return _numbers(len(items))
            data_set = items[_index(index, len(items))]
            continue
        if len(path) > depth + 2:
            raise InexistentItem("no sequence to go down into")
        return _value(located, tag, element, index, is_top_level=depth == 0)
    return [format_tag(tag, "-") for tag in data_set]


def _value(
    located: Located, tag: Tag, element: Element, index: str | None, is_top_level: bool
) -> list[str] | memoryview:
    assert isinstance(element.value, Bulk)
    offset, length = element.value
    whole = located.whole
    if not is_top_level or tag not in _PIXEL_DATA:
        if index is not None:
            raise InexistentItem("no items in this element")
        return _little_endian(located, element.vr, whole[offset : offset + _unpadded(whole, element)])
    if bytes(whole[offset - 4 : offset]) != b"\xff\xff\xff\xff":  # it has a length, so it is native
        return _numbers(1) if index is None else _native(located, element, index)
    fragments = _fragments(located, offset, offset + length)
    return _numbers(len(fragments)) if index is None else fragments[_index(index, len(fragments))]


def _native(located: Located, element: Element, index: str) -> memoryview:
    assert isinstance(element.value, Bulk)
    _index(index, 1)
    offset, length = element.value
    return _little_endian(located, element.vr, located.whole[offset : offset + length])


def _fragments(located: Located, pos: int, end: int) -> list[memoryview]:
    found = []
    while pos < end:
        length = int.from_bytes(located.whole[pos + 4 : pos + 8], "big" if located.is_big_endian else "little")
        found.append(located.whole[pos + 8 : pos + 8 + length])
        pos += 8 + length
        if length & 1 and bytes(located.whole[pos : pos + 1]) == b"\0":
            pos += 1  # an odd length that leaves the padding out
    return found


def _unpadded(whole: memoryview, element: Element) -> int:
    assert isinstance(element.value, Bulk)
    offset, length = element.value
    if element.vr not in vrs.TEXT:
        return length
    text = bytes(whole[offset : offset + length]).rstrip(b"\0" if element.vr == "UI" else b" ")
    return min(length, len(text) + len(text) % 2)


_SIZES = {**{vr: array.array(code).itemsize for vr, code in vrs.NUMBERS.items() if code not in "lL"}}
_SIZES |= {"SL": 4, "UL": 4, "AT": 2, "OW": 2, "OL": 4, "OV": 8}


def _little_endian(located: Located, vr: str, value: memoryview) -> memoryview:
    size = _SIZES.get(vr)
    if not located.is_big_endian or size is None or len(value) % size:
        return value
    numbers = array.array({2: "H", 4: "I", 8: "Q"}[size], value.tobytes())
    numbers.byteswap()
    return memoryview(numbers.tobytes())


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _index(text: str, count: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) >= count:
        raise InexistentItem("no such item")
    return int(text)
