"""Callers in each other's way: whatever the order in which the threads come, the archive is exact in the end."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from amonsul.archive import changes, edit, find, fsck, read, statistics
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import Level
from amonsul.errors import UnknownResource
from tests.contract.dicom_files import instance_file
from tests.faults.places import Place, assert_whole


def store(archive: Archive, data: bytes) -> IngestStatus:
    return ingest(archive, Spooled.of(data), InternalOrigin()).status


def together(*calls: Callable[[], object]) -> None:
    """Run calls in threads of their own that start at once; the first failure is raised."""
    start = threading.Barrier(len(calls))
    failures: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        start.wait()
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@pytest.mark.parametrize("overwrite", Overwrite)
def test_the_same_instance_from_many_callers_is_one_row_and_one_blob(place: Place, overwrite: Overwrite) -> None:
    data = instance_file(pixels=bytes(5000))
    with place.archive(overwrite) as archive:
        statuses: list[IngestStatus] = []
        together(*[lambda: statuses.append(store(archive, data))] * 12)
        assert statuses.count(IngestStatus.SUCCESS) == (12 if overwrite is Overwrite.ALWAYS else 1)
        assert statistics.system(archive) == statistics.SystemStatistics(1, 1, 1, 1, len(data), len(data))
        assert [change.change_type for change in changes.page(archive).changes] == [
            "NewInstance",
            "NewSeries",
            "NewStudy",
            "NewPatient",
        ]
        assert_whole(place, archive)


def test_the_same_instance_in_two_processes_is_one_row_and_one_blob(place: Place) -> None:
    """Another opening of the same archive stands for another process."""
    with place.archive(Overwrite.NEVER) as one, place.archive(Overwrite.NEVER) as other:
        for instance in range(20):
            data = instance_file(instance=instance)
            statuses: list[IngestStatus] = []

            def run(which: Archive, data: bytes = data, statuses: list[IngestStatus] = statuses) -> None:
                statuses.append(store(which, data))

            together(partial(run, one), partial(run, other))
            assert statuses.count(IngestStatus.SUCCESS) == 1
        assert statistics.system(one).instances == 20
        assert [change.sequence for change in changes.page(one).changes] == list(range(1, 24))
        assert_whole(place, one)


def test_storing_and_deleting_at_once_leaves_exact_counts(place: Place) -> None:
    files = [instance_file(patient, 1, series, i) for patient in (1, 2) for series in (1, 2) for i in (1, 2, 3)]
    with place.archive(Overwrite.NEVER) as archive:

        def writer(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(60):
                store(archive, chance.choice(files))

        def deleter(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(40):
                level = chance.choice(list(Level))
                there = find.list_ids(archive, level)
                if there:
                    try:
                        edit.delete(archive, level, chance.choice(there))
                    except UnknownResource:
                        pass  # somebody else was faster

        together(*[partial(writer, seed) for seed in range(4)], *[partial(deleter, seed) for seed in range(2)])
        assert_whole(place, archive)
        instances = find.list_ids(archive, Level.INSTANCE)
        assert statistics.system(archive).instances == len(instances)


def test_a_reader_during_overwrites_gets_one_version_whole(place: Place) -> None:
    versions = [instance_file(StudyDescription=str(number), pixels=bytes([number]) * 200_000) for number in range(8)]
    known = {hashlib.md5(version).hexdigest() for version in versions}
    with place.archive(Overwrite.ALWAYS) as archive:
        stored = ingest(archive, Spooled.of(versions[0]), InternalOrigin())
        finished = threading.Event()
        seen: set[str] = set()

        def writer() -> None:
            try:
                for number in range(60):
                    store(archive, versions[number % len(versions)])
            finally:
                finished.set()

        def reader() -> None:
            while not finished.is_set():
                file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
                digest = hashlib.md5(b"".join(file.chunks())).hexdigest()
                assert digest in known
                assert digest == file.md5
                seen.add(digest)

        together(writer, reader, reader, reader)
        assert seen
        assert_whole(place, archive)


def test_a_reader_of_another_process_finds_what_is_not_in_its_place_yet(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    with place.archive() as writer, place.archive() as reader:
        data = instance_file()
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(type(writer.blobs), "publish", lambda *_: None)
            stored = ingest(writer, Spooled.of(data), InternalOrigin())
        assert read.attachment(reader, Level.INSTANCE, stored.instance_id).read() == data
        edit.delete(reader, Level.INSTANCE, stored.instance_id)
        assert place.files() == []
        assert fsck.check(reader).clean
