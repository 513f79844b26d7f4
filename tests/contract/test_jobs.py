"""What the jobs engine promises, on both databases."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psycopg
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import (
    CommitUncertain,
    Database,
    DatabaseSettings,
    PostgresSettings,
    SqliteSettings,
    Transaction,
    job_workers,
    jobs,
    open_database,
)
from amonsul.database.jobs import Job, State
from amonsul.errors import (
    AmonsulError,
    InexistentItem,
    InternalError,
    JobCanceled,
    NetworkProtocolError,
    Unavailable,
)
from amonsul.jobs import place
from amonsul.jobs.commands import Command
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kind, Kinds, Progress, Running
from amonsul.jobs.settings import JobsSettings
from tests.unit.jobs.stage import (
    DIMSE_PAYLOAD,
    PATIENCE_S,
    Clock,
    Play,
    Script,
    Theatre,
    failure_of,
    until,
    until_state,
)

T = TypeVar("T")

GONE = "another-boot/pid:[1] 1 1"
"""A place of which nothing can be told from here."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DatabaseSettings:
    """Where the database of this module is; making one for each test would take most of the time."""
    if request.param == "sqlite":
        return SqliteSettings(tmp_path_factory.mktemp("jobs") / "index.db")
    server = request.getfixturevalue("postgresql_server")
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE jobs TEMPLATE template0")
    return PostgresSettings(f"{server} dbname=jobs")


@pytest.fixture
def theatre(settings: DatabaseSettings) -> Iterator[Theatre]:
    database = open_database(settings)
    database.write(_empty)
    made = Theatre(database)
    yield made
    made.close()
    database.close()


def _empty(transaction: Transaction) -> None:
    for table in ("jobs", "job_arguments", "job_outputs", "job_workers", "tombstones"):
        transaction.run(f"DELETE FROM {table}")


# ----------------------------------------------------------------------------------------------- submitting, running


def test_a_submitted_job_is_in_the_database_before_its_identifier_is_known(
    theatre: Theatre, settings: DatabaseSettings
) -> None:
    job_id = theatre.engine(start=False).submit(Play(), priority=7, user_data={"a": 1})
    other = open_database(settings)
    with other.read() as transaction:
        job = jobs.find(transaction, job_id)
    other.close()
    assert job is not None
    assert (job.kind, job.state, job.priority, job.user_data) == ("Play", State.PENDING, 7, {"a": 1})
    assert job.content == {"Name": "play", "Steps": []}
    assert job.completed_at is None


def test_a_job_runs_to_its_end(theatre: Theatre) -> None:
    engine = theatre.engine()
    job = engine.wait(engine.submit(Script(("ok", "ok"))))
    assert (job.state, job.percent, job.done, job.total) == (State.SUCCESS, 100, 2, 2)
    assert job.content == {"Description": "REST API", "FailedInstancesCount": 0, "Result": "done"}
    assert job.failure.code == 0
    assert job.completed_at is not None
    assert job.completed_at >= job.created_at
    assert engine.get(job.job_id) == job


