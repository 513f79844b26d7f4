"""Whether other servers have the same index: what lasts for a run of the server lasts until the last one is gone.

Every server holds a lock together with the others for as long as it runs. Who gets it alone is the first to come, or
the last to go, and nobody can come while he puts the index in order.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from amonsul.database.settings import DatabaseSettings, PostgresSettings, SqliteSettings
from amonsul.errors import Unavailable

Tidy = Callable[[], None]


class Presence(Protocol):
    """One server among those of an index."""

    def enter(self, if_first: Tidy) -> None:
        """Be there from now on; call `if_first` before, if no other server is.

        Raises:
            Unavailable: the index cannot be reached.
        """
        ...

    def renew(self) -> bool:
        """Be there again if the lock was lost, and answer whether it was; to be called from time to time.

        Raises:
            Unavailable: the index cannot be reached.
        """
        ...

    def leave(self, if_last: Tidy) -> None:
        """Be gone; call `if_last` if no other server is left."""
        ...


def open_presence(settings: DatabaseSettings) -> Presence:
    """The presence of a server of this index, not there yet."""
    match settings:
        case SqliteSettings():
            return FilePresence(settings.path.with_name(settings.path.name + ".servers"))
        case PostgresSettings():
            from amonsul.database.postgresql_presence import PostgresPresence  # loads libpq: only where it is used

            return PostgresPresence(settings)


class FilePresence:
    """Servers of one machine, by the lock of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = -1

    def enter(self, if_first: Tidy) -> None:
        """See Presence."""
        try:
            self._number = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error
        if self._is_alone():
            if_first()
        fcntl.flock(self._number, fcntl.LOCK_SH)

    def renew(self) -> bool:
        """See Presence; a file is locked until it is closed."""
        return False

    def leave(self, if_last: Tidy) -> None:
        """See Presence."""
        if self._number < 0:
            return
        try:
            if self._is_alone():
                if_last()
        finally:
            os.close(self._number)
            self._number = -1

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
