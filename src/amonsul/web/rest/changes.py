"""The log of changes and the log of exports."""

from __future__ import annotations

from amonsul.archive import changes
from amonsul.archive.changes import ChangesPage, ExportsPage
from amonsul.web.rest.resources import reference
from amonsul.web.services import Services
from amonsul.web.values import TEXT_TYPE, Request, Response, json

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 100_000


def list_changes(services: Services, request: Request) -> Response:
    """GET /changes: after `since`, up to `to`, of some types; `?last` is the newest."""
    types = [name for name in request.query.get("type", "").split(";") if name]
    if "last" in request.query:
        return json(_describe(changes.last(services.archive, types)))
    since, limit, to = _number(request, "since"), _number(request, "limit"), _number(request, "to")
    if limit is not None and limit < 0:
        return json({"Changes": [], "Done": True, "Last": changes.last(services.archive).last})
    limit = _DEFAULT_LIMIT if limit is None else min(limit, _MAX_LIMIT)
    return json(_describe(changes.page(services.archive, since, limit, to, types)))


def clear_changes(services: Services, _request: Request) -> Response:
    """DELETE /changes."""
    changes.clear(services.archive)
    return Response(200, TEXT_TYPE)


def list_exports(services: Services, request: Request) -> Response:
    """GET /exports."""
    if "last" in request.query:
        return json(_describe_exports(changes.last_export(services.archive)))
    since, limit = _number(request, "since"), _number(request, "limit")
    limit = _DEFAULT_LIMIT if limit is None or limit < 0 else min(limit, _MAX_LIMIT)
    return json(_describe_exports(changes.exports(services.archive, max(since or 0, 0), limit)))


def clear_exports(services: Services, _request: Request) -> Response:
    """DELETE /exports."""
    changes.clear_exports(services.archive)
    return Response(200, TEXT_TYPE)


def _number(request: Request, name: str) -> int | None:
    """A number, None if it is none: here the reference forgives what it does not understand."""
    try:
        return int(request.query[name][:18])
    except (KeyError, ValueError):
        return None


def _describe(page: ChangesPage) -> dict[str, object]:
    described: dict[str, object] = {
        "Changes": [changes.to_json(change) for change in page.changes],
        "Done": page.done,
    }
    if page.changes and page.first is not None:
        described["First"] = page.first
    described["Last"] = page.last
    return described


def _describe_exports(page: ExportsPage) -> dict[str, object]:
    exports = []
    for export in page.exports:
        named = reference(export.level, export.orthanc_id)
        described: dict[str, object] = {
            "Date": export.date,
            "ID": named["ID"],
            "Path": named["Path"],
            "RemoteModality": export.remote_modality,
            "ResourceType": named["Type"],
            "Seq": export.sequence,
        }
        for name, value in (
            ("PatientID", export.patient_id),
            ("StudyInstanceUID", export.study_instance_uid),
            ("SeriesInstanceUID", export.series_instance_uid),
            ("SOPInstanceUID", export.sop_instance_uid),
        ):
            if value:
                described[name] = value
        exports.append(described)
    listed: dict[str, object] = {"Done": page.done, "Exports": exports}
    if exports:
        listed["First"] = page.exports[0].sequence
    listed["Last"] = page.last
    return listed
