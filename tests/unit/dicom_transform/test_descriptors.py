"""Free text without what identifies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from amonsul.dicom.confidentiality import Option, profile
from amonsul.dicom.descriptors import Scrubber, scrubber

from .builders import instance

CLEAN = profile("2023b", frozenset({Option.CLEAN_DESCRIPTORS}))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("CT Thorax native, 5 mm", "CT Thorax native, 5 mm"),
        ("T1 TSE sag FS 3D", "T1 TSE sag FS 3D"),
        ("seen 2024-02-29 at noon", "seen * at noon"),
        ("29.02.2024", "*"),
        ("on 3 March 2024", "on *"),
        ("call +32 2 555 12 34 now", "call * now"),
        ("id 12345678", "id *"),
        ("mail jane.doe@example.org", "mail *"),
        ("see https://example.org/x?y=z", "see *"),
        ("asked by Dr. House today", "asked by * today"),
        ("Herr Müller klagt", "* klagt"),
    ],
)
def test_forms_that_identify_are_taken_out(text: str, cleaned: str) -> None:
    assert Scrubber([]).clean(text) == cleaned


def test_what_the_data_set_says_of_persons_and_places_is_taken_out_of_its_descriptions() -> None:
    data_set = instance(patient="AB-77")
    data_set.InstitutionName = "Hôpital St. Glinglin"
    data_set.AccessionNumber = "X9"
    item = Dataset()
    item.PersonName = "Li^An"
    data_set.VerifyingObserverSequence = [item]
    clean = scrubber(data_set, CLEAN).clean
    assert clean("MÜLLER, jörg: thorax") == "*, *: thorax"
    assert clean("from glinglin, AB-77 and X9") == "from *, * and *"
    assert clean("An and Li; And lid stay") == "* and *; And lid stay"
    assert clean("Hôpital") == "Hôpital"


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=10))
def test_any_text_and_any_terms_will_do(text: str, terms: list[str]) -> None:
    assert isinstance(Scrubber(terms).clean(text), str)


def test_long_hostile_text_takes_no_time() -> None:
    for text in ("a" * 100_000, "1" * 100_000, "1." * 50_000, "dr " * 30_000, "a@" * 50_000, "+" * 100_000):
        Scrubber(["abc"]).clean(text)
