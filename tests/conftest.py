"""What all tests share: a PostgreSQL server of their own, and examples that may take as long as they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgresql_server import running_postgresql

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Connection string, without a database, of a server for this run."""
    with running_postgresql(["fsync=off", "max_connections=60"]) as server:
        yield server.conninfo
