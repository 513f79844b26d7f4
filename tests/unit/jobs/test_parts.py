"""The small parts of the engine: the place of a process, patience, errors, the table of commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amonsul.database.jobs import Failure, Job, State, Wish
from amonsul.errors import AmonsulError, InternalError, JobCanceled, NetworkProtocolError, StorageFull
from amonsul.jobs import place
from amonsul.jobs.commands import EFFECTS, Command
from amonsul.jobs.failures import describe, describe_bug, revive
from amonsul.jobs.patience import Patience


def test_this_process_is_not_gone() -> None:
    assert not place.is_gone(place.here())


def test_a_process_that_ended_is_gone() -> None:
    code = "from amonsul.jobs import place; print(place.here())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert place.is_gone(done.stdout.strip())


def test_another_process_with_the_number_of_one_that_ended_is_not_taken_for_it() -> None:
    machine, number, started = place.here().split(" ")
    assert place.is_gone(f"{machine} {number} {int(started) - 1}")


@pytest.mark.parametrize("elsewhere", ["other-boot/pid:[1] 1 2", "", "x", "a b c d"])
def test_nothing_is_said_about_a_process_elsewhere(elsewhere: str) -> None:
    assert not place.is_gone(elsewhere)


def test_patience_counts_from_the_last_change() -> None:
    now = [100.0]
    patience = Patience(lambda: now[0])
    assert patience.unchanged_s("a", 1) == 0
    now[0] += 5
    assert patience.unchanged_s("a", 1) == 5
    assert patience.unchanged_s("a", 2) == 0
    now[0] += 3
    assert patience.unchanged_s("a", 2) == 3
    patience.forget_all_but(["b"])
    assert patience.unchanged_s("a", 2) == 0


def test_an_error_answers_the_same_after_it_was_written_down() -> None:
    payload = {"Type": "Dimse", "Content": {"DimseErrorStatus": 42752}}
    for error in (NetworkProtocolError("refused", payload), StorageFull("full"), JobCanceled()):
        again = revive(describe(error))
        assert type(again) is type(error)
        assert (again.details, again.payload) == (error.details, error.payload)


def test_every_error_keeps_its_number_and_text() -> None:
    waiting = [AmonsulError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        again = revive(describe(kind("x")))
        assert (again.orthanc_status, again.message) == (kind.orthanc_status, kind.message)


def test_an_unknown_error_is_an_internal_one() -> None:
    assert isinstance(revive(Failure(9999, "From the future", "x")), InternalError)


def test_a_bug_is_described_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    name = "Doe^" + "John"
    try:
        raise KeyError(name)
    except KeyError as error:
        failure = describe_bug(error, "Kind", "id")
    assert failure.details == "KeyError"
    assert name not in caplog.text
    assert "test_parts" in caplog.text


def test_the_table_of_commands_is_complete() -> None:
    """What is not in it is refused on purpose."""
    refused = {(state, command) for state in State for command in Command} - EFFECTS.keys()
    assert refused == {
        *((state, Command.RESUME) for state in State if state is not State.PAUSED),
        *((state, Command.RESUBMIT) for state in State if state is not State.FAILURE),
    }


@pytest.mark.parametrize(
    ("state", "done", "total", "percent"),
    [
        (State.RUNNING, 0, 12, 0),
        (State.PAUSED, 1, 12, 8),
        (State.FAILURE, 2, 12, 17),
        (State.RUNNING, 1, 8, 13),
        (State.RUNNING, 2, 3, 67),
        (State.RUNNING, 5, 3, 100),
        (State.RUNNING, 0, 0, 0),
        (State.SUCCESS, 0, 0, 100),
    ],
)
def test_progress_is_rounded_to_percents(state: State, done: int, total: int, percent: int) -> None:
    job = Job(1, "id", "Kind", 0, None, state, Wish.NONE, done, total, {}, Failure(), "", None, 0, 0, 0, None)
    assert job.percent == percent
