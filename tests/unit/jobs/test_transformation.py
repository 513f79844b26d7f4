"""A transformation that is cut short goes on without doubles, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from amonsul.archive import changes, find
from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import Transaction, open_database
from amonsul.database.settings import SqliteSettings
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import modify, parse_modification
from amonsul.dicom.uid_map import UidMap
from amonsul.errors import AmonsulError
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.kind import Progress
from amonsul.jobs.transformation import MODIFIED_FROM, NOBODY, Work, transform
from tests.integration.rest.dicom_files import dicom_file

T = TypeVar("T")
INSTANCES = 40


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
        result = self._archive.database.write(work)
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


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    database = open_database(SqliteSettings(tmp_path / "index.db", synchronous=False))
    try:
        yield Archive(database, FilesystemBlobs(tmp_path, sync=False))
    finally:
        database.close()


@pytest.fixture
def study(archive: Archive) -> OrthancId:
    for number in range(INSTANCES):
        stored = ingest(archive, Spooled.of(dicom_file(instance=number + 1)), InternalOrigin())
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
