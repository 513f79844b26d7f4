"""The scanner on bytes written by hand."""

from __future__ import annotations

import mmap
import random
import struct
import zlib
from pathlib import Path

import pytest

from amonsul.dicom.dictionary import STANDARD, Addition, Entry
from amonsul.dicom.elements import Bulk, Element, Tag, items_of
from amonsul.dicom.scanner import inflated, scan, scan_data_set
from amonsul.errors import BadFileFormat
from tests.unit.dicom.building import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM_DELIMITER,
    JPEG,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    explicit,
    fragments,
    implicit,
    item,
    part10,
    sequence,
    sq,
)

CODE = explicit(0x00080100, "SH", b"T-D1")
CODE_ITEM = {Tag(0x00080100): Element("SH", "T-D1")}
NAME = explicit(0x00100010, "PN", b"Doe^Jane")
PIXELS = explicit(0x7FE00010, "OW", b"\1\2\3\4")


def refusal(data: bytes) -> str:
    with pytest.raises(BadFileFormat) as caught:
        scan(data)
    return caught.value.details


def test_an_explicit_file_is_read() -> None:
    data = part10(
        explicit(0x00080060, "CS", b"CT")
        + explicit(0x00180050, "DS", b"2.50")
        + explicit(0x00280010, "US", b"\x00\x02")
        + explicit(0x00720074, "FD", struct.pack("<2d", 0.1, -2))
        + PIXELS
    )
    header = scan(data)
    assert header.transfer_syntax_uid == EXPLICIT
    assert header.file_meta == {
        Tag(0x00020000): Element("UL", [len(part10(b"")) - 132 - 12]),
        Tag(0x00020010): Element("UI", EXPLICIT),
    }
    assert header.data_set == {
        Tag(0x00080060): Element("CS", "CT"),
        Tag(0x00180050): Element("DS", "2.50"),
        Tag(0x00280010): Element("US", [512]),
        Tag(0x00720074): Element("FD", [0.1, -2.0]),
        Tag(0x7FE00010): Element("OW", Bulk(len(data) - 4, 4)),
    }
    assert header.pixel_data_offset == len(data) - 16
    assert header.pixel_data_vr == "OW"


def test_an_implicit_file_takes_its_vrs_from_the_dictionary() -> None:
    data = part10(
        implicit(0x00080060, b"CT")
        + implicit(0x00090010, b"GEMS_IDEN_01")
        + implicit(0x00091001, b"CT_LIGHTSPEED ")  # LO in the private dictionary
        + implicit(0x00091099, b"abcd")  # not in it
        + implicit(0x00280010, b"\x00\x02")
        + implicit(0x7FE00010, b"\1\2"),
        IMPLICIT,
    )
    header = scan(data)
    assert header.data_set == {
        Tag(0x00080060): Element("CS", "CT"),
        Tag(0x00090010): Element("LO", "GEMS_IDEN_01"),
        Tag(0x00091001): Element("LO", "CT_LIGHTSPEED"),
        Tag(0x00091099): Element("UN", Bulk(len(data) - 10 - 10 - 4, 4)),
        Tag(0x00280010): Element("US", [512]),
        Tag(0x7FE00010): Element("OW", Bulk(len(data) - 2, 2)),
    }
    assert header.pixel_data_vr == "OW"


def test_a_big_endian_file_is_read() -> None:
    data_set = (
        explicit(0x00080060, "CS", b"MR", order=">")
        + explicit(0x00280009, "AT", b"\x00\x18\x10\x63", order=">")
        + explicit(0x00280010, "US", b"\x02\x00", order=">")
        + explicit(0x00720078, "UL", b"\0\0\0\1\0\0\0\2", order=">")
    )
    assert scan(part10(data_set, BIG_ENDIAN)).data_set == {
        Tag(0x00080060): Element("CS", "MR"),
        Tag(0x00280009): Element("AT", "0018,1063"),
        Tag(0x00280010): Element("US", [512]),
        Tag(0x00720078): Element("UL", [1, 2]),
    }