def test_jobs_run_by_priority_then_by_age(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(concurrent_jobs=1, history_size=9), start=False)
    theatre.stage.let_all()
    for name, priority in (("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)):
        engine.submit(Play(name, steps=1), priority=priority)
    engine.start()
    until(lambda: engine.counts()[State.SUCCESS] == 5)
    assert [name for name, _ in theatre.stage.taken] == ["b", "d", "a", "e", "c"]


def test_no_more_jobs_run_at_once_than_allowed(theatre: Theatre) -> None:
    engine = theatre.engine()
    names = ("a", "b", "c")
    ids = [engine.submit(Play(name, steps=1)) for name in names]
    theatre.stage.await_job("a")
    theatre.stage.await_job("b")
    assert [engine.get(job_id).state for job_id in ids] == [State.RUNNING, State.RUNNING, State.PENDING]
    theatre.stage.let("a")
    theatre.stage.await_job("c")
    theatre.stage.let_all()
    assert engine.wait(ids[2]).state is State.SUCCESS


def test_a_job_of_an_unknown_kind_is_left_to_who_knows_it(theatre: Theatre) -> None:
    submitter = theatre.engine(start=False)
    job_id = submitter.submit(Play("foreign", steps=1))
    knows_less = JobEngine(theatre.archive, Kinds([theatre.troupe.kind]), JobsSettings(history_size=9))
    knows_less.start()
    assert knows_less.wait(knows_less.submit(Script())).state is State.SUCCESS
    assert knows_less.get(job_id).state is State.PENDING
    knows_less.stop()
    theatre.stage.let_all()
    submitter.start()
    assert submitter.wait(job_id).state is State.SUCCESS


def test_too_many_waiting_jobs_are_refused(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(maximum_pending=2), start=False)
    engine.submit(Play())
    engine.submit(Play())
    with pytest.raises(Unavailable, match="2 jobs wait"):
        engine.submit(Play())


def test_jobs_are_listed_in_order_of_submission_by_state_and_kind(theatre: Theatre) -> None:
    engine = theatre.engine(start=False)
    one, two, three = engine.submit(Play()), engine.submit(Script()), engine.submit(Play())
    engine.command(two, Command.PAUSE)
    assert engine.identifiers() == [one, two, three]
    assert engine.identifiers(states=[State.PENDING]) == [one, three]
    assert engine.identifiers(kinds=["Script"]) == [two]
    assert engine.identifiers(states=[State.PAUSED], kinds=["Play"]) == []
    assert engine.identifiers(since=1, limit=1) == [two]
    assert [job.job_id for job in engine.page(since=1)] == [two, three]
    assert engine.counts()[State.PENDING] == 2


# ------------------------------------------------------------------------------------------------------ synchronous


def test_a_synchronous_job_is_listed_while_it_runs(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(history_size=0))
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(engine.run(Play("s", steps=1), priority=3)))
    caller.start()
    theatre.stage.await_job("s")
    (job,) = engine.page()
    assert (job.state, job.priority) == (State.RUNNING, 3)
    theatre.stage.let_all()
    caller.join()
    (answer,) = answers
    assert getattr(answer, "state", None) is State.SUCCESS
    assert engine.identifiers() == []  # no history is wanted, and the caller got its answer


def test_a_synchronous_job_needs_no_free_hand(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(concurrent_jobs=1, history_size=9))
    engine.submit(Play("long"))
    theatre.stage.await_job("long")
    assert engine.run(Script()).state is State.SUCCESS


def test_a_synchronous_caller_gets_the_error_itself(theatre: Theatre) -> None:
    engine = theatre.engine()
    with pytest.raises(NetworkProtocolError, match="refused") as caught:
        engine.run(Script(("dimse",)))
    assert caught.value.payload == DIMSE_PAYLOAD
    (job,) = engine.page()
    assert (job.failure.code, job.failure.message) == (9, "Error in the network protocol")
    assert (job.failure.details, job.failure.payload) == ("the remote refused", DIMSE_PAYLOAD)


def test_a_synchronous_job_can_be_canceled(theatre: Theatre) -> None:
    engine = theatre.engine()
    errors: list[AmonsulError] = []

    def call() -> None:
        try:
            engine.run(Play("s"))
        except AmonsulError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    theatre.stage.await_job("s")
    (job_id,) = engine.identifiers()
    assert engine.command(job_id, Command.CANCEL)
    theatre.stage.let("s")
    caller.join()
    assert isinstance(errors[0], JobCanceled)
    assert theatre.stage.taken == [("s", 0)]


def test_a_synchronous_caller_waits_over_a_pause(theatre: Theatre) -> None:
    engine = theatre.engine()
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(engine.run(Play("s"))))
    caller.start()
    theatre.stage.await_job("s")
    (job_id,) = engine.identifiers()
    engine.command(job_id, Command.PAUSE)
    theatre.stage.let("s")
    until_state(engine, job_id, State.PAUSED)
    assert caller.is_alive()
    theatre.stage.let_all()
    assert engine.command(job_id, Command.RESUME)
    caller.join()
    assert len(answers) == 1
    assert [step for _, step in theatre.stage.taken] == [0, 1, 2]


def test_waiting_for_a_job_that_is_not_there_ends_at_once(theatre: Theatre) -> None:
    with pytest.raises(InexistentItem, match="No job found with this id: nope"):
        theatre.engine(start=False).wait("nope")


def test_waiting_may_be_bounded(theatre: Theatre) -> None:
    engine = theatre.engine(start=False)
    assert engine.wait(engine.submit(Play()), timeout_s=0).state is State.PENDING


# --------------------------------------------------------------------------------------------------------- commands


