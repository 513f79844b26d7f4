"""What the scanner refuses or leaves in the file because it is too much, and that lies about lengths cost nothing."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from amonsul.dicom import vrs
from amonsul.dicom.elements import Bulk, Element, Tag, items_of
from amonsul.dicom.scanner import ScanLimits, scan
from amonsul.errors import BadFileFormat
from tests.unit.dicom.building import (
    DEFLATED,
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    explicit,
    implicit,
    item,
    nested,
    part10,
    sequence,
)

NAME = explicit(0x00100010, "PN", b"Doe^Jane")


@pytest.mark.parametrize("undefined", [False, True])
def test_sixty_four_levels_are_read(undefined: bool) -> None:
    data_set = scan(part10(nested(64, undefined=undefined) + NAME[:0])).data_set
    depth = 0
    while items := items_of(data_set.get(Tag(0x00400275), Element("SQ", []))):
        data_set = items[0]
        depth += 1
    assert depth == 64


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("depth", [65, 1000])
def test_more_levels_are_refused(depth: int, undefined: bool) -> None:
    with pytest.raises(BadFileFormat, match="nested more than 64 levels"):
        scan(part10(nested(depth, undefined=undefined)))


def test_a_hundred_thousand_levels_are_refused() -> None:
    with pytest.raises(BadFileFormat, match="nested more than 64 levels"):
        scan(part10(nested(100_000, undefined=True)))


@pytest.mark.parametrize(("depth", "is_read"), [(64, True), (65, False), (5000, False)])
def test_levels_of_un_count_like_others(depth: int, is_read: bool) -> None:
    opening = implicit(0x00291010, implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED)
    inner = opening * (depth - 1) + (ITEM_DELIMITER + SEQUENCE_DELIMITER) * (depth - 1)
    data = part10(explicit(0x00291010, "UN", item(inner, undefined=True) + SEQUENCE_DELIMITER, UNDEFINED))
    if is_read:
        assert list(scan(data).data_set) == [0x00291010]
    else:
        with pytest.raises(BadFileFormat, match="nested more than 64 levels"):
            scan(data)


def test_the_depth_can_be_configured() -> None:
    data = part10(nested(3, undefined=True))
    scan(data, ScanLimits(max_depth=3))
    with pytest.raises(BadFileFormat, match="nested more than 2 levels"):
        scan(data, ScanLimits(max_depth=2))


@pytest.mark.parametrize("vr", sorted(vrs.ALL))
def test_a_length_beyond_the_file_is_refused_before_anything_is_reserved(vr: str) -> None:
    tracemalloc.start()
    try:
        for length in (0xFFFFFFFE, 0x7FFFFFFF, 5):
            with pytest.raises(BadFileFormat):
                scan(part10(explicit(0x00720060, vr, b"abcd", length)))
            with pytest.raises(BadFileFormat):
                scan(part10(sequence(0x00082218, explicit(0xFFFEE000, "XX", b"", length)[:8], undefined=True)))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_deflated_bomb_is_refused_while_it_is_counted() -> None:
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(explicit(0x7FE00010, "OW", b"", 8 << 20)) + packer.compress(bytes(8 << 20)) + packer.flush()
    data = part10(bomb, DEFLATED)
    assert len(data) < 10_000
    assert scan(data).pixel_data_offset is not None
    with pytest.raises(BadFileFormat, match="inflates to more than 1048576 bytes"):
        scan(data, ScanLimits(max_inflated_bytes=1 << 20))


def test_a_long_value_stays_in_the_file() -> None:
    limits = ScanLimits(max_value_bytes=300)
    for vr, value in (("LT", b"x" * 302), ("US", b"\1\0" * 151), ("AT", b"\1\0\2\0" * 76), ("CS", b"A\\" * 151)):
        data = part10(explicit(0x00091001, vr, value) + explicit(0x00091002, vr, value[:300]))
        data_set = scan(data, limits).data_set
        assert data_set[Tag(0x00091001)] == Element(vr, Bulk(data.index(value), len(value)))
        assert not isinstance(data_set[Tag(0x00091002)].value, Bulk)


def test_long_values_stay_in_the_file_once_enough_are_kept() -> None:
    data = part10(b"".join(explicit(0x00091001 + n, "LT", b"x" * 300) for n in range(4)) + NAME)
    kept = scan(data, ScanLimits(max_kept_bytes=700)).data_set
    assert [isinstance(element.value, Bulk) for element in kept.values()] == [False, False, True, True, False]


def test_a_sequence_with_too_many_elements_stays_in_the_file() -> None:
    limits = ScanLimits(max_kept_elements=50)
    many = sequence(0x00082218, *[item(explicit(0x00080100, "SH", b"T-D1"))] * 40)
    few = sequence(0x00082220, item(explicit(0x00080100, "SH", b"T-D1")))
    for undefined in (False, True):
        deep = sequence(0x00081140, item(many, undefined=undefined), undefined=undefined)
        data = part10(deep + many + few + NAME)
        data_set = scan(data, limits).data_set
        start = len(part10(b"")) + 12
        assert data_set[Tag(0x00081140)] == Element("SQ", Bulk(start, len(deep) - 12 - 8 * undefined))
        assert data_set[Tag(0x00082218)] == Element("SQ", Bulk(start + len(deep), len(many) - 12))
        assert len(items_of(data_set[Tag(0x00082220)])) == 1
        assert data_set[Tag(0x00100010)].value == "Doe^Jane"


def test_an_item_with_too_many_elements_stays_in_the_file() -> None:
    flat = b"".join(explicit(0x00091001 + n, "CS", b"") for n in range(500))
    data = part10(sequence(0x00082218, item(flat)) + NAME)
    assert isinstance(scan(data, ScanLimits(max_kept_elements=50)).data_set[Tag(0x00082218)].value, Bulk)


def test_too_many_elements_at_the_top_are_refused() -> None:
    data = part10(b"".join(explicit(0x00091001 + n, "CS", b"") for n in range(51)))
    assert len(scan(data, ScanLimits(max_kept_elements=51)).data_set) == 51
    with pytest.raises(BadFileFormat, match="more than 50 data elements"):
        scan(data, ScanLimits(max_kept_elements=50))


def test_too_many_elements_in_all_are_refused() -> None:
    many = sequence(0x00082218, *[item(explicit(0x00080100, "SH", b"T-D1"))] * 500)
    with pytest.raises(BadFileFormat, match="more than 300 data elements"):
        scan(part10(many), ScanLimits(max_kept_elements=50, max_elements=300))


def test_many_elements_of_which_nothing_is_kept_cost_little_memory() -> None:
    data = part10(sequence(0x00082218, *[item(explicit(0x00080100, "SH", b"T-D1"))] * 10_000))
    tracemalloc.start()
    try:
        scan(data, ScanLimits(max_kept_elements=1000))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_a_meta_header_without_end_is_refused() -> None:
    meta = explicit(0x00020100, "UI", b"1.2.3.4.5.6.7.8\0") * 50_000
    with pytest.raises(BadFileFormat, match="meta header"):
        scan(bytes(128) + b"DICM" + meta + NAME)


def test_padding_is_looked_at_once() -> None:
    """Zeros that are no padding after all are read as what they are, without looking ahead again and again."""
    assert len(scan(part10(NAME + bytes(8) * 8000 + explicit(0x00200010, "SH", b"1 "))).data_set) == 3
