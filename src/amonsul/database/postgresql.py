"""PostgreSQL: the index that several machines share.

Reads run on a pool of connections, each in a repeatable snapshot. Writes of one process share a connection and its
commits as with SQLite; writers of all processes take turns by an advisory lock, so that the log of changes has neither
gaps nor disorder for who reads it, and counters never collide. A transaction that the server aborts (serialization
failure, deadlock) or whose connection breaks before the commit is run again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import errors, pq
from psycopg_pool import ConnectionPool, PoolTimeout

from amonsul.convoy import Convoy
from amonsul.database.dialects import POSTGRESQL, Dialect
from amonsul.database.engine import CommitUncertain, Row, SqlValue, Transaction, Work, measured
from amonsul.database.settings import PostgresSettings
from amonsul.errors import InternalError, ReadOnly, StorageFull, Unavailable

T = TypeVar("T")
_Connection = psycopg.Connection[Row]

_ATTEMPTS = 4
WRITE_LOCK = 0x616D6F6E  # key of the advisory lock of writers
_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_BROKEN = (psycopg.OperationalError, errors.IdleInTransactionSessionTimeout)
"""The server or the way to it failed, or the server gave this session up."""


@functools.lru_cache(maxsize=1024)
def translate(sql: str) -> str:
    """`:name` as psycopg writes it."""
    return re.sub(r"(?<![:\w]):([a-z_]\w*)", r"%(\1)s", sql.replace("%", "%%"))


def _bound(params: dict[str, SqlValue]) -> dict[str, SqlValue]:
    """Parameters; PostgreSQL has no NUL in text, so one that a client sends is another character that is nowhere."""
    for name, value in params.items():
        if isinstance(value, str) and "\0" in value:
            params[name] = value.replace("\0", "\ufffd")
    return params


class PostgresTransaction:
    """A transaction on one connection."""

    __slots__ = ("_cursor",)

    dialect: Dialect = POSTGRESQL

    def __init__(self, connection: _Connection) -> None:
        self._cursor = connection.cursor()

    def all(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """See Transaction."""
        return self._cursor.execute(translate(sql), _bound(params)).fetchall()

    def search(self, sql: str, /, **params: SqlValue) -> list[Row]:
        """See Transaction. A statement that is not prepared is planned each time, for its own values."""
        return self._cursor.execute(translate(sql), _bound(params), prepare=False).fetchall()

    def one(self, sql: str, /, **params: SqlValue) -> Row | None:
        """See Transaction."""
        return self._cursor.execute(translate(sql), _bound(params)).fetchone()

    def run(self, sql: str, /, **params: SqlValue) -> int:
        """See Transaction."""
        return self._cursor.execute(translate(sql), _bound(params)).rowcount

    def run_many(self, sql: str, rows: Sequence[Mapping[str, SqlValue]], /) -> None:
        """See Transaction."""
        self._cursor.executemany(translate(sql), rows)

    def insert(self, sql: str, /, **params: SqlValue) -> int:
        """See Transaction."""
        row = self.one(sql, **params)
        if row is None:
            raise InternalError("an INSERT answered no number")
        return int(row[0])


class _Reading:
    """`Database.read()`: takes a connection of the pool, gives it back."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def __enter__(self) -> Transaction:
        self._connection = self._database.take_reader()
        return PostgresTransaction(self._connection)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.give_reader(self._connection)
        if isinstance(error, psycopg.Error):
            known = refusal(error)
            if known is not error:
                raise known from error


