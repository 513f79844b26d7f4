"""WADO-RS bulk data (PS3.18 §10.4.1.1.5): values of instances, all of them, or a single one whole or in part.

A path is made of tags and numbers of items, which count from 1. Values come from the file, in little endian. Pixel data
in fragments is answered frame by frame, in the transfer syntax of the file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson

from amonsul.archive import read
from amonsul.archive.find import Resource
from amonsul.dicom import content, dicom_json
from amonsul.dicom.elements import Bulk
from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import BadFileFormat, BadRequest, InexistentItem, UnknownResource
from amonsul.web.dicomweb.addresses import base_url, bulk_url, url_of
from amonsul.web.dicomweb.frames import all_frames, only_frame, stored_frames
from amonsul.web.dicomweb.locate import instances_of, named_resources, ranged, slices, view_of
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

logger = logging.getLogger(__name__)

_PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


def get_bulk_data(services: Services, request: Request) -> Response:
    """GET …/instances/{instance}/bulk/{path}, …/bulkdata/{path}."""
    is_alone = _is_alone(request)
    (instance, *_) = named_resources(services.archive, request.params)
    dictionary = services.archive.dictionary
    path = [_index(step) if place % 2 else step for place, step in enumerate(request.params["path"].split("/"))]
    is_pixels = len(path) == 1 and dictionary.tag(path[0]) in _PIXEL_DATA
    if is_pixels and transfer_syntax(instance.transfer_syntax_uid).is_encapsulated:
        return (only_frame if is_alone else all_frames)(services, request, instance)
    view = view_of(services.archive, instance.orthanc_id)
    found = content.lookup(view, [*path, "0"] if is_pixels else path, dictionary, services.archive.settings.limits)
    value = memoryview(orjson.dumps(found)) if isinstance(found, list) else found
    if is_alone:
        return ranged(request, value, BINARY_TYPE)
    return multipart_response(OCTET_STREAM, (Part((("Content-Type", OCTET_STREAM),), slices(value)),))


def get_all_bulk_data(services: Services, request: Request) -> Response:
    """GET {root}/studies/{study}/bulkdata and below: every value that metadata refer to, each as a part."""
    if _is_alone(request):
        raise NotAcceptable("several values are sent in parts")
    instances = list(instances_of(services.archive, named_resources(services.archive, request.params)))
    base = base_url(services, request)

    def parts() -> Iterator[Part]:
        for instance in instances:
            try:
                yield from _parts_of(services, instance, base)
            except (UnknownResource, BadRequest, BadFileFormat, NotAcceptable) as error:
                logger.warning("instance %s is left out of an answer: %s", instance.orthanc_id, error)

    return multipart_response(OCTET_STREAM, parts())


def _parts_of(services: Services, instance: Resource, base: str) -> Iterator[Part]:
    archive = services.archive
    data_set = read.header(archive, instance.orthanc_id).data_set
    view = view_of(archive, instance.orthanc_id)
    paths: list[dicom_json.Path] = []

    def note(path: dicom_json.Path, _bulk: Bulk | None = None) -> None:
        paths.append(path)

    dicom_json.to_json(data_set, note, note)
    url = url_of(base, data_set)
    for path in paths:
        is_pixels = len(path) == 1 and int(str(path[0]), 16) in _PIXEL_DATA
        if is_pixels and transfer_syntax(instance.transfer_syntax_uid).is_encapsulated:
            yield from stored_frames(services, instance, base)
            continue
        steps = [*map(str, path), "0"] if is_pixels else [*map(str, path)]
        value = content.lookup(view, steps, archive.dictionary, archive.settings.limits)
        if isinstance(value, memoryview):
            headers = (("Content-Type", OCTET_STREAM), ("Content-Location", bulk_url(url, path)))
            yield Part(headers, slices(value))


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
