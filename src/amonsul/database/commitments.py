"""Storage commitment: what is here of the instances that others ask about, and what others answered us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amonsul.database.engine import Transaction
from amonsul.dicom.levels import OrthancId


class Held(NamedTuple):
    """One stored instance."""

    row: int
    orthanc_id: OrthancId
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class StoredCommitment:
    """A commitment that we asked for.

    Attributes:
        remote_aet: of whom.
        request: JSON, as its user wants it.
        report: likewise; None until one came.
    """

    transaction_uid: str
    remote_aet: str
    request: str
    report: str | None


def held(tx: Transaction, sop_instance_uids: Sequence[str]) -> list[Held]:
    """The stored instances with such UIDs; a UID may be that of several, of different patients."""
    rows = tx.all(
        "SELECT id, orthanc_id, sop_class_uid, sop_instance_uid FROM instances "
        f"WHERE {tx.dialect.is_text_in('sop_instance_uid', 'uids')}",
        uids=tx.dialect.texts(sop_instance_uids),
    )
    return [Held(*row) for row in rows]


def insert(tx: Transaction, transaction_uid: str, remote_aet: str, request: str, kept: int) -> None:
    """Write a commitment down; only the `kept` newest stay (0: all)."""
    tx.run(
        "INSERT INTO commitments (transaction_uid, remote_aet, request) "
        "VALUES (:transaction_uid, :remote_aet, :request) ON CONFLICT (transaction_uid) DO NOTHING",
        transaction_uid=transaction_uid,
        remote_aet=remote_aet,
        request=request,
    )
    if kept:
        found = tx.one("SELECT id FROM commitments ORDER BY id DESC LIMIT 1 OFFSET :kept", kept=kept)
        if found is not None:
            tx.run("DELETE FROM commitments WHERE id <= :row", row=found[0])


def find(tx: Transaction, transaction_uid: str) -> StoredCommitment | None:
    """One commitment."""
    row = tx.one(
        "SELECT transaction_uid, remote_aet, request, report FROM commitments WHERE transaction_uid = :transaction_uid",
        transaction_uid=transaction_uid,
    )
    return StoredCommitment(*row) if row is not None else None


def put_report(tx: Transaction, transaction_uid: str, report: str) -> None:
    """Write a report down, over an earlier one."""
    tx.run(
        "UPDATE commitments SET report = :report WHERE transaction_uid = :transaction_uid",
        report=report,
        transaction_uid=transaction_uid,
    )


def delete(tx: Transaction, transaction_uid: str) -> None:
    """Forget a commitment; harmless if there is none."""
    tx.run("DELETE FROM commitments WHERE transaction_uid = :transaction_uid", transaction_uid=transaction_uid)
