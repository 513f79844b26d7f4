"""What all tests share: a PostgreSQL server of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_CLUSTER_USER = "postgres"


def _program(name: str) -> str:
    """A program of the server; distributions keep them out of the path."""
    found = shutil.which(name)
    if found is None:
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert versions, f"PostgreSQL's {name} is not installed"
        found = str(versions[-1])
    return found


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Connection string, without a database, of a server that listens on a socket in a folder of its own.

    It refuses to run as root, so root starts it as the user that its package made.
    """
    folder = Path(tempfile.mkdtemp(prefix="amonsul-postgresql-"))
    user = _CLUSTER_USER if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"

    data = str(folder / "data")
    run(_program("initdb"), "-D", data, "-E", "UTF8", "--locale=C", "-A", "trust", "-U", "test", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=60"
    log = str(folder / "log")
    run(_program("pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "start")
    try:
        yield f"host={folder} user=test"
    finally:
        run(_program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
