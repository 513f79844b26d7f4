"""Jobs over `kill -9`: none that was acknowledged is lost, none has its effects twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from amonsul.database import DatabaseSettings, PostgresSettings, SqliteSettings, jobs, open_database
from amonsul.database.jobs import State
from amonsul.database.postgresql import WRITE_LOCK
from tests.faults.jobs_process import COUNT

STEPS = 5


@dataclass
class Scene:
    """A database, a folder for effects, and the processes at work."""

    settings: DatabaseSettings
    folder: Path
    acked: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def process(self, concurrent_jobs: int = 2, lease_s: float = 15.0) -> subprocess.Popen[str]:
        """Start a process and wait until it is ready."""
        where = str(self.settings.path) if isinstance(self.settings, SqliteSettings) else self.settings.conninfo
        started = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.faults.jobs_process",
                where,
                str(self.folder),
                str(concurrent_jobs),
                str(lease_s),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(started)
        assert self.hear(started) == "ready"
        return started

    def tell(self, process: subprocess.Popen[str], words: str) -> None:
        """Say something to a process."""
        assert process.stdin is not None
        process.stdin.write(words + "\n")
        process.stdin.flush()

    def hear(self, process: subprocess.Popen[str]) -> str:
        """The next line that it says; remembers what it acknowledges."""
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if line.startswith("acked "):
            self.acked.append(line.split()[1])
        return line

    def kill(self, process: subprocess.Popen[str]) -> None:
        """End it as a power cut would; what it acknowledged before counts."""
        process.kill()
        process.wait()
        while self.hear(process):
            pass

    def drain(self, process: subprocess.Popen[str]) -> None:
        """Wait until nothing is left to do."""
        self.tell(process, "drain")
        while (line := self.hear(process)) != "drained":
            assert line, "the process ended"

    def halfway(self, process: subprocess.Popen[str], number: int) -> None:
        """Let a process submit jobs, and wait until all of them have halted in the middle."""
        self.tell(process, f"halt {number} {STEPS}")
        while len(self.acked) < number:
            assert self.hear(process), "the process ended"
        while len(list(self.folder.iterdir())) < number * (STEPS // 2):
            time.sleep(0.005)

    def hang(self, process: subprocess.Popen[str]) -> None:
        """Stop a process, but not while it is writing: then nobody else could write."""
        self.stop(process)
        while not self._writable():
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.005)
            self.stop(process)

    def stop(self, process: subprocess.Popen[str]) -> None:
        """Let a process do nothing until it is told to go on; return when it has stopped, for that takes a moment."""
        os.kill(process.pid, signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def _writable(self) -> bool:
        if isinstance(self.settings, PostgresSettings):
            with psycopg.connect(self.settings.conninfo) as connection:
                row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [WRITE_LOCK]).fetchone()
                return row == (True,)
        with closing(sqlite3.connect(self.settings.path, timeout=0)) as lite:
            try:
                lite.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def go(self) -> None:
        """Let halted jobs go on."""
        Path(f"{self.folder}.go").touch()

    def check(self) -> None:
        """All that was acknowledged is done, and everything that was done was done once."""
        database = open_database(self.settings)
        with database.read() as transaction:
            found = {job.job_id: job for job in jobs.page(transaction)}
            effects = transaction.all(COUNT)
        database.close()
        assert set(self.acked) <= found.keys()
        assert {job.state for job in found.values()} == {State.SUCCESS}
        assert {value for _, value in effects} == {"1"}
        expected = {f"{job_id}.{step}" for job_id in found for step in range(STEPS)}
        assert {name.removeprefix("effect/") for name, _ in effects} == expected
        assert {path.name for path in self.folder.iterdir()} == expected


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    settings: DatabaseSettings
    if request.param == "sqlite":
        settings = SqliteSettings(tmp_path / "index.db")
    else:
        server, name = request.getfixturevalue("postgresql_server"), f"jobs_{uuid.uuid4().hex}"
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        settings = PostgresSettings(f"{server} dbname={name}")
    folder = tmp_path / "effects"
    folder.mkdir()
    made = Scene(settings, folder)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_no_acknowledged_job_is_lost_by_kills_at_any_moment(scene: Scene) -> None:
    """100 jobs, the process killed 0 to 100 ms after an acknowledgement and again and again while it works."""
    moments = random.Random(18)
    process = scene.process()
    while len(scene.acked) < 100:
        scene.tell(process, f"submit {100 - len(scene.acked)} {STEPS}")
        for _ in range(moments.randrange(1, 40)):
            if len(scene.acked) == 100:
                break
            scene.hear(process)
        time.sleep(moments.uniform(0, 0.1))  # the moment is what is tested, not waited for
        scene.kill(process)
        process = scene.process()
    for _ in range(4):
        time.sleep(moments.uniform(0, 0.1))
        scene.kill(process)
        process = scene.process()
    scene.drain(process)
    scene.check()


def test_another_process_finishes_the_jobs_of_one_that_was_killed(scene: Scene) -> None:
    """20 jobs are in the middle when their process is killed."""
    doomed, heir = scene.process(concurrent_jobs=20), scene.process(concurrent_jobs=2)
    scene.halfway(doomed, 20)
    scene.kill(doomed)
    scene.go()
    scene.drain(heir)
    scene.check()


def test_a_process_that_hung_longer_than_its_lease_changes_nothing_when_it_comes_back(scene: Scene) -> None:
    hung, heir = scene.process(concurrent_jobs=20, lease_s=1), scene.process(concurrent_jobs=20, lease_s=1)
    scene.stop(heir)
    scene.halfway(hung, 20)
    scene.hang(hung)
    os.kill(heir.pid, signal.SIGCONT)
    scene.go()
    scene.drain(heir)
    os.kill(hung.pid, signal.SIGCONT)
    scene.check()
    scene.drain(hung)
    scene.tell(hung, "quit")
    assert hung.wait() == 0
    scene.check()
