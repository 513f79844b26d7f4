"""Archives on real files, over both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.places import Place
from tests.postgresql_server import new_index


@pytest.fixture
def postgresql_place(postgresql_server: str, tmp_path: Path) -> Place:
    """Where an archive with a PostgreSQL index may be made."""
    return Place(tmp_path, new_index(postgresql_server))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an archive may be made."""
    if request.param == "sqlite":
        return Place(tmp_path, None)
    made: Place = request.getfixturevalue("postgresql_place")
    return made
