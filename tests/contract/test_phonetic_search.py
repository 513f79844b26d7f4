"""Names that sound alike, on both databases."""

from __future__ import annotations

import pytest

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import Phonetic, matches
from amonsul.dicom.phonetic import name_codes
from amonsul.dicom.query import Constraint, Query
from tests.contract.storing import store_instance

PATIENT_NAME = Tag(0x00100010)
NAMES = (
    "Smith^John",
    "smyth^jon",
    "Élodie^Marie",
    "Elodie^Mary",
    "'t Hooft^Gerard",
    "Tait^A",
    "Müller^Jörg",
    "Zed^X",
    "^Jon",
    "",
)


@pytest.mark.parametrize("key", ["Smith", "smyth^john", "elodie", "Thoft", "Mueler", "^john", "zed", "Øre", "山田"])
@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.INSTANCE])
def test_the_index_finds_what_the_matcher_does(archive: Archive, key: str, level: Level) -> None:
    for number, name in enumerate(NAMES, 1):
        store_instance(archive, number, PatientName=name, SpecificCharacterSet="ISO_IR 192")
    match = Phonetic(name_codes(key))
    found = find.find(archive, Query(level, (Constraint(PATIENT_NAME, match, case_sensitive=False),)), find.Content.ALL)
    names = {one.main_tags.get(PATIENT_NAME, one.patient_main_tags.get(PATIENT_NAME)) for one in found}
    assert names == {name for name in NAMES if matches(match, name, False)}