def test_a_deflated_file_is_read_and_its_offsets_are_in_the_inflated_stream() -> None:
    packer = zlib.compressobj(wbits=-15)
    data = part10(packer.compress(NAME + PIXELS) + packer.flush() + b"\0", DEFLATED)
    header = scan(data)
    whole = inflated(data)
    assert whole is not None
    pixels = header.data_set[Tag(0x7FE00010)].value
    assert isinstance(pixels, Bulk)
    assert bytes(whole[pixels.offset : pixels.offset + pixels.length]) == b"\1\2\3\4"
    assert header.data_set[Tag(0x00100010)] == Element("PN", "Doe^Jane")
    assert inflated(part10(NAME)) is None


@pytest.mark.parametrize("padding", [0, 1, 9])
def test_what_follows_a_long_deflated_stream_is_passed_over(padding: int) -> None:
    pixels = explicit(0x7FE00010, "OW", random.Random(1).randbytes(700_000) + bytes(5 << 20))
    packer = zlib.compressobj(wbits=-15)
    data = part10(packer.compress(NAME + pixels) + packer.flush() + bytes(padding), DEFLATED)
    value = scan(data).data_set[Tag(0x7FE00010)].value
    assert isinstance(value, Bulk)
    assert value.length == 700_000 + (5 << 20)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_deflated_file_that_is_cut_is_refused(cut: int) -> None:
    packer = zlib.compressobj(wbits=-15)
    data = part10(packer.compress(NAME + PIXELS * 3) + packer.flush(), DEFLATED)
    assert refusal(data[:-cut]) == f"Cannot parse an invalid DICOM file (size: {len(data) - cut} bytes)"


def test_a_file_without_preamble_is_read() -> None:
    assert scan(part10(NAME)[132:]).data_set == {Tag(0x00100010): Element("PN", "Doe^Jane")}


@pytest.mark.parametrize(
    ("data_set", "transfer_syntax_uid"),
    [
        (explicit(0x00080060, "CS", b"CT"), EXPLICIT),
        (implicit(0x00080060, b"CT"), IMPLICIT),
        (explicit(0x00080060, "CS", b"CT", order=">"), BIG_ENDIAN),
    ],
)
@pytest.mark.parametrize("preamble", [b"", bytes(128) + b"DICM"])
def test_a_file_without_meta_header_tells_its_transfer_syntax(
    preamble: bytes, data_set: bytes, transfer_syntax_uid: str
) -> None:
    header = scan(preamble + data_set)
    assert header.transfer_syntax_uid == transfer_syntax_uid
    assert header.file_meta == {}
    assert header.data_set == {Tag(0x00080060): Element("CS", "CT")}


def test_the_first_element_is_believed_before_the_meta_header() -> None:
    assert scan(part10(explicit(0x00080060, "CS", b"CT"), IMPLICIT)).data_set == {Tag(0x00080060): Element("CS", "CT")}
    assert scan(part10(implicit(0x00080060, b"CT"), EXPLICIT)).data_set == {Tag(0x00080060): Element("CS", "CT")}


def test_an_unknown_transfer_syntax_is_explicit_little_endian() -> None:
    header = scan(part10(NAME, "1.2.840.10008.1.2.4.9999"))
    assert header.transfer_syntax_uid == "1.2.840.10008.1.2.4.9999"
    assert header.data_set == {Tag(0x00100010): Element("PN", "Doe^Jane")}


@pytest.mark.parametrize("group_length", [0, 20, 5000])
def test_a_wrong_length_of_the_meta_header_does_no_harm(group_length: int) -> None:
    data = bytearray(part10(NAME))
    data[140:144] = struct.pack("<L", group_length)
    assert scan(bytes(data)).data_set == {Tag(0x00100010): Element("PN", "Doe^Jane")}