def test_a_paused_job_goes_on_where_it_was(theatre: Theatre) -> None:
    engine = theatre.engine()
    job_id = engine.submit(Play())
    theatre.stage.await_job("play")
    assert engine.command(job_id, Command.PAUSE)
    theatre.stage.let("play")
    paused = until_state(engine, job_id, State.PAUSED)
    assert (paused.done, paused.percent, paused.content["Steps"]) == (1, 33, [0])
    assert engine.command(job_id, Command.RESUME)
    theatre.stage.let_all()
    job = engine.wait(job_id)
    assert theatre.stage.taken == [("play", 0), ("play", 1), ("play", 2)]
    assert job.content["Steps"] == [0, 1, 2]


def test_a_pause_frees_the_hand(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(concurrent_jobs=1, history_size=9))
    first = engine.submit(Play("first"))
    second = engine.submit(Play("second", steps=1))
    theatre.stage.await_job("first")
    engine.command(first, Command.PAUSE)
    theatre.stage.let("first")
    theatre.stage.let("second")
    assert engine.wait(second).state is State.SUCCESS
    assert engine.get(first).state is State.PAUSED


def test_a_resubmitted_job_begins_anew(theatre: Theatre) -> None:
    engine = theatre.engine()
    job_id = engine.submit(Play())
    theatre.stage.await_job("play")
    engine.command(job_id, Command.CANCEL)
    theatre.stage.let("play")
    job = until_state(engine, job_id, State.FAILURE)
    assert (job.failure.code, job.failure.message, job.failure.details) == (37, "This job was canceled", "")
    assert (job.percent, job.content["Steps"]) == (33, [0])
    assert engine.command(job_id, Command.RESUBMIT)
    theatre.stage.await_job("play")
    running = engine.get(job_id)
    assert (running.failure.code, running.completed_at, running.content["Steps"]) == (0, None, [])
    theatre.stage.let_all()
    assert engine.wait(job_id).content["Steps"] == [0, 1, 2]


def test_the_end_prevails_over_a_pause(theatre: Theatre) -> None:
    engine = theatre.engine()
    job_id = engine.submit(Play())
    theatre.stage.await_job("play")
    for command in (Command.PAUSE, Command.CANCEL, Command.PAUSE):
        assert engine.command(job_id, command)
    theatre.stage.let("play")
    assert isinstance(failure_of(engine, job_id), JobCanceled)


def test_a_job_is_asked_from_another_process(theatre: Theatre) -> None:
    """That is, by another engine: they share nothing but the database."""
    here, elsewhere = theatre.engine(), theatre.engine(start=False)
    job_id = here.submit(Play())
    theatre.stage.await_job("play")
    assert elsewhere.command(job_id, Command.CANCEL)
    here.look_around()
    theatre.stage.let("play")
    assert isinstance(failure_of(elsewhere, job_id), JobCanceled)
    assert theatre.stage.taken == [("play", 0)]


STATES = {
    State.PENDING: ("ok", "ok", None, None),
    State.RUNNING: ("ok", "ok", None, None),
    State.PAUSED: ("ok", "ok", "ok", None),
    State.RETRY: ("ok", "ok", None, None),
    State.SUCCESS: ("ok", "ok", None, None),
    State.FAILURE: ("ok", "ok", None, "ok"),
}
AFTERWARDS = {
    (State.PENDING, Command.PAUSE): State.PAUSED,
    (State.PENDING, Command.CANCEL): State.FAILURE,
    (State.RUNNING, Command.PAUSE): State.PAUSED,
    (State.RUNNING, Command.CANCEL): State.FAILURE,
    (State.PAUSED, Command.CANCEL): State.FAILURE,
    (State.PAUSED, Command.RESUME): State.RUNNING,
    (State.RETRY, Command.PAUSE): State.PAUSED,
    (State.RETRY, Command.CANCEL): State.FAILURE,
    (State.FAILURE, Command.RESUBMIT): State.RUNNING,
}


@pytest.mark.parametrize("command", list(Command))
@pytest.mark.parametrize("state", list(State))
def test_every_command_in_every_state(theatre: Theatre, state: State, command: Command) -> None:
    engine = theatre.engine(JobsSettings(concurrent_jobs=1, history_size=9, retry_first_s=3600), start=False)
    job_id = _job_in(theatre, engine, state)
    accepted = engine.command(job_id, command)
    assert accepted == (STATES[state][list(Command).index(command)] == "ok")
    if state is State.RUNNING:
        theatre.stage.let("play")
    expected = AFTERWARDS.get((state, command), state)
    job = until_state(engine, job_id, expected)
    if expected is State.FAILURE and command is Command.CANCEL and state is not State.FAILURE:
        assert job.failure.code == 37
        assert job.completed_at is not None