class PostgresDatabase:
    """An open PostgreSQL index."""

    dialect: Dialect = POSTGRESQL

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._writer: Convoy[Work[Any]] = Convoy(self._run_batch)
        self._connection: _Connection | None = None
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            settings.conninfo,
            kwargs={"autocommit": True, "client_encoding": "UTF8"},
            min_size=1,
            max_size=max(settings.max_connections - 1, 1),
            timeout=settings.connect_timeout_s,
            reconnect_timeout=settings.connect_timeout_s,
            open=False,
            name="index",
        )
        try:
            connection = self._connect()
            if connection.info.parameter_status("server_encoding") != "UTF8":
                connection.close()
                raise Unavailable("the database must have the encoding UTF8")
            self._connection = connection
            self._pool.open()
        except psycopg.Error as error:
            raise refusal(error) from error

    def read(self) -> AbstractContextManager[Transaction]:
        """See Database."""
        return _Reading(self)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See Database."""
        passenger = Work(work)
        self._writer.join(passenger)
        return passenger.outcome()

    def close(self) -> None:
        """See Database."""
        self._pool.close()
        if self._connection is not None:
            self._connection.close()

    def take_reader(self) -> _Connection:
        """A connection of the pool with a transaction begun; those that broke meanwhile are dropped on the way."""
        for _ in range(self._settings.max_connections + 1):
            try:
                connection = self._pool.getconn()
            except (PoolTimeout, psycopg.Error) as error:
                raise Unavailable(f"no connection to the database: {error}") from error
            try:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return connection
            except psycopg.OperationalError:
                connection.close()
                self._pool.putconn(connection)
        raise Unavailable("no connection to the database")

    def give_reader(self, connection: _Connection) -> None:
        """End the transaction and give the connection back."""
        try:
            if not connection.closed:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        self._pool.putconn(connection)

    def _connect(self) -> _Connection:
        connection = psycopg.connect(
            self._settings.conninfo,
            autocommit=True,
            client_encoding="UTF8",
            connect_timeout=max(2, round(self._settings.connect_timeout_s)),
        )
        timeout_ms = round(self._settings.idle_transaction_timeout_s * 1000)
        connection.execute(f"SET idle_in_transaction_session_timeout = {timeout_ms}")
        return connection

    def _run_batch(self, batch: Sequence[Work[Any]]) -> None:
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    with measured(batch):
                        self._run(batch)
                    return
                except _AGAIN:
                    if attempt == _ATTEMPTS - 1:
                        raise
                except _BROKEN:
                    if attempt == 1:
                        raise
                finally:
                    self._tidy()
        except psycopg.Error as error:
            for work in batch:
                work.error = refusal(error)
        except BaseException as error:  # each caller gets it: none may wait for ever
            for work in batch:
                work.error = error

    def _tidy(self) -> None:
        """Leave the connection without a transaction, or leave no connection."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        if connection.closed:
            self._connection = None

    def _run(self, batch: Sequence[Work[Any]]) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        with connection.pipeline():
            connection.execute("BEGIN")
            connection.execute(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
        transaction = PostgresTransaction(connection)
        alone = len(batch) == 1
        for work in batch:
            work.error = None
            if not alone:
                connection.execute("SAVEPOINT work")
            try:
                work.result = work.call(transaction)
            except (*_AGAIN, *_BROKEN):
                raise
            except BaseException as error:  # handed to its caller
                work.error = refusal(error) if isinstance(error, psycopg.Error) else error
                connection.execute("ROLLBACK" if alone else "ROLLBACK TO SAVEPOINT work")
                if alone:
                    return
            if not alone:
                connection.execute("RELEASE SAVEPOINT work")
        try:
            connection.execute("COMMIT")
        except _AGAIN:
            raise
        except psycopg.OperationalError as error:
            if connection.closed:
                raise CommitUncertain(f"the connection broke during a commit: {error}") from error
            raise


def refusal(error: psycopg.Error) -> Exception:
    """What to raise for a failure of PostgreSQL; one that shows a mistake in a statement stays as it is."""
    match error:
        case errors.DiskFull():
            return StorageFull("no room for the index")
        case errors.ReadOnlySqlTransaction():
            return ReadOnly("the index cannot be written")
        case psycopg.OperationalError() | psycopg.InterfaceError() | errors.IdleInTransactionSessionTimeout():
            return Unavailable(f"the database failed: {error}".strip())
        case _:
            return error
