"""Which database holds the index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """The embedded default.

    Attributes:
        path: the database file; its folder must exist.
        synchronous: wait for the disk at each commit. Off only for throw-away indexes.
        read_only: open for reading; no write is possible.
    """

    path: Path
    synchronous: bool = True
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """A PostgreSQL server.

    Attributes:
        conninfo: libpq connection string or URI.
        max_connections: size of the pool.
        connect_timeout_s: after which a call is answered with Unavailable.
        idle_transaction_timeout_s: after which the server ends a writing transaction in which nothing is asked. Whoever
            hangs, or whose machine is gone, so lets go of the lock of writers, for which all others wait.
    """

    conninfo: str
    max_connections: int = 10
    connect_timeout_s: float = 5.0
    idle_transaction_timeout_s: float = 20.0


DatabaseSettings = SqliteSettings | PostgresSettings
