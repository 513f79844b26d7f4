"""The profiles as data."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

import amonsul.dicom
from amonsul.dicom.confidentiality import (
    OPTION_CODES,
    VERSIONS,
    Action,
    Option,
    parse_options,
    parse_version,
    profile,
)
from amonsul.dicom.dictionary import STANDARD
from amonsul.errors import BadRequest, ParameterOutOfRange

TABLES = Path(amonsul.dicom.__file__).parent / "tables"
TOOLS = Path(__file__).resolve().parents[3] / "tools"


def action(name: str, version: str, options: frozenset[Option] | None = None) -> str | None:
    found = profile(version, options).action(STANDARD.tag(name))
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("name", "actions"),
    [  # 2008, 2017c, 2021b, 2023b
        ("AccessionNumber", ("X", "Z", "Z", "Z")),
        ("StudyDate", (None, "Z", "Z", "Z")),
        ("SeriesDate", (None, "X", "X", "X")),
        ("RetrieveAETitle", (None, None, None, "X")),
        ("PatientBirthDate", ("X", "Z", "Z", "Z")),
        ("PatientComments", ("X", "X", "X", "X")),
        ("SOPInstanceUID", ("U", "U", "U", "U")),
        ("ReferencedSOPInstanceUID", ("U", "U", "U", "U")),
        ("OverlayData", (None, "X", "X", "X")),
        ("Manufacturer", (None, None, None, None)),
        ("PixelData", (None, None, None, None)),
        ("ContrastBolusAgent", (None, "Z", "Z", "Z")),
        ("RTPlanLabel", (None, None, "Z", "Z")),
    ],
)
def test_what_each_edition_says(name: str, actions: tuple[str | None, ...]) -> None:
    assert tuple(action(name, version) for version in VERSIONS) == actions


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("RTPlanLabel", "", "D"),
        ("RTPlanLabel", "CleanDescriptors", "C"),
        ("SeriesDate", "", "D"),
        ("AnnotationGroupUID", "", "U"),
        ("AnnotationGroupUID", "RetainUIDs", "K"),
        ("SeriesDate", "RetainLongitudinalFullDates", "K"),
        ("SeriesDate", "RetainLongitudinalModifiedDates", "shift"),
        ("SeriesTime", "RetainLongitudinalModifiedDates", "K"),
        ("PatientBirthDate", "RetainLongitudinalFullDates", "Z"),
        ("PatientAge", "RetainPatientCharacteristics", "K"),
        ("Allergies", "RetainPatientCharacteristics", "C"),
        ("InstitutionName", "RetainInstitutionIdentity", "K"),
        ("DeviceSerialNumber", "RetainDeviceIdentity", "K"),
        ("RetrieveAETitle", "RetainDeviceIdentity", "C"),
        ("DateOfLastCalibration", "RetainDeviceIdentity", "K"),
        ("DateOfLastCalibration", "RetainDeviceIdentity RetainLongitudinalModifiedDates", "shift"),
        ("SOPInstanceUID", "RetainUIDs", "K"),
        ("StudyDescription", "CleanDescriptors", "C"),
        ("RequestAttributesSequence", "CleanDescriptors", "C"),
        ("ContentSequence", "", "D"),
        ("ContentSequence", "CleanStructuredContent", "C"),
        ("ReferencedImageSequence", "", "K"),
        ("OverlayData", "", "X"),
        ("Manufacturer", "", None),
    ],
)
def test_what_the_options_change(name: str, options: str, expected: str | None) -> None:
    assert action(name, "2023b", parse_options(options.split())) == expected


def test_every_action_can_be_done_to_its_vr() -> None:
    for option in [None, *Option]:
        chosen = profile("2023b", frozenset() if option is None else frozenset({option}))
        for tag, found in chosen.actions.items():
            vr = STANDARD.vr(tag)
            if found is Action.SHIFT:
                assert vr in ("DA", "DT")
            if found is Action.UID:
                assert vr == "UI"
            if found is Action.CLEAN:
                assert vr in ("AE", "LO", "LT", "SH", "SQ", "ST", "UC", "UT")


def test_every_option_has_a_code_of_its_own() -> None:
    assert OPTION_CODES.keys() == set(Option)
    assert len({code.value for code in OPTION_CODES.values()} | {"113100"}) == len(Option) + 1
    codes = profile("2023b", frozenset({Option.UIDS, Option.FULL_DATES})).codes
    assert [code.value for code in codes] == ["113100", "113106", "113110"]
    assert profile("2023b").codes == ()


@pytest.mark.parametrize("name", ["nope", "", "2023B", "2024"])
def test_an_unknown_edition_is_refused(name: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        parse_version(name)


def test_unknown_and_contradicting_options_are_refused() -> None:
    with pytest.raises(ParameterOutOfRange):
        parse_options(["Nope"])
    with pytest.raises(BadRequest):
        parse_options(["RetainLongitudinalFullDates", "RetainLongitudinalModifiedDates"])


def test_the_table_says_where_it_is_from_and_under_which_licence() -> None:
    table = orjson.loads((TABLES / "confidentiality.json").read_bytes())
    assert "PS3.15 Table E.1-1" in table["provenance"]
    assert "Permission is hereby granted, free of charge" in table["license"]
    assert len(table["attributes"]) > 600


def test_the_table_has_the_earlier_editions_that_were_compiled() -> None:
    lines = [line.split("\t") for line in (TOOLS / "confidentiality_editions.tsv").read_text("utf-8").splitlines()]
    rows = [line for line in lines if not line[0].startswith("#")]
    editions = orjson.loads((TABLES / "confidentiality.json").read_bytes())["editions"]
    for index, name in enumerate(rows[0][2:], 2):
        assert editions[name] == {row[0]: row[index] for row in rows[1:] if row[index] != "-"}