def _job_in(theatre: Theatre, engine: JobEngine, state: State) -> str:
    """A job in some state; the only hand is busy with another if it would move on by itself."""
    stage = theatre.stage
    match state:
        case State.PENDING:
            engine.submit(Play("other"), priority=1)
            engine.start()
            stage.await_job("other")
            return engine.submit(Play())
        case State.RUNNING:
            engine.start()
            job_id = engine.submit(Play())
            stage.await_job("play")
            return job_id
        case State.PAUSED:
            job_id = engine.submit(Play())
            engine.command(job_id, Command.PAUSE)
            engine.start()
            return job_id
        case State.RETRY:
            engine.start()
            job_id = engine.submit(Script(("refuse",)), max_attempts=2)
            until_state(engine, job_id, State.RETRY)
            return job_id
        case State.SUCCESS:
            engine.start()
            return engine.run(Script()).job_id
        case State.FAILURE:
            job_id = engine.submit(Play())
            engine.command(job_id, Command.CANCEL)
            engine.start()
            return job_id


def test_a_command_to_no_job_is_refused(theatre: Theatre) -> None:
    engine = theatre.engine(start=False)
    assert not any(engine.command("nope", command) for command in Command)


# --------------------------------------------------------------------------------------------------------- failures


def test_a_bug_of_a_kind_fails_the_job_alone(theatre: Theatre) -> None:
    engine = theatre.engine()
    error = failure_of(engine, engine.submit(Script(("ok", "bug"))))
    assert isinstance(error, InternalError)
    assert "Doe" not in error.details
    assert engine.run(Script()).state is State.SUCCESS


def test_arguments_that_cannot_be_read_fail_the_job(theatre: Theatre) -> None:
    engine = theatre.engine(start=False)
    job_id = engine.submit(Script())

    def spoil(transaction: Transaction) -> None:
        transaction.run("UPDATE job_arguments SET arguments = '{\"words\": 1}'")

    theatre.database.write(spoil)
    engine.start()
    assert failure_of(engine, job_id).orthanc_status == 15


def test_a_permissive_job_counts_what_was_refused(theatre: Theatre) -> None:
    engine = theatre.engine()
    job = engine.run(Script(("refuse", "ok", "dimse"), permissive=True))
    assert (job.state, job.content["FailedInstancesCount"]) == (State.SUCCESS, 2)


def test_a_job_is_tried_again_where_it_failed(theatre: Theatre) -> None:
    clock = Clock()
    engine = theatre.engine(JobsSettings(history_size=9, retry_first_s=10), start=False, clock=clock)
    job_id = engine.submit(Script(("ok", "flaky", "ok")), max_attempts=2)
    engine.look_around()
    resting = until_state(engine, job_id, State.RETRY)
    assert (resting.done, resting.attempt, resting.failure.code) == (1, 1, 9)
    engine.look_around()  # seen for the first time
    clock.now += 5
    engine.look_around()
    assert engine.get(job_id).state is State.RETRY
    clock.now += 6.1
    engine.look_around()
    engine.look_around()
    job = engine.wait(job_id)
    assert (job.state, job.attempt, job.failure.code) == (State.SUCCESS, 0, 0)
    assert [step for _, step in theatre.troupe.done] == [0, 1, 2]


def test_a_permissive_job_is_tried_again_before_it_counts_what_was_refused(theatre: Theatre) -> None:
    clock = Clock()
    engine = theatre.engine(JobsSettings(history_size=9, retry_first_s=10), start=False, clock=clock)
    job_id = engine.submit(Script(("flaky", "refuse", "ok"), permissive=True), max_attempts=2)
    engine.look_around()
    resting = until_state(engine, job_id, State.RETRY)
    assert (resting.done, resting.content["FailedInstancesCount"]) == (0, 0)
    engine.look_around()
    clock.now += 12
    engine.look_around()
    engine.look_around()
    job = until_state(engine, job_id, State.SUCCESS)
    assert (job.done, job.content["FailedInstancesCount"]) == (3, 1)
    assert [step for _, step in theatre.troupe.done] == [0, 2]


def test_attempts_are_bounded(theatre: Theatre) -> None:
    clock = Clock()
    engine = theatre.engine(JobsSettings(history_size=9, retry_first_s=10), start=False, clock=clock)
    job_id = engine.submit(Script(("refuse",)), max_attempts=3)
    waits = []
    for _ in range(2):
        engine.look_around()
        resting = until_state(engine, job_id, State.RETRY)
        waits.append(resting.retry_after_ms)
        engine.look_around()
        clock.now += resting.retry_after_ms / 1000 + 0.1
        engine.look_around()
    engine.look_around()
    job = until_state(engine, job_id, State.FAILURE)
    assert (job.failure.code, job.failure.details) == (9, "the remote refused")
    assert 9000 <= waits[0] <= 11000
    assert 18000 <= waits[1] <= 22000


