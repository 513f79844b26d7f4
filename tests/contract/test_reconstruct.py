"""The index written anew from the files, after the configuration changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amonsul.archive import find, fsck, read
from amonsul.archive import reconstruct as verbs
from amonsul.archive.context import Archive
from amonsul.archive.find import Content
from amonsul.archive.reconstruct import Scope, invalidate_summaries
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.query import Query
from amonsul.errors import UnknownResource
from amonsul.imaging.codecs import LocalCodecs
from tests.contract.storing import store_instance

ROWS, BODY_PART = Tag(0x00280010), Tag(0x00180015)
MORE = MainTags({Level.INSTANCE: (ROWS,), Level.STUDY: (Tag(0x00101010),)})


def reconstruct(
    archive: Archive, level: Level, orthanc_id: OrthancId, *, files: bool = False, only_this_level: bool = False
) -> None:
    verbs.reconstruct(archive, LocalCodecs(), Scope(level, orthanc_id, files, only_this_level))


def reconstruct_all(archive: Archive) -> None:
    verbs.reconstruct(archive, LocalCodecs(), Scope())


def with_more_tags(archive: Archive) -> Archive:
    return replace(archive, main_tags=MORE)


def test_new_main_tags_appear_with_their_signature(archive: Archive) -> None:
    stored = store_instance(archive, Rows=7, PatientAge="042Y")
    other = store_instance(archive, 2, Rows=9)
    archive = with_more_tags(archive)
    reconstruct(archive, Level.STUDY, stored.study_id)
    instance = find.get(archive, Level.INSTANCE, stored.instance_id, Content.METADATA)
    assert instance.main_tags[ROWS] == "7"
    assert instance.metadata["MainDicomTagsSignature"] == MORE.signature(Level.INSTANCE)
    assert instance.metadata["RemoteIP"] == "192.0.2.1"
    assert find.get(archive, Level.STUDY, stored.study_id).main_tags[Tag(0x00101010)] == "042Y"
    assert ROWS not in find.get(archive, Level.INSTANCE, other.instance_id).main_tags
    reconstruct_all(archive)
    assert find.get(archive, Level.INSTANCE, other.instance_id).main_tags[ROWS] == "9"
    assert fsck.check(archive).clean


def test_one_level_alone_can_be_written_anew(archive: Archive) -> None:
    stored = store_instance(archive, Rows=7, PatientAge="042Y")
    archive = with_more_tags(archive)
    reconstruct(archive, Level.STUDY, stored.study_id, only_this_level=True)
    assert find.get(archive, Level.STUDY, stored.study_id).main_tags[Tag(0x00101010)] == "042Y"
    assert ROWS not in find.get(archive, Level.INSTANCE, stored.instance_id).main_tags


def test_files_take_the_form_that_is_configured_now(archive: Archive) -> None:
    stored = store_instance(archive, pixels=bytes(5000))
    data = read.attachment(archive, Level.INSTANCE, stored.instance_id).read()
    for compression in (True, False):
        archive = replace(archive, settings=replace(archive.settings, compression=compression))
        reconstruct_all(archive)
        reconstruct(archive, Level.PATIENT, stored.patient_id, files=True)
        found = read.attachment(archive, Level.INSTANCE, stored.instance_id)
        assert found.compression == (2 if compression else 1)
        assert found.read() == data
    invalidate_summaries(archive)
    assert fsck.check(archive).clean


def test_searches_follow_what_was_written_anew(archive: Archive) -> None:
    stored = store_instance(archive, SpecificCharacterSet=None, PatientName="Müller")
    archive = replace(archive, settings=replace(archive.settings, default_encoding="ISO_IR 192"))
    reconstruct_all(archive)
    assert find.get(archive, Level.PATIENT, stored.patient_id).main_tags[Tag(0x00100010)] == "Müller"
    assert find.find_ids(archive, Query(Level.PATIENT)) == [stored.patient_id]


def test_a_resource_that_is_not_there(archive: Archive) -> None:
    for level in Level:
        with pytest.raises(UnknownResource):
            reconstruct(archive, level, OrthancId("00000000-00000000-00000000-00000000-00000000"))
