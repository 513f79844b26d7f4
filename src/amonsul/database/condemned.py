"""Large removals, a piece at a time.

Removing a series of a hundred thousand instances takes minutes of other people's time if it is one transaction. So the
rows of series, study and patient go at once, with their numbers, and the series is written down here; the rows of its
instances stay behind and are removed later, some hundred in each transaction. Nobody sees them meanwhile: an instance
without a series is none, and every question about instances says so, by a join with its series or by `hidden`.
Numbers of series are never given twice, and an instance that is stored again pushes aside what is left of the old one.
"""

from __future__ import annotations

from typing import Final

from amonsul.database.engine import Transaction

PIECE: Final = 400
"""Instances removed by one transaction."""

LIVE: Final = "EXISTS (SELECT 1 FROM series AS of_it WHERE of_it.id = {0}.series_row)"
"""The condition that an instance is one; to be formatted with the name of its table."""


def condemn(tx: Transaction, series_rows: list[int]) -> None:
    """Write down series that were removed with their instances left behind."""
    tx.run_many("INSERT INTO condemned (series_row) VALUES (:row)", [{"row": row} for row in series_rows])


def is_anything_left(tx: Transaction) -> bool:
    """Whether there are instances left behind."""
    return tx.one("SELECT 1 FROM condemned LIMIT 1") is not None


def hidden(tx: Transaction, alias: str) -> str:
    """A condition that leaves out instances left behind; empty if there are none, which costs a glance."""
    return LIVE.format(alias) if is_anything_left(tx) else ""


def next_piece(tx: Transaction) -> list[int]:
    """Rows of instances to be removed now; forgets series that have none left."""
    while (found := tx.one("SELECT MIN(series_row) FROM condemned")) is not None and found[0] is not None:
        rows = tx.all(f"SELECT id FROM instances WHERE series_row = :series ORDER BY id LIMIT {PIECE}", series=found[0])
        if rows:
            return [row[0] for row in rows]
        tx.run("DELETE FROM condemned WHERE series_row = :series", series=found[0])
    return []