def test_one_attempt_means_no_retry(theatre: Theatre) -> None:
    engine = theatre.engine()
    assert isinstance(failure_of(engine, engine.submit(Script(("refuse",)))), NetworkProtocolError)


# ------------------------------------------------------------------------------------------------ history and outputs


def test_only_so_many_ended_jobs_are_remembered(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(history_size=2))
    waiting = theatre.engine(start=False).submit(Play())
    engine.command(waiting, Command.PAUSE)
    ids = [engine.run(Script()).job_id for _ in range(4)]
    assert engine.identifiers() == [waiting, *ids[2:]]


def test_an_ended_job_can_be_forgotten_and_no_other(theatre: Theatre) -> None:
    engine = theatre.engine(start=False)
    waiting = engine.submit(Play())
    with pytest.raises(InexistentItem, match=waiting):
        engine.delete(waiting)
    engine.command(waiting, Command.CANCEL)
    engine.delete(waiting)
    with pytest.raises(InexistentItem):
        engine.get(waiting)
    with pytest.raises(InexistentItem):
        engine.delete("nope")


def test_ended_jobs_are_purged_by_state_and_kind(theatre: Theatre) -> None:
    engine = theatre.engine()
    good, bad = engine.run(Script()).job_id, engine.submit(Script(("refuse",)))
    failure_of(engine, bad)
    paused = engine.submit(Play())
    engine.command(paused, Command.PAUSE)
    theatre.stage.let_all()
    until(lambda: engine.get(paused).state is not State.RUNNING)
    assert engine.purge(states=[State.PENDING, State.PAUSED, State.RUNNING]) == 0
    assert engine.purge(kinds=["Other"]) == 0
    assert engine.purge(states=[State.FAILURE]) == 1
    assert good in engine.identifiers()
    assert bad not in engine.identifiers()
    engine.purge()
    assert good not in engine.identifiers()


def _blobs(theatre: Theatre) -> list[str]:
    return [blob for blob, _ in theatre.archive.blobs.scan()]


def _tombstones(theatre: Theatre) -> int:
    with theatre.database.read() as transaction:
        row = transaction.one("SELECT count(*) FROM tombstones")
    assert row is not None
    return int(row[0])


def test_a_file_that_a_job_made_can_be_read_and_removed(theatre: Theatre) -> None:
    engine = theatre.engine()
    job_id = engine.run(Script(("ok", "output"))).job_id
    output = engine.output(job_id, "archive")
    assert (output.size, output.media_type, output.filename) == (6, "application/zip", "Archive.zip")
    assert output.read() == b"".join(output.chunks()) == b"step 1"
    for wrong in (("nope", "archive"), (job_id, "nope")):
        with pytest.raises(InexistentItem, match=f"Job has no such output: {wrong[1]}"):
            engine.output(*wrong)
    engine.delete_output(job_id, "archive")
    with pytest.raises(InexistentItem):
        engine.output(job_id, "archive")
    with pytest.raises(InexistentItem):
        engine.delete_output(job_id, "archive")
    assert _blobs(theatre) == []
    assert _tombstones(theatre) == 0


def test_only_so_many_files_are_kept(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(outputs_kept=2, history_size=9))
    ids = [engine.run(Script(("output",))).job_id for _ in range(3)]
    with pytest.raises(InexistentItem):
        engine.output(ids[0], "archive")
    assert engine.output(ids[1], "archive").read() == engine.output(ids[2], "archive").read() == b"step 0"
    assert len(_blobs(theatre)) == 2
    assert len(engine.identifiers()) == 3


def test_a_file_goes_with_its_job(theatre: Theatre) -> None:
    engine = theatre.engine(JobsSettings(outputs_kept=9, history_size=1))
    engine.run(Script(("output",)))
    job_id = engine.run(Script(("output",))).job_id
    assert len(_blobs(theatre)) == 1
    engine.delete(job_id)
    assert _blobs(theatre) == []
    assert _tombstones(theatre) == 0


def test_a_file_made_again_takes_the_place_of_the_first(theatre: Theatre) -> None:
    engine = theatre.engine()
    job_id = engine.run(Script(("output", "output"))).job_id
    assert engine.output(job_id, "archive").read() == b"step 1"
    assert len(_blobs(theatre)) == 1


