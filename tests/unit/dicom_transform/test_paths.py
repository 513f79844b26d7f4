"""Paths to attributes."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from amonsul.dicom.elements import Tag
from amonsul.dicom.paths import MAX_STEPS, Step, TagPath, data_sets_at, parse_path
from amonsul.errors import UnknownDicomTag

REGION = Tag(0x00082218)
MODIFIER = Tag(0x00082220)
CODE_VALUE = Tag(0x00080100)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("PatientName", TagPath((), Tag(0x00100010))),
        ("0010,0010", TagPath((), Tag(0x00100010))),
        ("0010-0010", TagPath((), Tag(0x00100010))),
        ("00100010", TagPath((), Tag(0x00100010))),
        ("(0010,0010)", TagPath((), Tag(0x00100010))),
        ("0009,1001", TagPath((), Tag(0x00091001))),
        ("AnatomicRegionSequence[0].CodeValue", TagPath((Step(REGION, 0),), CODE_VALUE)),
        ("AnatomicRegionSequence[*].CodeValue", TagPath((Step(REGION, None),), CODE_VALUE)),
        (
            "(0008,2218)[12].AnatomicRegionModifierSequence[*].0008,0100",
            TagPath((Step(REGION, 12), Step(MODIFIER, None)), CODE_VALUE),
        ),
    ],
)
def test_a_path_is_read(text: str, path: TagPath) -> None:
    assert parse_path(text) == path
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nope",
        "0009,xxxx",
        "PatientName[0]",
        "AnatomicRegionSequence[0]",
        "AnatomicRegionSequence.CodeValue",
        "AnatomicRegionSequence[0",
        "AnatomicRegionSequence[-1].CodeValue",
        "AnatomicRegionSequence[x].CodeValue",
        "AnatomicRegionSequence[0].",
        ".CodeValue",
        "AnatomicRegionSequence[0]." * (MAX_STEPS + 1) + "CodeValue",
        "A" * 100_000,
    ],
)
def test_what_is_no_path_is_an_unknown_tag(text: str) -> None:
    with pytest.raises(UnknownDicomTag):
        parse_path(text)


def test_a_path_leads_to_the_items_that_exist() -> None:
    data_set, first, second = Dataset(), Dataset(), Dataset()
    inner = Dataset()
    second.AnatomicRegionModifierSequence = ItemSequence([inner])
    data_set.AnatomicRegionSequence = ItemSequence([first, second])

    def found(text: str) -> list[int]:
        return [id(item) for item in data_sets_at(data_set, parse_path(text))]

    assert found("CodeValue") == [id(data_set)]
    assert found("AnatomicRegionSequence[0].CodeValue") == [id(first)]
    assert found("AnatomicRegionSequence[*].CodeValue") == [id(first), id(second)]
    assert found("AnatomicRegionSequence[*].AnatomicRegionModifierSequence[0].CodeValue") == [id(inner)]
    assert found("AnatomicRegionSequence[2].CodeValue") == []
    assert found("ReferencedImageSequence[*].CodeValue") == []
    assert found("PatientName[*].CodeValue") == []


def test_a_path_knows_the_locations_it_leads_to_and_through() -> None:
    path = parse_path("AnatomicRegionSequence[1].AnatomicRegionModifierSequence[*].CodeValue")
    here = ((REGION, 1), (MODIFIER, 7))
    assert path.leads_to(here)
    assert not path.leads_to(here[:1])
    assert not path.leads_to(((REGION, 0), (MODIFIER, 7)))
    assert path.leads_through(())
    assert path.leads_through(here[:1])
    assert not path.leads_through(here)
    assert not path.leads_through(((REGION, 0),))
