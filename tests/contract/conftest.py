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

_numbers = itertools.count()


def new_postgresql_database(server: str) -> str:
    """Connection string of a new, empty database."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return f"{server} dbname={name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    """Where an empty database is."""
    if request.param == "sqlite":
        return SqliteSettings(tmp_path / "index.db")
    return PostgresSettings(new_postgresql_database(request.getfixturevalue("postgresql_server")))


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
