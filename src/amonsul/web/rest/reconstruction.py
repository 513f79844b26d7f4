"""Routes that bring the index up to date with the files and the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.archive import reconstruct as verbs
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat
from amonsul.web.json_body import Json, parse
from amonsul.web.rest.resources import identifier
from amonsul.web.services import Services
from amonsul.web.values import TEXT_TYPE, Request, Response


def reconstruct(level: Level, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/reconstruct."""
    options = _options(request)
    verbs.reconstruct(
        services.archive,
        level,
        identifier(request),
        files=_flag(options, "ReconstructFiles"),
        only_this_level=_flag(options, "LimitToThisLevelMainDicomTags"),
    )
    return Response(200, TEXT_TYPE)


def reconstruct_all(services: Services, request: Request) -> Response:
    """POST /tools/reconstruct."""
    verbs.reconstruct_all(services.archive, files=_flag(_options(request), "ReconstructFiles"))
    return Response(200, TEXT_TYPE)


def invalidate_tags(services: Services, _request: Request) -> Response:
    """POST /tools/invalidate-tags."""
    verbs.invalidate_summaries(services.archive)
    return Response(200, TEXT_TYPE)


def _options(request: Request) -> Mapping[str, Json]:
    """The body, which may be missing."""
    data = request.data()
    options = parse(data) if data.strip() else {}
    if not isinstance(options, dict):
        raise BadFileFormat("The body must contain a JSON object")
    return options


def _flag(options: Mapping[str, Json], name: str) -> bool:
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise BadFileFormat(f'Field "{name}" must be a Boolean')
    return value
