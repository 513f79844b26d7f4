"""The index: the only package with SQL in it."""

from __future__ import annotations

from amonsul.database.engine import Database, Transaction, open_database
from amonsul.database.settings import DatabaseSettings, PostgresSettings, SqliteSettings

__all__ = ["Database", "DatabaseSettings", "PostgresSettings", "SqliteSettings", "Transaction", "open_database"]
