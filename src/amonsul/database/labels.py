"""Labels of resources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from amonsul.database import resources
from amonsul.database.engine import Transaction
from amonsul.dicom.levels import Level, OrthancId


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


def add_all(tx: Transaction, identifiers: Sequence[OrthancId], labels: Mapping[Level, Collection[str]]) -> None:
    """Give labels to an instance and its ancestors, as far as these are there.

    Args:
        tx: the transaction.
        identifiers: of the ancestors from the patient down, then of the instance.
        labels: for each level.
    """
    for level, given in labels.items():
        row = resources.row_of(tx, level, identifiers[level]) if given else None
        if row is not None:
            for label in given:
                add(tx, level, row, label)


def of_path(tx: Transaction, identifiers: Sequence[OrthancId]) -> dict[Level, list[str]]:
    """The labels of an instance and its ancestors, by level."""
    rows = {level: resources.row_of(tx, level, identifiers[level]) for level in Level}
    return {level: of_row(tx, level, row) for level, row in rows.items() if row is not None}


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
