"""What the DICOMweb server says of itself, and the removal of what it has."""

from __future__ import annotations

from amonsul.archive import edit, find
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import ReadOnly
from amonsul.web.dicomweb.addresses import public_root
from amonsul.web.dicomweb.locate import named_resources
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, empty, json


def get_info(services: Services, _request: Request) -> Response:
    """GET {root}/info."""
    root = public_root(services.settings.dicom_web)
    depth = max(len(root.strip("/").split("/")), 1) if root else 0
    body = {"DicomWebRoot": f"{root}/", "OrthancApiRoot": "./" + "../" * depth}
    return json(body, content_type=b"application/json")


def delete(services: Services, request: Request) -> Response:
    """DELETE {root}/studies/{study}, …/series/{series}, …/instances/{instance}."""
    if services.information.read_only:
        raise ReadOnly
    for resource in named_resources(services.archive, request.params):
        edit.delete(services.archive, resource.level, resource.orthanc_id)
    return empty(204)


def update_cache(services: Services, request: Request) -> Response:
    """POST /studies/{id}/update-dicomweb-cache: there is nothing to update, as metadata come from the index."""
    find.get(services.archive, Level.STUDY, OrthancId(request.params["id"]), find.Content.NOTHING)
    return json({})
