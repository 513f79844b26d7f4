"""Upkeep: one job of its kind in the whole archive, beside those that people wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import Database
from amonsul.database.jobs import State
from amonsul.errors import JobCanceled
from amonsul.jobs.commands import Command
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kind, Kinds, Progress, Running
from amonsul.jobs.settings import JobsSettings
from tests.unit.jobs.stage import PATIENCE_S, Play, Stage


@dataclass(frozen=True, slots=True)
class Tidy:
    """Arguments of upkeep."""

    steps: int = 2


class House:
    """Engines on one database, whose upkeep stands on a stage."""

    def __init__(self, database: Database) -> None:
        self.archive = Archive(database, MemoryBlobs())
        self.stage = Stage()
        self._engines: list[JobEngine] = []

    def engine(self, *, start: bool = True) -> JobEngine:
        """A new engine with a single hand."""
        upkeep = Kind("Tidy", Tidy, self._tidy, lambda _: {}, is_upkeep=True)
        settings = JobsSettings(concurrent_jobs=1, history_size=100, poll_s=0.05)
        made = JobEngine(self.archive, Kinds([upkeep, self.stage.kind]), settings)
        self._engines.append(made)
        if start:
            made.start()
        return made

    def _tidy(self, arguments: Tidy, job: Running) -> Iterator[Progress]:
        for step in range(job.checkpoint or 0, arguments.steps):
            self.stage.step("tidy", step)
            progress = Progress(step + 1, arguments.steps, step + 1)
            yield progress
            if job.wait(PATIENCE_S if step == 0 and not self.stage.open else 0):
                yield progress  # where what was asked is heeded

    def close(self) -> None:
        """Stop all engines."""
        self.stage.let_all()
        for engine in self._engines:
            engine.stop()


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    made = House(database)
    yield made
    made.close()


def test_whoever_asks_again_is_told_of_the_job_there_is(house: House) -> None:
    first, second = house.engine(start=False), house.engine(start=False)
    job_id = first.submit(Tidy())
    assert {first.submit(Tidy()), second.submit(Tidy())} == {job_id}
    house.stage.let_all()
    second.start()
    assert second.wait(job_id).state is State.SUCCESS
    assert second.submit(Tidy()) != job_id


def test_upkeep_takes_no_hand_from_others(house: House) -> None:
    engine = house.engine()
    upkeep = engine.submit(Tidy())
    house.stage.await_job("tidy")
    house.stage.let("play", 3)
    assert engine.wait(engine.submit(Play())).state is State.SUCCESS
    assert engine.get(upkeep).state is State.RUNNING


def test_a_pause_in_the_work_ends_when_something_is_asked(house: House) -> None:
    engine = house.engine()
    upkeep = engine.submit(Tidy())
    house.stage.await_job("tidy")
    house.stage.let("tidy")
    assert engine.command(upkeep, Command.CANCEL)
    with pytest.raises(JobCanceled):
        engine.wait(upkeep)
    assert engine.get(upkeep).state is State.FAILURE


def test_upkeep_goes_on_elsewhere_when_its_process_stops(house: House) -> None:
    engine = house.engine()
    upkeep = engine.submit(Tidy())
    house.stage.await_job("tidy")
    house.stage.let_all()
    engine.stop()
    other = house.engine()
    assert other.wait(upkeep).state is State.SUCCESS
    assert sorted(set(house.stage.taken)) == [("tidy", 0), ("tidy", 1)]
