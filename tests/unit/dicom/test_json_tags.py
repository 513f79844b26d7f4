"""The forms in which the REST API prints a data set."""

from __future__ import annotations

import math
from pathlib import Path

import pydicom.data

from amonsul.dicom.dictionary import STANDARD, Addition, Entry
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag
from amonsul.dicom.json_tags import full, shared, short, simplified, text_of
from amonsul.dicom.scanner import scan
from tests.unit.dicom.building import sq

DATA_SET: DataSet = {
    Tag(0x00080000): Element("UL", [378]),
    Tag(0x00080008): Element("CS", "DERIVED\\SECONDARY\\\\OTHER"),
    Tag(0x00080050): Element("SH", ""),
    Tag(0x00082112): sq(),
    Tag(0x00082218): sq({Tag(0x00080104): Element("LO", "Tête")}, {}),
    Tag(0x00090010): Element("LO", "GOLDEN MAKER"),
    Tag(0x00091001): Element("LO", "private text"),
    Tag(0x00091002): Element("OB", Bulk(700, 16)),
    Tag(0x00091006): sq({Tag(0x00090010): Element("LO", "OTHER"), Tag(0x00091007): Element("SH", "inside")}),
    Tag(0x00091201): Element("LO", "nobody's"),
    Tag(0x00280009): Element("AT", "0018,1063\\0018,1065"),
    Tag(0x00280010): Element("US", [512]),
    Tag(0x00280106): Element("US", []),
    Tag(0x00720060): Element("AT", ""),
    Tag(0x7FE00010): Element("OW", Bulk(2000, 524288)),
}


def named(name: str, value: object, kind: str = "String", **more: str) -> dict[str, object]:
    return {"Name": name, "Type": kind, "Value": value, **more}


def test_the_full_form_has_names_types_and_private_creators() -> None:
    maker = {"PrivateCreator": "GOLDEN MAKER"}
    assert full(DATA_SET) == {
        "0008,0000": named("GenericGroupLength", "378"),
        "0008,0008": named("ImageType", "DERIVED\\SECONDARY\\\\OTHER"),
        "0008,0050": named("AccessionNumber", ""),
        "0008,2112": named("SourceImageSequence", [], "Sequence"),
        "0008,2218": named("AnatomicRegionSequence", [{"0008,0104": named("CodeMeaning", "Tête")}, {}], "Sequence"),
        "0009,0010": named("PrivateCreator", "GOLDEN MAKER"),
        "0009,1001": named("Unknown Tag & Data", "private text", **maker),
        "0009,1002": named("Unknown Tag & Data", None, "Null", **maker),
        "0009,1006": named(
            "Unknown Tag & Data",
            [
                {
                    "0009,0010": named("PrivateCreator", "OTHER"),
                    "0009,1007": named("Unknown Tag & Data", "inside", PrivateCreator="OTHER"),
                }
            ],
            "Sequence",
        ),
        "0009,1201": named("Unknown Tag & Data", "nobody's"),
        "0028,0009": named("FrameIncrementPointer", "0018,1063\\0018,1065"),
        "0028,0010": named("Rows", "512"),
        "0028,0106": named("SmallestImagePixelValue", None, "Null"),
        "0072,0060": named("SelectorATValue", None, "Null"),
        "7fe0,0010": named("PixelData", None, "Null"),
    }


def test_the_short_form_has_tags_only() -> None:
    assert short(DATA_SET) == {
        "0008,0000": "378",
        "0008,0008": "DERIVED\\SECONDARY\\\\OTHER",
        "0008,0050": "",
        "0008,2112": [],
        "0008,2218": [{"0008,0104": "Tête"}, {}],
        "0009,0010": "GOLDEN MAKER",
        "0009,1001": "private text",
        "0009,1002": None,
        "0009,1006": [{"0009,0010": "OTHER", "0009,1007": "inside"}],
        "0009,1201": "nobody's",
        "0028,0009": "0018,1063\\0018,1065",
        "0028,0010": "512",
        "0028,0106": None,
        "0072,0060": None,
        "7fe0,0010": None,
    }


