"""Labels of resources."""

from __future__ import annotations

from amonsul.database.engine import Transaction
from amonsul.dicom.levels import Level


def of_row(tx: Transaction, level: Level, row: int) -> list[str]:
    """The labels of a resource, sorted."""
    rows = tx.all(
        "SELECT label FROM labels WHERE level = :level AND resource_row = :row ORDER BY label",
        level=int(level),
        row=row,
    )
    return [found[0] for found in rows]


def add(tx: Transaction, level: Level, row: int, label: str) -> None:
    """Give a resource a label; harmless if it has it."""
    tx.run(
        "INSERT INTO labels (level, resource_row, label) VALUES (:level, :row, :label) "
        "ON CONFLICT (level, resource_row, label) DO NOTHING",
        level=int(level),
        row=row,
        label=label,
    )


def remove(tx: Transaction, level: Level, row: int, label: str) -> None:
    """Take a label from a resource; harmless if it has it not."""
    tx.run(
        "DELETE FROM labels WHERE level = :level AND resource_row = :row AND label = :label",
        level=int(level),
        row=row,
        label=label,
    )


def every(tx: Transaction) -> list[str]:
    """All labels in use, sorted."""
    return [row[0] for row in tx.all("SELECT DISTINCT label FROM labels ORDER BY label")]
