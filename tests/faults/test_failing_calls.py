"""The n-th call of the operating system or of the database fails, for every n: nothing is lost and nothing left."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from amonsul.archive import edit, find, read, statistics
from amonsul.archive.context import Archive
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.archive.read import StoredAttachment
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import CommitUncertain, Transaction
from amonsul.database.sqlite import SqliteDatabase
from amonsul.dicom.levels import Level
from amonsul.errors import CannotStore, StorageFull, Unavailable
from tests.contract.dicom_files import instance_file
from tests.faults.places import Place, assert_whole, assert_whole_after_recovery, digests

CALLS = ("open", "write", "fdatasync", "fsync", "rename", "makedirs", "unlink")


class FailAt:
    """Lets the n-th of some calls of `os` on the storage fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], number: int, code: int) -> None:
        self.failed: str | None = None
        self.calls: list[str] = []
        self._left = number
        for name in names:
            monkeypatch.setattr(f"amonsul.blobs.filesystem.os.{name}", self._wrapped(name, getattr(os, name), code))

    def _wrapped(self, name: str, original: Callable[..., Any], code: int) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            self.calls.append(name)
            self._left -= 1
            if self._left == 0:
                self.failed = name
                raise OSError(code, os.strerror(code))
            return original(*args, **keywords)

        return call


def store(archive: Archive, instance: int, **more: Any) -> IngestStatus:
    return ingest(archive, Spooled.of(instance_file(instance=instance, **more)), InternalOrigin()).status


def every_failure(change: Callable[[int], object], code: int) -> Iterator[tuple[str, BaseException | None]]:
    """Change something again and again, each time with the next call failing, until none fails."""
    for number in itertools.count(1):
        with pytest.MonkeyPatch.context() as monkeypatch:
            fail = FailAt(monkeypatch, CALLS, number, code)
            error: BaseException | None = None
            try:
                change(number)
            except (StorageFull, CannotStore) as caught:
                error = caught
        if fail.failed is None:
            return
        yield fail.failed, error


def files(archive: Archive) -> list[StoredAttachment]:
    return [
        file
        for patient in find.list_ids(archive, Level.PATIENT)
        for _, file in read.files_below(archive, Level.PATIENT, patient)
    ]


def fill_stock(archive: Archive) -> None:
    """Have names ready for the next blobs."""
    assert isinstance(archive.blobs, FilesystemBlobs)
    if archive.blobs._stock is not None:
        archive.blobs._stock.fill()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("names_ahead", [0, 8])
def test_a_store_that_fails_leaves_nothing_and_the_next_one_goes_well(
    tmp_path: Path, code: int, names_ahead: int
) -> None:
    place = Place(tmp_path, None)
    refused = []
    numbers = itertools.count(1000)
    with place.archive(names_ahead=names_ahead) as archive:
        fill_stock(archive)
        for call, error in every_failure(lambda number: store(archive, number), code):
            fill_stock(archive)
            if error is not None:
                assert type(error) is (CannotStore if code == errno.EIO else StorageFull)
                refused.append(call)
            assert store(archive, next(numbers)) is IngestStatus.SUCCESS  # without a restart
            assert all(file.verify() for file in files(archive))
        stored = digests(archive)
    assert refused == ["open", "write", "fdatasync"] + ([] if names_ahead else ["fsync"])
    assert assert_whole_after_recovery(place) == stored


