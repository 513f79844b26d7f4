"""Which resources have been without a new instance for a while.

No clock is written down. Every store leaves the number of its last change on the rows of series, study and patient, and
those numbers only grow, in order of commits. Whoever knows that change N is old enough knows that each resource whose
last store ended at N or before is quiet; the clock with which this is known is a matter of that process alone.
"""

from __future__ import annotations

from typing import Final

from amonsul.database import changes
from amonsul.database.engine import Transaction
from amonsul.database.resources import TABLES
from amonsul.dicom.levels import Level

_LEVELS: Final = ((Level.SERIES, "StableSeries"), (Level.STUDY, "StableStudy"), (Level.PATIENT, "StablePatient"))
"""In the order in which the changes are written."""


def is_anything_quiet(tx: Transaction, last_store: int) -> bool:
    """Whether `settle` would find something."""
    return any(
        tx.one(
            f"SELECT 1 FROM {TABLES[level]} WHERE is_stable = 0 AND last_store <= :last_store LIMIT 1",
            last_store=last_store,
        )
        is not None
        for level, _ in _LEVELS
    )


def settle(tx: Transaction, last_store: int, limit: int, now: str) -> int:
    """Make stable what had its last store at a change or before, and tell it in the log; count them.

    A row that another process settled before, or that had a store meanwhile, is left alone: each quiet time is told
    once.
    """
    settled = 0
    for level, change_type in _LEVELS:
        table = TABLES[level]
        rows = tx.all(
            f"UPDATE {table} SET is_stable = 1 WHERE is_stable = 0 AND id IN (SELECT id FROM {table} "
            "WHERE is_stable = 0 AND last_store <= :last_store ORDER BY id LIMIT :limit) RETURNING id, orthanc_id",
            last_store=last_store,
            limit=limit - settled,
        )
        for row, orthanc_id in sorted(rows):
            changes.append(tx, change_type, level, row, orthanc_id, now)
        settled += len(rows)
        if settled >= limit:
            break
    return settled
