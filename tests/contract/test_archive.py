"""The verbs of the archive, on both databases."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from amonsul.archive import changes, edit, find, fsck, maintenance, read, statistics
from amonsul.archive.context import Archive, ArchiveSettings, Overwrite
from amonsul.archive.edit import Expected, RemainingAncestor
from amonsul.archive.find import Content
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import DicomOrigin, InternalOrigin, RestOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import (
    BadFileFormat,
    Conflict,
    Forbidden,
    InexistentItem,
    MissingIdentifier,
    ParameterOutOfRange,
    UnknownResource,
)
from tests.contract.dicom_files import dicom_file, instance_file
from tests.contract.storing import REST, store, store_instance

NOWHERE = OrthancId("00000000-00000000-00000000-00000000-00000000")
PATIENT_NAME, STUDY_DATE, MODALITY = Tag(0x00100010), Tag(0x00080020), Tag(0x00080060)


def with_settings(archive: Archive, **settings: object) -> Archive:
    return replace(archive, settings=replace(archive.settings, **settings))  # type: ignore[arg-type]


def blobs_of(archive: Archive) -> list[str]:
    assert isinstance(archive.blobs, MemoryBlobs)
    assert not archive.blobs._staged
    return [blob for blob, _ in archive.blobs.scan()]


def log(archive: Archive) -> list[tuple[int, str, Level]]:
    return [(change.sequence, change.change_type, change.level) for change in changes.page(archive).changes]


class TestIngest:
    def test_the_first_instance_makes_a_resource_at_each_level(self, archive: Archive) -> None:
        data = instance_file(pixels=bytes(2000))
        stored = store(archive, data)
        assert stored.status is IngestStatus.SUCCESS
        assert stored.sop_instance_uid == "1.2.3.1.1.1.1"

        patient = find.get(archive, Level.PATIENT, stored.patient_id)
        assert patient.main_tags[PATIENT_NAME] == "Patient^Number0001"
        assert patient.children == [stored.study_id]
        assert (patient.number_of_studies, patient.number_of_series, patient.number_of_instances) == (1, 1, 1)
        study = find.get(archive, Level.STUDY, stored.study_id)
        assert study.parent == stored.patient_id
        assert study.patient_main_tags == patient.main_tags
        assert study.modalities == ["CT"]
        assert study.sop_classes == [stored.sop_class_uid]
        series = find.get(archive, Level.SERIES, stored.series_id)
        assert (series.parent, series.children, series.status) == (stored.study_id, [stored.instance_id], "Unknown")
        instance = find.get(archive, Level.INSTANCE, stored.instance_id, Content.ALL)
        assert (instance.parent, instance.index_in_series, instance.file_size) == (stored.series_id, 1, len(data))
        assert instance.file_uuid == blobs_of(archive)[0]
        for resource in (patient, study, series):
            assert resource.disk_size == resource.dicom_uncompressed_size == len(data)
            assert len(resource.last_update) == 15
        assert statistics.system(archive) == statistics.SystemStatistics(1, 1, 1, 1, len(data), len(data))

    def test_the_file_comes_back_as_it_was(self, archive: Archive) -> None:
        data = instance_file(pixels=bytes(range(256)) * 100)
        stored = store(archive, data)
        file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
        assert file.read() == b"".join(file.chunks()) == data
        assert (file.size, file.md5) == (len(data), hashlib.md5(data).hexdigest())
        assert file.verify() is True
        assert read.attachments(archive, Level.INSTANCE, stored.instance_id) == {"dicom": 1}
        header = read.header(archive, stored.instance_id)
        assert header.data_set[PATIENT_NAME].value == "Patient^Number0001"
        assert header.pixel_data_offset is not None
        assert data[header.pixel_data_offset :][:4] == b"\xe0\x7f\x10\x00"

    def test_changes_come_from_the_instance_upwards(self, archive: Archive) -> None:
        store_instance(archive)
        store_instance(archive, instance=2)
        store_instance(archive, series=2)
        assert log(archive) == [
            (1, "NewInstance", Level.INSTANCE),
            (2, "NewSeries", Level.SERIES),
            (3, "NewStudy", Level.STUDY),
            (4, "NewPatient", Level.PATIENT),
            (5, "NewInstance", Level.INSTANCE),
            (6, "NewInstance", Level.INSTANCE),
            (7, "NewSeries", Level.SERIES),
        ]

    def test_aggregates_follow_each_instance(self, archive: Archive) -> None:
        sizes = 0
        for study in (1, 2):
            for series, modality in ((1, "MR"), (2, "CT")):
                for instance in (1, 2, 3):
                    data = instance_file(1, study, series, instance, Modality=modality, pixels=bytes(10 * instance))
                    stored = store(archive, data)
                    sizes += len(data)
        assert statistics.of_resource(archive, Level.PATIENT, stored.patient_id) == statistics.ResourceStatistics(
            Level.PATIENT, 2, 4, 12, sizes, sizes, sizes, sizes
        )
        study_now = find.get(archive, Level.STUDY, stored.study_id)
        assert study_now.modalities == ["CT", "MR"]
        assert (study_now.number_of_series, study_now.number_of_instances) == (2, 6)
        assert fsck.check(archive, verify_md5=True).clean

    def test_the_first_instance_of_a_resource_gives_its_main_tags(self, archive: Archive) -> None:
        stored = store_instance(archive, instance=1, StudyDescription="first")
        store_instance(archive, instance=2, StudyDescription="second")
        study = find.get(archive, Level.STUDY, stored.study_id)
        assert study.main_tags[Tag(0x00081030)] == "first"

    def test_metadata_tell_where_an_instance_came_from(self, archive: Archive) -> None:
        def metadata_of(stored: OrthancId) -> dict[str, str]:
            found = read.metadata(archive, Level.INSTANCE, stored)
            return {name: entry.text for name, entry in found.items() if name != "ReceptionDate"}

        common = {"TransferSyntax": "1.2.840.10008.1.2.1", "SopClassUid": "1.2.840.10008.5.1.4.1.1.2"}
        signature = {"MainDicomTagsSignature": archive.main_tags.signature(Level.INSTANCE)}
        rest = store(archive, instance_file(instance=1), RestOrigin("192.0.2.7", "bob"))
        assert metadata_of(rest.instance_id) == {
            "IndexInSeries": "1", "RemoteAET": "", "Origin": "RestApi", **common, "RemoteIP": "192.0.2.7",
            "HttpUsername": "bob", **signature,
        }  # fmt: skip
        dicom = store(archive, instance_file(instance=2, pixels=b"xx"), DicomOrigin("192.0.2.8", "SCU", "SCP"))
        offset = read.header(archive, dicom.instance_id).pixel_data_offset
        assert metadata_of(dicom.instance_id) == {
            "IndexInSeries": "2", "RemoteAET": "SCU", "Origin": "DicomProtocol", **common, "RemoteIP": "192.0.2.8",
            "CalledAET": "SCP", "PixelDataOffset": str(offset), **signature,
        }  # fmt: skip
        plugin = store(archive, instance_file(series=2, InstanceNumber="x"), InternalOrigin("Plugins"))
        assert metadata_of(plugin.instance_id) == {"RemoteAET": "", "Origin": "Plugins", **common, **signature}
        assert list(read.metadata(archive, Level.STUDY, dicom.study_id)) == ["LastUpdate", "MainDicomTagsSignature"]
        series = read.metadata(archive, Level.SERIES, dicom.series_id)
        assert list(series) == ["RemoteAET", "LastUpdate", "MainDicomTagsSignature"]
        assert series["RemoteAET"].text == ""  # of the instance that made the series

    @pytest.mark.parametrize("content", [b"", b"not DICOM", bytes(128) + b"DICM", instance_file()[:-7]])
    def test_what_is_not_dicom_is_refused_and_leaves_nothing(self, archive: Archive, content: bytes) -> None:
        with pytest.raises(BadFileFormat):
            store(archive, content)
        assert blobs_of(archive) == []

    @pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
    def test_a_missing_identifier_is_refused(self, archive: Archive, keyword: str) -> None:
        without: dict[str, Any] = {keyword: ""}
        with pytest.raises(MissingIdentifier):
            store(archive, instance_file(**without))
        assert blobs_of(archive) == []

    def test_a_file_without_patient_belongs_to_the_nameless_one(self, archive: Archive) -> None:
        uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1", "SOPInstanceUID": "1.1.1.1"}
        stored = store(archive, dicom_file(uids))
        assert stored.patient_id == "da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"  # SHA-1 of nothing
        assert find.get(archive, Level.PATIENT, stored.patient_id).main_tags == {}

    def test_a_filter_keeps_an_instance_out(self, archive: Archive) -> None:
        asked = []

        def refuse_mr(header: object, origin: object) -> int | None:
            asked.append(origin)
            return 0xA700 if "MR" in str(header) else None

        filtered = replace(archive, filters=(refuse_mr,))
        out = store_instance(filtered, Modality="MR")
        assert (out.status, out.refusal) == (IngestStatus.FILTERED_OUT, 0xA700)
        assert store_instance(filtered).status is IngestStatus.SUCCESS
        assert asked == [REST, REST]
        assert statistics.system(archive).instances == 1

    def test_a_filter_may_store_something_itself(self, archive: Archive) -> None:
        def add_another(header: object, origin: object) -> int | None:
            store_instance(archive, instance=2)
            return None

        assert store_instance(replace(archive, filters=(add_another,))).status is IngestStatus.SUCCESS
        assert statistics.system(archive).instances == 2

    def test_without_md5_none_is_kept(self, archive: Archive) -> None:
        stored = store_instance(with_settings(archive, store_md5=False))
        file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
        assert (file.md5, file.compressed_md5, file.verify()) == ("", "", None)

    def test_nul_characters_do_not_stop_the_index(self, archive: Archive) -> None:
        stored = store_instance(archive, StudyDescription="a\0b", PatientName="x\0^y")
        study = find.get(archive, Level.STUDY, stored.study_id)
        assert "\0" not in study.main_tags[Tag(0x00081030)] + study.patient_main_tags[PATIENT_NAME]

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({}, None),
            ({"ImagesInAcquisition": "2"}, None),
            ({"ImagesInAcquisition": "2", "NumberOfTemporalPositions": "3"}, 6),
            ({"NumberOfSlices": 4, "NumberOfTimeSlices": 5}, 20),
            ({"CardiacNumberOfImages": "6"}, 6),
            ({"CardiacNumberOfImages": "0"}, None),
            ({"ImagesInAcquisition": "0", "NumberOfTemporalPositions": "3", "CardiacNumberOfImages": "6"}, None),
            ({"ImagesInAcquisition": "99999999999999", "NumberOfTemporalPositions": "3"}, None),
        ],
    )
    def test_headers_promise_a_number_of_instances(
        self, archive: Archive, attributes: dict[str, Any], expected: int | None
    ) -> None:
        stored = store_instance(archive, **attributes)
        series = find.get(archive, Level.SERIES, stored.series_id)
        assert series.expected_number_of_instances == expected
        assert series.status == ("Unknown" if expected is None else "Missing")
        kept = read.metadata(archive, Level.SERIES, stored.series_id).get("ExpectedNumberOfInstances")
        assert (kept.text if kept else None) == (None if expected is None else str(expected))

    @pytest.mark.parametrize(
        ("numbers", "status"),
        [(("1",), "Missing"), (("1", "2"), "Complete"), (("1", "1"), "Inconsistent"), (("1", "5"), "Inconsistent"),
         (("0",), "Inconsistent"), (("x", "1"), "Missing"), (("x",), "Missing")],
    )  # fmt: skip
    def test_a_series_knows_whether_it_is_complete(
        self, archive: Archive, numbers: tuple[str, ...], status: str
    ) -> None:
        for place, number in enumerate(numbers):
            stored = store_instance(archive, instance=place, CardiacNumberOfImages="2", InstanceNumber=number)
        assert find.get(archive, Level.SERIES, stored.series_id).status == status


class TestOverwriting:
    FIRST = instance_file(StudyDescription="first")
    SECOND = instance_file(StudyDescription="second")

    def with_user_data(self, archive: Archive) -> OrthancId:
        stored = store(archive, self.FIRST)
        edit.add_label(archive, Level.INSTANCE, stored.instance_id, "keep")
        edit.set_metadata(archive, Level.INSTANCE, stored.instance_id, "1024", b"hello")
        edit.set_attachment(archive, Level.INSTANCE, stored.instance_id, "1024", Spooled.of(b"bytes"))
        return stored.instance_id

    def user_data(self, archive: Archive, instance_id: OrthancId) -> tuple[bool, bool, bool]:
        instance = find.get(archive, Level.INSTANCE, instance_id, Content.ALL)
        return "keep" in instance.labels, "1024" in instance.metadata, 1024 in instance.attachments

    def test_never_keeps_what_is_there(self, archive: Archive) -> None:
        instance_id = self.with_user_data(archive)
        assert store(archive, self.SECOND).status is IngestStatus.ALREADY_STORED
        assert read.attachment(archive, Level.INSTANCE, instance_id).read() == self.FIRST
        assert self.user_data(archive, instance_id) == (True, True, True)
        assert len(blobs_of(archive)) == 2

    @pytest.mark.parametrize("store_md5", [True, False])
    def test_if_changed_keeps_the_same_bytes_and_replaces_others(self, archive: Archive, store_md5: bool) -> None:
        archive = with_settings(archive, overwrite=Overwrite.IF_CHANGED, store_md5=store_md5)
        instance_id = self.with_user_data(archive)
        assert store(archive, self.FIRST).status is IngestStatus.ALREADY_STORED
        assert self.user_data(archive, instance_id) == (True, True, True)
        same_size = self.FIRST.replace(b"first", b"FIRST")
        for data in (self.SECOND, same_size, self.FIRST):
            assert store(archive, data).status is IngestStatus.SUCCESS
            assert read.attachment(archive, Level.INSTANCE, instance_id).read() == data
        assert self.user_data(archive, instance_id) == (False, False, False)
        assert len(blobs_of(archive)) == 1

    def test_always_replaces_even_the_same(self, archive: Archive) -> None:
        archive = with_settings(archive, overwrite=Overwrite.ALWAYS)
        instance_id = self.with_user_data(archive)
        assert store(archive, self.FIRST).status is IngestStatus.SUCCESS
        assert self.user_data(archive, instance_id) == (False, False, False)
        assert len(blobs_of(archive)) == 1
        assert fsck.check(archive).clean

    def test_ancestors_without_other_instances_are_made_anew(self, archive: Archive) -> None:
        archive = with_settings(archive, overwrite=Overwrite.ALWAYS)
        stored = store(archive, self.FIRST)
        edit.add_label(archive, Level.STUDY, stored.study_id, "keep")
        store(archive, self.SECOND)
        study = find.get(archive, Level.STUDY, stored.study_id)
        assert study.main_tags[Tag(0x00081030)] == "second"
        assert study.labels == []
        assert [number for number, _, _ in log(archive)] == [5, 6, 7, 8]

    def test_ancestors_with_other_instances_stay(self, archive: Archive) -> None:
        archive = with_settings(archive, overwrite=Overwrite.ALWAYS)
        store_instance(archive, instance=2)
        stored = store(archive, self.FIRST)
        edit.add_label(archive, Level.STUDY, stored.study_id, "keep")
        store(archive, self.SECOND)
        study = find.get(archive, Level.STUDY, stored.study_id)
        assert (study.labels, study.number_of_instances) == (["keep"], 2)
        assert fsck.check(archive, verify_md5=True).clean

    def test_a_reader_that_began_before_gets_the_new_bytes(self, archive: Archive) -> None:
        archive = with_settings(archive, overwrite=Overwrite.ALWAYS)
        stored = store(archive, self.FIRST)
        file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
        store(archive, self.SECOND)
        assert file.read() == self.SECOND
        assert (file.size, file.md5) == (len(self.SECOND), hashlib.md5(self.SECOND).hexdigest())

    def test_a_reader_that_began_before_a_deletion_is_told(self, archive: Archive) -> None:
        stored = store(archive, self.FIRST)
        file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
        edit.delete(archive, Level.INSTANCE, stored.instance_id)
        with pytest.raises(UnknownResource):
            file.read()


class TestDeletion:
    def filled(self, archive: Archive) -> None:
        for patient in (1, 2):
            for study in (1, 2):
                for series in (1, 2):
                    for instance in (1, 2):
                        store_instance(archive, patient, study, series, instance, Modality=("CT", "MR")[series - 1])

    @pytest.mark.parametrize("level", Level)
    def test_everything_below_goes_and_everything_else_stays(self, archive: Archive, level: Level) -> None:
        self.filled(archive)
        stored = store_instance(archive, 1, 1, 1, 1)
        target = (stored.patient_id, stored.study_id, stored.series_id, stored.instance_id)[level]
        remaining = edit.delete(archive, level, target)
        parents = (None, stored.patient_id, stored.study_id, stored.series_id)
        parent = parents[level]
        assert remaining == (None if parent is None else RemainingAncestor(Level(level - 1), parent))
        counts = statistics.system(archive)
        assert (counts.patients, counts.studies, counts.series, counts.instances) == {
            Level.PATIENT: (1, 2, 4, 8), Level.STUDY: (2, 3, 6, 12), Level.SERIES: (2, 4, 7, 14),
            Level.INSTANCE: (2, 4, 8, 15),
        }[level]  # fmt: skip
        assert len(blobs_of(archive)) == counts.instances
        with pytest.raises(UnknownResource):
            find.get(archive, level, target)
        assert fsck.check(archive, verify_md5=True).clean
        assert len(log(archive)) == counts.patients + counts.studies + counts.series + counts.instances

    def test_ancestors_left_empty_go_too(self, archive: Archive) -> None:
        stored = store_instance(archive, 1, 1, 1, 1)
        other = store_instance(archive, 1, 2, 1, 1)
        remaining = edit.delete(archive, Level.INSTANCE, stored.instance_id)
        assert remaining == RemainingAncestor(Level.PATIENT, stored.patient_id)
        assert edit.delete(archive, Level.SERIES, other.series_id) is None
        assert statistics.system(archive) == statistics.SystemStatistics(0, 0, 0, 0, 0, 0)
        assert blobs_of(archive) == []
        assert fsck.check(archive).clean

    def test_what_hung_on_the_resources_goes_with_them(self, archive: Archive) -> None:
        stored = store_instance(archive)
        ids = (stored.patient_id, stored.study_id, stored.series_id, stored.instance_id)
        for level, orthanc_id in zip(Level, ids, strict=True):
            edit.add_label(archive, level, orthanc_id, "label")
            edit.set_metadata(archive, level, orthanc_id, "1024", b"x")
            edit.set_attachment(archive, level, orthanc_id, "1024", Spooled.of(b"abc"))
        assert statistics.system(archive).disk_size == 12 + read.attachment(archive, Level.INSTANCE, ids[3]).size
        edit.delete(archive, Level.INSTANCE, stored.instance_id)
        with archive.database.read() as tx:
            for table in ("attachments", "metadata", "labels", "changes", "headers", "tombstones", "patients"):
                assert tx.all(f"SELECT * FROM {table}") == [], table
        assert blobs_of(archive) == []

    def test_modalities_and_sop_classes_are_those_that_are_left(self, archive: Archive) -> None:
        first = store_instance(archive, series=1, instance=1, Modality="CT", SOPClassUID="1.1")
        second = store_instance(archive, series=1, instance=2, Modality="CT", SOPClassUID="1.2")
        store_instance(archive, series=2, Modality="MR", SOPClassUID="1.3")

        def lists() -> tuple[list[str], list[str]]:
            study = find.get(archive, Level.STUDY, first.study_id)
            return list(study.modalities), list(study.sop_classes)

        assert lists() == (["CT", "MR"], ["1.1", "1.2", "1.3"])
        edit.delete(archive, Level.INSTANCE, first.instance_id)
        assert lists() == (["CT", "MR"], ["1.2", "1.3"])
        edit.delete(archive, Level.INSTANCE, second.instance_id)
        assert lists() == (["MR"], ["1.3"])
        assert fsck.check(archive).clean

    @pytest.mark.parametrize("level", Level)
    def test_an_unknown_resource_is_told(self, archive: Archive, level: Level) -> None:
        stored = store_instance(archive)
        with pytest.raises(UnknownResource):
            edit.delete(archive, level, NOWHERE)
        wrong_level = stored.study_id if level is not Level.STUDY else stored.series_id
        with pytest.raises(UnknownResource):
            edit.delete(archive, level, wrong_level)


class TestListing:
    def test_pages_are_in_order_of_arrival(self, archive: Archive) -> None:
        made = [store_instance(archive, patient).patient_id for patient in range(7)]
        assert find.list_ids(archive, Level.PATIENT) == made
        assert find.list_ids(archive, Level.PATIENT, 2, 3) == made[2:5]
        assert find.list_ids(archive, Level.PATIENT, 2, 0) == made[2:]
        assert find.list_ids(archive, Level.PATIENT, 100, 5) == []
        for since, limit in ((0, 3), (2, 3), (5, 0), (0, 0), (100, 1)):
            page = find.list_resources(archive, Level.PATIENT, since, limit)
            assert [patient.orthanc_id for patient in page] == find.list_ids(archive, Level.PATIENT, since, limit)

    def test_a_page_says_of_each_what_get_says(self, archive: Archive) -> None:
        for patient in (1, 2):
            for study in (1, 2, 3):
                for series in (1, 2):
                    stored = store_instance(archive, patient, study, series, CardiacNumberOfImages="1")
            edit.add_label(archive, Level.STUDY, stored.study_id, f"label{patient}")
            edit.set_metadata(archive, Level.STUDY, stored.study_id, "1024", b"m")
            edit.set_attachment(archive, Level.STUDY, stored.study_id, "1024", Spooled.of(b"abc"))
        for level in Level:
            for content in (Content.NOTHING, Content.EXPANDED, Content.ALL):
                for resource in find.list_resources(archive, level, content=content):
                    assert resource == find.get(archive, level, resource.orthanc_id, content)

    def test_a_page_takes_a_fixed_number_of_statements(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        for study in range(20):
            store_instance(archive, study=study, CardiacNumberOfImages="1")
        with archive.database.read() as tx:
            kind = type(tx)
        asked: list[str] = []
        original = kind.all

        def counting(self: object, sql: str, /, **params: object) -> object:
            asked.append(sql)
            return original(self, sql, **params)  # type: ignore[arg-type]

        monkeypatch.setattr(kind, "all", counting)
        for level in Level:
            asked.clear()
            find.list_resources(archive, level, 0, 1, Content.ALL)
            of_one = len(asked)
            asked.clear()
            assert len(find.list_resources(archive, level, 0, 20, Content.ALL)) == (1 if level is Level.PATIENT else 20)
            assert len(asked) == of_one <= 7

    def test_descendants_and_ancestors(self, archive: Archive) -> None:
        made = [store_instance(archive, 1, study, series, i) for study in (1, 2) for series in (1, 2) for i in (1, 2)]
        store_instance(archive, 2)
        first = made[0]
        below = find.descendant_ids(archive, Level.PATIENT, first.patient_id, Level.INSTANCE)
        assert below == [stored.instance_id for stored in made]
        in_study = find.descendants(archive, Level.STUDY, first.study_id, Level.INSTANCE)
        assert [instance.orthanc_id for instance in in_study] == below[:4]
        assert find.descendant_ids(archive, Level.STUDY, first.study_id, Level.SERIES) == [
            made[0].series_id,
            made[2].series_id,
        ]
        assert find.ancestor(archive, Level.INSTANCE, first.instance_id, Level.PATIENT).orthanc_id == first.patient_id
        assert find.ancestor(archive, Level.SERIES, first.series_id, Level.STUDY).orthanc_id == first.study_id
        assert find.level_of(archive, first.series_id) is Level.SERIES
        assert find.level_of(archive, NOWHERE) is None
        for level, wanted in ((Level.PATIENT, Level.STUDY), (Level.SERIES, Level.INSTANCE)):
            with pytest.raises(UnknownResource):
                find.descendant_ids(archive, level, NOWHERE, wanted)
            with pytest.raises(UnknownResource):
                find.ancestor(archive, wanted, NOWHERE, level)

    def test_lookup_finds_identifiers_of_every_level(self, archive: Archive) -> None:
        stored = store_instance(archive, PatientID="Some ID")
        assert find.lookup(archive, "some id") == [(Level.PATIENT, stored.patient_id)]
        assert find.lookup(archive, "1.2.3.1.1") == [(Level.STUDY, stored.study_id)]
        assert find.lookup(archive, "1.2.3.1.1.1") == [(Level.SERIES, stored.series_id)]
        assert find.lookup(archive, "1.2.3.1.1.1.1") == [(Level.INSTANCE, stored.instance_id)]
        assert find.lookup(archive, "ACC1-1") == find.lookup(archive, "") == find.lookup(archive, "1.2") == []

    def test_uids_lead_to_resources_below_each_other(self, archive: Archive) -> None:
        stored = store_instance(archive)
        other = store_instance(archive, 2, StudyInstanceUID="1.2.3.1.1")  # the study of another patient
        study, series, instance = "1.2.3.1.1", "1.2.3.1.1.1", "1.2.3.1.1.1.1"

        def found(*uids: str, limit: int = 9) -> list[tuple[Level, OrthancId]]:
            return [(one.level, one.orthanc_id) for one in find.by_uids(archive, uids, limit)]

        assert found(study) == [(Level.STUDY, stored.study_id), (Level.STUDY, other.study_id)]
        assert found(study, limit=1) == [(Level.STUDY, stored.study_id)]
        assert found(study, series) == [(Level.SERIES, stored.series_id)]
        assert found(study, "1.2.3.2.1.1") == [(Level.SERIES, other.series_id)]
        assert found(study, series, instance) == [(Level.INSTANCE, stored.instance_id)]
        for unknown in (
            (series,),
            (study, study),
            (series, series),
            (study, study, instance),
            (series, series, instance),
        ):
            assert found(*unknown) == []
        (seen,) = find.by_uids(archive, (study, series, instance), 9, Content.ALL)
        assert seen == find.get(archive, Level.INSTANCE, stored.instance_id, Content.ALL)

    def test_headers_and_files_below_a_resource(self, archive: Archive) -> None:
        made = [store_instance(archive, 1, study, 1, instance) for study in (1, 2) for instance in (1, 2)]
        for level in Level:
            ids = (made[0].patient_id, made[0].study_id, made[0].series_id, made[0].instance_id)
            expected = [stored.instance_id for stored in made][: (4, 2, 2, 1)[level]]
            assert [found for found, _ in read.headers_below(archive, level, ids[level])] == expected
            files = read.files_below(archive, level, ids[level])
            assert [found for found, _ in files] == expected
            assert all(file.verify() for _, file in files)
            with pytest.raises(UnknownResource):
                read.headers_below(archive, level, NOWHERE)

    def test_requested_tags_come_from_wherever_they_are(self, archive: Archive) -> None:
        store_instance(archive, instance=1, KVP="120", ImageType="ORIGINAL\\PRIMARY")
        store_instance(archive, instance=2, KVP="140")
        wanted = {
            "PatientName": "Patient^Number0001", "StudyDate": "20240202", "Modality": "CT", "KVP": "120",
            "ImageType": "ORIGINAL\\PRIMARY", "NumberOfStudyRelatedInstances": "2", "ModalitiesInStudy": "CT",
            "InstanceAvailability": "ONLINE", "SOPInstanceUID": "1.2.3.1.1.1.1",
            "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        }  # fmt: skip
        tags = [archive.dictionary.tag(keyword) for keyword in [*wanted, "PatientAge"]]
        studies = find.list_resources(archive, Level.STUDY, content=Content.PARENT_TAGS)
        (found,) = find.requested_tags(archive, studies, tags)
        assert {archive.dictionary.keyword(tag): value for tag, value in found.items()} == wanted
        instances = find.list_resources(archive, Level.INSTANCE, content=Content.PARENT_TAGS)
        kvp = archive.dictionary.tag("KVP")
        assert [values[kvp] for values in find.requested_tags(archive, instances, [kvp])] == ["120", "140"]
        assert find.requested_tags(archive, [], tags) == []

    def test_slices_of_a_series(self, archive: Archive) -> None:
        first = store_instance(archive, instance=1, NumberOfFrames="3")
        second = store_instance(archive, instance=2)
        slices = find.slices_of(archive, first.series_id)
        assert [(orthanc_id, frames) for orthanc_id, _, frames in slices] == [
            (first.instance_id, 3),
            (second.instance_id, 1),
        ]


class TestUserData:
    SETTINGS = ArchiveSettings(user_metadata={"Color": 3001}, user_content_types={"notes": 3002})

    def test_metadata_are_set_changed_and_removed(self, archive: Archive) -> None:
        archive = replace(archive, settings=self.SETTINGS)
        study = store_instance(archive).study_id
        assert edit.set_metadata(archive, Level.STUDY, study, "Color", b"red").revision == 0
        assert edit.set_metadata(archive, Level.STUDY, study, "3001", b"\x00\xff").revision == 1
        assert edit.set_metadata(archive, Level.STUDY, study, "5000", b"").revision == 0
        found = read.metadata(archive, Level.STUDY, study)
        assert list(found) == ["LastUpdate", "MainDicomTagsSignature", "Color", "5000"]
        assert (found["Color"].value, found["Color"].revision, found["Color"].number) == (b"\x00\xff", 1, 3001)
        edit.delete_metadata(archive, Level.STUDY, study, "Color")
        with pytest.raises(UnknownResource):
            edit.delete_metadata(archive, Level.STUDY, study, "Color")
        assert [change for _, change, _ in log(archive)][4:] == ["UpdatedMetadata"] * 4

    @pytest.mark.parametrize("name", ["LastUpdate", "0", "1023", "65536", "-1", "10"])
    def test_metadata_of_the_server_cannot_be_touched(self, archive: Archive, name: str) -> None:
        study = store_instance(archive).study_id
        with pytest.raises(Forbidden):
            edit.set_metadata(archive, Level.STUDY, study, name, b"x")
        with pytest.raises(Forbidden):
            edit.delete_metadata(archive, Level.STUDY, study, name)

    def test_an_unknown_name_or_resource_is_told(self, archive: Archive) -> None:
        study = store_instance(archive).study_id
        with pytest.raises(InexistentItem):
            edit.set_metadata(archive, Level.STUDY, study, "Nope", b"x")
        with pytest.raises(UnknownResource):
            edit.set_metadata(archive, Level.STUDY, NOWHERE, "1024", b"x")
        with pytest.raises(InexistentItem):
            edit.set_attachment(archive, Level.STUDY, study, "Nope", Spooled.of(b"x"))
        with pytest.raises(UnknownResource):
            edit.set_attachment(archive, Level.STUDY, NOWHERE, "1024", Spooled.of(b"x"))
        with pytest.raises(UnknownResource):
            read.metadata(archive, Level.STUDY, NOWHERE)
        with pytest.raises(UnknownResource):
            read.attachment(archive, Level.STUDY, study, "1024")
        with pytest.raises(InexistentItem):
            read.attachment(archive, Level.STUDY, study, "Nope")
        assert len(blobs_of(archive)) == 1

    def test_a_stale_revision_is_a_conflict(self, archive: Archive) -> None:
        study = store_instance(archive).study_id
        first = edit.set_metadata(archive, Level.STUDY, study, "1024", b"a", Expected(7))  # nothing there to be lost
        edit.set_metadata(archive, Level.STUDY, study, "1024", b"b", Expected(first.revision, first.md5))
        for stale in (Expected(0), Expected(2), Expected(1, first.md5)):
            with pytest.raises(Conflict):
                edit.set_metadata(archive, Level.STUDY, study, "1024", b"c", stale)
            with pytest.raises(Conflict):
                edit.delete_metadata(archive, Level.STUDY, study, "1024", stale)
        checked = with_settings(archive, check_revisions=True)
        with pytest.raises(Conflict):
            edit.set_metadata(checked, Level.STUDY, study, "1024", b"c")
        edit.set_metadata(checked, Level.STUDY, study, "1025", b"new needs none")
        edit.delete_metadata(checked, Level.STUDY, study, "1024", Expected(1))

    def test_attachments_are_set_replaced_and_removed(self, archive: Archive) -> None:
        archive = replace(archive, settings=self.SETTINGS)
        stored = store_instance(archive)
        before = statistics.system(archive).disk_size
        for level, orthanc_id in ((Level.PATIENT, stored.patient_id), (Level.INSTANCE, stored.instance_id)):
            assert edit.set_attachment(archive, level, orthanc_id, "notes", Spooled.of(b"some notes")).revision == 0
            assert edit.set_attachment(archive, level, orthanc_id, "3002", Spooled.of(b"other, longer")).revision == 1
            notes = read.attachment(archive, level, orthanc_id, "notes")
            assert (notes.read(), notes.revision) == (b"other, longer", 1)
            assert "notes" in read.attachments(archive, level, orthanc_id)
        assert len(blobs_of(archive)) == 3
        assert statistics.system(archive).disk_size == before + 26
        of_patient = statistics.of_resource(archive, Level.PATIENT, stored.patient_id)
        assert (of_patient.disk_size, of_patient.dicom_disk_size) == (before + 26, before)
        assert fsck.check(archive, verify_md5=True).clean
        edit.delete_attachment(archive, Level.PATIENT, stored.patient_id, "notes")
        edit.delete_attachment(archive, Level.INSTANCE, stored.instance_id, "notes")
        assert statistics.system(archive).disk_size == before
        assert len(blobs_of(archive)) == 1
        for name in ("dicom", "dicom-until-pixel-data", "1"):
            with pytest.raises(Forbidden):
                edit.delete_attachment(archive, Level.INSTANCE, stored.instance_id, name)
        with pytest.raises(UnknownResource):
            edit.delete_attachment(archive, Level.INSTANCE, stored.instance_id, "dicom-as-json")

    def test_without_md5_an_attachment_is_still_announced_with_one(self, archive: Archive) -> None:
        archive = with_settings(archive, store_md5=False)
        study = store_instance(archive).study_id
        written = edit.set_attachment(archive, Level.STUDY, study, "1024", Spooled.of(b"abc"))
        assert written.md5 == "900150983cd24fb0d6963f7d28e17f72"
        assert read.attachment(archive, Level.STUDY, study, "1024").md5 == ""
        edit.set_attachment(archive, Level.STUDY, study, "1024", Spooled.of(b"abd"), Expected(0, written.md5))

    def test_labels_are_added_and_removed(self, archive: Archive) -> None:
        stored = store_instance(archive)
        for label in ("b", "a", "b"):
            edit.add_label(archive, Level.STUDY, stored.study_id, label)
        edit.add_label(archive, Level.SERIES, stored.series_id, "c")
        assert find.get(archive, Level.STUDY, stored.study_id).labels == ["a", "b"]
        assert edit.all_labels(archive) == ["a", "b", "c"]
        edit.remove_label(archive, Level.STUDY, stored.study_id, "b")
        edit.remove_label(archive, Level.STUDY, stored.study_id, "never there")
        assert edit.all_labels(archive) == ["a", "c"]
        for bad in ("", "a b", "ü", "x" * 65, "a/b"):
            with pytest.raises(ParameterOutOfRange):
                edit.add_label(archive, Level.STUDY, stored.study_id, bad)
        with pytest.raises(UnknownResource):
            edit.add_label(archive, Level.STUDY, NOWHERE, "a")

    def test_a_patient_is_protected(self, archive: Archive) -> None:
        stored = store_instance(archive)
        for is_protected in (True, True, False):
            edit.set_protection(archive, stored.patient_id, is_protected)
            assert find.get(archive, Level.PATIENT, stored.patient_id).is_protected is is_protected


class TestChanges:
    def numbers(self, page: changes.ChangesPage) -> list[int]:
        return [change.sequence for change in page.changes]

    def test_pages(self, archive: Archive) -> None:
        assert changes.page(archive) == changes.last(archive) == changes.ChangesPage([], None, 0, True)
        for instance in range(5):
            store_instance(archive, instance=instance)  # 4 + 4 changes
        cases = {
            (None, 100, None): ([1, 2, 3, 4, 5, 6, 7, 8], 1, 8, True),
            (None, 3, None): ([1, 2, 3], 1, 3, False),
            (2, 3, None): ([3, 4, 5], 3, 5, False),
            (5, 3, None): ([6, 7, 8], 6, 8, True),
            (9, 100, None): ([], None, 8, True),
            (None, 0, None): ([], None, 8, False),
            (None, 100, 5): ([1, 2, 3, 4, 5], 1, 5, True),
            (None, 2, 5): ([4, 5], 4, 5, False),
            (2, 100, 5): ([3, 4, 5], 3, 5, True),
            (None, 100, 0): ([], None, 8, True),
            (None, 2, 1000): ([7, 8], 7, 8, False),
            (-1, 100, None): ([1, 2, 3, 4, 5, 6, 7, 8], 1, 8, True),
        }
        for (since, limit, to), expected in cases.items():
            page = changes.page(archive, since, limit, to)
            assert (self.numbers(page), page.first, page.last, page.done) == expected, (since, limit, to)
        assert self.numbers(changes.page(archive, types=["NewStudy", "NewPatient"])) == [3, 4]
        assert self.numbers(changes.page(archive, limit=1, types=["NewInstance"])) == [1]
        assert self.numbers(changes.last(archive)) == [8]
        assert self.numbers(changes.last(archive, ["NewStudy"])) == [3]
        with pytest.raises(ParameterOutOfRange):
            changes.page(archive, types=["Nope"])

    def test_numbers_go_on_after_a_clearing(self, archive: Archive) -> None:
        store_instance(archive)
        changes.clear(archive)
        assert changes.page(archive) == changes.ChangesPage([], None, 4, True)
        store_instance(archive, instance=2)
        assert self.numbers(changes.page(archive)) == [5]

    def test_exports_are_a_log_of_their_own(self, archive: Archive) -> None:
        assert changes.exports(archive) == changes.last_export(archive) == changes.ExportsPage([], None, 0, True)
        for number in range(3):
            changes.log_export(archive, Level.STUDY, NOWHERE, f"remote{number}", ("P", "1.2", "", ""))
        page = changes.exports(archive, limit=2)
        assert ([export.remote_modality for export in page.exports], page.done) == (["remote0", "remote1"], False)
        assert changes.last_export(archive).exports[0].remote_modality == "remote2"
        changes.clear_exports(archive)
        assert changes.exports(archive) == changes.ExportsPage([], None, 0, True)
        changes.log_export(archive, Level.STUDY, NOWHERE, "remote3", ("P", "1.2", "", ""))
        assert changes.last_export(archive).last == 4  # numbers go on


class TestCheck:
    def test_differences_are_told_and_repaired(self, archive: Archive) -> None:
        made = [store_instance(archive, 1, 1, 1, instance) for instance in range(5)]
        files = [read.attachment(archive, Level.INSTANCE, stored.instance_id) for stored in made]
        assert isinstance(archive.blobs, MemoryBlobs)
        held = archive.blobs._published
        del held[files[0].uuid]
        held[files[1].uuid] = held[files[1].uuid][:-1]
        held[files[2].uuid] = held[files[2].uuid][:-1] + b"!"
        orphan = archive.blobs.stage(Spooled.of(b"orphan"))
        archive.blobs.publish(orphan)

        def spoil(tx: object) -> None:
            tx.run("UPDATE studies SET number_of_instances = 77, modalities_in_study = ''")  # type: ignore[attr-defined]
            tx.run("UPDATE statistics SET disk_size = 1")  # type: ignore[attr-defined]

        archive.database.write(spoil)
        kinds = sorted((finding.kind, finding.subject) for finding in fsck.check(archive, verify_md5=True).findings)
        study = f"study {made[0].study_id}"
        assert kinds == sorted([
            ("missing", files[0].uuid), ("size", files[1].uuid), ("md5", files[2].uuid), ("orphan", orphan),
            ("aggregate", study), ("aggregate", study), ("aggregate", "statistics"),
        ])  # fmt: skip
        everything = fsck.Repair.REMOVE_ORPHANS | fsck.Repair.REMOVE_LOST | fsck.Repair.RECOUNT
        report = fsck.check(archive, everything, verify_md5=True)
        assert all(finding.repaired for finding in report.findings)
        assert fsck.check(archive, verify_md5=True).clean
        assert find.list_ids(archive, Level.INSTANCE) == [stored.instance_id for stored in made[3:]]
        assert len(blobs_of(archive)) == 2

    def test_a_staged_blob_whose_row_is_there_is_no_difference(self, archive: Archive) -> None:
        stored = store_instance(archive)
        assert isinstance(archive.blobs, MemoryBlobs)
        uuid = read.attachment(archive, Level.INSTANCE, stored.instance_id).uuid
        archive.blobs._staged[uuid] = archive.blobs._published.pop(uuid)
        assert fsck.check(archive).clean
        assert maintenance.recover(archive) == maintenance.Recovered(0, 0)
        assert read.attachment(archive, Level.INSTANCE, stored.instance_id).verify()

    def test_recovery_deletes_what_has_tombstones(self, archive: Archive) -> None:
        blob = archive.blobs.stage(Spooled.of(b"x"))
        archive.blobs.publish(blob)
        archive.database.write(
            lambda tx: tx.run("INSERT INTO tombstones (uuid) VALUES (:uuid)", uuid=blob),
        )
        assert fsck.check(archive).clean
        assert maintenance.recover(archive) == maintenance.Recovered(0, 1)
        assert blobs_of(archive) == []


def test_a_spooled_file_is_taken_over_whatever_happens(archive: Archive) -> None:
    for data in (instance_file(), b"not DICOM"):
        spool = archive.blobs.spool()
        spool.write(data + bytes(9 << 20) if data == b"not DICOM" else data)
        spooled = spool.finish()
        path = spooled.path
        try:
            ingest(archive, spooled, REST)
        except BadFileFormat:
            assert path is not None
        assert path is None or not path.exists()
