"""The presence of a server of a PostgreSQL index, see `database.presence`: an advisory lock of a session.

The session ends with the process, however that ends. If it ends before, because PostgreSQL was started again, the lock
is taken once more at the next `renew`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import psycopg

from amonsul.database.engine import Row
from amonsul.database.postgresql import WRITE_LOCK, refusal
from amonsul.database.settings import PostgresSettings

_LOCK = WRITE_LOCK + 1


class PostgresPresence:
    """Servers of any machines."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._connection: psycopg.Connection[Row] | None = None

    def enter(self, if_first: Callable[[], None]) -> None:
        """See Presence."""
        with self._mutex:
            try:
                connection = self._connection = self._connect()
                if self._is_alone(connection):
                    if_first()
                    connection.execute("SELECT pg_advisory_lock_shared(%s), pg_advisory_unlock(%s)", [_LOCK, _LOCK])
                else:
                    connection.execute("SELECT pg_advisory_lock_shared(%s)", [_LOCK])
            except psycopg.Error as error:
                raise refusal(error) from error

    def renew(self) -> bool:
        """See Presence."""
        with self._mutex:
            connection = self._connection
            if connection is None:
                return False
            try:
                try:
                    connection.execute("SELECT 1")
                except psycopg.OperationalError:
                    connection.close()
                    connection = self._connection = self._connect()
                    connection.execute("SELECT pg_advisory_lock_shared(%s)", [_LOCK])
                    return True
            except psycopg.Error as error:
                raise refusal(error) from error
        return False

    def leave(self, if_last: Callable[[], None]) -> None:
        """See Presence."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                if self._is_alone(connection):
                    if_last()
            except psycopg.Error as error:
                raise refusal(error) from error
            finally:
                with contextlib.suppress(psycopg.Error):
                    connection.execute("SELECT pg_advisory_unlock_all()")  # the session ends some time after its socket
                connection.close()

    def _connect(self) -> psycopg.Connection[Row]:
        timeout_s = max(1, round(self._settings.connect_timeout_s))
        return psycopg.connect(self._settings.conninfo, autocommit=True, connect_timeout=timeout_s)

    @staticmethod
    def _is_alone(connection: psycopg.Connection[Row]) -> bool:
        return connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone() == (True,)
