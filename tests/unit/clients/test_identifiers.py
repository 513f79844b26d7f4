"""Identifiers of C-FIND as data sets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydicom.dataset import Dataset

from amonsul.clients.identifiers import find_identifier, identifier_of
from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.encoding import encode_data_set
from amonsul.dicom.levels import Level
from amonsul.dicom.scanner import scan_data_set
from amonsul.dicom.tag_values import parse_value

EXPLICIT = "1.2.840.10008.1.2.1"


def identifier(level: Level, keys: Mapping[str, str], manufacturer: str = "Generic", **more: bool) -> Dataset:
    tags = {STANDARD.tag(name): value for name, value in keys.items()}
    return find_identifier(level, tags, manufacturer, STANDARD, "ISO_IR 100", **more)


def names(data_set: Dataset) -> list[str]:
    return [element.keyword for element in data_set]


@pytest.mark.parametrize(
    ("level", "name", "asked"),
    [
        (Level.PATIENT, "PATIENT", ["PatientID"]),
        (Level.STUDY, "STUDY", ["AccessionNumber", "PatientID", "StudyInstanceUID"]),
        (Level.SERIES, "SERIES", ["AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]),
        (
            Level.INSTANCE,
            "IMAGE",
            ["SOPInstanceUID", "AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"],
        ),
    ],
)
def test_a_level_is_named_and_its_resources_can_be_told_apart(level: Level, name: str, asked: list[str]) -> None:
    made = identifier(level, {})
    assert made.QueryRetrieveLevel == name
    assert [each for each in names(made) if each not in ("SpecificCharacterSet", "QueryRetrieveLevel")] == asked


def test_the_level_and_the_character_set_are_ours() -> None:
    made = identifier(Level.STUDY, {"QueryRetrieveLevel": "IMAGE", "SpecificCharacterSet": "ISO_IR 144"})
    assert (made.QueryRetrieveLevel, made.SpecificCharacterSet) == ("STUDY", "ISO_IR 100")


def test_only_keys_that_can_apply_are_kept() -> None:
    keys = {
        "PatientName": "A*",
        "StudyDate": "",
        "SeriesDescription": "x",
        "InstanceNumber": "1",
        "ModalitiesInStudy": "CT",
        "NumberOfStudyRelatedSeries": "",
    }
    made = names(identifier(Level.STUDY, keys, only_applicable=True))
    assert {"PatientName", "StudyDate", "ModalitiesInStudy", "NumberOfStudyRelatedSeries"} <= {*made}
    assert not {"SeriesDescription", "InstanceNumber"} & {*made}
    assert {*keys} <= {*names(identifier(Level.STUDY, keys))}


@pytest.mark.parametrize("value", ["1-20", "*", "3", "", "1\\2"])
def test_ranges_and_wildcards_of_numbers_are_written_as_they_are(value: str) -> None:
    encoded = b"".join(encode_data_set(identifier(Level.INSTANCE, {"InstanceNumber": value}), EXPLICIT))
    found = scan_data_set(encoded, EXPLICIT)[STANDARD.tag("InstanceNumber")]
    assert (found.vr, found.value) == ("IS", value)


@pytest.mark.parametrize(
    ("manufacturer", "date", "name"),
    [
        ("Generic", "*", "*"),
        ("GenericNoWildcardInDates", "", "*"),
        ("GenericNoUniversalWildcard", "", ""),
        ("GE", "*", "*"),
        ("Vitrea", "*", "*"),
        ("SiemensSyngoCT", "*", "*"),
    ],
)
def test_makes_that_stumble_over_wildcards(manufacturer: str, date: str, name: str) -> None:
    made = identifier(Level.STUDY, {"StudyDate": "*", "PatientName": "*", "StudyID": "*1"}, manufacturer)
    assert (made.StudyDate or "", str(made.PatientName), made.StudyID) == (date, name, "*1")


def test_a_worklist_is_asked_with_the_keys_as_they_are() -> None:
    tag = STANDARD.tag("ScheduledProcedureStepSequence")
    made = identifier_of({tag: parse_value(tag, [{"Modality": "CT"}])}, STANDARD, "ISO_IR 100")
    assert names(made) == ["SpecificCharacterSet", "ScheduledProcedureStepSequence"]
    assert made.ScheduledProcedureStepSequence[0].Modality == "CT"