# ----------------------------------------------------------------------------------------------- stopping, starting


def test_jobs_outlive_a_stop_and_go_on(theatre: Theatre) -> None:
    first = theatre.engine()
    running, waiting = first.submit(Play("r")), first.submit(Play("w", steps=1))
    theatre.stage.await_job("r")
    theatre.stage.await_job("w")
    stopper = threading.Thread(target=first.stop, args=(PATIENCE_S,))
    stopper.start()
    until(lambda: first._stopping)
    theatre.stage.let("r")
    theatre.stage.let("w")
    stopper.join()
    second = theatre.engine(start=False)
    assert second.get(running).state is State.PENDING
    assert second.get(running).done == 1
    theatre.stage.let_all()
    second.start()
    assert second.wait(running).state is second.wait(waiting).state is State.SUCCESS
    assert Counter(theatre.stage.taken) == Counter([("r", 0), ("r", 1), ("r", 2), ("w", 0)])


def test_a_synchronous_caller_hears_of_a_stop(theatre: Theatre) -> None:
    engine = theatre.engine()
    errors: list[AmonsulError] = []

    def call() -> None:
        try:
            engine.run(Play("s"))
        except AmonsulError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    theatre.stage.await_job("s")
    stopper = threading.Thread(target=engine.stop, args=(PATIENCE_S,))
    stopper.start()
    until(lambda: engine._stopping)
    theatre.stage.let("s")
    stopper.join()
    caller.join()
    assert isinstance(errors[0], Unavailable)
    (job,) = engine.page()
    assert (job.state, job.done) == (State.PENDING, 1)
    with pytest.raises(Unavailable):
        engine.run(Script())


def test_without_save_jobs_a_stop_forgets_what_was_submitted_here(theatre: Theatre) -> None:
    other = theatre.engine(start=False)
    kept = other.submit(Play())
    engine = theatre.engine(JobsSettings(save_jobs=False, history_size=9), start=False)
    engine.submit(Play())
    engine.command(kept, Command.PAUSE)
    engine.start()
    engine.run(Script(("output",)))
    theatre.stage.let_all()
    engine.stop()
    assert other.identifiers() == [kept]
    assert _blobs(theatre) == []


# -------------------------------------------------------------------------------------- processes that are gone or not


def test_jobs_of_a_process_that_is_gone_from_this_machine_go_on_at_once(theatre: Theatre) -> None:
    machine, number, started = place.here().split(" ")
    dead = theatre.engine(start=False, worker_place=f"{machine} {number} {int(started) - 1}")
    job_id = dead.submit(Play())
    dead.look_around()
    theatre.stage.await_job("play")
    alive = theatre.engine(start=False)
    alive.look_around()
    assert alive.get(job_id).state is State.PENDING


def test_jobs_of_a_silent_process_are_taken_over_after_the_lease(theatre: Theatre) -> None:
    clock = Clock()
    silent = theatre.engine(JobsSettings(history_size=9, lease_s=15), start=False, clock=clock, worker_place=GONE)
    job_id = silent.submit(Play())
    silent.look_around()
    theatre.stage.await_job("play")
    watcher_clock = Clock()
    watcher = theatre.engine(JobsSettings(history_size=9, lease_s=15), start=False, clock=watcher_clock)
    watcher.look_around()
    watcher_clock.now += 14
    watcher.look_around()
    assert watcher.get(job_id).state is State.RUNNING
    clock.now += 4
    silent.look_around()  # a sign of life
    watcher_clock.now += 2
    watcher.look_around()
    assert watcher.get(job_id).state is State.RUNNING
    watcher_clock.now += 15
    watcher.look_around()
    assert watcher.get(job_id).state is State.PENDING


def test_a_process_that_was_taken_for_dead_takes_no_further_step_and_writes_nothing(theatre: Theatre) -> None:
    clock, heirs_clock = Clock(), Clock()
    settings = JobsSettings(history_size=9, lease_s=15, checkpoint_s=1e9)
    zombie = theatre.engine(settings, start=False, clock=clock, worker_place=GONE)
    heir = theatre.engine(settings, start=False, clock=heirs_clock)
    answers: list[Job] = []
    caller = threading.Thread(target=lambda: answers.append(zombie.run(Play())))
    caller.start()
    theatre.stage.await_job("play")
    heir.look_around()
    heirs_clock.now += 15
    heir.look_around()  # frees it
    (first,) = zombie._runs
    clock.now += 15  # the zombie was asleep as long
    theatre.stage.let("play")  # it finishes the step in which it was
    until(lambda: ("play", 0) in theatre.stage.taken)
    zombie.look_around()
    until(lambda: first not in zombie._runs)
    (job_id,) = heir.identifiers()
    assert (heir.get(job_id).done, heir.get(job_id).content["Steps"]) == (0, [])
    theatre.stage.let_all()
    heir.start()
    caller.join()
    assert answers[0].content["Steps"] == [0, 1, 2]
    assert theatre.stage.taken == [("play", 0), ("play", 0), ("play", 1), ("play", 2)]


