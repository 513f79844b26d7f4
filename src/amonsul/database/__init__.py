"""The index: the only package with SQL in it."""

from __future__ import annotations

from amonsul.database.engine import CommitUncertain, Database, Transaction
from amonsul.database.opening import open_database
from amonsul.database.settings import DatabaseSettings, PostgresSettings, SqliteSettings

__all__ = [
    "CommitUncertain",
    "Database",
    "DatabaseSettings",
    "PostgresSettings",
    "SqliteSettings",
    "Transaction",
    "open_database",
]
