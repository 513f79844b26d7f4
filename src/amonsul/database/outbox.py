"""Changes that wait to be told to webhooks, and how far each webhook is.

While there is a webhook, a trigger copies every line of the log of changes here, in the transaction that writes it; so
nothing is missed, neither by a crash nor when the log is cleared or its resource deleted. Each webhook has a cursor;
what all of them are beyond is removed. One process at a time delivers for a webhook: it holds a lease, in seconds of
the wall clock, which only decides who delivers; deliveries may happen twice but never out of order.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from amonsul.database import changes
from amonsul.database.changes import CHANGE_NAMES, Change
from amonsul.database.engine import Transaction
from amonsul.dicom.levels import Level, OrthancId

LONGEST: Final = 1_000_000
"""Changes kept for a webhook that does not answer; older ones are given up."""
_LONGEST_LEASE_S: Final = 3600


class Place(NamedTuple):
    """Where a webhook is: the change it was told last, and failures in a row since."""

    cursor: int
    failures: int


def register(tx: Transaction, names: Collection[str]) -> None:
    """Make the webhooks those of the configuration; a new one begins with the next change."""
    known = {row[0] for row in tx.all("SELECT name FROM webhooks")}
    for name in known - set(names):
        tx.run("DELETE FROM webhooks WHERE name = :name", name=name)
    for name in sorted(set(names) - known):
        tx.run(
            "INSERT INTO webhooks (name, told) VALUES (:name, :told)",
            name=name,
            told=changes.last_number(tx),
        )
    prune(tx)


def registered(tx: Transaction) -> set[str]:
    """Names of all webhooks."""
    return {row[0] for row in tx.all("SELECT name FROM webhooks")}


def is_anything_waiting(tx: Transaction, name: str, owner: str, now: int) -> bool:
    """Whether a webhook has something to be told, and nobody else sees to it."""
    row = tx.one(
        "SELECT 1 FROM webhooks WHERE name = :name AND (owner = :owner OR lease < :now OR lease > :absurd) "
        "AND EXISTS (SELECT 1 FROM outbox WHERE sequence > told)",
        name=name,
        owner=owner,
        now=now,
        absurd=now + _LONGEST_LEASE_S,
    )
    return row is not None


def claim(tx: Transaction, name: str, owner: str, now: int, seconds: int) -> Place | None:
    """Take the lease of a webhook; None if another has it."""
    row = tx.one(
        "UPDATE webhooks SET owner = :owner, lease = :lease WHERE name = :name "
        "AND (owner = :owner OR lease < :now OR lease > :absurd) RETURNING told, failures",
        name=name,
        owner=owner,
        now=now,
        lease=now + seconds,
        absurd=now + _LONGEST_LEASE_S,
    )
    return Place(*row) if row else None


def after(tx: Transaction, cursor: int, limit: int) -> list[Change]:
    """The next changes to be told."""
    rows = tx.all(
        "SELECT sequence, change_type, level, orthanc_id, date FROM outbox WHERE sequence > :cursor "
        "ORDER BY sequence LIMIT :limit",
        cursor=cursor,
        limit=limit,
    )
    return [
        Change(row[0], CHANGE_NAMES.get(row[1], str(row[1])), Level(row[2]), OrthancId(row[3]), row[4]) for row in rows
    ]


def told(tx: Transaction, name: str, owner: str, cursor: int) -> bool:
    """Note that a webhook was told up to a change; False if another delivers for it by now."""
    count = tx.run(
        "UPDATE webhooks SET told = :cursor, failures = 0 WHERE name = :name AND owner = :owner",
        name=name,
        owner=owner,
        cursor=cursor,
    )
    prune(tx)
    return count == 1


def failed(tx: Transaction, name: str, owner: str, lease: int) -> None:
    """Note a failure; the lease says until when nobody need try."""
    tx.run(
        "UPDATE webhooks SET failures = failures + 1, lease = :lease, owner = '' WHERE name = :name AND owner = :owner",
        name=name,
        owner=owner,
        lease=lease,
    )


def prune(tx: Transaction) -> None:
    """Remove what every webhook was told, and what is beyond the bound."""
    row = tx.one("SELECT MIN(told) FROM webhooks")
    if row is None or row[0] is None:
        tx.run("DELETE FROM outbox")
        return
    newest = tx.one("SELECT MAX(sequence) FROM outbox")
    bound = (newest[0] if newest and newest[0] is not None else 0) - LONGEST
    tx.run("DELETE FROM outbox WHERE sequence <= :told", told=max(row[0], bound))
