from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.database import open_database
from amonsul.database.settings import SqliteSettings
from amonsul.web.services import Services
from tests.integration.rest.serving import Served, serving_archive


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
def services(archive: Archive) -> Services:
    """What handlers work with."""
    return Services(archive)


@pytest.fixture
def served(services: Services) -> Iterator[Served]:
    """A server over the archive."""
    with serving_archive(services) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=served.url, timeout=60) as http:
        yield http
