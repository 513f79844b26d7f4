"""Reconstruct: instances are read anew, those of a resource or all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amonsul.archive import reconstruct as verbs
from amonsul.archive.context import Archive
from amonsul.archive.reconstruct import Scope
from amonsul.errors import UnknownResource
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running


@dataclass(frozen=True, slots=True)
class Reconstruct:
    """Arguments.

    Attributes:
        scope: what is read.
        instances_count: how many instances there were when it was asked for.
    """

    scope: Scope
    instances_count: int
    description: str = "REST API"


def reconstruct_kind(archive: Archive, codecs: Codecs) -> Kind[Reconstruct]:
    """The kind, with what it works with."""

    def run(arguments: Reconstruct, running: Running) -> Iterator[Progress]:
        after, done = running.checkpoint or (0, 0)
        while (piece := _next(arguments.scope, after)) is not None:
            after, done = piece.after, done + piece.size
            running.content["FailedInstancesCount"] += piece.failed
            progress = Progress(done, max(done, arguments.instances_count), (after, done))
            running.write(piece.write, progress)
            yield progress

    def _next(scope: Scope, after: int) -> verbs.Piece | None:
        try:
            return verbs.read_piece(archive, codecs, scope, after)
        except UnknownResource:  # deleted meanwhile
            return None

    return Kind("Reconstruct", Reconstruct, run, _content)


def _content(arguments: Reconstruct) -> dict[str, object]:
    scope = arguments.scope
    content: dict[str, object] = {
        "Description": arguments.description,
        "FailedInstancesCount": 0,
        "InstancesCount": arguments.instances_count,
        "ReconstructFiles": scope.files,
    }
    if scope.level is not None and scope.orthanc_id is not None:
        content["Resources"] = [{"ID": scope.orthanc_id, "Type": scope.level.type_name}]
    return content
