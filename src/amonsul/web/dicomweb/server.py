"""What the DICOMweb server says of itself."""

from __future__ import annotations

from amonsul.web.dicomweb.addresses import public_root
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json


def get_info(services: Services, _request: Request) -> Response:
    """GET {root}/info."""
    root = public_root(services.settings.dicom_web)
    depth = max(len(root.strip("/").split("/")), 1) if root else 0
    body = {"DicomWebRoot": f"{root}/", "OrthancApiRoot": "./" + "../" * depth}
    return json(body, content_type=b"application/json")
