"""The log of changes and the log of exports, page by page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.database import changes as log
from amonsul.database.changes import CHANGE_TYPES, Change, Export
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import ParameterOutOfRange

__all__ = [
    "CHANGE_TYPES",
    "Change",
    "ChangesPage",
    "Export",
    "ExportsPage",
    "clear",
    "clear_exports",
    "exports",
    "last",
    "last_export",
    "log_export",
    "page",
    "to_json",
]


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Some changes in order; `first` and `last` are their numbers (or those to continue with), `done` tells the end."""

    changes: Sequence[Change]
    first: int | None
    last: int
    done: bool


def to_json(change: Change) -> dict[str, object]:
    """A change as clients see it, over REST, as an event and in webhooks."""
    return {
        "ChangeType": change.change_type,
        "Date": change.date,
        "ID": change.orthanc_id,
        "Path": f"/{change.level.collection}/{change.orthanc_id}",
        "ResourceType": change.level.type_name,
        "Seq": change.sequence,
    }


@dataclass(frozen=True, slots=True)
class ExportsPage:
    """Some exports in order, as `ChangesPage`."""

    exports: Sequence[Export]
    first: int | None
    last: int
    done: bool


def page(
    archive: Archive,
    since: int | None = None,
    limit: int = 100,
    to: int | None = None,
    types: Collection[str] = (),
) -> ChangesPage:
    """Changes after number `since`, up to `to`, of the given types; with `to` alone, the last ones before it.

    Raises:
        ParameterOutOfRange: an unknown type.
    """
    numbers = _numbers(types)
    with archive.database.read() as tx:
        found = log.after(tx, since or 0, to, numbers, max(limit, 0) + 1, newest=to is not None and since is None)
        highest = log.last_number(tx)
    done = len(found) <= limit
    if not done:
        found = found[1:] if to is not None and since is None else found[:limit]
    if limit <= 0:
        found = []
    if not found:
        return ChangesPage([], None, highest, done)
    return ChangesPage(found, found[0].sequence, found[-1].sequence, done)


def last(archive: Archive, types: Collection[str] = ()) -> ChangesPage:
    """The newest change."""
    numbers = _numbers(types)
    with archive.database.read() as tx:
        found = log.after(tx, 0, None, numbers, 1, newest=True)
        highest = log.last_number(tx)
    if not found:
        return ChangesPage([], None, highest, True)
    return ChangesPage(found, found[0].sequence, found[0].sequence, True)


def clear(archive: Archive) -> None:
    """Forget all changes; numbers go on."""
    archive.write(log.clear)


def exports(archive: Archive, since: int = 0, limit: int = 100) -> ExportsPage:
    """Exports after number `since`."""
    with archive.database.read() as tx:
        found = log.exports_after(tx, since, max(limit, 0) + 1)
        highest = log.last_export_number(tx)
    done = len(found) <= limit
    found = found[: max(limit, 0)]
    if not found:
        return ExportsPage([], None, highest, done)
    return ExportsPage(found, found[0].sequence, found[-1].sequence, done)


def last_export(archive: Archive) -> ExportsPage:
    """The newest export."""
    with archive.database.read() as tx:
        found = log.exports_after(tx, 0, 1, newest=True)
        highest = log.last_export_number(tx)
    if not found:
        return ExportsPage([], None, highest, True)
    return ExportsPage(found, found[0].sequence, found[0].sequence, True)


def log_export(
    archive: Archive, level: Level, orthanc_id: OrthancId, remote_modality: str, identifiers: tuple[str, str, str, str]
) -> None:
    """Note that a resource was sent; `identifiers` are Patient ID and the three UIDs, empty below its level."""
    archive.database.write(
        lambda tx: log.append_export(tx, level, orthanc_id, remote_modality, identifiers, clock.now())
    )


def clear_exports(archive: Archive) -> None:
    """Forget all exports; numbers go on."""
    archive.write(log.clear_exports)


def _numbers(types: Collection[str]) -> list[int]:
    unknown = [name for name in types if name not in CHANGE_TYPES]
    if unknown:
        raise ParameterOutOfRange(f"unknown type of change: {unknown[0][:80]}")
    return [CHANGE_TYPES[name] for name in types]
