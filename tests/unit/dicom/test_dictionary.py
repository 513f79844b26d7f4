"""The dictionaries, and that their tables are what the generator writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from amonsul.dicom import dictionary as module
from amonsul.dicom.dictionary import (
    PUBLIC,
    STANDARD,
    UNKNOWN_NAME,
    Addition,
    Entry,
    parse_dictionary_option,
    read_external_dictionary,
)
from amonsul.errors import BadFileFormat, InexistentFile, ParameterOutOfRange, UnknownDicomTag
from tools import make_tables


def test_the_tables_are_what_the_generator_writes() -> None:
    # In a process of its own: other libraries add their own entries to the dictionaries of pydicom.
    program = "import json; from tools import make_tables; print(json.dumps(make_tables.tables()))"
    root = Path(make_tables.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, check=True)
    generated: dict[str, str] = json.loads(run.stdout)
    assert generated
    assert {name: (make_tables.TABLES / name).read_text("utf-8") for name in generated} == generated


def test_a_public_attribute_has_its_entry() -> None:
    assert STANDARD.entry(0x00100010) == Entry("PatientName", "Patient's Name", "PN", "1")
    assert STANDARD.vr(0x00280106) == "US"
    assert STANDARD.entry(0x12340001) is None
    assert STANDARD.vr(0x12340001) == "UN"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x00100010, "PatientName"),
        (0x00080000, "GenericGroupLength"),
        (0x12340000, "GenericGroupLength"),
        (0x00020000, "FileMetaInformationGroupLength"),
        (0x00090000, "PrivateGroupLength"),
        (0x00090010, "PrivateCreator"),
        (0x000900FF, "PrivateCreator"),
        (0x00090001, UNKNOWN_NAME),
        (0x00091001, UNKNOWN_NAME),
        (0x60000010, "OverlayRows"),
        (0x601E3000, "OverlayData"),
        (0x50043000, "RETIRED_CurveData"),
        (0x300A0082, "RETIRED_BeamDoseSpecificationPoint"),
        (0x00101000, "OtherPatientIDs"),
        (0x7FE00010, "PixelData"),
    ],
)
def test_attributes_have_the_names_that_the_rest_api_prints(tag: int, name: str) -> None:
    assert STANDARD.keyword(tag) == name


def test_private_attributes_are_known_by_their_creator_in_any_block() -> None:
    assert STANDARD.keyword(0x00091011, "GEMS_GENIE_1") == "StudyFlags"
    assert STANDARD.keyword(0x0009AB11, "GEMS_GENIE_1") == "StudyFlags"
    assert STANDARD.keyword(0x00091011, "NOBODY") == UNKNOWN_NAME
    assert STANDARD.keyword(0x00291010, "SIEMENS CSA HEADER") == "CSAImageHeaderInfo"
    assert STANDARD.vr(0x00291010, "SIEMENS CSA HEADER") == "OB"


@pytest.mark.parametrize("text", ["PatientName", "0010,0010", "0010-0010", "00100010", "(0010,0010)"])
def test_tags_are_read_in_all_forms(text: str) -> None:
    assert STANDARD.tag(text) == 0x00100010


def test_a_retired_attribute_is_read_with_and_without_its_mark() -> None:
    assert STANDARD.tag("RETIRED_CurveData") == STANDARD.tag("CurveData") == 0x50003000


@pytest.mark.parametrize("text", ["Nope", "", "patientname", "0010,00", "00100010000", "xxxxxxxx", "Patient's Name"])
def test_other_names_are_no_tags(text: str) -> None:
    with pytest.raises(UnknownDicomTag):
        STANDARD.tag(text)


def test_a_dictionary_is_extended_into_another_one() -> None:
    additions = [
        Addition(0x00090001, "MAKER", Entry("MyText", "MyText", "LO", "1")),
        Addition(0x00090011, "GEMS_GENIE_1", Entry("MyFlags", "MyFlags", "UL", "1")),
        Addition(0x00141020, "", Entry("MyDate", "MyDate", "DA", "1")),
    ]
    extended = STANDARD.extended(additions)
    again = extended.extended([Addition(0x00090002, "MAKER", Entry("MyNumber", "MyNumber", "US", "1"))])
    for dictionary in (extended, again):
        assert dictionary.keyword(0x00091001, "MAKER") == "MyText"
        assert dictionary.keyword(0x00091011, "GEMS_GENIE_1") == "MyFlags"
        assert dictionary.keyword(0x00091012, "GEMS_GENIE_1") == "StudyType"
        assert dictionary.keyword(0x00141020) == "MyDate"
        assert dictionary.tag("MyDate") == 0x00141020
        assert dictionary.tag("MyText") == 0x00090001
        assert dictionary.tag("PatientName") == 0x00100010
        assert dictionary.keyword(0x00100010) == "PatientName"
    assert again.vr(0x00091002, "MAKER") == "US"
    assert extended.keyword(0x00091002, "MAKER") == UNKNOWN_NAME
    assert STANDARD.keyword(0x00091001, "MAKER") == UNKNOWN_NAME
    assert STANDARD.keyword(0x00091011, "GEMS_GENIE_1") == "StudyFlags"


def test_the_dictionary_option_is_read() -> None:
    option = {
        "0009,01": ["LO", "GoldenText", 1, 1, "GOLDEN MAKER"],
        "00e1,c2": ["UI", "PET-CT Multi Modality Name", 1, 0, "ELSCINT1"],
        "0014,1020": ["DA", "ValidationExpiryDate"],
        "0014-1021": ["DS", "Pair", 2, 3],
    }
    assert parse_dictionary_option(option) == [
        Addition(0x00090001, "GOLDEN MAKER", Entry("GoldenText", "GoldenText", "LO", "1")),
        Addition(
            0x00E100C2, "ELSCINT1", Entry("PET-CT Multi Modality Name", "PET-CT Multi Modality Name", "UI", "1-n")
        ),
        Addition(0x00141020, "", Entry("ValidationExpiryDate", "ValidationExpiryDate", "DA", "1")),
        Addition(0x00141021, "", Entry("Pair", "Pair", "DS", "2-3")),
    ]


@pytest.mark.parametrize(
    "option",
    [
        {"nope": ["LO", "Name"]},
        {"0009,01": "LO"},
        {"0009,01": ["LO"]},
        {"0009,01": ["XX", "Name"]},
        {"0009,01": ["LO", "Name", "1"]},
        {"0009,01": ["LO", "Name", 2, 1]},
        {"0009,01": ["LO", "Name", True, 1]},
        {"0009,01": ["LO", "Name", 1, 1, 5]},
        {"0009,01": ["LO", "Name", 1, 1, "X", "Y"]},
    ],
)
def test_a_malformed_dictionary_option_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(ParameterOutOfRange, match="Dictionary"):
        parse_dictionary_option(option)


def test_an_external_dictionary_is_read(tmp_path: Path) -> None:
    path = tmp_path / "diconde.dic"
    path.write_text(
        "# comment\n\n"
        "(0008,0080)\tLO\tCompanyName\t1\tDICONDE10\n"
        '(0019,"MAKER ONE",10)\tox\tRaw\t1-n\tPrivateTag\n'
        "(0009-o-FFFF,0010-u-00FF)\tLO\tPrivateCreator\t1\tPRIVATE\n"
        "(0028,0107)\txs\tLargest\n"
    )
    assert read_external_dictionary(path) == [
        Addition(0x00080080, "", Entry("CompanyName", "CompanyName", "LO", "1")),
        Addition(0x00190010, "MAKER ONE", Entry("Raw", "Raw", "OW", "1-n")),
        Addition(0x00280107, "", Entry("Largest", "Largest", "US", "1")),
    ]
    assert STANDARD.extended(read_external_dictionary(path)).keyword(0x00080080) == "CompanyName"


def test_a_malformed_external_dictionary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.dic"
    path.write_text("(0008,0080)\tLO\tCompanyName\t1\nnot an entry\n")
    with pytest.raises(BadFileFormat, match="line 2"):
        read_external_dictionary(path)
    with pytest.raises(InexistentFile):
        read_external_dictionary(tmp_path / "absent.dic")


def test_what_is_asked_for_from_outside_is_not_remembered() -> None:
    extended = STANDARD.extended([])
    for number in range(1000):
        extended.keyword(0x12340001 + number)
        extended.keyword(0x00091001, f"CREATOR {number}")
    assert len(extended.names) == 0
    assert module.STANDARD.private_entries("CREATOR 1") == {}


def test_private_attributes_can_be_left_out() -> None:
    assert PUBLIC.keyword(0x00291010, "SIEMENS CSA HEADER") == UNKNOWN_NAME
    assert PUBLIC.keyword(0x00290010) == "PrivateCreator"
    assert PUBLIC.keyword(0x00100010) == "PatientName"
    extended = PUBLIC.extended([Addition(0x00290010, "SIEMENS CSA HEADER", Entry("Mine", "Mine", "OB", "1"))])
    assert extended.keyword(0x00291010, "SIEMENS CSA HEADER") == "Mine"
    assert extended.keyword(0x00291008, "SIEMENS CSA HEADER") == UNKNOWN_NAME
