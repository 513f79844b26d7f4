"""Names in archives are safe wherever the archive is unpacked, whatever stands in the attributes (no zip-slip)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.archive.export import ExportOptions, entries, safe_name
from amonsul.database.resources import Resource
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId

PATIENT_ID, PATIENT_NAME = Tag(0x00100020), Tag(0x00100010)
STUDY_DESCRIPTION, MODALITY = Tag(0x00081030), Tag(0x00080060)


def instance(number: int, patient: str = "P", index: int | None = 1, modality: str = "CT") -> Resource:
    return Resource(
        Level.INSTANCE,
        OrthancId(f"instance-{number}"),
        {},
        patient_id=OrthancId(patient),
        study_id=OrthancId("study"),
        series_id=OrthancId("series"),
        patient_main_tags={PATIENT_ID: "ID", PATIENT_NAME: "Doe^Jane"},
        study_main_tags={STUDY_DESCRIPTION: "Chest"},
        series_main_tags={MODALITY: modality},
        index_in_series=index,
    )


@given(st.text(max_size=300), st.booleans())
def test_any_text_becomes_one_safe_segment(text: str, keeps_unicode: bool) -> None:
    name = safe_name(text, keeps_unicode)

    assert not set(name) & set('/\\:*?"<>|\0\r\n')
    assert name not in (".", "..")
    assert name == name.strip(" .")
    assert len(name) <= 101
    assert keeps_unicode or name.isascii()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("../../etc/passwd", "etcpasswd"),
        ("a\r\nb\0c", "abc"),
        ("exe.\u202egpj", "exe.gpj"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        (" . ", ""),
        ("Thorax? *star*", "Thorax star"),
    ],
)
def test_what_becomes_of_evil_names(text: str, safe: str) -> None:
    assert safe_name(text, keeps_unicode=False) == safe


def test_instances_with_the_same_number_get_names_of_their_own() -> None:
    names = [entry.name for entry in entries([instance(1), instance(2), instance(3)], ExportOptions())]

    assert names == [
        "ID - Doe^Jane/Chest/CT/CT000001.dcm",
        "ID - Doe^Jane/Chest/CT/CT000001 (2).dcm",
        "ID - Doe^Jane/Chest/CT/CT000001 (3).dcm",
    ]


def test_two_patients_with_one_name_do_not_share_a_folder() -> None:
    names = [entry.name for entry in entries([instance(1, "A"), instance(2, "B")], ExportOptions())]

    assert [name.split("/")[0] for name in names] == ["ID - Doe^Jane", "ID - Doe^Jane (2)"]


def test_the_order_in_a_series_is_that_of_its_numbers() -> None:
    found = [entry.instance_id for entry in entries([instance(1, index=3), instance(2, index=1)], ExportOptions())]

    assert found == ["instance-2", "instance-1"]


def test_media_have_names_that_a_dicomdir_can_hold() -> None:
    names = [entry.name for entry in entries([instance(1), instance(2)], ExportOptions(is_media=True))]

    assert names == ["IMAGES/IM0", "IMAGES/IM1"]
