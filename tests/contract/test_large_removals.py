"""Large removals: gone at once for everybody, then piece by piece, also after a crash in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from amonsul.archive import changes, edit, find, fsck, read, statistics
from amonsul.archive.context import Archive
from amonsul.archive.find import Content
from amonsul.archive.ingest import Ingested, IngestStatus
from amonsul.archive.reclaim import remove_piece, sweep
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import condemned, removing
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import parse_match
from amonsul.dicom.query import Constraint, Query
from amonsul.errors import UnknownResource
from tests.contract.storing import store_instance

INSTANCES = 7


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "AT_ONCE", 3)
    monkeypatch.setattr(condemned, "PIECE", 2)


def fill(archive: Archive) -> list[Ingested]:
    stored = [store_instance(archive, instance=number) for number in range(1, INSTANCES + 1)]
    first = stored[0]
    edit.add_label(archive, Level.INSTANCE, first.instance_id, "gone")
    edit.set_metadata(archive, Level.INSTANCE, first.instance_id, "1024", b"x")
    edit.set_attachment(archive, Level.INSTANCE, first.instance_id, "1024", Spooled.of(b"notes"))
    return stored


def blob_count(archive: Archive) -> int:
    assert isinstance(archive.blobs, MemoryBlobs)
    assert not archive.blobs._staged
    return len(list(archive.blobs.scan()))


def finish(archive: Archive) -> int:
    pieces = 0
    while remove_piece(archive):
        pieces += 1
    return pieces


def by_uid(uid: str) -> Query:
    tag = Tag(0x00080018)
    return Query(Level.INSTANCE, (Constraint(tag, parse_match("UI", uid)),))


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.SERIES])
def test_nobody_sees_what_is_left_behind(archive: Archive, level: Level) -> None:
    kept = store_instance(archive, 2)
    stored = fill(archive)
    first = stored[0]
    top = (first.patient_id, first.study_id, first.series_id)[level]
    assert edit.delete(archive, level, top) is None

    def looks_empty() -> None:
        total = statistics.system(archive)
        assert (total.patients, total.instances) == (1, 1)
        assert find.list_ids(archive, Level.INSTANCE, 0, 0) == [kept.instance_id]
        assert find.list_ids(archive, Level.INSTANCE, 1, 10) == []
        assert [one.orthanc_id for one in find.list_resources(archive, Level.INSTANCE)] == [kept.instance_id]
        assert find.lookup(archive, first.sop_instance_uid) == []
        assert find.find_ids(archive, Query(Level.INSTANCE)) == [kept.instance_id]
        assert find.find_ids(archive, by_uid(first.sop_instance_uid)) == []
        assert find.count(archive, by_uid(first.sop_instance_uid)) == 0
        assert find.by_uids(archive, ("1.2.3.1.1", "1.2.3.1.1.1", first.sop_instance_uid), 9) == []
        assert edit.all_labels(archive) == []
        assert {change.orthanc_id for change in changes.page(archive).changes} == {
            kept.patient_id,
            kept.study_id,
            kept.series_id,
            kept.instance_id,
        }
        for one in stored:
            with pytest.raises(UnknownResource):
                find.get(archive, Level.INSTANCE, one.instance_id, Content.ALL)
            with pytest.raises(UnknownResource):
                read.header(archive, one.instance_id)
            with pytest.raises(UnknownResource):
                read.attachment(archive, Level.INSTANCE, one.instance_id)
            with pytest.raises(UnknownResource):
                read.metadata(archive, Level.INSTANCE, one.instance_id)
            with pytest.raises(UnknownResource):
                statistics.of_resource(archive, Level.INSTANCE, one.instance_id)
            with pytest.raises(UnknownResource):
                edit.delete(archive, Level.INSTANCE, one.instance_id)
        assert fsck.check(archive).clean

    looks_empty()
    assert blob_count(archive) == INSTANCES + 2
    assert remove_piece(archive)
    looks_empty()
    assert finish(archive) == 3
    looks_empty()
    assert blob_count(archive) == 1
    assert not remove_piece(archive)


def test_small_removals_are_done_at_once(archive: Archive) -> None:
    stored = [store_instance(archive, instance=number) for number in (1, 2, 3)]
    edit.delete(archive, Level.SERIES, stored[0].series_id)
    assert blob_count(archive) == 0
    assert not remove_piece(archive)


def test_what_is_left_behind_is_stored_again(archive: Archive) -> None:
    stored = fill(archive)
    edit.delete(archive, Level.STUDY, stored[0].study_id)
    again = [store_instance(archive, instance=number) for number in (2, 5)]
    assert [one.status for one in again] == [IngestStatus.SUCCESS] * 2
    assert [one.instance_id for one in again] == [stored[1].instance_id, stored[4].instance_id]
    assert fsck.check(archive).clean
    finish(archive)
    sweep(archive)
    assert blob_count(archive) == 2
    assert find.list_ids(archive, Level.INSTANCE, 0, 0) == [one.instance_id for one in again]
    assert read.metadata(archive, Level.INSTANCE, again[0].instance_id)
    assert fsck.check(archive).clean


def test_the_number_of_a_removed_series_is_given_to_no_other(archive: Archive) -> None:
    stored = fill(archive)
    edit.delete(archive, Level.SERIES, stored[0].series_id)
    other = store_instance(archive, 9)
    finish(archive)
    assert find.list_ids(archive, Level.INSTANCE, 0, 0) == [other.instance_id]
    assert fsck.check(archive).clean


def test_a_large_patient_makes_room_and_the_rest_of_the_ancestors_stay(archive: Archive) -> None:
    stored = fill(archive)
    sibling = store_instance(archive, series=2)
    remaining = edit.delete(archive, Level.SERIES, stored[0].series_id)
    assert remaining is not None
    assert remaining.orthanc_id == sibling.study_id
    study = find.get(archive, Level.STUDY, sibling.study_id)
    assert (study.number_of_series, study.number_of_instances) == (1, 1)
    finish(archive)
    fill(archive)
    limited = replace(archive, settings=replace(archive.settings, maximum_patient_count=1))
    store_instance(limited, 2)
    assert statistics.system(archive).instances == 1
    finish(archive)
    assert blob_count(archive) == 1
    assert fsck.check(archive).clean


def test_storing_deleting_and_clearing_away_at_once(archive: Archive) -> None:
    done = threading.Event()
    errors: list[BaseException] = []

    def guard(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # told by the test, not by the thread
                errors.append(error)

        return run

    def write(patient: int) -> None:
        for _ in range(6):
            for number in range(1, 7):
                stored = store_instance(archive, patient, instance=number)
            with suppress(UnknownResource):
                edit.add_label(archive, Level.INSTANCE, stored.instance_id, "x")
            with suppress(UnknownResource):
                edit.delete(archive, Level.PATIENT, stored.patient_id)
        store_instance(archive, patient, instance=1)

    def clear_away() -> None:
        while not done.is_set():
            remove_piece(archive)
            sweep(archive)

    cleaner = threading.Thread(target=guard(clear_away))
    writers = [threading.Thread(target=guard(partial(write, patient))) for patient in (1, 2, 2)]
    for thread in (cleaner, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    cleaner.join()
    assert errors == []
    finish(archive)
    sweep(archive)
    assert statistics.system(archive).instances == len(find.list_ids(archive, Level.INSTANCE, 0, 0)) >= 2
    assert blob_count(archive) == statistics.system(archive).instances
    assert edit.all_labels(archive) in ([], ["x"])
    assert fsck.check(archive).clean
