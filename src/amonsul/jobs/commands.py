"""What can be asked of a job in each state, as a table."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from amonsul.database import Transaction, jobs
from amonsul.database.jobs import Job, State, Wish
from amonsul.errors import BadFileFormat
from amonsul.jobs import arguments as codec
from amonsul.jobs.failures import CANCELED
from amonsul.jobs.kind import Kinds


class Command(enum.Enum):
    """What clients ask of jobs; the values are the last segments of the URLs."""

    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"
    RESUBMIT = "resubmit"


class Effect(enum.Enum):
    """What a command comes to."""

    NOTHING = enum.auto()
    """Accepted, though there is nothing to do."""
    SET_ASIDE = enum.auto()
    ASK_FOR_PAUSE = enum.auto()
    """It runs: it will pause after the current step."""
    FAIL = enum.auto()
    ASK_FOR_END = enum.auto()
    """It runs: it will fail after the current step."""
    LINE_UP = enum.auto()
    """It goes on from its checkpoint when its turn comes."""
    BEGIN_ANEW = enum.auto()


EFFECTS: dict[tuple[State, Command], Effect] = {
    (State.PENDING, Command.PAUSE): Effect.SET_ASIDE,
    (State.PENDING, Command.CANCEL): Effect.FAIL,
    (State.RUNNING, Command.PAUSE): Effect.ASK_FOR_PAUSE,
    (State.RUNNING, Command.CANCEL): Effect.ASK_FOR_END,
    (State.PAUSED, Command.PAUSE): Effect.NOTHING,
    (State.PAUSED, Command.CANCEL): Effect.FAIL,
    (State.PAUSED, Command.RESUME): Effect.LINE_UP,
    (State.RETRY, Command.PAUSE): Effect.SET_ASIDE,
    (State.RETRY, Command.CANCEL): Effect.FAIL,
    (State.SUCCESS, Command.PAUSE): Effect.NOTHING,
    (State.SUCCESS, Command.CANCEL): Effect.NOTHING,
    (State.FAILURE, Command.PAUSE): Effect.NOTHING,
    (State.FAILURE, Command.CANCEL): Effect.NOTHING,
    (State.FAILURE, Command.RESUBMIT): Effect.BEGIN_ANEW,
}
"""A pair that is not here is refused."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command.

    Attributes:
        effect: what it came to.
        ended: the job, if the command ended it.
        blobs: those that have tombstones now.
    """

    effect: Effect
    ended: Job | None = None
    blobs: tuple[str, ...] = ()


def apply(
    transaction: Transaction, job_id: str, command: Command, kinds: Kinds, now: str, history_size: int
) -> Done | None:
    """Carry out a command; None if it is refused, or if there is no such job."""
    job = jobs.find(transaction, job_id)
    effect = None if job is None else EFFECTS.get((job.state, command))
    if job is None or effect is None:
        return None
    match effect:
        case Effect.NOTHING:
            pass
        case Effect.SET_ASIDE:
            jobs.pause(transaction, job)
        case Effect.ASK_FOR_PAUSE:
            if job.wish is not Wish.CANCEL:
                jobs.wish(transaction, job, Wish.PAUSE)
        case Effect.ASK_FOR_END:
            jobs.wish(transaction, job, Wish.CANCEL)
        case Effect.FAIL:
            blobs = jobs.fail(transaction, job, CANCELED, now, history_size)
            ended = replace(job, state=State.FAILURE, failure=CANCELED, completed_at=now)
            return Done(effect, ended, tuple(blobs))
        case Effect.LINE_UP:
            jobs.resume(transaction, job)
        case Effect.BEGIN_ANEW:
            jobs.resubmit(transaction, job, _first_content(transaction, job, kinds))
    return Done(effect)


def _first_content(transaction: Transaction, job: Job, kinds: Kinds) -> str:
    kind = kinds.get(job.kind)
    if kind is None:  # another process knows it
        return codec.encode(job.content)
    try:
        arguments = kind.decode(*jobs.arguments(transaction, job))
    except BadFileFormat:  # the job will fail with it
        return codec.encode(job.content)
    return codec.encode(kind.content(arguments))
