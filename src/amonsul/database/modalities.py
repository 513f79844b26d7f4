"""Remotes that were added while the server runs: modalities, peers, DICOMweb servers; the values are JSON.

The scopes that are named here are for good. Each has one for the run of the server beside it, whose name is longer:
what that holds lies over the configuration, and a value of None there hides a remote of the configuration.
"""

from __future__ import annotations

from typing import Final

from amonsul.database.engine import Transaction

FOR_GOOD: Final = ""
"""Scope of modalities."""
PEERS: Final = "peers:"
"""Scope of peers."""
DICOM_WEB_SERVERS: Final = "dicom-web:"
"""Scope of DICOMweb servers."""
RUN: Final = "run"
"""What the scope of the run adds to one for good; those end in a colon, or are empty."""


def of_scope(tx: Transaction, scope: str) -> dict[str, str | None]:
    """All of a scope by name."""
    rows = tx.all("SELECT name, value FROM modalities WHERE scope = :scope", scope=scope)
    return {row[0]: row[1] for row in rows}


def put(tx: Transaction, scope: str, name: str, value: str | None) -> None:
    """Set one."""
    tx.run(
        "INSERT INTO modalities (scope, name, value) VALUES (:scope, :name, :value) "
        "ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
        scope=scope,
        name=name,
        value=value,
    )


def remove(tx: Transaction, scope: str, name: str) -> bool:
    """Remove one; False if there is none."""
    return tx.run("DELETE FROM modalities WHERE scope = :scope AND name = :name", scope=scope, name=name) > 0


def forget_run(tx: Transaction) -> None:
    """Remove all that is not for good."""
    tx.run("DELETE FROM modalities WHERE scope <> '' AND scope NOT LIKE '%:'")
