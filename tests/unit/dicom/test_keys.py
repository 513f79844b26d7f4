"""Keys of queries, and what satisfies them."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset

from amonsul.dicom.answer_encoding import encode_answer, encode_elements
from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag
from amonsul.dicom.keys import Key, answer, parse_keys, satisfies, value_of
from amonsul.dicom.matching import Range, SingleValue, Universal, WildCard
from amonsul.dicom.scanner import scan_data_set
from amonsul.dicom.uids import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from amonsul.errors import BadFileFormat, ParameterOutOfRange

SYNTAXES = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
STEPS, MODALITY, DATE, TIME = Tag(0x00400100), Tag(0x00080060), Tag(0x00400002), Tag(0x00400003)


def scanned(data_set: Dataset, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> tuple[DataSet, bytes]:
    buffer = io.BytesIO()
    data_set.save_as(
        buffer,
        implicit_vr=syntax == IMPLICIT_VR_LITTLE_ENDIAN,
        little_endian=syntax != EXPLICIT_VR_BIG_ENDIAN,
    )
    return scan_data_set(buffer.getvalue(), syntax), buffer.getvalue()


def keys(data_set: Dataset, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> tuple[Key, ...]:
    elements, data = scanned(data_set, syntax)
    return parse_keys(elements, STANDARD, data)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_keys_are_read_with_what_they_must_match(syntax: str) -> None:
    asked, step = Dataset(), Dataset()
    asked.SpecificCharacterSet, asked.QueryRetrieveLevel = "ISO_IR 100", "STUDY"
    asked.add_new(0x00080000, "UL", 12)
    asked.PatientName, asked.PatientID, asked.StudyDate, asked.Rows = "A*", "", "2023-2024", 512
    step.Modality, step.ScheduledStationAETitle = "CT", ""
    asked.ScheduledProcedureStepSequence = [step]
    asked.RequestAttributesSequence = []
    found = {key.tag: key for key in keys(asked, syntax)}
    assert {tag: key.match for tag, key in found.items()} == {
        0x00080020: Range("2023", "20241231"),
        0x00100010: WildCard("A*"),
        0x00100020: Universal(),
        0x00280010: SingleValue("512"),
        0x00400100: Universal(),
        0x00400275: Universal(),
    }
    steps = found[STEPS]
    assert [(key.tag, key.restricts) for key in steps.items] == [(0x00080060, True), (0x00400001, False)]
    assert (steps.restricts, found[Tag(0x00400275)].restricts) == (True, False)


def test_private_keys_know_their_creator_even_without_a_vr() -> None:
    asked = Dataset()
    asked.add_new(0x00090010, "LO", "ACME")
    asked.add_new(0x00091001, "LO", "wanted")
    asked.add_new(0x00111001, "LO", "nobody's")
    for syntax in SYNTAXES:
        creator, wanted, orphan = keys(asked, syntax)
        assert (creator.restricts, creator.is_private_creator) == (False, True)
        assert (wanted.creator, wanted.match) == ("ACME", SingleValue("wanted"))
        assert orphan.creator is None
        stored = {Tag(0x00090020): Element("LO", "ACME "), Tag(0x00092001): Element("LO", "wanted")}
        assert satisfies([wanted], stored, case_sensitive_pn=False)
        assert not satisfies([wanted], {Tag(0x00091001): Element("LO", "wanted")}, case_sensitive_pn=False)


def test_keys_that_are_too_long_or_make_no_sense_are_refused() -> None:
    with pytest.raises(BadFileFormat):
        parse_keys({STEPS: Element("SQ", Bulk(0, 10))}, STANDARD)
    with pytest.raises(BadFileFormat):
        parse_keys({Tag(0x00091001): Element("UN", Bulk(0, 5000))}, STANDARD, bytes(5000))
    with pytest.raises(ParameterOutOfRange):
        parse_keys({DATE: Element("DA", "2023*")}, STANDARD)


def test_binary_values_are_asked_for_and_never_matched() -> None:
    (key,) = parse_keys({Tag(0x7FE00010): Element("OW", Bulk(0, 8))}, STANDARD, bytes(8))
    assert not key.restricts


def step(modality: str, date: str, time: str) -> DataSet:
    return {MODALITY: Element("CS", modality), DATE: Element("DA", date), TIME: Element("TM", time)}


def test_one_item_of_a_sequence_must_match_all_its_keys() -> None:
    stored: DataSet = {STEPS: Element("SQ", [step("CT", "20300101", "0900"), step("MR", "20300102", "10")])}

    def holds(*inner: Key, combines: bool = False) -> bool:
        wanted = [Key(STEPS, "SQ", items=inner)]
        return satisfies(wanted, stored, case_sensitive_pn=False, combines=combines)

    ct, second_day = Key(MODALITY, "CS", SingleValue("CT")), Key(DATE, "DA", SingleValue("20300102"))
    assert holds(ct)
    assert holds(second_day)
    assert not holds(ct, second_day)
    days, hours = Key(DATE, "DA", Range("20300101", "20300102")), Key(TIME, "TM", Range("0930", "1100"))
    assert holds(days, hours)  # the second step, either way
    assert not holds(ct, days, hours)
    assert not holds(ct, days, hours, combines=True)
    assert holds(ct, Key(DATE, "DA", Range("20291231", "20300102")), hours, combines=True)
    assert not satisfies([Key(STEPS, "SQ", items=(ct,))], {}, case_sensitive_pn=False)
    assert satisfies([Key(STEPS, "SQ", items=(Key(MODALITY, "CS"),))], {}, case_sensitive_pn=False)


def test_case_matters_but_in_names() -> None:
    stored: DataSet = {Tag(0x00100010): Element("PN", "Gold^Alice"), Tag(0x00100020): Element("LO", "Id")}
    name, patient_id = Key(Tag(0x00100010), "PN", WildCard("gold*")), Key(Tag(0x00100020), "LO", SingleValue("ID"))
    assert satisfies([name], stored, case_sensitive_pn=False)
    assert not satisfies([name], stored, case_sensitive_pn=True)
    assert not satisfies([patient_id], stored, case_sensitive_pn=False)


def test_an_answer_has_the_keys_of_each_item_and_not_what_is_absent() -> None:
    stored: DataSet = {STEPS: Element("SQ", [step("CT", "20300101", "0900")]), Tag(0x00100020): Element("LO", "1")}
    asked = (Key(STEPS, "SQ", items=(Key(DATE, "DA"),)), Key(Tag(0x00101030), "DS"))
    expected: list[DataSet] = [{DATE: Element("DA", "20300101")}]
    assert answer(asked, stored) == {STEPS: Element("SQ", expected)}
    assert answer((Key(STEPS, "SQ"),), stored) == {STEPS: stored[STEPS]}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_encoded_is_read_by_pydicom(syntax: str) -> None:
    elements: DataSet = {
        Tag(0x00100010): Element("PN", "Müller^Jörg"),
        Tag(0x0020000D): Element("UI", "1.2.3"),
        Tag(0x00201208): Element("IS", "12"),
        Tag(0x00280010): Element("US", "512"),
        Tag(0x00280009): Element("AT", "0018,1063\\0018,1065"),
        Tag(0x00081161): Element("UL", [4, 3]),
        Tag(0x00189087): Element("FD", [1.5]),
        STEPS: Element("SQ", [step("CT", "20300101", "0900"), {}]),
        Tag(0x7FE00010): Element("OW", Bulk(3, 4)),
    }
    data = encode_answer(elements, syntax, ("ISO_IR 100",))
    read = read_dataset(io.BytesIO(data), syntax == IMPLICIT_VR_LITTLE_ENDIAN, syntax != EXPLICIT_VR_BIG_ENDIAN)
    assert read.SpecificCharacterSet == "ISO_IR 100"
    assert read.PatientName == "Müller^Jörg"
    assert (read.StudyInstanceUID, read.NumberOfStudyRelatedInstances, read.Rows) == ("1.2.3", 12, 512)
    assert list(read.FrameIncrementPointer) == [0x00181063, 0x00181065]
    assert (list(read.SimpleFrameList), read.DiffusionBValue) == ([4, 3], 1.5)
    first, second = read.ScheduledProcedureStepSequence
    assert (first.Modality, first.ScheduledProcedureStepStartDate, len(second)) == ("CT", "20300101", 0)
    assert not read.PixelData
    tags = list(read.keys())
    assert tags == sorted(tags)


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("plain", ("ISO_IR 100",), "ISO_IR 100"),
        ("Müller", ("ISO_IR 100", "ISO_IR 144"), "ISO_IR 100"),
        ("Люк", ("ISO_IR 100", "ISO_IR 144"), "ISO_IR 144"),
        ("山田", ("ISO_IR 100", "ISO_IR 144"), "ISO_IR 192"),
        ("山田", ("ISO_IR 100", "\\ISO 2022 IR 87"), "\\ISO 2022 IR 87"),
    ],
)
def test_the_first_character_set_that_has_all_characters_is_taken(
    text: str, known: tuple[str, ...], expected: str
) -> None:
    data = encode_answer({Tag(0x00081030): Element("LO", text)}, EXPLICIT_VR_LITTLE_ENDIAN, known)
    found = scan_data_set(data, EXPLICIT_VR_LITTLE_ENDIAN)
    assert (found[Tag(0x00080005)].value, found[Tag(0x00081030)].value) == (expected, text)


def test_values_that_do_not_fit_their_vr_are_left_empty() -> None:
    elements: DataSet = {
        Tag(0x00280010): Element("US", "many"),
        Tag(0x00280011): Element("US", "70000"),
        Tag(0x00280009): Element("AT", "here"),
        Tag(0x0020000D): Element("UI", "ü1.2"),
    }
    read = read_dataset(io.BytesIO(encode_elements(elements, EXPLICIT_VR_LITTLE_ENDIAN, "")), False, True)
    assert (read.Rows, read.Columns, read.FrameIncrementPointer, read.StudyInstanceUID) == (None, None, None, "1.2")


def test_a_value_longer_than_its_length_field_is_written_as_unknown() -> None:
    uids = "\\".join(["1.2.3.4.5"] * 8000)
    data = encode_elements({Tag(0x00080058): Element("UI", uids)}, EXPLICIT_VR_LITTLE_ENDIAN, "")
    assert data[4:6] == b"UN"
    assert len(data) == 12 + len(uids) + len(uids) % 2


def test_the_value_of_a_key_is_empty_if_there_is_none() -> None:
    assert value_of(Key(Tag(0x00100010), "PN"), None) == Element("PN", "")
    assert value_of(Key(Tag(0x00280010), "US"), None) == Element("US", [])
    assert value_of(Key(STEPS, "SQ"), None) == Element("SQ", [])
    assert value_of(Key(Tag(0x7FE00010), "OW"), "text") == Element("OW", Bulk(0, 0))
    assert value_of(Key(Tag(0x00100010), "PN"), "A") == Element("PN", "A")
    assert value_of(Key(Tag(0x00100010), "PN"), Element("LO", "B")) == Element("LO", "B")
