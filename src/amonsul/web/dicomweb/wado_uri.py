"""WADO-URI (PS3.18 §9): one instance, as a file or as a picture, by the arguments of a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amonsul.archive import find, read
from amonsul.archive.find import Content, Resource
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import SingleValue
from amonsul.dicom.query import Constraint, Query
from amonsul.dicom.uids import transfer_syntaxes
from amonsul.errors import (
    BadRequest,
    NotImplementedHere,
    ParameterOutOfRange,
    UnknownResource,
    UnsupportedMediaType,
)
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixels import Array
from amonsul.imaging.render import Rendering, fitted, rendered_frame
from amonsul.imaging.transcode import can_write
from amonsul.web.dicomweb.locate import view_of
from amonsul.web.dicomweb.rendered import GIF, JPEG, PNG, encoded
from amonsul.web.dicomweb.retrieve import AS_STORED, instance_pieces
from amonsul.web.services import Services
from amonsul.web.values import DICOM_TYPE, Request, Response, Stream

_UIDS = {"objectUID": Tag(0x00080018), "seriesUID": Tag(0x0020000E), "studyUID": Tag(0x0020000D)}
_PICTURES = {JPEG: JPEG, "image/jpg": JPEG, PNG: PNG, GIF: GIF}
_NEVER_SENT = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
"""Implicit VR and big endian are not to be used (PS3.18 §9.5.1.2); whoever asks gets the file as it is stored."""


def get_object(services: Services, request: Request) -> Response:
    """GET {WadoRoot}."""
    query = request.query
    if query.get("requestType") != "WADO" or not query.get("objectUID"):
        raise UnknownResource
    if query.get("anonymize") == "yes":
        raise BadRequest("WADO-URI: instances are not anonymized on the way")
    constraints = tuple(Constraint(tag, SingleValue(query[name])) for name, tag in _UIDS.items() if query.get(name))
    found = find.find(services.archive, Query(Level.INSTANCE, constraints, limit=1), Content.NOTHING)
    if not found:
        raise UnknownResource
    for name in query.get("contentType", JPEG).lower().split(","):
        wanted = name.partition(";")[0].strip()
        if wanted == "application/dicom":
            return _file(services, found[0], query)
        if wanted in _PICTURES or wanted in ("*/*", "image/*"):
            return _picture(services, found[0], _PICTURES.get(wanted, JPEG), query)
    raise BadRequest(f'WADO-URI: Unsupported content type: "{query["contentType"][:64]}"')


def _file(services: Services, instance: Resource, query: Mapping[str, str]) -> Response:
    uid = query.get("transferSyntax", AS_STORED)
    if uid in _NEVER_SENT:
        uid = AS_STORED
    if uid != AS_STORED and uid not in transfer_syntaxes() and not can_write(uid):
        raise BadRequest(f"WADO-URI: unknown transfer syntax {uid[:64]}")
    pieces = instance_pieces(services, instance, uid)
    first = next(pieces, b"")

    def all_pieces() -> Iterator[bytes]:
        yield first
        yield from pieces

    return Response(200, DICOM_TYPE, Stream(all_pieces(), None))


def _picture(services: Services, instance: Resource, name: str, query: Mapping[str, str]) -> Response:
    rendering = Rendering(window_center=_real(query, "windowCenter"), window_width=_real(query, "windowWidth"))
    quality = _whole(query, "imageQuality", 1, 100) or services.settings.lossy_quality
    frame = (_whole(query, "frameNumber", 1, 1 << 31) or 1) - 1
    rows, columns = _whole(query, "rows", 1, 1 << 16), _whole(query, "columns", 1, 1 << 16)
    region = _region(query.get("region"))
    header = read.header(services.archive, instance.orthanc_id)
    try:
        frames = Frames(view_of(services.archive, instance.orthanc_id), header)
        picture = rendered_frame(frames, frame, services.codecs, rendering)
    except (BadRequest, NotImplementedHere) as error:
        raise UnsupportedMediaType(error.details) from error
    if region is not None:
        picture = _cut(picture, region)
    if rows or columns:
        picture = fitted(picture, columns or 0, rows or 0, is_smooth=True)
    return encoded(picture, name, quality)


def _cut(picture: Array, region: tuple[float, float, float, float]) -> Array:
    """The part of a picture between two corners, from 0 to 1."""
    rows, columns = picture.shape[:2]
    left, top, right, bottom = region
    first_row, first_column = int(top * rows), int(left * columns)
    last_row, last_column = max(int(bottom * rows), first_row + 1), max(int(right * columns), first_column + 1)
    cut: Array = picture[first_row:last_row, first_column:last_column]
    return cut


def _region(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        left, top, right, bottom = (float(part[:32]) for part in text.split(",", 4))
    except ValueError:
        raise ParameterOutOfRange("WADO-URI: region needs four numbers") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ParameterOutOfRange("WADO-URI: region is outside of the image")
    return left, top, right, bottom


def _real(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return float(text[:32])
    except ValueError:
        raise ParameterOutOfRange(f"WADO-URI: {name} is no number") from None


def _whole(query: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not low <= int(text) <= high:
        raise ParameterOutOfRange(f"WADO-URI: {name} must be between {low} and {high}")
    return int(text)
