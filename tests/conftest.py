"""What all tests share: a PostgreSQL server of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
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

    It refuses to run as root, so root starts it as the user that its package made. It ends with this process, however
    that ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="amonsul-postgresql-"))
    user = _CLUSTER_USER if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "log"
    initdb: list[str | Path] = [
        _program("initdb"),
        "-D",
        data,
        "-E",
        "UTF8",
        "--locale=C",
        "-A",
        "trust",
        "-U",
        "test",
        "--no-sync",
    ]
    done = subprocess.run(initdb, user=user, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"

    command: list[str | Path] = ["setpriv", "--pdeathsig", "INT", _program("postgres"), "-D", data, "-k", folder]
    for option in ("listen_addresses=", "fsync=off", "max_connections=60"):
        command += ["-c", option]
    with open(log, "wb") as output:
        server = subprocess.Popen(command, user=user, cwd=folder, stdout=output, stderr=output)
    try:
        is_ready: list[str | Path] = [_program("pg_isready"), "-q", "-h", folder]
        while subprocess.run(is_ready, check=False).returncode != 0:
            assert server.poll() is None, f"PostgreSQL does not start: {log.read_text()}"
            time.sleep(0.05)
        yield f"host={folder} user=test"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nothing in it is worth keeping
        server.wait()
        shutil.rmtree(folder)
