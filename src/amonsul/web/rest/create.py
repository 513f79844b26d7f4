"""`/tools/create-dicom`: instances made of JSON, images and documents."""

from __future__ import annotations

import uuid
from datetime import datetime
from io import BytesIO

import numpy
from PIL import Image as Picture

from amonsul.archive import find, rewriting
from amonsul.archive.context import Archive
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import RestOrigin
from amonsul.dicom.creation import Image, Parent, ParentIsInstance, UnknownParent, create, parse_creation
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.tag_values import Encoder
from amonsul.dicom.uids import new_uid
from amonsul.errors import BadFileFormat, BadRequest, CannotStore, PayloadTooLarge
from amonsul.web.json_body import parse
from amonsul.web.rest.uploads import describe
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json

MAX_BODY = 256 << 20

MAX_PIXELS = 64 << 20
"""Of one image."""

_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB", "I": "I;16"}
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}


def create_dicom(services: Services, request: Request) -> Response:
    """POST /tools/create-dicom."""
    archive = services.archive
    if request.body.size > MAX_BODY:
        raise PayloadTooLarge(f"more than {MAX_BODY} bytes")
    try:
        body = parse(request.data())
    except BadFileFormat as error:
        raise BadRequest(f"The body must contain a JSON object: {error.details}") from None
    creation = parse_creation(body, archive.dictionary)
    parent = None if creation.parent is None else _parent(archive, creation.parent)
    encoder = Encoder(archive.dictionary, default_charset=archive.default_encoding)
    origin = RestOrigin(request.remote_ip, request.username)
    stored = None
    for data_set in create(creation, parent, decode_image, new_uid, lambda: str(uuid.uuid4()), datetime.now(), encoder):
        stored = ingest(archive, rewriting.save(archive, data_set, services.codecs), origin)
        if stored.status is IngestStatus.FILTERED_OUT:
            raise CannotStore("a filter refuses the new instance")
    assert stored is not None  # there is one at least
    if creation.is_series:
        series_id = stored.series_id
        return json({"ID": series_id, "Path": f"/series/{series_id}", "Status": stored.status.value})
    return json(describe(stored))


def _parent(archive: Archive, parent_id: OrthancId) -> Parent:
    level = find.level_of(archive, parent_id)
    if level is None:
        raise UnknownParent
    if level is Level.INSTANCE:
        raise ParentIsInstance
    instances = find.descendant_ids(archive, level, parent_id, Level.INSTANCE)
    if not instances:
        raise UnknownParent
    return Parent(level, rewriting.load(archive, instances[0], with_pixels=False))


def decode_image(data: bytes, mime_type: str) -> Image:
    """The samples of a PNG or JPEG file.

    Raises:
        BadFileFormat: it is none, or too large.
    """
    try:
        with Picture.open(BytesIO(data), formats=[_FORMATS[mime_type]]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadFileFormat(f"an image of more than {MAX_PIXELS} pixels")
            mode = _MODES.get(picture.mode, picture.mode)
            image = numpy.asarray(picture if mode == picture.mode else picture.convert(mode))
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, MemoryError, Picture.DecompressionBombError) as error:
        raise BadFileFormat("cannot read the image") from error
    if image.dtype.byteorder == ">":
        image = image.astype(image.dtype.newbyteorder("="))
    return image
