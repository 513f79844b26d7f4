"""Raw values by path."""

from __future__ import annotations

import pytest

from amonsul.dicom.content import lookup
from amonsul.dicom.dictionary import STANDARD, Addition, Entry
from amonsul.errors import BadFileFormat, InexistentItem, UnknownDicomTag
from tests.unit.dicom.building import BIG_ENDIAN, JPEG, UNDEFINED, explicit, fragments, item, part10, sequence

NATIVE = part10(
    explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
    + sequence(
        0x00082218,
        item(explicit(0x00080104, "LO", b"T\xeate") + sequence(0x00082220, item(explicit(0x00080100, "SH", b"T-1 ")))),
        item(explicit(0x00080100, "SH", b"T-2 "), undefined=True),
    )
    + sequence(0x00082112)
    + explicit(0x00090010, "LO", b"MAKER ")
    + explicit(0x00091004, "UN", b"unknown bytes!!!")
    + explicit(0x00100010, "PN", b"GOLD^BOB  ")
    + explicit(0x00100020, "LO", b" gold03 ")
    + explicit(0x00180050, "DS", b"2.50")
    + explicit(0x00280010, "US", b"\x00\x02")
    + explicit(0x7FE00010, "OW", b"\1\2\3\4")
)
ENCAPSULATED = part10(explicit(0x7FE00010, "OB", fragments(b"", b"abcd", b"ef"), UNDEFINED), JPEG)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("0010-0010", b"GOLD^BOB"),  # of the padding, what makes the length even is left
        ("PatientName", b"GOLD^BOB"),
        ("00100020", b" gold03 "),
        ("0018,0050", b"2.50"),
        ("SOPClassUID", b"1.2.840.10008.5.1.4.1.1.7\0"),
        ("Rows", b"\x00\x02"),
        ("0009-1004", b"unknown bytes!!!"),
        ("AnatomicRegionSequence/0/CodeMeaning", b"T\xeate"),
        ("0008-2218/1/0008-0100", b"T-2 "),
        ("0008-2218/0/0008-2220/0/CodeValue", b"T-1 "),
        ("7fe0-0010/0", b"\1\2\3\4"),
    ],
)
def test_a_path_to_an_element_gives_its_bytes(path: str, expected: bytes) -> None:
    found = lookup(NATIVE, path.split("/"))
    assert isinstance(found, memoryview)
    assert bytes(found) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], "0008-0016 0008-2112 0008-2218 0009-0010 0009-1004 0010-0010 0010-0020 0018-0050 0028-0010 7fe0-0010"),
        (["AnatomicRegionSequence"], "0 1"),
        (["AnatomicRegionSequence", "0"], "0008-0104 0008-2220"),
        (["SourceImageSequence"], ""),
        (["PixelData"], "0"),
    ],
)
def test_a_path_to_a_data_set_or_a_sequence_lists_what_is_in_it(path: list[str], expected: str) -> None:
    assert lookup(NATIVE, path) == expected.split()


@pytest.mark.parametrize(
    "path",
    [
        "PatientAddress",
        "0002-0010",
        "AnatomicRegionSequence/2",
        "AnatomicRegionSequence/nope",
        "AnatomicRegionSequence/-1",
        "AnatomicRegionSequence/²",
        "AnatomicRegionSequence/0/PatientName",
        "SourceImageSequence/0",
        "PatientName/0",
        "PatientName/0/PatientName",
        "PixelData/1",
        "PixelData/0/PatientName",
    ],
)
def test_a_path_to_nothing_is_an_error(path: str) -> None:
    with pytest.raises(InexistentItem):
        lookup(NATIVE, path.split("/"))


def test_a_step_that_is_no_tag_is_an_error() -> None:
    with pytest.raises(UnknownDicomTag):
        lookup(NATIVE, ["Nope"])


def test_a_private_attribute_has_no_place_by_its_name() -> None:
    addition = Addition(0x00090004, "MAKER", Entry("GoldenBytes", "GoldenBytes", "UN", "1"))
    with pytest.raises(InexistentItem):
        lookup(NATIVE, ["GoldenBytes"], STANDARD.extended([addition]))


def test_fragments_are_items_the_offset_table_the_first() -> None:
    assert lookup(ENCAPSULATED, ["7fe0-0010"]) == ["0", "1", "2"]
    parts = [lookup(ENCAPSULATED, ["7fe0-0010", str(n)]) for n in range(3)]
    assert [bytes(part) for part in parts if isinstance(part, memoryview)] == [b"", b"abcd", b"ef"]
    with pytest.raises(InexistentItem):
        lookup(ENCAPSULATED, ["7fe0-0010", "3"])


def test_numbers_of_a_big_endian_file_come_in_little_endian() -> None:
    data = part10(
        explicit(0x00080060, "CS", b"CT", order=">")
        + explicit(0x00280010, "US", b"\x02\x00", order=">")
        + explicit(0x00720078, "UL", b"\0\0\0\1\0\0\0\2", order=">")
        + explicit(0x7FE00010, "OW", b"\1\2\3\4", order=">"),
        BIG_ENDIAN,
    )
    for path, expected in (
        (["Modality"], b"CT"),
        (["Rows"], b"\x00\x02"),
        (["0072-0078"], b"\1\0\0\0\2\0\0\0"),
        (["PixelData", "0"], b"\2\1\4\3"),
    ):
        found = lookup(data, path)
        assert isinstance(found, memoryview)
        assert bytes(found) == expected


def test_a_file_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BadFileFormat):
        lookup(NATIVE[:-1], [])
