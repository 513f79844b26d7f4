"""Limits of the storage: who makes room, what is refused, and that the limits hold whoever stores."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from amonsul.archive import edit, find, fsck, statistics
from amonsul.archive.context import Archive, StorageMode
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.errors import StorageFull
from tests.contract.storing import store_instance

PIXELS = bytes(10_000)


def limited(archive: Archive, **settings: object) -> Archive:
    return replace(archive, settings=replace(archive.settings, **settings))  # type: ignore[arg-type]


def patients(archive: Archive) -> list[str]:
    return sorted(resource.main_tags[Tag(0x00100020)] for resource in find.list_resources(archive, Level.PATIENT))


def assert_sound(archive: Archive) -> None:
    assert isinstance(archive.blobs, MemoryBlobs)
    assert not archive.blobs._staged
    report = fsck.check(archive)
    assert report.clean, report


def test_a_new_patient_makes_the_one_go_that_was_longest_without_an_instance(archive: Archive) -> None:
    archive = limited(archive, maximum_patient_count=3)
    for patient in (1, 2, 3):
        store_instance(archive, patient)
    store_instance(archive, 1, instance=2)
    store_instance(archive, 4)
    assert patients(archive) == ["PID1", "PID3", "PID4"]
    store_instance(archive, 3, study=2)
    store_instance(archive, 5)
    assert patients(archive) == ["PID3", "PID4", "PID5"]
    assert_sound(archive)


def test_a_protected_patient_stays_and_when_all_are_protected_the_new_one_is_refused(archive: Archive) -> None:
    archive = limited(archive, maximum_patient_count=2)
    first = store_instance(archive, 1).patient_id
    second = store_instance(archive, 2).patient_id
    edit.set_protection(archive, first, True)
    store_instance(archive, 3)
    assert patients(archive) == ["PID1", "PID3"]
    edit.set_protection(archive, store_instance(archive, 3, instance=2).patient_id, True)
    with pytest.raises(StorageFull):
        store_instance(archive, 4)
    store_instance(archive, 1, instance=2)  # of a patient who is there
    assert patients(archive) == ["PID1", "PID3"]
    edit.set_protection(archive, first, False)  # now the last in line, and alone in it
    store_instance(archive, 2)
    assert patients(archive) == ["PID2", "PID3"]
    assert second
    assert_sound(archive)


def test_the_size_of_all_attachments_counts(archive: Archive) -> None:
    archive = limited(archive, maximum_storage_size=45_000)
    for patient in (1, 2, 3, 4):
        store_instance(archive, patient, pixels=PIXELS)
    assert patients(archive) == ["PID1", "PID2", "PID3", "PID4"]
    last = store_instance(archive, 5, pixels=PIXELS)
    assert patients(archive) == ["PID2", "PID3", "PID4", "PID5"]
    edit.set_attachment(archive, Level.PATIENT, last.patient_id, "1024", Spooled.of(bytes(20_000)))
    assert patients(archive) == ["PID4", "PID5"]
    with pytest.raises(StorageFull):
        edit.set_attachment(archive, Level.PATIENT, last.patient_id, "1025", Spooled.of(bytes(40_000)))
    assert patients(archive) == ["PID4", "PID5"]  # what is refused removes nobody
    # In place of the one that is there, it fits.
    edit.set_attachment(archive, Level.PATIENT, last.patient_id, "1024", Spooled.of(bytes(30_000)))
    assert patients(archive) == ["PID5"]
    assert statistics.system(archive).disk_size <= 45_000
    assert_sound(archive)


def test_in_reject_mode_what_does_not_fit_is_refused(archive: Archive) -> None:
    archive = limited(archive, maximum_patient_count=2, maximum_storage_mode=StorageMode.REJECT)
    first = store_instance(archive, 1).patient_id
    store_instance(archive, 2)
    with pytest.raises(StorageFull):
        store_instance(archive, 3)
    store_instance(archive, 2, instance=2)
    edit.delete(archive, Level.PATIENT, first)
    third = store_instance(archive, 3).patient_id
    assert patients(archive) == ["PID2", "PID3"]
    small = limited(archive, maximum_storage_size=statistics.system(archive).disk_size + 1000)
    with pytest.raises(StorageFull):
        store_instance(small, 2, instance=3, pixels=PIXELS)
    with pytest.raises(StorageFull):
        edit.set_attachment(small, Level.PATIENT, third, "1024", Spooled.of(bytes(2000)))
    assert_sound(archive)


def test_limits_hold_at_every_moment_under_load(archive: Archive) -> None:
    """DUR-8: several writers, never more than the limit, the protected one stays, nothing is left behind."""
    limit = 60_000
    archive = limited(archive, maximum_storage_size=limit, maximum_patient_count=5)
    kept = store_instance(archive, 100, pixels=PIXELS).patient_id
    edit.set_protection(archive, kept, True)
    excesses: list[int] = []

    def write(first: int) -> None:
        for number in range(first, first + 12):
            store_instance(archive, number, pixels=PIXELS)
            used = statistics.system(archive)
            if used.disk_size > limit or used.patients > 5:
                excesses.append(used.disk_size)

    writers = [threading.Thread(target=write, args=(1 + 20 * number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert excesses == []
    assert "PID100" in patients(archive)
    assert_sound(archive)
