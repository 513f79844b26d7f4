"""The log of changes and the log of exports, page by page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId

CHANGE_TYPES: dict[str, int] = {
    "CompletedSeries": 1,
    "NewInstance": 2,
    "NewPatient": 3,
    "NewSeries": 4,
    "NewStudy": 5,
    "AnonymizedStudy": 6,
    "AnonymizedSeries": 7,
    "ModifiedStudy": 8,
    "ModifiedSeries": 9,
    "AnonymizedPatient": 10,
    "ModifiedPatient": 11,
    "StablePatient": 12,
    "StableStudy": 13,
    "StableSeries": 14,
    "UpdatedAttachment": 15,
    "UpdatedMetadata": 16,
    "Deleted": 4097,
    "NewChildInstance": 4098,
    "UpdatedPeers": 4099,
    "UpdatedModalities": 4100,
}
"""Names of changes and the numbers they are stored under."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log; `date` is `YYYYMMDDTHHMMSS`, UTC."""

    sequence: int
    change_type: str
    level: Level
    orthanc_id: OrthancId
    date: str


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Some changes in order; `first` and `last` are their numbers (or those to continue with), `done` tells the end."""

    changes: Sequence[Change]
    first: int | None
    last: int
    done: bool


@dataclass(frozen=True, slots=True)
class Export:
    """One resource that was sent somewhere."""

    sequence: int
    level: Level
    orthanc_id: OrthancId
    remote_modality: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    date: str


@dataclass(frozen=True, slots=True)
class ExportsPage:
    """Some exports in order, as `ChangesPage`."""

    exports: Sequence[Export]
    last: int
    done: bool


def page(
    archive: Archive, since: int | None = None, limit: int = 100, to: int | None = None, types: Collection[str] = ()
) -> ChangesPage:
    """Changes after number `since`, up to `to`, of the given types; with `to` alone, the last ones before it.

    Raises:
        ParameterOutOfRange: an unknown type.
    """
    raise NotImplementedError


def last(archive: Archive, types: Collection[str] = ()) -> ChangesPage:
    """The newest change."""
    raise NotImplementedError


def clear(archive: Archive) -> None:
    """Forget all changes; numbers go on."""
    raise NotImplementedError


def exports(archive: Archive, since: int = 0, limit: int = 100) -> ExportsPage:
    """Exports after number `since`."""
    raise NotImplementedError


def last_export(archive: Archive) -> ExportsPage:
    """The newest export."""
    raise NotImplementedError


def clear_exports(archive: Archive) -> None:
    """Forget all exports; numbers go on."""
    raise NotImplementedError