@pytest.mark.parametrize("undefined_items", [False, True])
@pytest.mark.parametrize("undefined_sequence", [False, True])
def test_sequences_have_items_of_defined_and_undefined_length(undefined_sequence: bool, undefined_items: bool) -> None:
    inner = sequence(0x00082220, item(CODE), item(b"", undefined=undefined_items), undefined=undefined_sequence)
    data = part10(
        sequence(0x00082112, undefined=undefined_sequence)
        + sequence(0x00082218, item(CODE + inner, undefined=undefined_items), undefined=undefined_sequence)
        + NAME
    )
    assert scan(data).data_set == {
        Tag(0x00082112): sq(),
        Tag(0x00082218): sq({**CODE_ITEM, Tag(0x00082220): sq(CODE_ITEM, {})}),
        Tag(0x00100010): Element("PN", "Doe^Jane"),
    }


def test_a_superfluous_delimiter_in_a_sequence_of_defined_length_is_passed_over() -> None:
    data = part10(sequence(0x00082218, item(CODE), SEQUENCE_DELIMITER) + NAME)
    assert list(scan(data).data_set) == [0x00082218, 0x00100010]


@pytest.mark.parametrize(
    "data_set",
    [
        explicit(0x00082218, "SQ", item(CODE), UNDEFINED),  # no delimiter of the sequence
        explicit(0x00082218, "SQ", item(CODE)[:-2], UNDEFINED),
        explicit(0x00082218, "SQ", item(CODE, undefined=True)[:-8] + SEQUENCE_DELIMITER, UNDEFINED),  # nor of the item
        explicit(0x00082218, "SQ", item(CODE)[:-4] + b"") + NAME,  # the item is longer than the sequence
        explicit(0x00082218, "SQ", CODE),  # not an item
        explicit(0x00082218, "SQ", b"\xfe\xff\x00\xe0"),  # half a header
        SEQUENCE_DELIMITER + NAME,
        item(NAME),
    ],
)
def test_a_malformed_sequence_is_refused(data_set: bytes) -> None:
    data = part10(data_set)
    assert refusal(data) == f"Cannot parse an invalid DICOM file (size: {len(data)} bytes)"


def test_an_un_of_undefined_length_is_an_implicit_sequence() -> None:
    inner = implicit(0x00080100, b"T-D1") + implicit(0x00091010, item(implicit(0x00080100, b"T-D1")), UNDEFINED)
    data = part10(
        explicit(0x00091002, "UN", item(inner + SEQUENCE_DELIMITER, undefined=True) + SEQUENCE_DELIMITER, UNDEFINED)
        + NAME
    )
    assert scan(data).data_set == {
        Tag(0x00091002): sq({**CODE_ITEM, Tag(0x00091010): sq(CODE_ITEM)}),
        Tag(0x00100010): Element("PN", "Doe^Jane"),
    }


def test_an_un_that_the_dictionary_knows_has_the_vr_of_the_dictionary() -> None:
    data = part10(
        explicit(0x00082218, "UN", item(implicit(0x00080100, b"T-D1")))
        + explicit(0x00100010, "UN", b"Doe^Jane")
        + explicit(0x00280010, "UN", b"\x00\x02")
    )
    assert scan(data).data_set == {
        Tag(0x00082218): sq(CODE_ITEM),
        Tag(0x00100010): Element("PN", "Doe^Jane"),
        Tag(0x00280010): Element("US", [512]),
    }


def test_an_un_that_is_no_sequence_after_all_stays_in_the_file() -> None:
    value = item(implicit(0x00080100, b"T-D1", length=400))
    data = part10(explicit(0x00091002, "UN", value) + explicit(0x00091003, "UN", b"abcd"))
    assert scan(data).data_set == {
        Tag(0x00091002): Element("UN", Bulk(len(data) - 16 - len(value), len(value))),
        Tag(0x00091003): Element("UN", Bulk(len(data) - 4, 4)),
    }


def test_an_implicit_sequence_without_items_stays_in_the_file() -> None:
    data = part10(implicit(0x00080060, b"CT") + implicit(0x00082218, b"no items"), IMPLICIT)
    assert scan(data).data_set[Tag(0x00082218)] == Element("UN", Bulk(len(data) - 8, 8))