def test_what_was_asked_of_a_job_whose_process_is_gone_still_counts(theatre: Theatre) -> None:
    clock, watcher_clock = Clock(), Clock()
    dead = theatre.engine(JobsSettings(history_size=9), start=False, clock=clock, worker_place=GONE)
    paused, canceled = dead.submit(Play("p")), dead.submit(Play("c"))
    dead.look_around()
    theatre.stage.await_job("p")
    theatre.stage.await_job("c")
    watcher = theatre.engine(JobsSettings(history_size=9), start=False, clock=watcher_clock)
    watcher.command(paused, Command.PAUSE)
    watcher.command(canceled, Command.CANCEL)
    watcher.look_around()
    watcher_clock.now += 15
    watcher.look_around()
    assert watcher.get(paused).state is State.PAUSED
    assert (watcher.get(canceled).state, watcher.get(canceled).failure.code) == (State.FAILURE, 37)


def test_a_job_at_which_processes_die_again_and_again_is_failed(theatre: Theatre) -> None:
    settings = JobsSettings(history_size=9, maximum_takeovers=2)
    watcher = theatre.engine(settings, start=False)
    job_id = watcher.submit(Play())
    for _ in range(3):
        assert watcher.get(job_id).state is State.PENDING
        theatre.database.write(lambda transaction: jobs.claim(transaction, ["Play"], "victim", GONE))
        with theatre.database.read() as transaction:
            (victim,) = job_workers.other_workers(transaction, "me")
        theatre.database.write(partial(job_workers.take_over, dead=victim, orphaned=watcher._watch._orphaned()))
    job = watcher.get(job_id)
    assert (job.state, job.failure.code) == (State.FAILURE, -1)
    assert "interrupted several times" in job.failure.details


