"""Small named values that belong to the whole index."""

from __future__ import annotations

from amonsul.database.engine import Transaction


def get(tx: Transaction, name: str) -> str | None:
    """The value under a name."""
    row = tx.one("SELECT value FROM properties WHERE name = :name", name=name)
    return row[0] if row else None


def put(tx: Transaction, name: str, value: str) -> None:
    """Set the value under a name."""
    tx.run(
        "INSERT INTO properties (name, value) VALUES (:name, :value) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name=name,
        value=value,
    )
