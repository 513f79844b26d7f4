"""Values from JSON and the elements made of them."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from amonsul.dicom.dictionary import STANDARD, Addition, Entry
from amonsul.dicom.elements import Tag
from amonsul.dicom.tag_values import Encoder, Items, Text, Unencodable, parse_value
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    BadParameterType,
    BadRequest,
    ParameterOutOfRange,
    UnknownDicomTag,
)

from .builders import all_data_sets, fresh, instance, read, stored

REGION = Tag(0x00082218)


def put(value: object, name: str, data_set: Dataset | None = None, encoder: Encoder | None = None) -> Dataset:
    """Set an attribute as a request does, write, and read again."""
    encoder = encoder or Encoder()
    data_set = fresh(instance()) if data_set is None else data_set
    tag = STANDARD.tag(name)
    encoder.put(data_set, tag, parse_value(tag, value, encoder.dictionary, encoder.private_creator))
    return read(stored(data_set, data_set.file_meta.TransferSyntaxUID))


@pytest.mark.parametrize(
    ("name", "value", "vr", "result"),
    [
        ("PatientComments", "a\\b", "LT", "a\\b"),
        ("PatientComments", "", "LT", ""),
        ("PatientComments", None, "LT", ""),
        ("ImageType", "A\\B", "CS", ["A", "B"]),
        ("PatientName", "A^B", "PN", "A^B"),
        ("0010,4000", "data:text/plain;base64,aGVsbG8=", "LT", "data:text/plain;base64,aGVsbG8="),
        ("AcquisitionDuration", "2.5", "FD", 2.5),
        ("0018,6018", "77", "UL", 77),
        ("Rows", "", "US", None),
        ("TagAngleSecondAxis", "-5", "SS", -5),
        ("DiffusionGradientOrientation", "1\\0\\-1", "FD", [1.0, 0.0, -1.0]),
        ("FrameIncrementPointer", "0018,1063", "AT", 0x00181063),
        ("FrameIncrementPointer", "00181063\\0018-1065", "AT", [0x00181063, 0x00181065]),
        ("SmallestImagePixelValue", "5", "US", 5),
        ("SliceThickness", "1.5e-1", "DS", 0.15),
        ("InstanceNumber", "+5", "IS", 5),
        ("PixelData", "data:application/octet-stream;base64,AQID", "OW", b"\1\2\3\0"),
        ("EncapsulatedDocument", "data:;base64,AQID", "OB", b"\1\2\3\0"),
        ("EncapsulatedDocument", "text", "OB", b"text"),
        ("0009,1001", "x", "UN", b"x\0"),
        ("0009,1001", "data:;base64,AQI=", "UN", b"\1\2"),
    ],
)
def test_a_value_becomes_an_element_of_its_vr(name: str, value: object, vr: str, result: object) -> None:
    element = put(value, name)[STANDARD.tag(name)]
    assert vr == element.VR
    assert element.value == result or (not element.value and not result)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Rows", "x"),
        ("Rows", "1\\2"),
        ("Rows", "-1"),
        ("Rows", "65536"),
        ("AcquisitionDuration", "abc"),
        ("AcquisitionDuration", "1e999"),
        ("FrameIncrementPointer", "nope"),
        ("SliceThickness", "abc"),
        ("InstanceNumber", "1.5"),
        ("AnatomicRegionSequence", "x"),
        ("StudyDescription", "x" * 70_000),
        ("StudyInstanceUID", "é"),
        ("PixelData", "data:application/octet-stream;base64,A"),
    ],
)
def test_a_value_that_is_impossible_for_its_vr_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadFileFormat) as caught:
        put(value, name)
    assert len(value) < 3 or value not in caught.value.details


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PatientComments", 12),
        ("PatientComments", True),
        ("PatientComments", {}),
        ("PatientComments", ["a", "b"]),
        ("AnatomicRegionSequence", {"CodeValue": "x"}),
        ("AnatomicRegionSequence", ["x"]),
        ("AnatomicRegionSequence", [{"CodeValue": 1}]),
    ],
)
def test_a_json_value_of_a_wrong_type_is_refused(name: str, value: object) -> None:
    tag = STANDARD.tag(name)
    with pytest.raises(BadParameterType):
        parse_value(tag, value)


def test_a_list_of_objects_is_a_sequence() -> None:
    value = parse_value(REGION, [{"CodeValue": "A", "0008,2220": [{}]}, {}])
    assert value == Items((((Tag(0x00080100), Text("A")), (Tag(0x00082220), Items(((),)))), ()))
    region = put([{"CodeValue": "A", "0008,2220": [{}]}, {}], "AnatomicRegionSequence").AnatomicRegionSequence
    assert [item.get("CodeValue") for item in region] == ["A", None]
    assert len(region[0].AnatomicRegionModifierSequence) == 1


def test_an_empty_list_or_text_is_an_empty_sequence() -> None:
    empties: tuple[object, ...] = ([], "", None)
    for value in empties:
        assert list(put(value, "AnatomicRegionSequence").AnatomicRegionSequence) == []


def test_items_have_no_unknown_attributes_and_no_end() -> None:
    with pytest.raises(UnknownDicomTag):
        parse_value(REGION, [{"Nope": "x"}])
    deep: list[object] = []
    for _ in range(100):
        deep = [{"AnatomicRegionSequence": deep}]
    with pytest.raises(BadRequest):
        parse_value(REGION, deep)
    with pytest.raises(BadRequest):
        parse_value(REGION, [{}] * 200_000)


def test_signed_pixels_have_signed_values() -> None:
    data_set = fresh(instance())
    data_set.PixelRepresentation = 1
    assert put("-5", "SmallestImagePixelValue", data_set)[0x00280106].VR == "SS"


def test_binary_text_stays_text_if_it_is_not_to_be_interpreted() -> None:
    uri = "data:application/octet-stream;base64,AQID"
    result = put(uri, "EncapsulatedDocument", encoder=Encoder(interpret_binary=False))
    assert result.EncapsulatedDocument == uri.encode() + b"\0"


def test_native_pixels_do_not_replace_encapsulated_ones() -> None:
    data_set = instance()
    data_set.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.5")
    with pytest.raises(BadRequest):
        Encoder().put(data_set, 0x7FE00010, Text("data:;base64,AQI="))


# Private attributes


def test_a_private_attribute_has_the_vr_that_its_creator_gives_it() -> None:
    result = put("GE_GENESIS_FF", "0009,1001", encoder=Encoder(private_creator="GEMS_IDEN_01"))
    assert result[0x00090010].value == "GEMS_IDEN_01"
    assert result[0x00091001].VR == "LO"
    again = put("other", "0009,1001", result)
    assert (again[0x00091001].VR, again[0x00091001].value) == ("LO", "other")


def test_a_reserved_block_stays_with_its_owner() -> None:
    data_set = fresh(instance())
    data_set.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "LO", "theirs")
    assert put("x", "0009,1002", data_set, Encoder(private_creator="ME"))[0x00090010].value == "SOMEBODY"


def test_an_extended_dictionary_is_used() -> None:
    entry = Entry("Golden", "Golden", "US", "1")
    dictionary = STANDARD.extended([Addition(0x00090001, "GOLDEN MAKER", entry)])
    result = put("513", "0009,1001", encoder=Encoder(dictionary, "GOLDEN MAKER"))
    assert (result[0x00091001].VR, result[0x00091001].value) == ("US", 513)


# Character sets


def test_text_is_written_in_the_character_set_of_the_data_set() -> None:
    data_set = fresh(instance())
    result = put("Ünïcode^Gréek", "PatientName", data_set)
    assert result.PatientName == "Ünïcode^Gréek"
    assert "Ünïcode^Gréek".encode("latin-1") in stored(data_set)


def test_what_the_character_set_does_not_have_is_left_out() -> None:
    result = put("Ünïcode^Gréek Ω", "PatientName")
    assert (result.SpecificCharacterSet, result.PatientName) == ("ISO_IR 100", "Ünïcode^Gréek")


def test_the_character_set_is_switched_for_it_if_wished() -> None:
    data_set = instance()
    item = Dataset()
    item.CodeMeaning = "Tête"
    data_set.AnatomicRegionSequence = [item]
    data_set.PatientComments = "é\\ü"
    switching = Encoder(unencodable=Unencodable.SWITCH)
    result = put("Ünïcode^Gréek Ω", "PatientName", fresh(data_set), switching)
    assert (result.SpecificCharacterSet, result.PatientName) == ("ISO_IR 192", "Ünïcode^Gréek Ω")
    assert result.AnatomicRegionSequence[0].CodeMeaning == "Tête"
    assert result.PatientComments == "é\\ü"


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "王^小东"),
        ("ISO_IR 144", "Люкceмбypг"),
    ],
)
def test_switching_keeps_the_text_of_any_character_set(charset: str, text: str) -> None:
    data_set = instance()
    data_set.SpecificCharacterSet = charset.split("\\")
    data_set.PatientName = text
    assert fresh(data_set).PatientName == text
    result = put("Ω œ ñ", "PatientComments", fresh(data_set), Encoder(unencodable=Unencodable.SWITCH))
    assert (str(result.PatientName), result.PatientComments) == (text, "Ω œ ñ")


def test_a_data_set_without_character_set_gets_the_default() -> None:
    data_set = instance()
    del data_set.SpecificCharacterSet
    data_set.PatientName = "Plain"
    result = put("Tête", "StudyDescription", fresh(data_set))
    assert (result.SpecificCharacterSet, result.StudyDescription) == ("ISO_IR 100", "Tête")


def test_replacing_the_character_set_relabels_and_converts_nothing() -> None:
    """A data set in UTF-8 that says Latin-1 is repaired so."""
    data_set = instance()
    data_set.PatientName = "Mül^Jör".encode().decode("latin-1")
    wrong = stored(data_set)
    assert "Mül^Jör".encode() in wrong
    assert put("ISO_IR 192", "SpecificCharacterSet", read(wrong)).PatientName == "Mül^Jör"


def test_an_unknown_character_set_is_refused() -> None:
    for name in ("nope", ""):
        with pytest.raises(ParameterOutOfRange):
            put(name, "SpecificCharacterSet")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("value", ["x" * 100, "\\" * 50, "\0", "data:;base64,", "-", "1e5", "\ud800", "é" * 30])
def test_any_text_for_any_vr_is_written_or_refused(value: str) -> None:
    for tag in (
        0x00080005,
        0x00080018,
        0x00080020,
        0x00080050,
        0x00100010,
        0x00104000,
        0x00180050,
        0x00189073,
        0x00200013,
        0x00280009,
        0x00280010,
        0x00281201,
        0x0040A160,
        0x00420011,
        0x00660016,
        0x00091001,
    ):
        data_set = fresh(instance())
        try:
            Encoder().put(data_set, tag, Text(value))
        except AmonsulError:
            continue
        for part in all_data_sets(read(stored(data_set))):
            assert part is not None
