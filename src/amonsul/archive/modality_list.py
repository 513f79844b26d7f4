"""The modalities that are known now: those of the configuration, and those added through the REST API.

With `DicomModalitiesInDatabase` the index alone counts, for all servers that share it. Otherwise the configuration
counts, and what is added, changed or removed lies over it until the server ends; it is in the index all the same, under
the scope of this run, so that all processes of the run see it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import orjson

from amonsul.archive.modalities import Modality, check_name, parse_modality
from amonsul.database import Database, modalities
from amonsul.database.modalities import FOR_GOOD
from amonsul.errors import InexistentItem


class Modalities:
    """What `/modalities` shows and changes; may be used from any thread.

    Args:
        configured: those of `DicomModalities`; without meaning if they are kept in the database.
        in_database: `DicomModalitiesInDatabase`.
        run: names this run of the server, the same in all its processes.
    """

    def __init__(
        self, database: Database, configured: Mapping[str, Modality], *, in_database: bool = False, run: str = ""
    ) -> None:
        self._database = database
        self._configured = {} if in_database else dict(configured)
        self._scope = FOR_GOOD if in_database else run or uuid.uuid4().hex

    def all(self) -> dict[str, Modality]:
        """By symbolic name, in order of names."""
        with self._database.read() as tx:
            changed = modalities.of_scope(tx, self._scope)
        known = dict(self._configured)
        for name, value in changed.items():
            if value is None:
                known.pop(name, None)
            else:
                known[name] = parse_modality(orjson.loads(value))
        return dict(sorted(known.items()))

    def get(self, name: str) -> Modality:
        """One by its symbolic name.

        Raises:
            InexistentItem: there is none.
        """
        found = self.all().get(name)
        if found is None:
            raise InexistentItem(f"No modality with symbolic name: {name}")
        return found

    def put(self, name: str, modality: Modality) -> None:
        """Add or change one.

        Raises:
            BadFileFormat: no modality can have this name.
        """
        check_name(name)
        value = orjson.dumps(modality.to_json()).decode()
        self._database.write(lambda tx: modalities.put(tx, self._scope, name, value))

    def remove(self, name: str) -> None:
        """Remove one.

        Raises:
            InexistentItem: there is none.
        """
        if name not in self.all():
            raise InexistentItem(f"Unknown DICOM modality with symbolic name: {name}")
        if name in self._configured:
            self._database.write(lambda tx: modalities.put(tx, self._scope, name, None))
        else:
            self._database.write(lambda tx: modalities.remove(tx, self._scope, name))

    def forget(self) -> None:
        """The server ends: what was meant for this run only is dropped."""
        if self._scope != FOR_GOOD:
            self._database.write(lambda tx: modalities.forget_scope(tx, self._scope))
