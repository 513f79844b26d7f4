"""Metadata that the server keeps itself: which there are, and when they follow a change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from amonsul.archive import edit, find, read
from amonsul.archive.context import Archive
from amonsul.archive.find import Content
from amonsul.archive.names import metadata_names
from amonsul.archive.reconstruct import Scope, reconstruct
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags
from amonsul.errors import Forbidden
from amonsul.imaging.codecs import LocalCodecs
from tests.contract.storing import store
from tests.integration.rest.dicom_files import dicom_file

REFERENCED = Tag(0x00081140)


def item(**attributes: str) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def with_sequences() -> bytes:
    return dicom_file(
        attributes={
            "RequestAttributesSequence": [item(ScheduledProcedureStepID="S1")],
            "ReferencedImageSequence": [item(ReferencedSOPInstanceUID="1.2.3")],
        }
    )


def test_sequences_among_the_main_tags_are_kept(archive: Archive) -> None:
    stored = store(archive, with_sequences())
    found = json.loads(read.metadata(archive, Level.SERIES, stored.series_id)["MainDicomSequences"].value)
    assert found["0040,0275"]["Value"][0]["0040,0009"]["Value"] == "S1"
    for level, orthanc_id in ((Level.STUDY, stored.study_id), (Level.INSTANCE, stored.instance_id)):
        assert "MainDicomSequences" not in read.metadata(archive, level, orthanc_id)
    with pytest.raises(Forbidden):
        edit.set_metadata(archive, Level.SERIES, stored.series_id, "MainDicomSequences", b"[]")


def test_sequences_follow_the_main_tags(archive: Archive) -> None:
    stored = store(archive, with_sequences())
    more = replace(archive, main_tags=MainTags({Level.INSTANCE: (REFERENCED,), Level.STUDY: (REFERENCED,)}))
    for changed in (more, archive):
        reconstruct(changed, LocalCodecs(), Scope())
        for level, orthanc_id in ((Level.STUDY, stored.study_id), (Level.INSTANCE, stored.instance_id)):
            kept = read.metadata(changed, level, orthanc_id).get("MainDicomSequences")
            assert (kept is not None and "1.2.3" in kept.text) == (changed is more)


@pytest.mark.parametrize("vr", ["OW", "OB"])
def test_the_vr_of_pixels_is_told_where_it_is_unusual(archive: Archive, vr: str) -> None:
    data = dicom_file(pixels=16)
    assert data.count(b"\xe0\x7f\x10\x00OW") == 1
    stored = store(archive, data.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00" + vr.encode()))
    for _ in range(2):
        found = read.metadata(archive, Level.INSTANCE, stored.instance_id)
        assert "PixelDataOffset" in found
        assert found["PixelDataVR"].text == "OB" if vr == "OB" else "PixelDataVR" not in found
        assert found["IndexInSeries"].number == 1
        reconstruct(archive, LocalCodecs(), Scope())
    listed = find.get(archive, Level.INSTANCE, stored.instance_id, Content.METADATA).metadata
    assert list(listed) == list(found)


def test_every_core_name_has_a_number_of_its_own(archive: Archive) -> None:
    names = metadata_names(archive.settings)
    assert sorted(names) == list(range(1, 18))
    assert len(set(names.values())) == 17
