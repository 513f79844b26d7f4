from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.database import open_database
from amonsul.database.settings import SqliteSettings
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds.archive import archive_kind, media_kind
from amonsul.jobs.kinds.merge_study import merge_study
from amonsul.jobs.kinds.reconstruct import reconstruct_kind
from amonsul.jobs.kinds.resource_modification import resource_modification
from amonsul.jobs.kinds.split_study import split_study
from amonsul.web.services import Services
from tests.integration.rest.serving import serving_archive

KINDS = (resource_modification, split_study, merge_study, archive_kind, media_kind, reconstruct_kind)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the archive lies."""
    return tmp_path / "storage"


@pytest.fixture
def archive(folder: Path) -> Iterator[Archive]:
    """An empty archive."""
    folder.mkdir()
    database = open_database(SqliteSettings(folder / "index.db", synchronous=False))
    try:
        yield Archive(database, FilesystemBlobs(folder, sync=False))
    finally:
        database.close()


@pytest.fixture
def services(archive: Archive) -> Iterator[Services]:
    """What handlers work with, jobs included."""
    codecs = LocalCodecs()
    engine = JobEngine(archive, Kinds(make(archive, codecs) for make in KINDS))
    engine.start()
    try:
        yield Services(archive, jobs=engine, codecs=codecs)
    finally:
        engine.stop()


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    """A client of a server over the archive."""
    with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as http:
        yield http
