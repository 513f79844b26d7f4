"""The routes that bring the index up to date with the files, and those that end the server; see `routes`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from amonsul.dicom.levels import Level
from amonsul.web.rest import change_stream, lifecycle, reconstruction
from amonsul.web.routing import Body, Parameter, Route

_TEXT: Final = "text/plain"
_RECONSTRUCT_FILES: Final = Parameter(
    "ReconstructFiles",
    "Also store the files as the configuration says now: `StorageCompression`, `IngestTranscoding`.",
    "boolean",
)
_ASYNCHRONOUS: Final = Parameter("Asynchronous", "Do it as a job, and answer with its identifier.", "boolean")
_TAGS: Final = {
    Level.PATIENT: "Patients",
    Level.STUDY: "Studies",
    Level.SERIES: "Series",
    Level.INSTANCE: "Instances",
}


def upkeep_routes() -> Iterator[Route]:
    """Reconstruction, of everything and of single resources; the end of the server."""
    yield Route(
        "POST",
        "/tools/reconstruct",
        reconstruction.reconstruct_all,
        "Read all stored instances anew",
        "System",
        "Writes the index anew from the files, after changes of `ExtraMainDicomTags`, `Dictionary`, `DefaultEncoding`.",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(_RECONSTRUCT_FILES, _ASYNCHRONOUS),
        answers=_TEXT,
    )
    yield Route(
        "POST",
        "/tools/invalidate-tags",
        reconstruction.invalidate_tags,
        "Remove all summaries of the type dicom-as-json",
        "System",
        body=Body.SMALL,
        request_types=("application/json",),
        answers=_TEXT,
    )
    yield Route(
        "GET",
        "/housekeeper/status",
        reconstruction.housekeeper_status,
        "How far the housekeeper is",
        "System",
        "What it did, what it is at, and which job that is; there is none unless it is enabled.",
    )
    yield Route(
        "GET",
        "/changes/stream",
        change_stream.stream_changes,
        "Changes as they happen, as server-sent events",
        "Changes",
        "Each event has the number of its change for an identifier; a client that comes back with it misses nothing.",
        parameters=(
            Parameter("since", "Begin after this change; with the next one unless given.", "integer"),
            Parameter("type", "Report these types only, separated by semicolons."),
            Parameter("Last-Event-ID", "Goes before `since`.", place="header"),
        ),
        answers="text/event-stream",
    )
    for operation, restart, summary in (
        ("shutdown", False, "End the server"),
        ("reset", True, "Start the server again"),
    ):
        yield Route(
            "POST",
            f"/tools/{operation}",
            partial(lifecycle.end, restart),
            summary,
            "System",
            "Work under way is finished first, and jobs go on after the next start.",
            body=Body.SMALL,
            request_types=("application/json",),
        )
    for level in Level:
        name = level.type_name.lower()
        this_level = Parameter("LimitToThisLevelMainDicomTags", f"Only the main tags of the {name} itself.", "boolean")
        yield Route(
            "POST",
            f"/{level.collection}/{{id}}/reconstruct",
            partial(reconstruction.reconstruct, level),
            f"Read the instances of a {name} anew",
            _TAGS[level],
            "Writes the index anew from the files.",
            body=Body.SMALL,
            request_types=("application/json",),
            fields=(_RECONSTRUCT_FILES, this_level, _ASYNCHRONOUS),
            answers=_TEXT,
        )
