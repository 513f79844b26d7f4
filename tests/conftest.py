"""What all tests share: a PostgreSQL server of their own, connections enough, and examples that may take their time."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql_server import running_postgresql

DESCRIPTORS = 8192
"""Files and sockets that this process may have open: a thousand clients and the server they are connected to."""

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """What processes inherit that the tests start, whatever the shell says: descriptors enough, and compiled modules.

    Some environments forbid Python to keep what it compiled; hundreds of servers would compile all of it anew.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Connection string, without a database, of a server for this run."""
    options = ["fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=60"]
    with running_postgresql(options) as server:
        yield server.conninfo
