"""Processes that run jobs: their signs of life, what they have to know, and the jobs that they leave behind.

A process has a row while it may hold running jobs. Whoever frees the jobs of one that is gone takes its row away, and
makes the fences of its jobs grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from amonsul.database.engine import Transaction
from amonsul.database.jobs import Failure, Hold, State, Wish, end_row, give_sign, holds, pending


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that holds running jobs.

    Attributes:
        worker: its identifier.
        place: where it runs, for who is on the same machine; empty if it left without giving its jobs back.
        beat: counts its signs of life.
    """

    worker: str
    place: str
    beat: int


@dataclass(frozen=True, slots=True)
class Resting:
    """A job that waits for another attempt."""

    hold: Hold
    """Of the attempt that failed."""
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Glance:
    """What a process that runs jobs has to know from time to time.

    Attributes:
        waiting: how many jobs it could take, as far as it asked.
        ours: the jobs that it runs according to the index, with what is asked of them.
        others: the other processes that hold running jobs.
        resting: jobs that wait for another attempt.
    """

    waiting: int
    ours: dict[Hold, Wish]
    others: list[Worker]
    resting: list[Resting]


def glance(tx: Transaction, worker: str, kinds: Iterable[str], hands: int) -> Glance:
    """See what there is to do for a process with so many free hands."""
    rows = tx.all("SELECT id, fence, retry_after_ms FROM jobs WHERE state = 'Retry' ORDER BY id LIMIT 1000")
    return Glance(
        waiting=pending(tx, kinds, hands) if hands > 0 else 0,
        ours=running_of(tx, worker),
        others=other_workers(tx, worker),
        resting=[Resting(Hold(row[0], row[1]), row[2]) for row in rows],
    )


def running_of(tx: Transaction, worker: str) -> dict[Hold, Wish]:
    """The jobs that the index believes a process to run, and what is asked of them."""
    rows = tx.all("SELECT id, fence, wish FROM jobs WHERE state = 'Running' AND owner = :worker", worker=worker)
    return {Hold(row[0], row[1]): Wish(row[2]) for row in rows}


def other_workers(tx: Transaction, worker: str) -> list[Worker]:
    """The other processes that hold running jobs."""
    rows = tx.all(
        "SELECT DISTINCT j.owner, COALESCE(w.place, ''), COALESCE(w.beat, 0) FROM jobs j "
        "LEFT JOIN job_workers w ON w.worker = j.owner WHERE j.state = 'Running' AND j.owner <> :worker",
        worker=worker,
    )
    return [Worker(*row) for row in rows]


def beat(tx: Transaction, worker: str, place: str) -> dict[Hold, Wish]:
    """Give a sign of life; answers the jobs that are still the caller's, with what is asked of them."""
    give_sign(tx, worker, place)
    return running_of(tx, worker)


@dataclass(frozen=True, slots=True)
class Orphaned:
    """What is to be done with jobs whose process is gone.

    They wait for their turn again, unless somebody asked otherwise meanwhile; one that was found so more than `limit`
    times without getting further is failed, because it may be what kills the processes.

    Attributes:
        canceled, crashed: with what to fail those that were asked to end, or that were found too often.
        now: text of the present time.
        history_size: ended jobs that are remembered.
    """

    canceled: Failure
    crashed: Failure
    now: str
    limit: int
    history_size: int


def take_over(tx: Transaction, dead: Worker, orphaned: Orphaned) -> tuple[int, list[str]] | None:
    """Free the jobs of a process that gave no sign of life.

    Returns:
        How many jobs there were, and the blobs that have tombstones now; None if there was a sign of life after all.
    """
    row = tx.one("SELECT beat FROM job_workers WHERE worker = :worker", worker=dead.worker)
    if row is not None and row[0] != dead.beat:
        return None
    tx.run("DELETE FROM job_workers WHERE worker = :worker", worker=dead.worker)
    rows = tx.all("SELECT id FROM jobs WHERE state = 'Running' AND owner = :worker ORDER BY id", worker=dead.worker)
    blobs: list[str] = []
    for (row,) in rows:
        blobs += _free(tx, row, orphaned)
    return len(rows), blobs


def free(tx: Transaction, hold: Hold, orphaned: Orphaned) -> list[str]:
    """The same for one job, of a process that lives and does not run it."""
    return _free(tx, hold.row, orphaned) if holds(tx, hold) else []


def _free(tx: Transaction, row: int, orphaned: Orphaned) -> list[str]:
    found = tx.one(
        "UPDATE jobs SET takeovers = takeovers + 1, fence = fence + 1 WHERE id = :row RETURNING wish, takeovers",
        row=row,
    )
    assert found is not None
    asked, takeovers = Wish(found[0]), found[1]
    if asked is Wish.CANCEL or takeovers > orphaned.limit:
        failure = orphaned.canceled if asked is Wish.CANCEL else orphaned.crashed
        return end_row(tx, row, failure, orphaned.now, orphaned.history_size)
    state = State.PAUSED if asked is Wish.PAUSE else State.PENDING
    tx.run("UPDATE jobs SET state = :state, wish = '', owner = NULL WHERE id = :row", row=row, state=state.value)
    return []


def leave(tx: Transaction) -> None:
    """Forget the processes that hold no jobs; one that lives comes back with its next claim."""
    tx.run(
        "DELETE FROM job_workers WHERE NOT EXISTS "
        "(SELECT 1 FROM jobs WHERE state = 'Running' AND owner = job_workers.worker)"
    )