def test_us_or_ss_depends_on_the_pixel_representation_around() -> None:
    smallest = implicit(0x00280106, b"\xff\xff")
    signed = implicit(0x00280103, b"\x01\x00") + smallest
    assert scan(part10(smallest, IMPLICIT)).data_set[Tag(0x00280106)] == Element("US", [0xFFFF])
    assert scan(part10(signed, IMPLICIT)).data_set[Tag(0x00280106)] == Element("SS", [-1])
    table = implicit(0x00283010, item(implicit(0x00283002, b"\xff\xff" * 3)))
    (inside,) = items_of(scan(part10(signed + table, IMPLICIT)).data_set[Tag(0x00283010)])
    assert inside == {Tag(0x00283002): Element("SS", [-1, -1, -1])}


def test_every_vr_gives_its_kind_of_value() -> None:
    texts = ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
    numbers: dict[str, tuple[bytes, list[int] | list[float]]] = {
        "FL": (struct.pack("<2f", 0.5, -2), [0.5, -2.0]),
        "FD": (struct.pack("<d", 0.1), [0.1]),
        "OD": (struct.pack("<d", 0.1), [0.1]),
        "OF": (struct.pack("<2f", 0.5, -2), [0.5, -2.0]),
        "SL": (b"\xff\xff\xff\xff", [-1]),
        "SS": (b"\xff\xff\x01\x00", [-1, 1]),
        "SV": (b"\xff" * 8, [-1]),
        "UL": (b"\xff\xff\xff\xff", [0xFFFFFFFF]),
        "US": (b"\xff\xff\x01\x00", [0xFFFF, 1]),
        "UV": (b"\xff" * 8, [0xFFFFFFFFFFFFFFFF]),
    }
    for vr in texts:
        assert scan_data_set(explicit(0x00091001, vr, b"ab\\c "), EXPLICIT) == {Tag(0x00091001): Element(vr, "ab\\c")}
    for vr, (raw, values) in numbers.items():
        assert scan_data_set(explicit(0x00091001, vr, raw), EXPLICIT) == {Tag(0x00091001): Element(vr, values)}
        assert scan_data_set(explicit(0x00091001, vr, b""), EXPLICIT) == {Tag(0x00091001): Element(vr, [])}
    for vr in ("OB", "OL", "OV", "OW", "UN"):
        assert scan_data_set(explicit(0x00091001, vr, b"ab"), EXPLICIT) == {Tag(0x00091001): Element(vr, Bulk(12, 2))}
    pairs = explicit(0x00091001, "AT", b"\x18\x00\x63\x10\xfe\xff\x0d\xe0")
    assert scan_data_set(pairs, EXPLICIT) == {Tag(0x00091001): Element("AT", "0018,1063\\fffe,e00d")}


@pytest.mark.parametrize(("vr", "header_bytes"), [("ZZ", 12), ("??", 8), ("\0\0", 8), ("ob", 8)])
def test_an_unknown_vr_has_a_long_length_if_it_could_be_one(vr: str, header_bytes: int) -> None:
    """PS3.5 §6.2: what is not in the table today and looks like a VR has four bytes of length."""
    length = struct.pack("<HL", 0, 4) if header_bytes == 12 else struct.pack("<H", 4)
    data = struct.pack("<HH2s", 0x0009, 0x1001, vr.encode()) + length + b"abcd" + NAME
    assert scan_data_set(data, EXPLICIT) == {
        Tag(0x00091001): Element("UN", Bulk(header_bytes, 4)),
        Tag(0x00100010): Element("PN", "Doe^Jane"),
    }


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" leading stays ", " leading stays"),
        (b"trailing\0\0 \0", "trailing"),
        (b"cut\0here ", "cut"),
        (b" a \\ b \\", " a \\ b \\"),
        (b"   ", ""),
        (b"line\r\nline\t", "line\r\nline\t"),
    ],
)
def test_padding_is_removed_at_the_end_only(raw: bytes, text: str) -> None:
    for vr in ("LO", "CS"):
        assert scan_data_set(explicit(0x00091001, vr, raw), EXPLICIT) == {Tag(0x00091001): Element(vr, text)}


