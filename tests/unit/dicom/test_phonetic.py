from __future__ import annotations

import pytest

from amonsul.dicom.matching import Phonetic, matches
from amonsul.dicom.phonetic import name_codes, phonetic_code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Robert", "R163"),
        ("Rupert", "R163"),
        ("Ashcraft", "A261"),
        ("Tymczak", "T522"),
        ("Pfister", "P236"),
        ("Honeyman", "H555"),
        ("Müller", "M460"),
        ("O'Brien", "O165"),
        ("", ""),
        ("山田", "山田"),
    ],
)
def test_codes_are_those_of_soundex(name: str, code: str) -> None:
    assert phonetic_code(name) == code


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("Smyth", "Smith^John", True),
        ("smith^jon", "SMITH^JOHN^^DR", True),
        ("^jon", "Smith^John", True),
        ("Mueller", "Müller^Jörg=山田^太郎", True),
        ("山田", "Yamada^Tarou=山田^太郎", True),
        ("John", "Smith^John", False),
        ("Smith^Mary", "Smith^John", False),
        ("Smith", "", False),
    ],
)
def test_names_match_component_by_component(key: str, value: str, expected: bool) -> None:
    assert matches(Phonetic(name_codes(key)), value, False) is expected


def test_an_absent_name_does_not_match() -> None:
    assert not matches(Phonetic(name_codes("Smith")), None)
