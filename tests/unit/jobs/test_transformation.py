"""A transformation that is cut short goes on without doubles, and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amonsul.archive import changes, edit, find, read, rewriting
from amonsul.archive.context import Archive, ArchiveSettings, Overwrite
from amonsul.archive.ingest import ingest
from amonsul.archive.maintenance import recover
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.blobs.store import BlobStore
from amonsul.database import Database, Transaction, open_database, properties
from amonsul.database.settings import SqliteSettings
from amonsul.dicom.deidentification import deidentify, parse_anonymization
from amonsul.dicom.elements import Tag
from amonsul.dicom.encoding import encode_file
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import modify, parse_modification
from amonsul.dicom.uid_map import UidMap, nothing_else
from amonsul.errors import AmonsulError
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.kind import Progress
from amonsul.jobs.transformation import ANONYMIZED_FROM, MODIFIED_FROM, NOBODY, Work, transform
from tests.integration.rest.dicom_files import dicom_file

T = TypeVar("T")
INSTANCES = 40
CHECKPOINT = "checkpoint-of-the-test"


class Crash(BaseException):
    """The process is gone."""


class FakeRunning:
    """A job whose process dies before, or right after, one of its writes."""

    job_id = "job"
    threads = 2

    def __init__(self, archive: Archive, checkpoint: Any = None, dies_at: int | None = None, late: bool = False):
        self._archive = archive
        self._dies_at = dies_at
        self._late = late
        self.checkpoint = checkpoint
        self.content: dict[str, Any] = {}
        self.stopping = False
        self.writes = 0

    def write(self, work: Callable[[Transaction], T], progress: Progress) -> T:
        dies = self.writes == self._dies_at
        self.writes += 1
        if dies and not self._late:
            raise Crash

        def both(tx: Transaction) -> T:
            properties.put(tx, CHECKPOINT, orjson.dumps(progress.checkpoint).decode())
            return work(tx)

        result = self._archive.database.write(both)
        self.checkpoint = progress.checkpoint
        if dies:
            raise Crash
        return result

    def keep_output(self, *_: object) -> None:
        raise AssertionError

    def wait(self, _: float) -> bool:
        raise AssertionError

    @contextmanager
    def item(self, permissive: bool) -> Iterator[None]:
        try:
            yield
        except AmonsulError:
            if not permissive:
                raise

    def tolerates(self, _: AmonsulError) -> bool:
        return True


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    database = open_database(SqliteSettings(tmp_path / "index.db", synchronous=False))
    try:
        yield Archive(database, FilesystemBlobs(tmp_path, sync=False))
    finally:
        database.close()


@pytest.fixture
def study(archive: Archive) -> OrthancId:
    return filled(archive, INSTANCES)


def filled(archive: Archive, instances: int, attributes: Mapping[str, object] | None = None) -> OrthancId:
    """The study of so many instances that are in the archive now."""
    for number in range(instances):
        file = dicom_file(instance=number + 1, attributes=attributes)
        stored = ingest(archive, Spooled.of(file), InternalOrigin())
    return stored.study_id


def work_on(archive: Archive, study: OrthancId, keep_source: bool) -> Work:
    modification = parse_modification({"Replace": {"StudyDescription": "new"}}, Level.STUDY)
    uid_map = UidMap(bytes(32))

    def change(data_set: Any, level_of: Any) -> None:
        modify(data_set, modification, uid_map, level_of)

    return Work(
        instances=tuple(find.descendant_ids(archive, Level.STUDY, study, Level.INSTANCE)),
        change=change,
        submitter=NOBODY,
        keep_source=keep_source,
        mark=MODIFIED_FROM,
        level=Level.STUDY,
        change_type="ModifiedStudy",
    )


@pytest.mark.parametrize("dies_at", range(5))
@pytest.mark.parametrize("late", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("keep_source", [True, False], ids=["keeping", "moving"])
def test_a_job_that_dies_at_a_write_ends_as_if_it_had_not(
    archive: Archive, study: OrthancId, keep_source: bool, late: bool, dies_at: int
) -> None:
    work = work_on(archive, study, keep_source)
    first = FakeRunning(archive, dies_at=dies_at, late=late)
    with suppress(Crash):
        exhaust(transform(archive, LocalCodecs(), first, work))

    exhaust(transform(archive, LocalCodecs(), FakeRunning(archive, first.checkpoint), work))

    studies = find.list_ids(archive, Level.STUDY)
    (made,) = [each for each in studies if each != study]
    assert len(find.descendant_ids(archive, Level.STUDY, made, Level.INSTANCE)) == INSTANCES
    assert (study in studies) == keep_source
    assert find.get(archive, Level.STUDY, made).modified_from == study
    page = changes.page(archive, 0, 1000)
    assert [each.change_type for each in page.changes].count("ModifiedStudy") == 1


@contextmanager
def opened(folder: Path) -> Iterator[Archive]:
    """As a server that starts on the folder: what an earlier one left in the middle is settled."""
    database = open_database(SqliteSettings(folder / "index.db", synchronous=False))
    blobs = FilesystemBlobs(folder, sync=False)
    try:
        found = Archive(database, blobs, settings=ArchiveSettings(overwrite=Overwrite.ALWAYS))
        recover(found)
        yield found
    finally:
        blobs.close()
        database.close()


class MortalDatabase:
    """An index that is gone, and the process with it, before or after one of its writes."""

    def __init__(self, database: Database, dies_at: int, late: bool) -> None:
        self._database, self._left, self._late = database, dies_at, late
        self._lock = threading.Lock()
        self.dialect = database.dialect
        self.read = database.read
        self.close = database.close

    @property
    def is_gone(self) -> bool:
        return self._left < 0

    def write(self, work: Callable[[Transaction], T]) -> T:
        with self._lock:
            self._left -= 1
            if self._left >= 0:
                return self._database.write(work)
            if self._left == -1 and self._late:
                self._database.write(work)
            raise Crash


class MortalBlobs:
    """A storage in which a process that is gone can neither put things in their place nor throw them away."""

    def __init__(self, blobs: BlobStore, database: MortalDatabase) -> None:
        self._blobs, self._database = blobs, database

    def __getattr__(self, name: str) -> object:
        if self._database.is_gone:
            raise Crash
        return getattr(self._blobs, name)


def in_place(archive: Archive, study: OrthancId) -> Work:
    """Move all dates and give other UIDs than those of the model new ones: neither may happen twice."""
    body = {
        "DeidentificationOptions": ["RetainLongitudinalModifiedDates"],
        "Keep": ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        "Force": True,
    }
    anonymization = parse_anonymization(body)
    uid_map = UidMap(bytes(32))

    def change(data_set: Any, level_of: Any) -> None:
        deidentify(data_set, anonymization, uid_map, "Anonymized1", level_of)

    return Work(
        instances=tuple(find.descendant_ids(archive, Level.STUDY, study, Level.INSTANCE)),
        change=change,
        submitter=NOBODY,
        mark=ANONYMIZED_FROM,
        level=Level.STUDY,
        is_in_place=anonymization.keeps_all_uids,
        change_type="AnonymizedStudy",
    )


def checkpoint_in(archive: Archive) -> Any:
    with archive.database.read() as tx:
        found = properties.get(tx, CHECKPOINT)
    return None if found is None else orjson.loads(found)


def file_of(archive: Archive, instance_id: OrthancId) -> bytes:
    return read.attachment(archive, Level.INSTANCE, instance_id).read()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2 * INSTANCES), st.booleans()), max_size=4))
@example([(20, True), (20, False)])
def test_a_job_in_place_that_dies_again_and_again_changes_each_instance_once(deaths: list[tuple[int, bool]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder) as archive:
            study = filled(archive, INSTANCES, {"FrameOfReferenceUID": "1.2.3.4"})
            work = in_place(archive, study)
            expected = {}
            for instance_id in work.instances:
                data_set = rewriting.load(archive, instance_id)
                work.change(data_set, nothing_else)
                expected[instance_id] = b"".join(encode_file(data_set))
        for dies_at, late in deaths:
            with opened(folder) as archive, suppress(Crash):
                database = MortalDatabase(archive.database, dies_at, late)
                mortal = replace(
                    archive, database=database, blobs=cast(BlobStore, MortalBlobs(archive.blobs, database))
                )
                exhaust(transform(mortal, LocalCodecs(), FakeRunning(mortal, checkpoint_in(archive)), work))
        with opened(folder) as archive:
            exhaust(transform(archive, LocalCodecs(), FakeRunning(archive, checkpoint_in(archive)), work))
            assert {instance_id: file_of(archive, instance_id) for instance_id in work.instances} == expected
            assert sorted(find.list_ids(archive, Level.INSTANCE)) == sorted(work.instances)


@pytest.mark.parametrize("instances", [1, 3])
def test_what_hangs_on_a_study_stays_when_its_instances_are_changed_in_place(tmp_path: Path, instances: int) -> None:
    with opened(tmp_path) as archive:
        study = filled(archive, instances)
        patient = find.ancestor(archive, Level.STUDY, study, Level.PATIENT).orthanc_id
        edit.add_label(archive, Level.STUDY, study, "kept")
        edit.set_metadata(archive, Level.PATIENT, patient, "1024", b"kept")
        edit.set_attachment(archive, Level.STUDY, study, "1025", Spooled.of(b"kept"))
        edit.set_protection(archive, patient, True)

        exhaust(transform(archive, LocalCodecs(), FakeRunning(archive), in_place(archive, study)))

        changed = find.get(archive, Level.STUDY, study)
        assert list(changed.labels) == ["kept"]
        assert changed.main_tags[Tag(0x00080020)] not in ("20240101", "")
        assert read.attachment(archive, Level.STUDY, study, "1025").read() == b"kept"
        patient_after = find.get(archive, Level.PATIENT, patient)
        assert patient_after.main_tags[Tag(0x00100010)] == "Anonymized1"
        assert patient_after.is_protected
        assert read.metadata(archive, Level.PATIENT, patient)["1024"].value == b"kept"


def test_a_job_stops_between_two_instances_and_goes_on(archive: Archive, study: OrthancId) -> None:
    work = work_on(archive, study, keep_source=True)
    running = FakeRunning(archive)
    steps = transform(archive, LocalCodecs(), running, work)
    next(steps)
    running.stopping = True
    progress = next(steps)
    assert progress.done < INSTANCES

    exhaust(transform(archive, LocalCodecs(), FakeRunning(archive, running.checkpoint), work))

    assert len(find.list_ids(archive, Level.INSTANCE)) == 2 * INSTANCES


def exhaust(steps: Iterator[Progress]) -> None:
    for _ in steps:
        pass
