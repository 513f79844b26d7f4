"""Pixels of stored instances: pictures for people, matrices for programs, frames as they are.

Pictures (`preview`, `rendered`, `image-…`) are PNG, JPEG or PAM, as the Accept header asks. What has no pixels, or
pixels that cannot be shown so, is answered 415 without a body, or led to a placeholder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, TypeAlias, TypeVar

from isal import igzip

from amonsul.archive import find, read, rewriting
from amonsul.archive.find import Content
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    BadRequest,
    IncompatibleImageSize,
    NotImplementedHere,
    ParameterOutOfRange,
    Unavailable,
    UnknownResource,
)
from amonsul.imaging import pictures, render
from amonsul.imaging.colour import Palette, palette_of
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames, has_pixel_data
from amonsul.imaging.grayscale import grayscale
from amonsul.imaging.pixels import Array
from amonsul.imaging.render import Rendering
from amonsul.web.rest.slices import ordered_slices
from amonsul.web.services import Services
from amonsul.web.values import BINARY_TYPE, NOT_FOUND, Request, Response, Stream, empty, json, text

OPERATIONS = ("image-int16", "image-uint16", "image-uint8", "matlab", "numpy", "preview", "raw", "raw.gz", "rendered")
"""Of each frame."""

_PNG, _JPEG, _PAM = "image/png", "image/jpeg", "image/x-portable-arbitrarymap"
_MAX_PICTURE_SIDE = 65_535
_DEFAULT_QUALITY = 90
_FRAME_TYPES: Mapping[str, bytes] = {
    "1.2.840.10008.1.2.4.50": b"image/jpeg",
    "1.2.840.10008.1.2.4.90": b"image/jp2",
    "1.2.840.10008.1.2.4.91": b"image/jp2",
}
"""Of frames as they are, where other programs know them."""
_SERIES_NUMBER = Tag(0x00200011)
_INSTANCE_NUMBER = Tag(0x00200013)
_PLACEHOLDER = b"app/images/unsupported.png"

T = TypeVar("T")

Draw: TypeAlias = Callable[[Frames, int, Services, Rendering], Array]


class NotDecodable(NotImplementedHere):
    """Pixels that cannot be read, or none at all."""

    http_status: ClassVar[int] = 500


def _preview(frames: Frames, frame: int, services: Services, _rendering: Rendering) -> Array:
    return render.preview_frame(frames, frame, services.codecs)


def _rendered(frames: Frames, frame: int, services: Services, rendering: Rendering) -> Array:
    return render.rendered_frame(frames, frame, services.codecs, rendering)


def _uint8(frames: Frames, frame: int, services: Services, _rendering: Rendering) -> Array:
    return render.clipped_uint8(decode_frame(frames, frame, services.codecs))


def _uint16(frames: Frames, frame: int, services: Services, _rendering: Rendering) -> Array:
    return render.clipped_uint16(decode_frame(frames, frame, services.codecs))


def _int16(frames: Frames, frame: int, services: Services, _rendering: Rendering) -> Array:
    return render.clipped_int16(decode_frame(frames, frame, services.codecs))


_DRAW: Mapping[str, Draw] = {
    "preview": _preview,
    "rendered": _rendered,
    "image-uint8": _uint8,
    "image-uint16": _uint16,
    "image-int16": _int16,
}
PICTURES = tuple(_DRAW)


# ---------------------------------------------------------------------------------------------------- pictures


def get_picture(operation: str, services: Services, request: Request) -> Response:
    """GET /instances/{id}/preview, /instances/{id}/frames/{frame}/preview and their like."""
    is_deep = operation in ("image-uint16", "image-int16")
    media_type = _accepted(request.header(b"accept"), (_PNG, _PAM) if is_deep else (_PNG, _JPEG, _PAM))
    frame = _frame(request)
    if media_type is None or frame is None:
        return NOT_FOUND
    rendering = Rendering()
    if operation == "rendered":
        try:
            rendering = _rendering(request)
        except BadRequest:
            return NOT_FOUND
    try:
        picture = _DRAW[operation](_frames(services, _id(request)), frame, services, rendering)
        encoded = _encoded(picture, media_type, request)
    except UnknownResource:
        return NOT_FOUND
    except Unavailable:
        raise
    except AmonsulError:
        if "returnUnsupportedImage" in request.query:
            depth = 4 if "frame" in request.params else 2
            return empty(307, ((b"location", b"../" * depth + _PLACEHOLDER),))
        return empty(415)
    return Response(200, media_type.encode(), encoded)


def _encoded(picture: Array, media_type: str, request: Request) -> bytes:
    if media_type == _PNG:
        return pictures.png(picture)
    if media_type == _PAM:
        return pictures.pam(picture)
    quality = request.query.get("quality", str(_DEFAULT_QUALITY))
    return pictures.jpeg(picture, int(quality) if quality.isascii() and quality.isdigit() and len(quality) < 4 else 0)


def _accepted(header: str | None, offered: Sequence[str]) -> str | None:
    """The media type to answer with (RFC 9110 §12.5.1); the first one offered without a preference."""
    if not header:
        return offered[0]
    ranges = []
    for part in header.lower().split(",")[:32]:
        name, *parameters = (each.strip() for each in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if weight > 0:
            ranges.append((weight, name))
    ranges.sort(key=lambda each: -each[0])
    for _, name in ranges:
        for candidate in offered:
            if name in (candidate, "*/*", "*") or (name.endswith("/*") and candidate.startswith(name[:-1])):
                return candidate
    return None


def _rendering(request: Request) -> Rendering:
    center, width = (_number(request, name) for name in ("window-center", "window-width"))
    columns, rows = (_side(request, name) for name in ("width", "height"))
    return Rendering(center, width, None, columns, rows, request.flag("smooth"))


def _number(request: Request, name: str) -> float | None:
    value = request.query.get(name)
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        number = float(value)
        if number == number and abs(number) < 1e12:
            return number
    raise BadRequest(f'Argument "{name}" must be a number')


def _side(request: Request, name: str) -> int:
    value = request.query.get(name, "0")
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise BadRequest(f'Argument "{name}" must be a natural number')
    return min(int(value), _MAX_PICTURE_SIDE)


# ---------------------------------------------------------------------------------------------------- matrices


def get_matlab(services: Services, request: Request) -> Response:
    """GET /instances/{id}/matlab, /instances/{id}/frames/{frame}/matlab."""
    frame = _frame(request)
    if frame is None:
        return NOT_FOUND
    frames = _decodable(services, _id(request))
    pixels = _decoded(lambda: decode_frame(frames, frame, services.codecs))
    return text(pictures.matlab(pixels, _palette(frames)).decode("ascii"))


def get_numpy(services: Services, request: Request) -> Response:
    """GET /instances/{id}/numpy: all frames; /instances/{id}/frames/{frame}/numpy: one."""
    is_rescaled, is_compressed = _switch(request, "rescale", True), _switch(request, "compress", False)
    frames = _decodable(services, _id(request))
    if "frame" in request.params:
        frame = _frame(request)
        if frame is None:
            return NOT_FOUND
        array = _decoded(lambda: _samples(services, frames, frame, is_rescaled))
        return _numpy(iter((pictures.npy(array),)), is_compressed)
    count = _decoded(lambda: frames.count)
    return _numpy(pictures.npy_of_frames(_all_samples(services, (frames,), is_rescaled), count), is_compressed)


def get_series_numpy(services: Services, request: Request) -> Response:
    """GET /series/{id}/numpy: all frames of all instances, in their order in space or of acquisition."""
    find.get(services.archive, Level.SERIES, _id(request), Content.NOTHING)
    return _numpy_of_many(services, request, _ordered(services, _id(request)))


def get_study_numpy(services: Services, request: Request) -> Response:
    """GET /studies/{id}/numpy: as of a series, one series after the other by number; what has no pixels is left out."""
    archive = services.archive
    every = find.descendants(archive, Level.STUDY, _id(request), Level.SERIES, Content.NOTHING)
    every.sort(key=lambda series: (_number_in(series.main_tags, _SERIES_NUMBER), series.orthanc_id))
    ordered = [instance_id for series in every for instance_id in _ordered(services, series.orthanc_id)]
    shown = [each for each in ordered if has_pixel_data(read.header(archive, each).data_set)]
    if not shown:
        raise NotDecodable("No instance of the study has pixels")
    return _numpy_of_many(services, request, shown)


def _ordered(services: Services, series_id: OrthancId) -> list[OrthancId]:
    slices = find.slices_of(services.archive, series_id)
    slices.sort(key=lambda each: _number_in(each[1], _INSTANCE_NUMBER))
    ordered = ordered_slices(slices)["SlicesShort"]
    assert isinstance(ordered, list)
    return [OrthancId(orthanc_id) for orthanc_id, _, _ in ordered]


def _numpy_of_many(services: Services, request: Request, instance_ids: Sequence[OrthancId]) -> Response:
    is_rescaled, is_compressed = _switch(request, "rescale", True), _switch(request, "compress", False)
    opened = [_decodable(services, instance_id) for instance_id in instance_ids]
    sizes = {(frames.format.rows, frames.format.columns) for frames in opened}
    if len(sizes) > 1:
        raise IncompatibleImageSize("The size of the frames varies across the instance(s)")
    count = sum(_decoded(partial(getattr, frames, "count")) for frames in opened)
    return _numpy(pictures.npy_of_frames(_all_samples(services, opened, is_rescaled), count), is_compressed)


def _number_in(main_tags: Mapping[Tag, str], tag: Tag) -> int:
    value = main_tags.get(tag, "").strip().removeprefix("+")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 13 else 0


def _numpy(chunks: Iterator[bytes], is_compressed: bool) -> Response:
    if is_compressed:
        return Response(200, BINARY_TYPE, _decoded(lambda: pictures.npz(chunks)))
    first = [_decoded(lambda: next(chunks, b"")) for _ in range(2)]  # what is wrong from the start is told
    return Response(200, BINARY_TYPE, Stream(_chain(first, chunks), None))


def _chain(first: Sequence[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from (chunk for chunk in first if chunk)
    yield from rest


def _all_samples(services: Services, opened: Sequence[Frames], is_rescaled: bool) -> Iterator[Array]:
    for frames in opened:
        for frame in range(frames.count):
            yield _samples(services, frames, frame, is_rescaled)
            frames.forget(frame)


def _samples(services: Services, frames: Frames, frame: int, is_rescaled: bool) -> Array:
    pixels = decode_frame(frames, frame, services.codecs)
    return pictures.numpy_samples(pixels, grayscale(frames, frame), _palette(frames), is_rescaled)


def _switch(request: Request, name: str, default: bool) -> bool:
    value = request.query.get(name)
    if value is None:
        return default
    if value in ("true", "1"):
        return True
    if value in ("false", "0"):
        return False
    raise ParameterOutOfRange(f'Expected a Boolean for GET argument "{name}", found: {value[:32]}')


# ---------------------------------------------------------------------------------------------------- frames


def list_operations(services: Services, request: Request) -> Response:
    """GET /instances/{id}/frames/{frame}."""
    read.header(services.archive, _id(request))
    return json(OPERATIONS) if _frame(request) is not None else NOT_FOUND


def get_raw(is_packed: bool, services: Services, request: Request) -> Response:
    """GET /instances/{id}/frames/{frame}/raw, /instances/{id}/frames/{frame}/raw.gz."""
    frame = _frame(request)
    if frame is None:
        return NOT_FOUND
    frames = _frames(services, _id(request))
    data = bytes(frames.frame_bytes(frame))
    if is_packed:
        return Response(200, b"application/gzip", igzip.compress(data, mtime=0))
    return Response(200, _FRAME_TYPES.get(frames.syntax.uid, BINARY_TYPE), data)


def _id(request: Request) -> OrthancId:
    return OrthancId(request.params["id"])


def _frame(request: Request) -> int | None:
    """The frame of the URL, the first one unless there is one; None if it is no number."""
    value = request.params.get("frame", "0")
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        return None
    return int(value)


def _frames(services: Services, instance_id: OrthancId) -> Frames:
    archive = services.archive
    header = read.header(archive, instance_id)
    stored = read.attachment(archive, Level.INSTANCE, instance_id)
    return Frames(rewriting.copied(archive, stored).view(), header)


def _decodable(services: Services, instance_id: OrthancId) -> Frames:
    return _decoded(lambda: _frames(services, instance_id))


def _decoded(work: Callable[[], T]) -> T:
    """Do something with pixels; what cannot be read is told as clients know it."""
    try:
        return work()
    except (BadRequest, BadFileFormat) as error:
        raise NotDecodable(error.details) from error
    except NotImplementedHere as error:
        raise NotDecodable(error.details) from error


def _palette(frames: Frames) -> Palette | None:
    return palette_of(frames) if frames.format.photometric_interpretation == "PALETTE COLOR" else None
