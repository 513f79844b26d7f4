"""SQLite: the embedded index.

One file in WAL mode: readers never wait for the writer nor it for them. A commit is on the disk when it returns
(`synchronous=FULL`). Several processes may share the file; writers of different processes take turns.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from amonsul.convoy import Convoy
from amonsul.database.dialects import SQLITE, Dialect
from amonsul.database.engine import CommitUncertain, Row, SqlValue, Transaction, Work, measured
from amonsul.database.settings import SqliteSettings
from amonsul.errors import AmonsulError, InternalError, ReadOnly, StorageFull, Unavailable

T = TypeVar("T")

_IDLE_READERS = 16
_BUSY_TIMEOUT_MS = 20_000
_CHECKPOINT_PAGES = 4000  # 16 MB: pages that every store touches are then copied once per some hundred commits


class SqliteTransaction:
    """A transaction on one connection."""

    __slots__ = ("_connection", "_execute")

    dialect: Dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def all(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """See Transaction."""
        return self._execute(sql, params).fetchall()

    search = all

    def one(self, sql: str, /, **params: SqlValue) -> Row | None:
        """See Transaction."""
        cursor = self._execute(sql, params)
        row: Row | None = cursor.fetchone()
        cursor.close()  # ends the statement: an unfinished one would keep its snapshot
        return row

    def run(self, sql: str, /, **params: SqlValue) -> int:
        """See Transaction."""
        return self._execute(sql, params).rowcount

    def run_many(self, sql: str, rows: Sequence[Mapping[str, SqlValue]], /) -> None:
        """See Transaction."""
        self._connection.executemany(sql, rows)

    def insert(self, sql: str, /, **params: SqlValue) -> int:
        """See Transaction."""
        row = self.one(sql, **params)
        if row is None:
            raise InternalError("an INSERT answered no number")
        return int(row[0])


class _Reading:
    """`Database.read()`: takes an idle connection, gives it back."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> Transaction:
        connection = self._database.take_reader()
        self._connection = connection
        try:
            connection.execute("BEGIN")
        except sqlite3.Error as error:
            connection.close()
            raise self._database.refusal(error) from error
        return SqliteTransaction(connection)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._connection
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.close()
        else:
            self._database.give_reader(connection)
        if isinstance(error, sqlite3.Error):
            refusal = self._database.refusal(error)
            if refusal is not error:
                raise refusal from error


class SqliteDatabase:
    """An open SQLite index."""

    dialect: Dialect = SQLITE

    def __init__(self, settings: SqliteSettings) -> None:
        self._settings = settings
        self._readers: list[sqlite3.Connection] = []  # a stack; append and pop are atomic
        self._writer: Convoy[Work[Any]] = Convoy(self._run_batch)
        try:
            self._connection = self._connect(read_only=settings.read_only)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot open {settings.path}: {error}") from error

    def read(self) -> AbstractContextManager[Transaction]:
        """See Database."""
        return _Reading(self)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See Database."""
        if self._settings.read_only:
            raise ReadOnly("the index is open for reading only")
        passenger = Work(work)
        self._writer.join(passenger)
        return passenger.outcome()

    def close(self) -> None:
        """See Database."""
        while self._readers:
            self._readers.pop().close()
        self._connection.close()

    def take_reader(self) -> sqlite3.Connection:
        """An idle connection for reading, or a new one."""
        try:
            return self._readers.pop()
        except IndexError:
            pass
        try:
            return self._connect(read_only=True)
        except sqlite3.Error as error:
            raise self.refusal(error) from error

    def give_reader(self, connection: sqlite3.Connection) -> None:
        """Take a connection back."""
        if len(self._readers) < _IDLE_READERS:
            self._readers.append(connection)
        else:
            connection.close()

    def refusal(self, error: sqlite3.Error) -> Exception:
        """What to raise for a failure of SQLite; one that shows a mistake in a statement stays as it is."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        match code:
            case sqlite3.SQLITE_FULL:
                return StorageFull("no room for the index")
            case sqlite3.SQLITE_READONLY:
                return ReadOnly("the index cannot be written")
            case sqlite3.SQLITE_IOERR:
                if _no_room(self._settings.path):
                    return StorageFull("no room for the index")
                return Unavailable(f"the index failed: {error}")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_CORRUPT:
                return Unavailable(f"the index failed: {error}")
            case _:
                return error

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        path = self._settings.path.absolute()
        mode = "ro" if self._settings.read_only else "rwc"
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA temp_store=MEMORY")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cache_size=-8192")
            return connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._settings.synchronous else 'OFF'}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA cache_size=-16384")
        return connection

    def _reconnect(self) -> None:
        """After a failure of the disk nothing that the connection believes may be trusted."""
        try:
            self._connection.close()
        except sqlite3.Error:
            pass
        self._connection = self._connect(read_only=False)

    def _run_batch(self, batch: Sequence[Work[Any]]) -> None:
        try:
            with measured(batch):
                self._run(batch)
        except BaseException as error:  # each caller gets it: none may wait for ever
            for work in batch:
                work.error = error

    def _run(self, batch: Sequence[Work[Any]]) -> None:
        connection = self._connection
        execute = connection.execute
        try:
            execute("BEGIN IMMEDIATE")
        except sqlite3.ProgrammingError:  # an earlier reconnection failed
            self._connection = connection = self._connect(read_only=False)
            execute = connection.execute
            execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self.refusal(error) from error
        transaction = SqliteTransaction(connection)
        alone = len(batch) == 1
        try:
            for work in batch:
                if not alone:
                    execute("SAVEPOINT work")
                try:
                    work.result = work.call(transaction)
                except BaseException as error:  # handed to its caller
                    work.error = self.refusal(error) if isinstance(error, sqlite3.Error) else error
                    if not connection.in_transaction:  # SQLite took all of it back itself
                        raise
                    execute("ROLLBACK" if alone else "ROLLBACK TO work")
                    if alone:
                        return
                if not alone:
                    execute("RELEASE work")
        except sqlite3.Error as error:
            if connection.in_transaction:
                execute("ROLLBACK")
            raise self.refusal(error) from error
        try:
            execute("COMMIT")
        except sqlite3.Error as error:
            refusal = self.refusal(error)
            try:
                if connection.in_transaction:
                    execute("ROLLBACK")
            finally:
                self._reconnect()
            if not isinstance(refusal, AmonsulError) or type(refusal) is Unavailable:
                refusal = CommitUncertain(str(refusal))
            raise refusal from error


def _no_room(path: Path) -> bool:
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 1 << 20
