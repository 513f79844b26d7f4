"""Answers page by page, and values of any attribute, on both databases."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset, dcmread

from amonsul.archive import edit, find
from amonsul.archive.context import Archive
from amonsul.archive.find import Content
from amonsul.dicom.elements import Element, Tag, items_of
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import SingleValue, WildCard
from amonsul.dicom.query import Constraint, Query
from tests.contract.dicom_files import instance_file
from tests.contract.storing import store, store_instance

PATIENT_NAME, KVP = Tag(0x00100010), Tag(0x00180060)


@pytest.fixture
def archive_of_many(archive: Archive) -> Archive:
    """A hundred patients, a third of them with a KVP of 120."""
    for patient in range(1, 101):
        store_instance(archive, patient, KVP="120" if patient % 3 == 0 else "80")
    return archive


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        ((), 100),
        ((Constraint(PATIENT_NAME, WildCard("PATIENT*NUMBER00??"), case_sensitive=False),), 99),
        ((Constraint(PATIENT_NAME, SingleValue("Patient^Number0007")),), 1),
        ((Constraint(KVP, SingleValue("120")),), 33),
        ((Constraint(PATIENT_NAME, WildCard("*05*"), case_sensitive=False), Constraint(KVP, SingleValue("120"))), 3),
        ((Constraint(PATIENT_NAME, SingleValue("nobody")),), 0),
    ],
)
def test_pages_are_what_one_search_finds(
    archive_of_many: Archive, constraints: tuple[Constraint, ...], expected: int
) -> None:
    for level in Level:
        query = Query(level, constraints)
        pages = list(find.iterate(archive_of_many, query))
        assert all(pages)
        rows = [resource.orthanc_id for page in pages for resource in page]
        assert rows == find.find_ids(archive_of_many, query)
        assert len(rows) == expected


def test_the_first_page_is_small_and_nobody_is_held_up_between_pages(archive_of_many: Archive) -> None:
    pages = find.iterate(archive_of_many, Query(Level.STUDY))
    first = next(pages)
    assert 0 < len(first) < 50
    store_instance(archive_of_many, 200)
    edit.delete(archive_of_many, Level.STUDY, first[0].orthanc_id)
    rest = [resource for page in pages for resource in page]
    assert len(first) + len(rest) == 101


def test_values_are_text_from_the_index_and_elements_from_the_headers(archive: Archive) -> None:
    file = dcmread(io.BytesIO(instance_file()))
    step = Dataset()
    step.ScheduledProcedureStepID = "SPS1"
    file.RequestAttributesSequence = [step]
    file.add_new(0x00090020, "LO", "ACME")
    file.add_new(0x00092001, "LO", "private")
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    store(archive, buffer.getvalue())
    steps, private, rows, absent = Tag(0x00400275), Tag(0x00091101), Tag(0x00080016), Tag(0x00101030)
    for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
        (resource,) = find.find(archive, Query(level), Content.PARENT_TAGS)
        wanted = (PATIENT_NAME, steps, private, rows, absent)
        (values,) = find.elements(archive, [resource], wanted, {private: "ACME"})
        assert values[PATIENT_NAME] == "Patient^Number0001"
        assert values[private] == Element("LO", "private")
        sequence = values[steps]
        assert isinstance(sequence, Element)
        assert [item[Tag(0x00400009)].value for item in items_of(sequence)] == ["SPS1"]
        assert absent not in values
