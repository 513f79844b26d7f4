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


def beginning_with(tx: Transaction, prefix: str) -> dict[str, str]:
    """All values whose name begins so; `prefix` ends in a full stop."""
    rows = tx.all(
        "SELECT name, value FROM properties WHERE name >= :prefix AND name < :beyond",
        prefix=prefix,
        beyond=prefix.removesuffix(".") + "/",
    )
    return dict(rows)


def discard_beginning_with(tx: Transaction, prefix: str) -> None:
    """Forget them."""
    tx.run(
        "DELETE FROM properties WHERE name >= :prefix AND name < :beyond",
        prefix=prefix,
        beyond=prefix.removesuffix(".") + "/",
    )
