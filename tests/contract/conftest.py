"""Every test of this folder that asks for `database` or `archive` runs on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import Database, DatabaseSettings, PostgresSettings, SqliteSettings, open_database
from tests.postgresql_server import new_index

_numbers = itertools.count()


def new_postgresql_database(server: str) -> str:
    """Connection string of a new, empty database."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return f"{server} dbname={name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    """Where an index with nothing in it is; SQLite's is made when it is opened."""
    if request.param == "sqlite":
        return SqliteSettings(tmp_path / "index.db")
    return PostgresSettings(new_index(request.getfixturevalue("postgresql_server")))


@pytest.fixture
def database(database_settings: DatabaseSettings) -> Iterator[Database]:
    """An open index with nothing in it."""
    opened = open_database(database_settings)
    yield opened
    opened.close()


@pytest.fixture
def archive(database: Database) -> Archive:
    """An empty archive that keeps its blobs in memory."""
    return Archive(database, MemoryBlobs())
