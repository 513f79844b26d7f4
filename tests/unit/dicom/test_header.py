"""The packed header: what goes in comes out."""

from __future__ import annotations

import math

import pytest

from amonsul.dicom import vrs
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, numbers_of
from amonsul.dicom.header import Header, HeaderReader, decode_header, encode_header
from amonsul.dicom.scanner import scan
from amonsul.errors import InternalError
from tests.unit.dicom.building import nested, part10, sq

FILE_META: DataSet = {Tag(0x00020000): Element("UL", [172]), Tag(0x00020010): Element("UI", "1.2.840.10008.1.2.1")}
DATA_SET: DataSet = {
    Tag(0x00080060): Element("CS", "CT"),
    Tag(0x00082112): sq(),
    Tag(0x00082218): sq({Tag(0x00080104): Element("LO", "Tête\\\0\ufffd"), Tag(0x00082220): sq({}, {})}, {}),
    Tag(0x00091002): Element("OB", Bulk(1 << 40, 16)),
    Tag(0x00091003): Element("LT", Bulk(7, 100_000)),
    Tag(0x00091004): Element("SQ", Bulk(7, 100_000)),
    Tag(0x00280009): Element("AT", "0018,1063\\0018,1065"),
    Tag(0x00280010): Element("US", []),
    Tag(0x00720072): Element("FL", [0.1, -0.0, 1e30, 16777217.0, 5.0]),
    Tag(0x00720074): Element("FD", [math.inf, -math.inf, 0.1]),
    Tag(0x00720082): Element("SV", [-(2**63), 2**63 - 1]),
    Tag(0x00720083): Element("UV", [2**64 - 1]),
    Tag(0x7FE00010): Element("OW", Bulk(2000, 524288)),
}


@pytest.mark.parametrize(
    "header",
    [
        Header("1.2.840.10008.1.2.1", FILE_META, DATA_SET, 1988, "OW"),
        Header("1.2.840.10008.1.2", {}, {}, None, None),
        Header("1.2.840.10008.1.2.1", {}, {Tag(0x00091001): Element("FD", [])}, None, None),
    ],
)
def test_a_header_comes_back_equal(header: Header) -> None:
    again = decode_header(encode_header(header))
    assert again == header
    assert list(again.data_set) == list(header.data_set)
    for tag, element in again.data_set.items():
        assert type(element) is Element
        assert type(element.value) is type(header.data_set[tag].value)
        if isinstance(element.value, list):
            assert list(map(type, element.value)) == list(map(type, header.data_set[tag].value))


def test_not_a_number_survives() -> None:
    header = Header("1.2.840.10008.1.2.1", {}, {Tag(0x00720074): Element("FD", [math.nan, 1.0])})
    nan, one = numbers_of(decode_header(encode_header(header)).data_set[Tag(0x00720074)])
    assert math.isnan(nan)
    assert one == 1.0


def test_the_deepest_header_that_the_scanner_gives_can_be_packed() -> None:
    header = scan(part10(nested(64, undefined=True)))
    assert decode_header(encode_header(header)) == header


def test_every_vr_can_be_packed() -> None:
    for vr in vrs.ALL:
        header = Header("1.2", {}, {Tag(0x00091001): Element(vr, Bulk(1, 2))})
        assert decode_header(encode_header(header)) == header


@pytest.mark.parametrize("packed", [b"", b"abc", b"\xff" * 40, encode_header(Header("1.2", {}, {}))[:-3]])
def test_what_is_no_packed_header_is_an_internal_error(packed: bytes) -> None:
    with pytest.raises(InternalError):
        decode_header(packed)


def test_a_reader_gives_what_each_header_says_and_shares_what_they_have_in_common() -> None:
    def header(number: int) -> Header:
        changed: DataSet = {
            Tag(0x00080060): Element("CS", f"CT{number}"),
            Tag(0x00082218): sq({Tag(0x00720074): Element("FD", [0.0 if number else -0.0])}),
            Tag(0x00091002): Element("OB", Bulk(number, 16)),
            Tag(0x00091004): Element("SQ", Bulk(7, 100_000)) if number >= 3 else sq({}, {}),
            Tag(0x00720074): Element("FD", [math.inf, 0.0 if number else -0.0]),
        }
        return Header("1.2.840.10008.1.2.1", FILE_META, {**DATA_SET, **changed}, 1988 + number, "OW")

    reader = HeaderReader()
    before: DataSet = {}
    for number in range(5):
        written = header(number)
        read = reader.read(encode_header(written))
        assert read == written
        assert repr(read) == repr(written)  # which tells zeros apart
        if before:
            shared = {tag for tag, element in read.data_set.items() if element is before[tag]}
            changed = {0x00080060, 0x00091002, *((0x00082218, 0x00720074) if number == 1 else ())}
            assert shared == (set() if number == 3 else read.data_set.keys() - changed)  # one becomes a Bulk
        before = read.data_set
    assert reader.read(encode_header(Header("1.2", {}, {}))) == Header("1.2", {}, {})
    assert reader.read(encode_header(header(7))) == header(7)


def test_a_reader_survives_what_is_no_header() -> None:
    reader = HeaderReader()
    good = encode_header(Header("1.2", {}, DATA_SET))
    for packed in (good, b"abc", good, good[:-3], good):
        if packed is good:
            assert reader.read(packed).data_set == DATA_SET
        else:
            with pytest.raises(InternalError):
                reader.read(packed)
