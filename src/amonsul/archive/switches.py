"""What clients turn while the server runs, for all processes of one archive.

Values are text in the index. They hold until the server is started again, as clients expect: `forget` when the first
comes, see `database.presence`. One is asked for with every instance that comes in, so a process asks the index at most
twice in a second; what it sets itself it sees at once.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from amonsul.database import Database, properties
from amonsul.errors import Unavailable

_PREFIX: Final = "switch."
_FRESH_S: Final = 0.5


class Switchboard:
    """Named values; without a database they are kept in this process alone."""

    def __init__(self, database: Database | None = None) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._values: dict[str, str] = {}
        self._asked_at = float("-inf")

    def get(self, name: str) -> str | None:
        """The value under a name, None if nobody set it since the start."""
        if self._database is not None and time.monotonic() - self._asked_at > _FRESH_S:
            self._refresh(self._database)
        return self._values.get(name)

    def set(self, name: str, value: str) -> None:
        """Set a value for everybody.

        Raises:
            ReadOnly, Unavailable: it was not set.
        """
        if self._database is not None:
            self._database.write(lambda tx: properties.put(tx, _PREFIX + name, value))
        with self._mutex:
            self._values = {**self._values, name: value}

    def forget(self) -> None:
        """Back to what the configuration says."""
        if self._database is not None:
            with self._database.read() as tx:
                known = properties.beginning_with(tx, _PREFIX)
            if known:
                self._database.write(lambda tx: properties.discard_beginning_with(tx, _PREFIX))
        with self._mutex:
            self._values = {}

    def _refresh(self, database: Database) -> None:
        if not self._mutex.acquire(blocking=False):
            return  # somebody else is asking; what we know is young enough
        try:
            try:
                with database.read() as tx:
                    found = properties.beginning_with(tx, _PREFIX)
            except Unavailable:
                return  # what was known holds on; whoever needs the index will tell
            self._values = {name.removeprefix(_PREFIX): value for name, value in found.items()}
            self._asked_at = time.monotonic()
        finally:
            self._mutex.release()
