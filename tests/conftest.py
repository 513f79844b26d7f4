"""What all tests share: a PostgreSQL server of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql_server import running_postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Connection string, without a database, of a server for this run."""
    with running_postgresql(["fsync=off", "max_connections=60"]) as server:
        yield server.conninfo