def test_an_odd_length_is_taken_as_it_is() -> None:
    data = part10(explicit(0x00080060, "CS", b"OPT") + NAME)
    assert scan(data).data_set[Tag(0x00080060)] == Element("CS", "OPT")


def test_text_follows_the_character_set_of_its_data_set() -> None:
    greek = explicit(0x00080005, "CS", b"ISO_IR 126") + explicit(0x00080104, "LO", b"\xc4")
    data = part10(
        explicit(0x00080005, "CS", b"ISO_IR 192")
        + explicit(0x00080080, "LO", "Hôpital".encode())
        + sequence(0x00082218, item(greek), item(explicit(0x00080104, "LO", "Tête".encode())))
        + explicit(0x00100010, "PN", "Müller".encode())
    )
    data_set = scan(data).data_set
    assert data_set[Tag(0x00080080)].value == "Hôpital"
    assert [item[Tag(0x00080104)].value for item in items_of(data_set[Tag(0x00082218)])] == ["Δ", "Tête"]
    assert data_set[Tag(0x00100010)].value == "Müller"


def test_a_data_set_without_character_set_has_the_default() -> None:
    name = explicit(0x00100010, "PN", b"M\xfcller")
    assert scan(part10(name)).data_set[Tag(0x00100010)].value == "Müller"
    assert scan(part10(name), default_charset="ISO_IR 126").data_set[Tag(0x00100010)].value == "Mόller"
    unknown = explicit(0x00080005, "CS", b"KLINGON ") + name
    assert scan(part10(unknown)).data_set[Tag(0x00100010)].value == "Müller"


def test_encapsulated_pixel_data_is_walked_not_kept() -> None:
    value = fragments(b"", b"abcd", b"efgh")
    data = part10(NAME + explicit(0x7FE00010, "OB", value, UNDEFINED) + explicit(0xFFFCFFFC, "OB", b"\0\0"), JPEG)
    header = scan(data)
    start = len(data) - 14 - len(value)
    assert header.data_set[Tag(0x7FE00010)] == Element("OB", Bulk(start, len(value) - 8))
    assert header.pixel_data_offset == start - 12
    assert Tag(0xFFFCFFFC) not in header.data_set


def test_an_icon_is_not_the_pixel_data() -> None:
    icon = sequence(0x00880200, item(PIXELS))
    header = scan(part10(icon + NAME))
    assert header.pixel_data_offset is None
    assert header.pixel_data_vr is None


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, 0x7FE00010])
def test_pixel_data_of_all_kinds_is_found(tag: int) -> None:
    vr = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}[tag]
    data = part10(explicit(tag, vr, bytes(8)))
    header = scan(data)
    assert (header.pixel_data_offset, header.pixel_data_vr) == (len(data) - 20, vr)
    assert header.data_set == {Tag(tag): Element(vr, Bulk(len(data) - 8, 8))}


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_file_that_is_cut_is_refused_wherever_it_is_cut(cut: int) -> None:
    value = fragments(b"", b"abcd")
    for data in (part10(NAME + PIXELS * 2 + PIXELS), part10(NAME + explicit(0x7FE00010, "OB", value, UNDEFINED), JPEG)):
        whole_elements = {len(data), len(data) - 16, len(data) - 32}  # between elements nothing tells
        if len(data) - cut not in whole_elements:
            assert refusal(data[:-cut]) == f"Cannot parse an invalid DICOM file (size: {len(data) - cut} bytes)"


