"""Concurrent writers of metadata and attachments: with revisions no update is lost (DUR-11)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from amonsul.archive import edit, fsck, read
from amonsul.archive.context import Archive
from amonsul.archive.edit import Expected, Written
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import Database, DatabaseSettings, open_database
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import Conflict
from tests.contract.storing import store_instance

WRITERS, ROUNDS = 20, 5
NAME = "1024"


def checked(archive: Archive) -> Archive:
    return replace(archive, settings=replace(archive.settings, check_revisions=True))


def metadata_value(archive: Archive, study: OrthancId) -> tuple[bytes, Expected]:
    entry = read.metadata(archive, Level.STUDY, study)[NAME]
    return entry.value, Expected(entry.revision)


def put_metadata(archive: Archive, study: OrthancId, value: bytes, expected: Expected | None) -> Written:
    return edit.set_metadata(archive, Level.STUDY, study, NAME, value, expected)


def attachment_value(archive: Archive, study: OrthancId) -> tuple[bytes, Expected]:
    stored = read.attachment(archive, Level.STUDY, study, NAME)
    value = stored.read()
    return value, Expected(stored.revision, stored.md5)


def put_attachment(archive: Archive, study: OrthancId, value: bytes, expected: Expected | None) -> Written:
    return edit.set_attachment(archive, Level.STUDY, study, NAME, Spooled.of(value), expected)


Value = Callable[[Archive, OrthancId], tuple[bytes, Expected]]
Put = Callable[[Archive, OrthancId, bytes, Expected | None], Written]


def count_up(archives: list[Archive], study: OrthancId, value: Value, put: Put) -> None:
    """Each writer adds one, ROUNDS times, trying anew after a conflict."""

    def write(archive: Archive) -> None:
        done = 0
        while done < ROUNDS:
            present, expected = value(archive, study)
            try:
                put(archive, study, b"%d" % (int(present) + 1), expected)
            except Conflict:
                continue
            done += 1

    writers = [threading.Thread(target=write, args=(archives[number % len(archives)],)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


@pytest.mark.parametrize(("value", "put"), [(metadata_value, put_metadata), (attachment_value, put_attachment)])
def test_no_update_of_many_writers_is_lost(archive: Archive, value: Value, put: Put) -> None:
    archive = checked(archive)
    study = store_instance(archive).study_id
    put(archive, study, b"0", None)
    with pytest.raises(Conflict):
        put(archive, study, b"7", None)
    count_up([archive], study, value, put)
    assert value(archive, study)[0] == b"%d" % (WRITERS * ROUNDS)
    assert value(archive, study)[1].revision == WRITERS * ROUNDS
    assert isinstance(archive.blobs, MemoryBlobs)
    assert not archive.blobs._staged
    assert fsck.check(archive).clean


def test_no_update_of_several_processes_is_lost(database: Database, database_settings: DatabaseSettings) -> None:
    blobs = MemoryBlobs()
    other = open_database(database_settings)
    archives = [checked(Archive(database, blobs)), checked(Archive(other, blobs))]
    study = store_instance(archives[0]).study_id
    put_metadata(archives[0], study, b"0", None)
    count_up(archives, study, metadata_value, put_metadata)
    assert metadata_value(archives[1], study)[0] == b"%d" % (WRITERS * ROUNDS)
    other.close()
