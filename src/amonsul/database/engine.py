"""Transactions over SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from amonsul.database.settings import DatabaseSettings

T = TypeVar("T")

SqlValue = None | int | float | str | bytes
Row = tuple[SqlValue, ...]


class Transaction(Protocol):
    """One transaction. Statements have named parameters, `:name`."""

    def all(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """All rows of an answer."""
        ...

    def one(self, sql: str, /, **params: SqlValue) -> Row | None:
        """The first row, if any."""
        ...

    def run(self, sql: str, /, **params: SqlValue) -> int:
        """Run a statement; answer how many rows it changed."""
        ...

    def insert(self, sql: str, /, **params: SqlValue) -> int:
        """Run an INSERT that ends in `RETURNING` a number; answer that number."""
        ...


class Database(Protocol):
    """An open index. All methods may be called from any thread."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one state and changes nothing."""
        ...

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; what it did is durable when this returns.

        `work` may be run again after a conflict, so it must do nothing but talk to its transaction.

        Raises:
            Unavailable: the database cannot be reached.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def open_database(settings: DatabaseSettings) -> Database:
    """Open the index, creating or migrating its schema.

    Raises:
        Unavailable: the database cannot be reached.
    """
    raise NotImplementedError
