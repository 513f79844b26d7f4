"""The remotes of one sort that are known now: those of the configuration, and those added through the REST API.

Kept in the database, the index alone counts, for all servers that share it. Otherwise the configuration counts, and
what is added, changed or removed lies over it until the last of these servers ends (`database.presence`); it is in the
index all the same, so that all of them see it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import orjson

from amonsul.archive.modalities import check_name
from amonsul.database import Database, modalities
from amonsul.errors import AmonsulError, ReadOnly

R = TypeVar("R")


def forget_run(database: Database) -> None:
    """The run is over: what was meant for it alone is dropped, of every sort."""
    database.write(modalities.forget_run)


class RemoteList(ABC, Generic[R]):
    """What the REST API shows and changes; may be used from any thread.

    Args:
        configured: those of the configuration; without meaning if they are kept in the database.
        in_database: whether they are.
        read_only: none may be added, changed or removed (option `ReadOnly`): what is stored here could be sent to them.
    """

    SCOPE: ClassVar[str]
    """Where this sort is kept for good."""

    def __init__(
        self, database: Database, configured: Mapping[str, R], *, in_database: bool = False, read_only: bool = False
    ) -> None:
        self._database = database
        self._configured = {} if in_database else dict(configured)
        self._read_only = read_only
        self._scope = self.SCOPE if in_database else self.SCOPE + modalities.RUN

    def all(self) -> dict[str, R]:
        """By symbolic name, in order of names."""
        with self._database.read() as tx:
            changed = modalities.of_scope(tx, self._scope)
        known = dict(self._configured)
        for name, value in changed.items():
            if value is None:
                known.pop(name, None)
            else:
                known[name] = self._decode(orjson.loads(value))
        return dict(sorted(known.items()))

    def get(self, name: str) -> R:
        """One by its symbolic name.

        Raises:
            AmonsulError: there is none; which error depends on the sort.
        """
        found = self.all().get(name)
        if found is None:
            raise self._unknown(name)
        return found

    def put(self, name: str, remote: R) -> None:
        """Add or change one.

        Raises:
            BadFileFormat: no remote can have this name.
            ReadOnly: see above.
        """
        self._require_writable()
        check_name(name)
        value = orjson.dumps(self._encode(remote)).decode()
        self._database.write(lambda tx: modalities.put(tx, self._scope, name, value))

    def remove(self, name: str) -> None:
        """Remove one.

        Raises:
            InexistentItem: there is none.
            ReadOnly: see above.
        """
        self._require_writable()
        if name not in self.all():
            raise self._not_removable(name)
        if name in self._configured:
            self._database.write(lambda tx: modalities.put(tx, self._scope, name, None))
        else:
            self._database.write(lambda tx: modalities.remove(tx, self._scope, name))

    def _require_writable(self) -> None:
        if self._read_only:
            raise ReadOnly

    @abstractmethod
    def _encode(self, remote: R) -> dict[str, object]: ...

    @abstractmethod
    def _decode(self, value: object) -> R: ...

    @abstractmethod
    def _unknown(self, name: str) -> AmonsulError: ...

    @abstractmethod
    def _not_removable(self, name: str) -> AmonsulError: ...
