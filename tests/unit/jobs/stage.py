"""Kinds of jobs for tests: one whose every step the test lets pass, and one that does what it is told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import Database
from amonsul.database.jobs import Job, State
from amonsul.errors import AmonsulError, NetworkProtocolError
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kind, Kinds, Progress, Running
from amonsul.jobs.settings import JobsSettings

PATIENCE_S = 120.0
"""Longest wait for something that must happen; no test passes or fails by it."""

DIMSE_PAYLOAD = {"Type": "Dimse", "Content": {"DimseErrorStatus": 42752}}


@dataclass(frozen=True, slots=True)
class Play:
    """Arguments of a job on a stage: so many steps under a name."""

    name: str = "play"
    steps: int = 3


class Stage:
    """Where jobs wait before each step until the test lets them pass."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed: Counter[str] = Counter()
        self._waiting: set[tuple[str, int]] = set()
        self.open = False
        self.taken: list[tuple[str, int]] = []

    def let(self, name: str, steps: int = 1) -> None:
        """Let a job take so many steps more."""
        with self._changed:
            self._allowed[name] += steps
            self._changed.notify_all()

    def let_all(self) -> None:
        """Let all jobs go."""
        with self._changed:
            self.open = True
            self._changed.notify_all()

    def await_job(self, name: str, step: int = 0) -> None:
        """Return when a job stands before a step, counted from 0."""
        with self._changed:
            assert self._changed.wait_for(lambda: (name, step) in self._waiting, PATIENCE_S), f"{name} does not come"

    def step(self, name: str, step: int) -> None:
        """Called by the job."""
        with self._changed:
            self._waiting.add((name, step))
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.open or self._allowed[name] > 0, PATIENCE_S)
            if not self.open:
                self._allowed[name] -= 1
            self._waiting.discard((name, step))
            self.taken.append((name, step))

    def run(self, arguments: Play, job: Running) -> Iterator[Progress]:
        """Run the job."""
        for step in range(job.checkpoint or 0, arguments.steps):
            self.step(arguments.name, step)
            job.content["Steps"] = [*job.content["Steps"], step]
            yield Progress(step + 1, arguments.steps, step + 1)

    @property
    def kind(self) -> Kind[Play]:
        """The kind."""
        return Kind("Play", Play, self.run, lambda arguments: {"Name": arguments.name, "Steps": []})


@dataclass(frozen=True, slots=True)
class Script:
    """Arguments of a job that does what it is told, a word for each step.

    `ok`; `refuse`: a network error; `dimse`: one with a payload; `bug`; `output`: keep a file with the step in it;
    `flaky`: a network error the first time.
    """

    words: tuple[str, ...] = ("ok",)
    permissive: bool = False


class Troupe:
    """Runs scripts, and remembers what was done."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self._failed: set[tuple[str, int]] = set()

    def run(self, arguments: Script, job: Running) -> Iterator[Progress]:
        """Run the job."""
        for step in range(job.checkpoint or 0, len(arguments.words)):
            with job.item(arguments.permissive):
                self._do(arguments.words[step], step, job)
            yield Progress(step + 1, len(arguments.words), step + 1)
        job.content["Result"] = "done"

    def _do(self, word: str, step: int, job: Running) -> None:
        key = (job.job_id, step)
        match word:
            case "refuse":
                raise NetworkProtocolError("the remote refused")
            case "dimse":
                raise NetworkProtocolError("the remote refused", DIMSE_PAYLOAD)
            case "bug":
                raise KeyError("Doe^John")
            case "output":
                job.keep_output("archive", Spooled.of(b"step %d" % step), "application/zip", "Archive.zip")
            case "flaky" if key not in self._failed:
                self._failed.add(key)
                raise NetworkProtocolError("the remote was away")
        self.done.append(key)

    @property
    def kind(self) -> Kind[Script]:
        """The kind."""
        return Kind(
            "Script",
            Script,
            self.run,
            lambda _: {"Description": "REST API", "FailedInstancesCount": 0},
            may_pass=lambda error: isinstance(error, NetworkProtocolError),
        )


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Theatre:
    """Engines on one database, with their stages; all are stopped at the end."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.archive = Archive(database, MemoryBlobs())
        self.stage = Stage()
        self.troupe = Troupe()
        self._engines: list[JobEngine] = []

    def engine(
        self,
        settings: JobsSettings | None = None,
        *,
        start: bool = True,
        clock: Callable[[], float] | None = None,
        worker_place: str | None = None,
        archive: Archive | None = None,
    ) -> JobEngine:
        """A new engine."""
        kinds = Kinds([self.stage.kind, self.troupe.kind])
        settings = settings or JobsSettings(history_size=1000)
        more = {} if clock is None else {"clock": clock}
        made = JobEngine(archive or self.archive, kinds, settings, worker_place=worker_place, **more)
        self._engines.append(made)
        if start:
            made.start()
        return made

    def close(self) -> None:
        """Stop all engines."""
        self.stage.let_all()
        for engine in self._engines:
            engine.stop(PATIENCE_S)


def until(condition: Callable[[], bool]) -> None:
    """Return when something is so that must become so."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not happen")


def until_state(engine: JobEngine, job_id: str, state: State) -> Job:
    """Return the job when it is in a state."""
    until(lambda: engine.get(job_id).state is state)
    return engine.get(job_id)


def failure_of(engine: JobEngine, job_id: str) -> AmonsulError:
    """The error that a job ends with."""
    try:
        engine.wait(job_id, PATIENCE_S)
    except AmonsulError as error:
        return error
    raise AssertionError("the job did not fail")
