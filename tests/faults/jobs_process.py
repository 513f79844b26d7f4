"""A process with a jobs engine, to be killed. It is told what to do on its standard input, a line at a time.

    submit N STEPS    submits N jobs; prints `acked ID` for each as soon as its identifier is known
    halt N STEPS      the same, but each halts after half of its steps until the folder has a neighbour `.go`
    drain             prints `drained` when no job waits or runs any more
    quit              stops cleanly

Each step has two effects. One is outside the database and carries its key, as a C-STORE carries its SOP Instance UID: a
file that is created or found. The other is written with the progress: a counter in the database.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import PostgresSettings, SqliteSettings, Transaction, open_database
from amonsul.database.jobs import State
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kind, Kinds, Progress, Running
from amonsul.jobs.settings import JobsSettings

COUNT = "SELECT name, value FROM properties WHERE name LIKE 'effect/%'"


@dataclass(frozen=True, slots=True)
class Work:
    """Arguments of a job: its effects."""

    folder: str
    steps: int
    halt: bool = False


def _count(transaction: Transaction, key: str) -> None:
    transaction.run(
        "INSERT INTO properties (name, value) VALUES (:name, '1') "
        "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(properties.value AS INTEGER) + 1 AS TEXT)",
        name=f"effect/{key}",
    )


def _work(arguments: Work, job: Running) -> Iterator[Progress]:
    for step in range(job.checkpoint or 0, arguments.steps):
        while arguments.halt and step == arguments.steps // 2 and not Path(arguments.folder + ".go").exists():
            threading.Event().wait(0.01)
        key = f"{job.job_id}.{step}"
        Path(arguments.folder, key).touch()
        progress = Progress(step + 1, arguments.steps, step + 1)
        job.write(partial(_count, key=key), progress)
        yield progress


def main(where: str, folder: str, concurrent_jobs: int, lease_s: float) -> None:
    """Serve the standard input."""
    settings = PostgresSettings(where) if "host=" in where else SqliteSettings(Path(where))
    database = open_database(settings)
    kind = Kind("Work", Work, _work, lambda _: {})
    engine = JobEngine(
        Archive(database, MemoryBlobs()),
        Kinds([kind]),
        JobsSettings(
            concurrent_jobs=concurrent_jobs, history_size=10_000, poll_s=0.1, lease_s=lease_s, maximum_takeovers=1000
        ),
    )
    engine.start()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["submit" | "halt" as what, number, steps]:
                for _ in range(int(number)):
                    print("acked", engine.submit(Work(folder, int(steps), what == "halt")), flush=True)
            case ["drain"]:
                pause = threading.Event()
                while (counts := engine.counts())[State.PENDING] or counts[State.RUNNING]:
                    pause.wait(0.02)
                print("drained", flush=True)
            case ["quit"]:
                break
    engine.stop()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