def test_a_wall_clock_that_jumps_changes_nothing_but_what_is_shown(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = itertools.cycle(["20360101T000000.000000", "20260101T000000.000000", "20250101T000000.000000"])
    monkeypatch.setattr("amonsul.jobs.engine.now", lambda: next(times))
    clock = Clock()
    engine = theatre.engine(JobsSettings(history_size=3, retry_first_s=10), start=False, clock=clock)
    ids = [engine.run(Script()).job_id for _ in range(5)]
    assert engine.identifiers() == ids[2:]
    assert all(job.runtime_ms >= 0 for job in engine.page())
    job_id = engine.submit(Script(("flaky",)), max_attempts=2)
    engine.look_around()
    until_state(engine, job_id, State.RETRY)
    engine.look_around()
    clock.now += 11.1
    engine.look_around()
    engine.look_around()
    assert engine.wait(job_id).state is State.SUCCESS


def test_a_job_that_gets_further_each_time_is_not_failed(theatre: Theatre) -> None:
    watcher = theatre.engine(JobsSettings(history_size=9, maximum_takeovers=2), start=False)
    job_id = watcher.submit(Play())
    for done in range(1, 6):
        claimed = theatre.database.write(lambda transaction: jobs.claim(transaction, ["Play"], "victim", GONE))
        assert claimed is not None
        saved = jobs.Saved(done, 9, None, "{}", 0)
        theatre.database.write(partial(jobs.save, hold=claimed.hold, saved=saved))
        with theatre.database.read() as transaction:
            (victim,) = job_workers.other_workers(transaction, "me")
        theatre.database.write(partial(job_workers.take_over, dead=victim, orphaned=watcher._watch._orphaned()))
    assert watcher.get(job_id).state is State.PENDING


def test_two_engines_share_the_jobs_and_each_job_runs_once(theatre: Theatre) -> None:
    engines = [theatre.engine(), theatre.engine()]
    theatre.stage.let_all()
    ids: list[str] = []
    threads = [
        threading.Thread(
            target=lambda engine=engine, one=one: ids.extend(
                engine.submit(Play(f"{one}-{two}", steps=2)) for two in range(10)
            )
        )
        for one, engine in enumerate([*engines, *engines])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job_id in ids:
        assert engines[0].wait(job_id).state is State.SUCCESS
    assert Counter(theatre.stage.taken) == Counter(
        (f"{one}-{two}", step) for one in range(4) for two in range(10) for step in (0, 1)
    )


# -------------------------------------------------------------------------------------------- a database that fails


class Moody:
    """A database whose writes fail as the test says."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.read = database.read
        self.close = database.close
        self.moods: list[Exception | Callable[[], Exception]] = []

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Fail before the commit with an exception, or after it with what a callable makes."""
        if not self.moods:
            return self._database.write(work)
        mood = self.moods.pop(0)
        if isinstance(mood, Exception):
            raise mood
        self._database.write(work)
        raise mood()


def _uncertain() -> Exception:
    return CommitUncertain("the connection broke")


@pytest.fixture
def moody(theatre: Theatre) -> tuple[Moody, JobEngine]:
    database = Moody(theatre.database)
    engine = theatre.engine(archive=Archive(database, theatre.archive.blobs), start=False)
    return database, engine


def test_a_job_survives_a_database_that_is_away_for_a_while(theatre: Theatre, moody: tuple[Moody, JobEngine]) -> None:
    database, engine = moody
    job_id = engine.submit(Play(steps=1))
    engine.look_around()
    theatre.stage.await_job("play")
    database.moods = [Unavailable("away"), Unavailable("away")]
    theatre.stage.let_all()
    assert engine.wait(job_id).state is State.SUCCESS
    assert theatre.stage.taken == [("play", 0)]


def test_an_end_that_was_committed_without_anybody_knowing_is_found(
    theatre: Theatre, moody: tuple[Moody, JobEngine]
) -> None:
    database, engine = moody
    job_id = engine.submit(Play(steps=1))
    engine.look_around()
    theatre.stage.await_job("play")
    database.moods = [_uncertain]
    theatre.stage.let_all()
    assert engine.wait(job_id).state is State.SUCCESS


@dataclass(frozen=True)
class Count:
    steps: int


def _count(transaction: Transaction, key: str) -> str:
    transaction.run(
        "INSERT INTO properties (name, value) VALUES (:name, '1') "
        "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(properties.value AS INTEGER) + 1 AS TEXT)",
        name=key,
    )
    return key


def _counting(arguments: Count, job: Running) -> Iterator[Progress]:
    for step in range(job.checkpoint or 0, arguments.steps):
        progress = Progress(step + 1, arguments.steps, step + 1)
        key = f"{job.job_id}/{step}"
        assert job.write(partial(_count, key=key), progress) == key
        yield progress


@pytest.mark.parametrize("committed", [True, False])
def test_what_is_written_with_the_progress_takes_effect_once(theatre: Theatre, committed: bool) -> None:
    database = Moody(theatre.database)
    engine = JobEngine(Archive(database, MemoryBlobs()), Kinds([Kind("Count", Count, _counting, lambda _: {})]))
    job_id = engine.submit(Count(3))
    claim_passes: list[Exception | Callable[[], Exception]] = []
    database.moods = claim_passes

    def fail_at_second_step(work: Callable[[Transaction], T]) -> T:
        done = engine.get(job_id).done
        if done == 1 and not database.moods and not failed:
            failed.append(True)
            database.moods = [_uncertain if committed else CommitUncertain("lost"), Unavailable("away")]
        return Moody.write(database, work)

    failed: list[bool] = []
    database.write = fail_at_second_step  # type: ignore[method-assign]  # the test changes its mind in the middle
    engine.look_around()
    assert engine.wait(job_id).state is State.SUCCESS
    assert failed
    with theatre.database.read() as transaction:
        counted = transaction.all("SELECT value FROM properties WHERE name LIKE :name", name=f"{job_id}/%")
    assert [row[0] for row in counted] == ["1", "1", "1"]
    engine.stop()


def test_a_claim_that_nobody_knew_of_is_freed_after_a_while(theatre: Theatre) -> None:
    database = Moody(theatre.database)
    clock = Clock()
    engine = theatre.engine(archive=Archive(database, theatre.archive.blobs), start=False, clock=clock)
    job_id = engine.submit(Play(steps=1))
    database.moods = [_uncertain]
    engine.look_around()
    until(lambda: not database.moods and not engine._busy)
    assert engine.get(job_id).state is State.RUNNING
    theatre.stage.let_all()
    engine.look_around()
    clock.now += 15
    engine.look_around()
    engine.look_around()
    assert engine.wait(job_id).state is State.SUCCESS
