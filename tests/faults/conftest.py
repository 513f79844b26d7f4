"""Archives on real files, over both databases."""

from __future__ import annotations

import itertools
from pathlib import Path

import psycopg
import pytest

from tests.faults.places import Place

_numbers = itertools.count()


@pytest.fixture
def postgresql_place(postgresql_server: str, tmp_path: Path) -> Place:
    """Where an archive with a PostgreSQL index may be made."""
    name = f"faults_{next(_numbers)}"
    with psycopg.connect(f"{postgresql_server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return Place(tmp_path, f"{postgresql_server} dbname={name}")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an archive may be made."""
    if request.param == "sqlite":
        return Place(tmp_path, None)
    made: Place = request.getfixturevalue("postgresql_place")
    return made
