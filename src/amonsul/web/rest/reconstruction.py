"""Routes that bring the index up to date with the files and the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.archive import reconstruct as verbs
from amonsul.archive.reconstruct import Scope
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat, InexistentItem
from amonsul.jobs.kinds.reconstruct import Reconstruct
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.rest.resources import identifier
from amonsul.web.services import Services
from amonsul.web.values import TEXT_TYPE, Request, Response, json


def reconstruct(level: Level, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/reconstruct."""
    options = _options(request)
    scope = Scope(
        level,
        identifier(request),
        files=_flag(options, "ReconstructFiles"),
        only_this_level=_flag(options, "LimitToThisLevelMainDicomTags"),
    )
    return _reconstruct(services, scope, options)


def reconstruct_all(services: Services, request: Request) -> Response:
    """POST /tools/reconstruct."""
    options = _options(request)
    return _reconstruct(services, Scope(files=_flag(options, "ReconstructFiles")), options)


def _reconstruct(services: Services, scope: Scope, options: Mapping[str, Json]) -> Response:
    services.archive.require_writable()
    parameters = jobs.parse_parameters(options)
    if not parameters.synchronous:
        return jobs.answer(services, Reconstruct(scope, verbs.count(services.archive, scope)), parameters)
    verbs.reconstruct(services.archive, services.codecs, scope)
    return Response(200, TEXT_TYPE)


def housekeeper_status(services: Services, _request: Request) -> Response:
    """GET /housekeeper/status."""
    if services.housekeeping is None:
        raise InexistentItem("the housekeeper is not enabled")
    return json(services.housekeeping())


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
