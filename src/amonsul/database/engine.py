"""Transactions over SQLite or PostgreSQL, and the one writer with group commit.

Statements have named parameters, `:name`, on both. Readers have connections of their own. Writers share one connection
per process and go in a convoy: whoever finds it free leads, runs its own work and that of everyone who came in the
meantime, each in a savepoint, and commits once, so that several callers share one wait for the disk. A work that fails
takes back only what it did itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

from amonsul import measures
from amonsul.convoy import Passenger
from amonsul.database.dialects import Dialect
from amonsul.errors import Unavailable

T = TypeVar("T")

SqlValue = None | int | float | str | bytes
Row = tuple[Any, ...]
"""Any: only the statement knows the types of its columns; the functions around it turn rows into values."""


class CommitUncertain(Unavailable):
    """The connection or the disk failed during a commit: what was written may be there or not."""


class Transaction(Protocol):
    """One transaction. Statements have named parameters, `:name`."""

    dialect: Dialect

    def all(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """All rows of an answer."""
        ...

    def search(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """As `all`, for a statement whose best plan depends on the values."""
        ...

    def one(self, sql: str, /, **params: SqlValue) -> Row | None:
        """The first row, if any."""
        ...

    def run(self, sql: str, /, **params: SqlValue) -> int:
        """Run a statement; answer how many rows it changed."""
        ...

    def run_many(self, sql: str, rows: Sequence[Mapping[str, SqlValue]], /) -> None:
        """Run a statement once for each set of parameters."""
        ...

    def insert(self, sql: str, /, **params: SqlValue) -> int:
        """Run an INSERT that ends in `RETURNING` a number; answer that number."""
        ...


class Database(Protocol):
    """An open index. All methods may be called from any thread."""

    dialect: Dialect

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one state and changes nothing."""
        ...

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; what it did is durable when this returns.

        `work` may be run again after a conflict, so it must do nothing but talk to its transaction. An exception from
        it takes back what it wrote and is passed on.

        Raises:
            Unavailable: the database cannot be reached; nothing was written.
            CommitUncertain: the same, but it may have been written.
            StorageFull: no room; nothing was written.
            ReadOnly: it was opened for reading.
        """
        ...

    def close(self) -> None:
        """Close all connections. Nobody may be using it any more."""
        ...


class Work(Passenger, Generic[T]):
    """One piece of writing in line, and what became of it."""

    __slots__ = ("asked_at", "call", "error", "result")

    def __init__(self, call: Callable[[Transaction], T]) -> None:
        super().__init__()
        self.asked_at = time.perf_counter()
        self.call = call
        self.result: T | None = None
        self.error: BaseException | None = None

    def outcome(self) -> T:
        """The result, or the exception."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # breaks the cycle of traceback and frame
        return self.result  # type: ignore[return-value]  # no error: `result` was set, and T may include None


@contextmanager
def measured(group: Sequence[Work[Any]]) -> Iterator[None]:
    """Count a group of writes that go together. Any: each has a result of its own."""
    start = time.perf_counter()
    for work in group:
        measures.DATABASE_WAIT_SECONDS.observe(start - work.asked_at)
    measures.DATABASE_GROUP_SIZE.observe(len(group))
    try:
        yield
    finally:
        measures.DATABASE_GROUP_SECONDS.observe(time.perf_counter() - start)
