"""A PostgreSQL server of our own, on a socket in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from amonsul.database import PostgresSettings, open_database

_CLUSTER_USER = "postgres"
_TEMPLATE = "an_empty_index"
_numbers = itertools.count()


@dataclass(slots=True)
class PostgresServer:
    """One cluster, which can be stopped and started again.

    Attributes:
        folder: of its data, its log and its socket.
        options: `name=value` of its configuration.
    """

    folder: Path
    options: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def conninfo(self) -> str:
        """Connection string without a database."""
        return f"host={self.folder} user=test"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server that runs."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it answers. It ends with this process, however that ends."""
        command: list[str | Path] = ["setpriv", "--pdeathsig", "INT", _program("postgres"), "-D", self.folder / "data"]
        command += ["-k", self.folder]
        for option in ("listen_addresses=", *self.options):
            command += ["-c", option]
        log = self.folder / "log"
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command, user=_user(), cwd=self.folder, stdout=output, stderr=output, start_new_session=True
            )
        is_ready: list[str | Path] = [_program("pg_isready"), "-q", "-h", self.folder]
        while subprocess.run(is_ready, check=False).returncode != 0:
            assert self._process.poll() is None, f"PostgreSQL does not start: {log.read_text()}"
            time.sleep(0.02)

    def stop(self, number: signal.Signals) -> None:
        """End it: SIGINT is `fast`, SIGQUIT `immediate`."""
        self.process.send_signal(number)
        self.process.wait()

    def new_database(self) -> str:
        """Connection string of a new, empty database."""
        name = f"made_{next(self._numbers)}"
        with psycopg.connect(f"{self.conninfo} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return f"{self.conninfo} dbname={name}"


def new_index(server: str) -> str:
    """Connection string of a new database with an empty index, copied from one that is made first.

    To create the tables of each anew takes several times as long.
    """
    name = f"index_{next(_numbers)}"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0".encode())
            open_database(PostgresSettings(f"{server} dbname={_TEMPLATE}")).close()
            while connection.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", [_TEMPLATE]).fetchone():
                pass  # what is in use cannot be copied
        strategy = "STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} {strategy}".encode())
    return f"{server} dbname={name}"


@contextmanager
def running_postgresql(options: Sequence[str], parent: Path | None = None) -> Iterator[PostgresServer]:
    """A server that runs; its data are thrown away at the end.

    It refuses to run as root, so root starts it as the user that its package made.
    """
    folder = Path(tempfile.mkdtemp(prefix="amonsul-postgresql-", dir=parent))
    if (user := _user()) is not None:
        shutil.chown(folder, user)
    initdb: list[str | Path] = [_program("initdb"), "-D", folder / "data", "-E", "UTF8", "--locale=C", "-A", "trust"]
    initdb += ["-U", "test", "--no-sync"]
    done = subprocess.run(initdb, user=user, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"
    server = PostgresServer(folder, options)
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGQUIT)  # at once: nothing in it is worth keeping
        shutil.rmtree(folder)


def _user() -> str | None:
    return _CLUSTER_USER if os.geteuid() == 0 else None


def _program(name: str) -> str:
    """A program of the server; distributions keep them out of the path."""
    found = shutil.which(name)
    if found is None:
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert versions, f"PostgreSQL's {name} is not installed"
        found = str(versions[-1])
    return found
