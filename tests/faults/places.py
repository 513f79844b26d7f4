"""Where archives of these tests are, how they are opened, and what must be true of them after a fault."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amonsul.archive import find, fsck, read
from amonsul.archive.context import Archive, ArchiveSettings, Overwrite
from amonsul.archive.maintenance import recover
from amonsul.archive.reclaim import remove_piece
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.database import PostgresSettings, SqliteSettings, open_database
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True)
class Place:
    """A folder for the blobs and the SQLite index, or the connection string of a PostgreSQL database."""

    folder: Path
    conninfo: str | None

    @contextmanager
    def archive(self, overwrite: Overwrite = Overwrite.ALWAYS, names_ahead: int = 64) -> Iterator[Archive]:
        """The archive, opened."""
        database = open_database(
            SqliteSettings(self.folder / "index.db") if self.conninfo is None else PostgresSettings(self.conninfo)
        )
        blobs = FilesystemBlobs(self.folder / "storage", names_ahead=names_ahead)
        try:
            yield Archive(database, blobs, settings=ArchiveSettings(overwrite=overwrite))
        finally:
            blobs.close()
            database.close()

    def files(self) -> list[str]:
        """Names of all files of the storage but locks, and empty ones that wait for the next blobs."""
        found = [path for path in (self.folder / "storage").rglob("*") if path.is_file() and path.name != ".lock"]
        return sorted(path.name for path in found if not self._waits(path))

    def coming_in(self) -> list[str]:
        """Names of all files in the incoming folders but locks."""
        found = (self.folder / "storage" / "incoming").rglob("*")
        return sorted(path.name for path in found if path.is_file() and path.name != ".lock")

    def _waits(self, path: Path) -> bool:
        return "incoming" in path.parts and path.stat().st_size == 0


def digests(archive: Archive) -> dict[OrthancId, str]:
    """MD5 of the file of each instance."""
    found = {}
    for instance in find.list_ids(archive, Level.INSTANCE):
        data = read.attachment(archive, Level.INSTANCE, instance).read()
        found[instance] = hashlib.md5(data).hexdigest()
    return found


def assert_whole(place: Place, archive: Archive) -> None:
    """Nothing is missing, wrong or left over."""
    report = fsck.check(archive, verify_md5=True)
    assert report.findings == []
    with archive.database.read() as tx:
        named = sorted(row[0] for row in tx.all("SELECT uuid FROM attachments"))
        assert tx.all("SELECT uuid FROM tombstones") == []
    assert place.files() == named


def assert_whole_after_recovery(place: Place) -> dict[OrthancId, str]:
    """What a restart makes of it is whole; answers the MD5 of each instance."""
    with place.archive() as archive:
        recover(archive)
        while remove_piece(archive):
            pass
        assert place.coming_in() == []
        assert_whole(place, archive)
        return digests(archive)


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that runs a module of the tests."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **more}