def test_a_failed_sync_is_never_tried_again(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    with place.archive(names_ahead=0) as archive:
        for name in ("fdatasync", "fsync"):
            with pytest.MonkeyPatch.context() as monkeypatch:
                fail = FailAt(monkeypatch, (name,), 1, errno.EIO)
                with pytest.raises(CannotStore):
                    store(archive, 1)
                assert fail.calls == [name]
            assert place.files() == []
        assert find.list_ids(archive, Level.PATIENT) == []
        assert store(archive, 1) is IngestStatus.SUCCESS
        assert_whole(place, archive)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_names_that_cannot_be_made_ahead_are_not_used(tmp_path: Path, code: int) -> None:
    place = Place(tmp_path, None)
    with place.archive(names_ahead=8) as archive:
        for number in range(1, 10):
            with pytest.MonkeyPatch.context() as monkeypatch:
                fail = FailAt(monkeypatch, ("open", "fsync"), number, code)
                fill_stock(archive)
            assert fail.failed is not None
            assert place.coming_in() == []
        fill_stock(archive)
        assert len(place.coming_in()) == 8
        assert store(archive, 1) is IngestStatus.SUCCESS
        assert len(place.coming_in()) == 7
    assert place.coming_in() == []
    assert len(assert_whole_after_recovery(place)) == 1


@pytest.mark.parametrize("names_ahead", [0, 8])
def test_nothing_is_acknowledged_before_the_file_and_its_folder_are_synced(tmp_path: Path, names_ahead: int) -> None:
    place = Place(tmp_path, None)
    with place.archive(names_ahead=names_ahead) as archive, pytest.MonkeyPatch.context() as monkeypatch:
        calls: list[str] = []
        for name in ("write", "fdatasync", "fsync", "rename"):
            original = getattr(os, name)

            def call(*args: Any, name: str = name, original: Callable[..., Any] = original) -> Any:
                calls.append(name)
                return original(*args)

            monkeypatch.setattr(f"amonsul.blobs.filesystem.os.{name}", call)
        write = archive.database.write

        def noted(work: Callable[[Any], Any]) -> Any:
            calls.append("commit")
            return write(work)

        monkeypatch.setattr(archive.database, "write", noted)
        fill_stock(archive)
        store(archive, 1)
        folder_after = [] if names_ahead else ["fsync"]
        folder_before = ["fsync"] if names_ahead else []
        assert calls == [*folder_before, "write", "fdatasync", *folder_after, "commit", "rename"]


def test_without_sync_nothing_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_without = FilesystemBlobs(tmp_path, sync=False)
    fail = FailAt(monkeypatch, ("fdatasync", "fsync"), 1, errno.EIO)
    blob = store_without.stage(Spooled.of(b"x"))
    store_without.publish(blob)
    assert fail.calls == []
    store_without.close()


def test_commits_wait_for_the_disk(place: Place) -> None:
    with place.archive() as archive:
        database = archive.database
        if isinstance(database, SqliteDatabase):
            assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        else:
            assert archive.database.write(lambda tx: tx.one("SHOW synchronous_commit")) == ("on",)


def test_an_index_without_room_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    with place.archive() as archive:
        assert store(archive, 1) is IngestStatus.SUCCESS
        assert isinstance(archive.database, SqliteDatabase)
        connection = archive.database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageFull):
            [store(archive, instance) for instance in range(2, 500)]
        assert_whole(place, archive)
        stored = statistics.system(archive).instances
        assert all(file.verify() for file in files(archive))
        connection.execute("PRAGMA max_page_count=1000000")
        assert store(archive, 600) is IngestStatus.SUCCESS
        assert statistics.system(archive).instances == stored + 1


class _Uncertain:
    """A connection whose next COMMIT fails, after or before it was done."""

    def __init__(self, connection: sqlite3.Connection, *, done: bool) -> None:
        self._connection = connection
        self._done = done

    def execute(self, sql: str, *args: Any) -> Any:
        if sql == "COMMIT":
            self._connection.execute("COMMIT" if self._done else "ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._connection.execute(sql, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("done", [True, False])
def test_a_commit_that_may_have_happened_keeps_the_bytes_until_it_is_known(tmp_path: Path, done: bool) -> None:
    place = Place(tmp_path, None)
    with place.archive() as archive:
        store(archive, 1)
        assert isinstance(archive.database, SqliteDatabase)
        archive.database._connection = _Uncertain(archive.database._connection, done=done)  # type: ignore[assignment]
        with pytest.raises(CommitUncertain):
            store(archive, 2)
        assert len(find.list_ids(archive, Level.INSTANCE)) == 1 + done
        assert all(file.verify() for file in files(archive))
        assert store(archive, 3) is IngestStatus.SUCCESS  # over a new connection
    assert len(assert_whole_after_recovery(place)) == 2 + done


def test_a_deletion_whose_files_cannot_be_deleted_is_finished_at_the_next_start(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    with place.archive() as archive:
        store(archive, 1)
        store(archive, 2)
        (patient,) = find.list_ids(archive, Level.PATIENT)
        with pytest.MonkeyPatch.context() as monkeypatch:
            FailAt(monkeypatch, ("unlink",), 1, errno.EIO)
            assert edit.delete(archive, Level.PATIENT, patient) is None
        assert find.list_ids(archive, Level.PATIENT) == []
        assert len(place.files()) == 2
    assert assert_whole_after_recovery(place) == {}


def test_a_database_that_went_away_is_found_again(postgresql_place: Place) -> None:
    place = postgresql_place

    def end_all_connections() -> None:
        with psycopg.connect(place.conninfo or "", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with place.archive() as archive:
        store(archive, 1)
        end_all_connections()
        assert store(archive, 2) is IngestStatus.SUCCESS
        end_all_connections()
        assert len(find.list_ids(archive, Level.INSTANCE)) == 2
        with pytest.raises(Unavailable), archive.database.read() as tx:  # noqa: PT012
            end_all_connections()
            tx.one("SELECT 1")
        assert len(find.list_ids(archive, Level.INSTANCE)) == 2
        assert_whole(place, archive)


@pytest.mark.parametrize("kind", [errors.SerializationFailure, errors.DeadlockDetected])
def test_conflicts_are_tried_again_and_then_told(postgresql_place: Place, kind: type[Exception]) -> None:
    with postgresql_place.archive() as archive:
        tries = 0

        def work(tx: Transaction, failures: int = 3) -> str:
            nonlocal tries
            tries += 1
            tx.run("INSERT INTO properties (name, value) VALUES (:name, 'x')", name=f"{failures} failures")
            if tries <= failures:
                raise kind("forced")
            return "done"

        assert archive.database.write(work) == "done"
        assert tries == 4
        tries = 0
        with pytest.raises(Unavailable):
            archive.database.write(lambda tx: work(tx, failures=100))
        assert tries == 4