@pytest.mark.parametrize("padding", [1, 2, 7, 8, 9, 100, 4096])
def test_zeros_after_the_last_element_are_padding(padding: int) -> None:
    data = part10(explicit(0x00200013, "IS", b"1 ") + explicit(0x00080060, "CS", b"CT") + bytes(padding))
    assert list(scan(data).data_set.items()) == [
        (Tag(0x00080060), Element("CS", "CT")),
        (Tag(0x00200013), Element("IS", "1")),
    ]


def test_other_bytes_after_the_last_element_are_refused() -> None:
    assert refusal(part10(NAME) + b"trailing text")
    assert refusal(part10(NAME) + b"  ")


def test_elements_come_in_ascending_order_and_of_equal_tags_the_first_counts() -> None:
    data = part10(
        explicit(0x00280010, "US", b"\x01\x00")
        + explicit(0x00080060, "CS", b"CT")
        + explicit(0x00080060, "CS", b"MR")
        + sequence(0x00082218, item(NAME + CODE))
    )
    data_set = scan(data).data_set
    assert list(data_set) == [0x00080060, 0x00082218, 0x00280010]
    assert data_set[Tag(0x00080060)] == Element("CS", "CT")
    assert list(items_of(data_set[Tag(0x00082218)])[0]) == [0x00080100, 0x00100010]


def test_an_added_private_attribute_has_its_vr_in_implicit_files() -> None:
    dictionary = STANDARD.extended([Addition(0x00090005, "MAKER", Entry("Number", "Number", "US", "1"))])
    data = part10(implicit(0x00090010, b"MAKER ") + implicit(0x00091005, b"\x05\x00"), IMPLICIT)
    assert scan(data, dictionary=dictionary).data_set[Tag(0x00091005)] == Element("US", [5])
    assert isinstance(scan(data).data_set[Tag(0x00091005)].value, Bulk)


def test_an_empty_file_says_so() -> None:
    assert refusal(b"") == "Received an empty DICOM file"


@pytest.mark.parametrize(
    "data", [b"This is not a DICOM file.\n", b'{"a": 1}', bytes(4000), b"\x89PNG\r\n\x1a\n" + bytes(99)]
)
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    assert refusal(data) == f"Cannot parse an invalid DICOM file (size: {len(data)} bytes)"


def test_all_views_of_the_same_bytes_give_the_same(tmp_path: Path) -> None:
    korean = explicit(0x00080005, "CS", b"\\ISO 2022 IR 149") + explicit(0x00100010, "PN", b"\x1b$)C\xb1\xe8")
    data = part10(korean + explicit(0x00280010, "US", b"\x01\x00") + PIXELS)
    path = tmp_path / "file.dcm"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        views: list[memoryview | bytes] = [
            data,
            memoryview(data),
            memoryview(bytearray(data)),
            memoryview(b"x" + data)[1:],
            memoryview(mapped),
        ]
        headers = [scan(view) for view in views]
        for view in views:
            if isinstance(view, memoryview):
                view.release()
    assert all(header == headers[0] for header in headers)
    assert headers[0].data_set[Tag(0x00100010)].value == "김"


def test_a_naked_data_set_is_read_in_its_transfer_syntax() -> None:
    expected = {Tag(0x00080052): Element("CS", "STUDY")}
    assert scan_data_set(explicit(0x00080052, "CS", b"STUDY "), EXPLICIT) == expected
    assert scan_data_set(implicit(0x00080052, b"STUDY "), IMPLICIT) == expected
    assert scan_data_set(explicit(0x00080052, "CS", b"STUDY ", order=">"), BIG_ENDIAN) == expected
    assert scan_data_set(b"", IMPLICIT) == {}
    with pytest.raises(BadFileFormat, match="invalid DICOM data set"):
        scan_data_set(implicit(0x00080052, b"STUDY ")[:-1], IMPLICIT)


def test_a_stray_item_delimiter_at_the_top_is_passed_over() -> None:
    assert list(scan(part10(explicit(0x00080060, "CS", b"CT") + ITEM_DELIMITER + NAME)).data_set) == [
        0x00080060,
        0x00100010,
    ]
