"""Rows of jobs against a model: whatever processes do in whatever order, both tell the same story.

Three processes claim, save, end, give back and die, come back from the dead and go on writing, while clients command.
The model is the state machine in plain Python, in which a process that lost a job changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from amonsul.database import Database, PostgresSettings, SqliteSettings, Transaction, job_workers, jobs, open_database
from amonsul.database.job_workers import Orphaned
from amonsul.database.jobs import Failure, Hold, NewJob, Saved, State, Wish
from amonsul.jobs.commands import Command, apply
from amonsul.jobs.failures import CANCELED, CRASHED
from amonsul.jobs.kind import Kinds

WORKERS = ("a", "b", "c")
FAILED = Failure(9, "Error in the network protocol", "refused", {"Type": "Dimse"})
HISTORY = 4
TAKEOVERS = 2


@dataclass
class Model:
    """A job as it should be."""

    job_id: str
    priority: int
    order: int
    state: State = State.PENDING
    wish: Wish = Wish.NONE
    owner: str | None = None
    fence: int = 0
    done: int = 0
    checkpoint: str | None = None
    code: int = 0
    ended: int = 0
    takeovers: int = 0
    attempt: int = 0


@dataclass
class Grip:
    """What a process believes to hold."""

    worker: str
    job_id: str
    hold: Hold
    done: int = field(default=0)


class JobsMachine(RuleBasedStateMachine):
    """The database and the model, driven side by side."""

    database: Database
    grips = Bundle("grips")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.count = 0
        self.endings = 0
        self.database.write(self._empty)

    @staticmethod
    def _empty(transaction: Transaction) -> None:
        for table in ("jobs", "job_arguments", "job_outputs", "job_workers"):
            transaction.run(f"DELETE FROM {table}")

    # ---------------------------------------------------------------------------------------------------- clients

    def _new(self, priority: int) -> NewJob:
        self.count += 1
        job_id = f"job-{self.count}"
        self.models[job_id] = Model(job_id, priority, self.count)
        return NewJob(job_id, "Kind", 1, "{}", '{"First":1}', priority, None, 3, "20240101T000000.000000", "a")

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        new = self._new(priority)
        self.database.write(lambda tx: jobs.insert(tx, new))

    @rule(target=grips, worker=st.sampled_from(WORKERS))
    def submit_and_run(self, worker: str) -> Grip:
        new = self._new(0)
        hold = self.database.write(lambda tx: jobs.insert_claimed(tx, new, worker, "place"))
        model = self.models[new.job_id]
        model.state, model.owner, model.fence = State.RUNNING, worker, 1
        return Grip(worker, new.job_id, hold)

    @rule(number=st.integers(0, 12), command=st.sampled_from(Command))
    def command(self, number: int, command: Command) -> None:
        job_id = f"job-{number}"
        done = self.database.write(lambda tx: apply(tx, job_id, command, Kinds([]), "now", HISTORY))
        assert (done is not None) == self._command(self.models.get(job_id), command)

    def _command(self, model: Model | None, command: Command) -> bool:
        if model is None:
            return False
        waiting = model.state in (State.PENDING, State.RETRY, State.PAUSED)
        match command:
            case Command.PAUSE if model.state is State.RUNNING:
                model.wish = model.wish if model.wish is Wish.CANCEL else Wish.PAUSE
            case Command.PAUSE if waiting:
                model.state = State.PAUSED
            case Command.CANCEL if model.state is State.RUNNING:
                model.wish = Wish.CANCEL
            case Command.CANCEL if waiting:
                self._end(model, CANCELED.code)
            case Command.RESUME:
                if model.state is not State.PAUSED:
                    return False
                model.state, model.attempt, model.code = State.PENDING, 0, 0
            case Command.RESUBMIT:
                if model.state is not State.FAILURE:
                    return False
                model.state, model.code, model.done, model.checkpoint = State.PENDING, 0, 0, None
                model.ended = model.takeovers = 0
        return True

    @rule(number=st.integers(0, 12))
    def delete(self, number: int) -> None:
        model = self.models.get(f"job-{number}")
        if model is not None and model.state.ended:
            job_id = model.job_id

            def work(tx: Transaction) -> None:
                job = jobs.find(tx, job_id)
                assert job is not None
                jobs.delete(tx, job)

            self.database.write(work)
            del self.models[job_id]

    # -------------------------------------------------------------------------------------------------- processes

    @rule(target=grips, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> Grip:
        claimed = self.database.write(lambda tx: jobs.claim(tx, ["Kind"], worker, "place"))
        waiting = [model for model in self.models.values() if model.state is State.PENDING]
        if not waiting:
            assert claimed is None
            return Grip(worker, "none", Hold(-1, -1))
        expected = min(waiting, key=lambda model: (-model.priority, model.order))
        assert claimed is not None
        assert claimed.job.job_id == expected.job_id
        assert claimed.checkpoint == expected.checkpoint
        expected.state, expected.owner, expected.wish, expected.code = State.RUNNING, worker, Wish.NONE, 0
        expected.fence += 1
        assert claimed.hold.fence == expected.fence
        return Grip(worker, expected.job_id, claimed.hold, expected.done)

    def _held(self, grip: Grip) -> Model | None:
        """The model of a job that is still its holder's."""
        model = self.models.get(grip.job_id)
        return model if model and model.state is State.RUNNING and model.fence == grip.hold.fence else None

    def _saved(self, grip: Grip) -> Saved:
        return Saved(grip.done, 9, f'"{grip.done}"', "{}", 5)

    def _keep(self, model: Model, grip: Grip) -> None:
        if grip.done > model.done:
            model.takeovers = 0
        model.done, model.checkpoint = grip.done, f'"{grip.done}"'

    @rule(grip=grips)
    def save(self, grip: Grip) -> None:
        grip.done += 1
        asked = self.database.write(lambda tx: jobs.save(tx, grip.hold, self._saved(grip)))
        model = self._held(grip)
        assert asked == (model.wish if model else None)
        if model:
            self._keep(model, grip)

    @rule(grip=grips, failure=st.sampled_from([None, FAILED]))
    def end(self, grip: Grip, failure: Failure | None) -> None:
        gone = self.database.write(lambda tx: jobs.end(tx, grip.hold, self._saved(grip), failure, "now", HISTORY))
        model = self._held(grip)
        assert (gone is None) == (model is None)
        if model:
            self._keep(model, grip)
            self._end(model, failure.code if failure else 0, State.FAILURE if failure else State.SUCCESS)

    @rule(grip=grips, state=st.sampled_from([State.PENDING, State.PAUSED, State.RETRY]))
    def give_back(self, grip: Grip, state: State) -> None:
        failure = FAILED if state is State.RETRY else None
        attempt = 1 if failure else 0
        given = self.database.write(
            lambda tx: jobs.release(tx, grip.hold, self._saved(grip), state, failure, attempt, 100)
        )
        model = self._held(grip)
        assert given == (model is not None)
        if model:
            self._keep(model, grip)
            model.state, model.wish, model.owner, model.attempt = state, Wish.NONE, None, attempt
            model.code = failure.code if failure else 0

    @rule()
    def end_rests(self) -> None:
        with self.database.read() as tx:
            seen = job_workers.glance(tx, "a", ["Kind"], 5)
        assert seen.waiting == min(5, sum(model.state is State.PENDING for model in self.models.values()))
        for rest in seen.resting:
            self.database.write(partial(jobs.wake, hold=rest.hold))
        for model in self.models.values():
            if model.state is State.RETRY:
                model.state = State.PENDING

    @rule(dead=st.sampled_from(WORKERS), beaten=st.booleans())
    def take_over(self, dead: str, beaten: bool) -> None:
        with self.database.read() as tx:
            seen = [worker for worker in job_workers.other_workers(tx, "watcher") if worker.worker == dead]
        theirs = [model for model in self.models.values() if model.state is State.RUNNING and model.owner == dead]
        assert bool(seen) == bool(theirs)
        if not seen:
            return
        if beaten:
            ours = self.database.write(lambda tx: job_workers.beat(tx, dead, "place"))
            assert sorted(hold.fence for hold in ours) == sorted(model.fence for model in theirs)
        orphaned = Orphaned(CANCELED, CRASHED, "now", TAKEOVERS, HISTORY)
        taken = self.database.write(lambda tx: job_workers.take_over(tx, seen[0], orphaned))
        if beaten:
            assert taken is None
            return
        assert taken is not None
        assert taken[0] == len(theirs)
        for model in sorted(theirs, key=lambda model: model.order):
            model.takeovers += 1
            model.fence += 1
            if model.wish is Wish.CANCEL or model.takeovers > TAKEOVERS:
                self._end(model, CANCELED.code if model.wish is Wish.CANCEL else CRASHED.code)
            else:
                model.state = State.PAUSED if model.wish is Wish.PAUSE else State.PENDING
                model.owner, model.wish = None, Wish.NONE

    @rule()
    def leave(self) -> None:
        self.database.write(job_workers.leave)

    def _end(self, model: Model, code: int, state: State = State.FAILURE) -> None:
        model.ended = 1 + max((other.ended for other in self.models.values()), default=0)
        model.state, model.code, model.owner, model.wish, model.attempt = state, code, None, Wish.NONE, 0
        ended = sorted((one for one in self.models.values() if one.ended), key=lambda one: -one.ended)
        for forgotten in ended[HISTORY:]:
            del self.models[forgotten.job_id]

    # -------------------------------------------------------------------------------------------------- the story

    @invariant()
    def both_tell_the_same(self) -> None:
        with self.database.read() as tx:
            found = jobs.page(tx)
            arguments = tx.one("SELECT count(*) FROM job_arguments")
        expected = sorted(self.models.values(), key=lambda model: model.order)
        assert [
            (job.job_id, job.state, job.wish, job.owner, job.done, job.failure.code, job.attempt) for job in found
        ] == [
            (model.job_id, model.state, model.wish, model.owner, model.done, model.code, model.attempt)
            for model in expected
        ]
        assert arguments == (len(expected),)
        assert all((job.completed_at is not None) == job.state.ended for job in found)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Database]:
    if request.param == "sqlite":
        opened = open_database(SqliteSettings(request.getfixturevalue("tmp_path") / "index.db", synchronous=False))
    else:
        server = request.getfixturevalue("postgresql_server")
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE jobs_model TEMPLATE template0")
        opened = open_database(PostgresSettings(f"{server} dbname=jobs_model"))
    yield opened
    opened.close()


def test_rows_and_model_tell_the_same_story(database: Database) -> None:
    machine = type("Machine", (JobsMachine,), {"database": database})
    examples = 150 if database.dialect.name == "sqlite" else 40
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
