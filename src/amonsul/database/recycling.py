"""How full the archive is, and who goes when it is full."""

from __future__ import annotations

from typing import NamedTuple

from amonsul.database.engine import Transaction
from amonsul.dicom.levels import OrthancId


class Usage(NamedTuple):
    """What is stored at this moment of a transaction; `disk_size` is in bytes, of all attachments."""

    patients: int
    disk_size: int


def usage(tx: Transaction) -> Usage:
    """From the counters that every write keeps."""
    row = tx.one("SELECT patients, disk_size FROM statistics WHERE id = 1")
    assert row is not None
    return Usage(*row)


def is_known(tx: Transaction, patient_id: OrthancId) -> bool:
    """Whether a patient is stored."""
    return tx.one("SELECT 1 FROM patients WHERE orthanc_id = :orthanc_id", orthanc_id=patient_id) is not None


def identifier(tx: Transaction, patient_row: int) -> OrthancId:
    """Of a patient by row."""
    row = tx.one("SELECT orthanc_id FROM patients WHERE id = :row", row=patient_row)
    assert row is not None
    return OrthancId(row[0])


def next_patient(tx: Transaction, kept: OrthancId) -> tuple[int, OrthancId] | None:
    """Row and identifier of the unprotected patient longest without a new instance, other than `kept`."""
    row = tx.one(
        "SELECT id, orthanc_id FROM patients WHERE is_protected = 0 AND orthanc_id <> :kept "
        "ORDER BY recycling_order LIMIT 1",
        kept=kept,
    )
    return (row[0], OrthancId(row[1])) if row else None
