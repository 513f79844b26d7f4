"""The four levels of the information model (PS3.4 §C.6.1, §C.6.2) and the identifiers of their resources."""

from __future__ import annotations

import enum
from typing import NewType

OrthancId = NewType("OrthancId", str)
"""Public identifier of a resource: a SHA-1 in five groups of eight hexadecimal digits; never a UID."""


class Level(enum.IntEnum):
    """A level of the model, ordered from the root to the leaves."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    INSTANCE = 3

    @property
    def type_name(self) -> str:
        """Name in JSON bodies: `Patient`, `Study`, `Series`, `Instance`."""
        return ("Patient", "Study", "Series", "Instance")[self]

    @property
    def collection(self) -> str:
        """Name in URLs: `patients`, `studies`, `series`, `instances`."""
        return ("patients", "studies", "series", "instances")[self]

    @property
    def parent(self) -> Level | None:
        """The level above, if any."""
        return None if self is Level.PATIENT else Level(self - 1)

    @property
    def child(self) -> Level | None:
        """The level below, if any."""
        return None if self is Level.INSTANCE else Level(self + 1)
