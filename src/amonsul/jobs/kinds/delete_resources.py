"""DeleteResources: resources are deleted, a series at a time.

A patient of a hundred thousand instances goes in as many small transactions as it has series, so that nobody else waits
long for the index. What is gone already was deleted by an earlier try of the same step, or by somebody else: both are
fine. A job that is ended in the middle has deleted what it had come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from amonsul.archive import edit, find
from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import UnknownResource
from amonsul.jobs.kind import Kind, Progress, Running


@dataclass(frozen=True, slots=True)
class Doomed:
    """A resource to be deleted."""

    level: Level
    orthanc_id: OrthancId


@dataclass(frozen=True, slots=True)
class DeleteResources:
    """Arguments.

    Attributes:
        resources: to delete, in this order.
        permissive: go on after a failure.
    """

    resources: tuple[Doomed, ...]
    permissive: bool = False
    description: str = "REST API"


def delete_resources(archive: Archive) -> Kind[DeleteResources]:
    """The kind, with what it works with."""

    def run(arguments: DeleteResources, running: Running) -> Iterator[Progress]:
        total = len(arguments.resources)
        for index in range(running.checkpoint or 0, total):
            with running.item(arguments.permissive), suppress(UnknownResource):
                for part in _parts(archive, arguments.resources[index]):
                    with suppress(UnknownResource):
                        edit.delete(archive, part.level, part.orthanc_id)
                    yield Progress(index, total, index)
            yield Progress(index + 1, total, index + 1)

    def content(arguments: DeleteResources) -> dict[str, object]:
        return {
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "Resources": [{"ID": doomed.orthanc_id, "Type": doomed.level.type_name} for doomed in arguments.resources],
        }

    return Kind("DeleteResources", DeleteResources, run, content)


def _parts(archive: Archive, doomed: Doomed) -> list[Doomed]:
    """What to delete one after the other, so that the whole is gone."""
    if doomed.level >= Level.SERIES:
        return [doomed]
    below = find.descendant_ids(archive, doomed.level, doomed.orthanc_id, Level.SERIES)
    return [Doomed(Level.SERIES, series_id) for series_id in below]
