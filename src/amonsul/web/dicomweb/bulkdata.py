"""WADO-RS bulk data (PS3.18 §10.4.1.1.5): single values of an instance, whole or in part.

A path is made of tags and numbers of items, which count from 1. Values come from the file, in little endian. Pixel data
in fragments is answered frame by frame, in the transfer syntax of the file.
"""

from __future__ import annotations

import orjson

from amonsul.dicom import content
from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import InexistentItem
from amonsul.web.dicomweb.frames import all_frames
from amonsul.web.dicomweb.locate import named_resources, ranged, slices, view_of
from amonsul.web.dicomweb.negotiation import (
    MULTIPART,
    OCTET_STREAM,
    NotAcceptable,
    Part,
    accepted,
    multipart_response,
)
from amonsul.web.services import Services
from amonsul.web.values import BINARY_TYPE, Request, Response

_PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


def get_bulk_data(services: Services, request: Request) -> Response:
    """GET …/instances/{instance}/bulk/{path}, …/bulkdata/{path}."""
    is_alone = _is_alone(request)
    (instance, *_) = named_resources(services.archive, request.params)
    dictionary = services.archive.dictionary
    path = [_index(step) if place % 2 else step for place, step in enumerate(request.params["path"].split("/"))]
    is_pixels = len(path) == 1 and dictionary.tag(path[0]) in _PIXEL_DATA
    if is_pixels and transfer_syntax(instance.transfer_syntax_uid).is_encapsulated:
        return all_frames(services, request, instance)
    view = view_of(services.archive, instance.orthanc_id)
    found = content.lookup(view, [*path, "0"] if is_pixels else path, dictionary, services.archive.settings.limits)
    value = memoryview(orjson.dumps(found)) if isinstance(found, list) else found
    if is_alone:
        return ranged(request, value, BINARY_TYPE)
    return multipart_response(OCTET_STREAM, (Part((("Content-Type", OCTET_STREAM),), slices(value)),))


def _is_alone(request: Request) -> bool:
    """Whether the value is wanted without parts around it."""
    for one in accepted(request):
        if one.name in ("*/*", "multipart/*") or (one.name == MULTIPART and one.root in ("", OCTET_STREAM, "*/*")):
            return False
        if one.name == MULTIPART and (one.root.startswith(("image/", "video/")) or one.transfer_syntax):
            return False
        if one.name in (OCTET_STREAM, "application/*"):
            return True
    raise NotAcceptable("bulk data are sent as application/octet-stream, alone or in parts")


def _index(step: str) -> str:
    """The number of an item, counted from 0."""
    if not step.isascii() or not step.isdigit() or len(step) > 9 or step == "0":
        raise InexistentItem("no such item")
    return str(int(step) - 1)