def test_the_simplified_form_has_names_only_and_the_last_of_each() -> None:
    assert simplified(DATA_SET) == {
        "GenericGroupLength": "378",
        "ImageType": "DERIVED\\SECONDARY\\\\OTHER",
        "AccessionNumber": "",
        "SourceImageSequence": [],
        "AnatomicRegionSequence": [{"CodeMeaning": "Tête"}, {}],
        "PrivateCreator": "GOLDEN MAKER",
        "Unknown Tag & Data": "nobody's",
        "FrameIncrementPointer": "0018,1063\\0018,1065",
        "Rows": "512",
        "SmallestImagePixelValue": None,
        "SelectorATValue": None,
        "PixelData": None,
    }


def test_private_attributes_of_the_dictionary_have_their_names() -> None:
    addition = Addition(0x00090001, "GOLDEN MAKER", Entry("GoldenText", "GoldenText", "LO", "1"))
    dictionary = STANDARD.extended([addition])
    assert simplified(DATA_SET, dictionary)["GoldenText"] == "private text"
    assert full(DATA_SET, dictionary)["0009,1001"] == named("GoldenText", "private text", PrivateCreator="GOLDEN MAKER")


def test_numbers_are_printed_with_all_their_digits() -> None:
    def printed(vr: str, *values: float) -> str | None:
        return text_of(Element(vr, list(values)))

    assert printed("FD", 0.1, 1000.25, -0.1, 1e30, 1e-7) == (
        "0.10000000000000001\\1000.25\\-0.10000000000000001\\1e+30\\9.9999999999999995e-08"
    )
    assert printed("FL", 0.10000000149011612, 16777216.0, -0.0) == "0.10000000149011612\\16777216\\-0"
    assert printed("FD", math.inf, -math.inf, math.nan) == "inf\\-inf\\nan"
    assert printed("OF", 1.0, 2.5, -3.0) == "1\\2.5\\-3"
    assert text_of(Element("UV", [2**64 - 1, 0])) == "18446744073709551615\\0"
    assert text_of(Element("US", [])) is None
    assert text_of(Element("US", Bulk(0, 2))) is None


def test_long_text_is_null_unless_its_length_is_ignored() -> None:
    data_set: DataSet = {
        Tag(0x00081030): Element("LO", "x" * 256),
        Tag(0x00102110): Element("LO", "é" * 129),
        Tag(0x00104000): Element("LT", "x" * 257),
        Tag(0x00281101): Element("US", list(range(200))),
        Tag(0x00400280): Element("ST", "é" * 128),
        Tag(0x0040A160): Element("UT", Bulk(100, 100_000)),
    }
    assert {tag: value for tag, value in short(data_set).items() if value is None} == dict.fromkeys(
        ["0010,2110", "0010,4000", "0028,1101", "0040,a160"]
    )
    assert full(data_set)["0010,4000"] == named("PatientComments", None, "TooLong")
    assert full(data_set)["0040,a160"] == named("TextValue", None, "TooLong")
    ignored = [Tag(0x00104000), Tag(0x00281101)]
    assert full(data_set, ignore_length=ignored)["0010,4000"] == named("PatientComments", "x" * 257)
    assert simplified(data_set, ignore_length=ignored)["PatientComments"] == "x" * 257
    assert short(data_set, max_length=0)["0010,2110"] == "é" * 129
    assert short(data_set, max_length=10)["0008,1030"] is None


def test_shared_tags_are_those_with_the_same_text_everywhere() -> None:
    other: DataSet = {**DATA_SET, Tag(0x00091001): Element("LO", "else"), Tag(0x00280010): Element("US", [256])}
    third = {tag: element for tag, element in DATA_SET.items() if tag != 0x00280009}
    found = shared([DATA_SET, other, third])
    assert list(map(hex, found)) == ["0x80000", "0x80008", "0x80050", "0x90010", "0x91201"]
    assert shared([]) == {}


def test_a_meta_header_has_no_version() -> None:
    path = Path(pydicom.data.__file__).parent / "test_files/CT_small.dcm"
    assert simplified(scan(path.read_bytes()).file_meta) == {
        "FileMetaInformationGroupLength": "192",
        "MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "MediaStorageSOPInstanceUID": "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        "ImplementationClassUID": "1.3.6.1.4.1.5962.2",
        "ImplementationVersionName": "DCTOOL100",
        "SourceApplicationEntityTitle": "CLUNIE1",
    }
