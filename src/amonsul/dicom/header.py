"""The header of an instance: all it says except its bulk, in the form in which it is kept and asked for.

The scanner makes it once at ingest; the index keeps it packed, one row per instance; `/tags`, DICOM JSON metadata
and searches on any attribute are answered from it, without opening the file. Packing is JSON in columns (the tags,
the VRs as one letter each, the values), which costs no Python per element to read back, and a fast deflate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import ne
from typing import Any

import orjson
from isal import igzip_lib

from amonsul.dicom import vrs
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, items_of, numbers_of
from amonsul.errors import InternalError


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says, but its bulk.

    Attributes:
        transfer_syntax_uid: of the data set; found out from the bytes if the file does not say.
        file_meta: group 0002, empty if the file has none.
        data_set: everything else, up to the end of the file.
        pixel_data_offset: of the first byte of the tag of (7FE0,0008), (7FE0,0009) or (7FE0,0010), in the file (in the
            inflated stream if deflated, see `scanner.inflated`); None without pixel data.
        pixel_data_vr: VR of the same element.
    """

    transfer_syntax_uid: str
    file_meta: DataSet
    data_set: DataSet
    pixel_data_offset: int | None = None
    pixel_data_vr: str | None = None

    def element(self, tag: Tag) -> Element | None:
        """One attribute; group 0002 is in the meta header."""
        return (self.file_meta if tag >> 16 == 2 else self.data_set).get(tag)


def encode_header(header: Header) -> bytes:
    """Pack a header; `decode_header` gives an equal one back."""
    packed = orjson.dumps(
        (
            _VERSION,
            header.transfer_syntax_uid,
            header.pixel_data_offset,
            header.pixel_data_vr,
            _columns(header.file_meta),
            _columns(header.data_set),
        )
    )
    return igzip_lib.compress(packed, 1, igzip_lib.COMP_DEFLATE)


def decode_header(packed: bytes) -> Header:
    """Unpack what `encode_header` made.

    Raises:
        InternalError: `packed` was not made by it.
    """
    return HeaderReader().read(packed)


class HeaderReader:
    """Unpacks headers that resemble each other, as those of a series do.

    An attribute that a data set has in common with the one before it is the same object in both.
    """

    def __init__(self) -> None:
        self._columns: Sequence[Any] | None = None
        self._data_set: DataSet = {}

    def read(self, packed: bytes) -> Header:
        """The same as `decode_header`."""
        try:
            version, uid, offset, vr, file_meta, columns = orjson.loads(
                igzip_lib.decompress(packed, igzip_lib.DECOMP_DEFLATE)
            )
            if version != _VERSION:
                raise ValueError(f"version {version}")
            return Header(uid, _data_set(*file_meta), self._read(columns), offset, vr)
        except (igzip_lib.IsalError, ValueError, TypeError, KeyError, IndexError) as error:  # type: ignore[misc]  # its stub is wrong
            raise InternalError(f"a packed header cannot be read: {error}") from error

    def _read(self, columns: Sequence[Any]) -> DataSet:
        tags, letters, values, *places = columns
        before = self._columns
        if before is None or (tags, letters, places) != (before[0], before[1], [*before[3:]]):
            data_set = _data_set(tags, letters, values, *places)
        else:
            is_changed = [*map(ne, values, before[2])]
            if not _HAS_SPECIAL.isdisjoint(letters):  # reals: zero equals minus zero, and yet is another value
                for place, letter in enumerate(letters):
                    if letter in _HAS_SPECIAL:
                        is_changed[place] = orjson.dumps(values[place]) != orjson.dumps(before[2][place])
            changed = [*compress(range(len(values)), is_changed)]
            data_set = {**self._data_set, **_data_set(*_part(changed, tags, letters, values, *places))}
        self._columns, self._data_set = columns, data_set
        return data_set


_VERSION = 1

# The letters are part of the format: VRs to come go to the end.
_VRS = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW"),
    *("PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"),
)
_LETTERS = {vr: chr(ord("A") + index) for index, vr in enumerate(_VRS)}
_OF_LETTERS = {letter: vr for vr, letter in _LETTERS.items()}
_element: Callable[[tuple[str, object]], Element] = partial(tuple.__new__, Element)

# Columns are JSON, so their values are whatever JSON has.
_Columns = tuple[list[int], str, list[Any], list[int], list[int], list[int]]


def _columns(data_set: DataSet) -> _Columns:
    """Tags, VRs, values; then the places of sequences, of Bulks, and of reals that JSON cannot write."""
    pairs = [*data_set.values()]
    letters = "".join([_LETTERS[vr] for vr, _ in pairs])
    values: list[Any] = [value for _, value in pairs]
    bulks = [place for place, value in enumerate(values) if type(value) is Bulk]
    for place in bulks:
        values[place] = [*values[place]]
    sequences, reals = [], []
    for place, element in enumerate(data_set.values()) if _HAS_SPECIAL.intersection(letters) else ():
        if element.vr == "SQ" and type(element.value) is list:
            sequences.append(place)
            values[place] = [_columns(item) for item in items_of(element)]
        elif element.vr in vrs.REALS and not all(map(math.isfinite, numbers_of(element))):
            reals.append(place)
            values[place] = [repr(number) for number in numbers_of(element)]
    return [*data_set], letters, values, sequences, bulks, reals


_HAS_SPECIAL = frozenset(_LETTERS[vr] for vr in ("SQ", *vrs.REALS))


def _part(
    chosen: Sequence[int], tags: list[int], letters: str, values: list[Any], *places: list[int]
) -> tuple[Any, ...]:
    """The columns of some elements only."""
    numbers = {place: number for number, place in enumerate(chosen)}
    among = [[numbers[place] for place in kind if place in numbers] for kind in places]
    return (
        [tags[place] for place in chosen],
        "".join([letters[place] for place in chosen]),
        [values[place] for place in chosen],
        *among,
    )


def _data_set(
    tags: list[Tag], letters: str, values: list[Any], sequences: list[int], bulks: list[int], reals: list[int]
) -> DataSet:
    if sequences or bulks or reals:
        values = values.copy()
    for place in sequences:
        values[place] = [_data_set(*item) for item in values[place]]
    for place in bulks:
        values[place] = Bulk(*values[place])
    for place in reals:
        values[place] = [float(number) for number in values[place]]
    return dict(zip(tags, map(_element, zip(map(_OF_LETTERS.__getitem__, letters), values, strict=True)), strict=True))
