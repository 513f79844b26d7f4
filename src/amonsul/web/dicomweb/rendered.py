"""Pictures of instances: rendered resources and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.4), and documents and videos.

Without a window the values that occur are stretched to the full range; a window shows modality values. In parts, all
frames of all instances are shown; a single picture of a study or a series is that of the instance in the middle, for
want of anything better.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy
from PIL import Image

from amonsul.archive import find, read
from amonsul.archive.find import Content, Resource
from amonsul.dicom import content
from amonsul.dicom.elements import Tag
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level
from amonsul.errors import (
    BadFileFormat,
    BadRequest,
    InexistentItem,
    NotImplementedHere,
    ParameterOutOfRange,
    UnknownResource,
)
from amonsul.imaging.colour import Palette, palette_of
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames, is_video
from amonsul.imaging.grayscale import VoiLutFunction
from amonsul.imaging.pictures import jpeg, png
from amonsul.imaging.pixels import Array, Pixels
from amonsul.imaging.render import Rendering, fitted, in_viewport, preview, preview_frame, rendered_frame
from amonsul.protocols.media_types import MediaType, choose
from amonsul.web.auth import SANDBOX
from amonsul.web.dicomweb.addresses import base_url, url_of
from amonsul.web.dicomweb.frames import MEDIA_TYPE_OF, parse_frames
from amonsul.web.dicomweb.locate import instances_of, named_resources, ranged, view_of
from amonsul.web.dicomweb.negotiation import MULTIPART, OCTET_STREAM, NotAcceptable, Part, accepted, multipart_response
from amonsul.web.services import Services
from amonsul.web.values import Headers, Request, Response

logger = logging.getLogger(__name__)

JPEG, PNG, GIF, PDF = "image/jpeg", "image/png", "image/gif", "application/pdf"
_PICTURES = (JPEG, PNG, GIF)
_VIDEOS = ("video/mp4", "video/mpeg")
_MAX_ANIMATION = 512
_THUMBNAIL = 256
_SERVICE = "in WADO-RS Retrieve Rendered Transaction must be"

_FUNCTIONS = {
    "linear": VoiLutFunction.LINEAR,
    "linear-exact": VoiLutFunction.LINEAR_EXACT,
    "sigmoid": VoiLutFunction.SIGMOID,
}


def get_rendered(services: Services, request: Request) -> Response:
    """GET …/rendered of a study, series, instance or frames."""
    return _answer(services, request, is_thumbnail=False)


def get_thumbnail(services: Services, request: Request) -> Response:
    """GET …/thumbnail of a study, series, instance or frame."""
    return _answer(services, request, is_thumbnail=True)


@dataclass(frozen=True, slots=True)
class _Wish:
    """How a client wants to see a frame."""

    rendering: Rendering | None
    viewport: Viewport | None
    quality: int
    is_thumbnail: bool

    def picture(self, services: Services, frames: Frames, frame: int) -> Array:
        """A frame as it is shown; frames count from 0.

        Raises:
            ParameterOutOfRange: it cannot be shown so.
        """
        region = self.viewport[2] if self.viewport is not None else None
        try:
            if self.rendering is not None:
                shown = rendered_frame(frames, frame, services.codecs, self.rendering)
            elif region is not None:
                # What is not shown does not count for the range of values.
                shown = preview(_cut(decode_frame(frames, frame, services.codecs), region), _palette(frames))
                region = None
            else:
                shown = preview_frame(frames, frame, services.codecs)
        except NotImplementedHere as error:
            raise ParameterOutOfRange(error.details) from error
        if self.viewport is not None:
            return in_viewport(shown, self.viewport[0], self.viewport[1], region)
        if self.is_thumbnail and max(shown.shape[:2]) > _THUMBNAIL:
            return fitted(shown, _THUMBNAIL, _THUMBNAIL, is_smooth=True)
        return shown


def _answer(services: Services, request: Request, *, is_thumbnail: bool) -> Response:
    wish = _Wish(
        rendering=_rendering(request.query.get("window")),
        viewport=_viewport(request.query.get("viewport")),
        quality=parse_quality(request.query.get("quality"), services.settings.lossy_quality),
        is_thumbnail=is_thumbnail,
    )
    numbers = parse_frames(request.params["frames"]) if "frames" in request.params else None
    ranges = accepted(request)
    name = _in_parts_as(ranges)
    if name is None and numbers is not None and len(numbers) > 1 and any(one.accepts(MULTIPART) for one in ranges):
        name = choose(ranges, _PICTURES)
    if name is not None:
        response = _parts_response(services, request, wish, name, numbers)
    else:
        response = _single(services, request, wish, numbers)
    return replace(response, headers=(*response.headers, *_warnings(services, request)))


def _in_parts_as(ranges: Sequence[MediaType]) -> str | None:
    """The media type of the parts if pictures are wanted in parts; None if a single one is."""
    for one in ranges:
        if one.name == MULTIPART:
            name = choose((MediaType(one.root),), _PICTURES) if one.root else JPEG
            if name is not None:
                return name
        elif choose((one,), (*_PICTURES, PDF, *_VIDEOS)) is not None:
            return None
    return None


def _single(services: Services, request: Request, wish: _Wish, numbers: Sequence[int] | None) -> Response:
    instance = _one_instance(services, request)
    header = read.header(services.archive, instance.orthanc_id)
    view = view_of(services.archive, instance.orthanc_id)
    if not wish.is_thumbnail and numbers is None and (other := _no_picture(request, header, view)) is not None:
        return other
    name = choose(accepted(request), _PICTURES)
    if name is None or (numbers is not None and len(numbers) != 1):
        raise NotAcceptable("pictures are sent as image/jpeg, image/png or image/gif; several of them in parts")
    try:
        frames = Frames(view, header)
        count = frames.count
    except (BadRequest, NotImplementedHere) as error:
        raise ParameterOutOfRange(error.details) from error
    if name == GIF and numbers is None and not wish.is_thumbnail and 1 < count <= _MAX_ANIMATION:
        return Response(200, GIF.encode(), gif([wish.picture(services, frames, frame) for frame in range(count)]))
    return encoded(wish.picture(services, frames, (numbers or (1,))[0] - 1), name, wish.quality)


def _parts_response(
    services: Services, request: Request, wish: _Wish, name: str, numbers: Sequence[int] | None
) -> Response:
    """All frames of all instances that have any, or those with the given numbers; of a thumbnail one."""
    if wish.is_thumbnail:
        instances = [_one_instance(services, request)]
    else:
        instances = list(instances_of(services.archive, named_resources(services.archive, request.params)))
    base = base_url(services, request)

    def parts() -> Iterator[Part]:
        for instance in instances:
            try:
                header = read.header(services.archive, instance.orthanc_id)
                frames = Frames(view_of(services.archive, instance.orthanc_id), header)
                chosen = (1,) if wish.is_thumbnail else range(1, frames.count + 1)
                for number in numbers or chosen:
                    data = encoded(wish.picture(services, frames, number - 1), name, wish.quality).body
                    assert isinstance(data, bytes)
                    where = f"{url_of(base, header.data_set)}/frames/{number}/rendered"
                    yield Part((("Content-Type", name), ("Content-Location", where)), (data,))
            except (BadRequest, BadFileFormat, NotImplementedHere, UnknownResource) as error:
                if len(instances) == 1:
                    raise
                logger.info("instance %s is left out of pictures: %s", instance.orthanc_id, error)

    every = parts()
    first = next(every, None)  # what cannot be done shows before the status line is out
    if first is None:
        raise NotAcceptable("there is no picture in it")
    return multipart_response(name, chain((first,), every))


def _warnings(services: Services, request: Request) -> Headers:
    """What was asked for and is not done (PS3.18 §8.3.5.1)."""
    passed_over = [name for name in ("annotation", "iccprofile") if request.query.get(name, "no") != "no"]
    if not passed_over:
        return ()
    text = f"299 {base_url(services, request)}: There is no support for {' and '.join(passed_over)}"
    return ((b"warning", text.encode()),)


def _cut(pixels: Pixels, region: tuple[int, int, int, int]) -> Pixels:
    x, y, width, height = region
    samples = pixels.samples[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if samples.size == 0:
        raise ParameterOutOfRange("The region of the viewport is outside the image")
    return replace(pixels, samples=samples)


def _palette(frames: Frames) -> Palette | None:
    return palette_of(frames) if frames.format.photometric_interpretation == "PALETTE COLOR" else None


def encoded(picture: Array, name: str, quality: int) -> Response:
    """A picture in a media type."""
    match name:
        case "image/png":
            data = png(picture)
        case "image/gif":
            data = gif([picture])
        case _:
            data = jpeg(picture, quality)
    return Response(200, name.encode(), data)


def gif(pictures: Sequence[Array]) -> bytes:
    """One picture, or several as an animation."""
    images = [Image.fromarray(numpy.ascontiguousarray(picture)) for picture in pictures]
    written = io.BytesIO()
    images[0].save(written, "GIF", save_all=len(images) > 1, append_images=images[1:], duration=100, loop=0)
    return written.getvalue()


def _no_picture(request: Request, header: Header, view: memoryview) -> Response | None:
    """An encapsulated document or a video, as it is; None if it is neither, or a picture is wanted of it."""
    ranges = accepted(request)
    if is_video(header.transfer_syntax_uid):
        name = MEDIA_TYPE_OF.get(header.transfer_syntax_uid, OCTET_STREAM)
        if not any(one.accepts(name) for one in ranges):
            raise NotAcceptable(f"this video is sent as {name}")
        return ranged(request, memoryview(Frames(view, header).frame_bytes(0)), name.encode())
    if Tag(0x00420011) not in header.data_set:
        return None
    element = header.data_set.get(Tag(0x00420012))
    name = element.value.lower() if element is not None and isinstance(element.value, str) and element.value else PDF
    if name != PDF:
        raise NotAcceptable("this document has no rendered form")
    if not any(one.accepts(PDF) for one in ranges):
        raise NotAcceptable("this document is sent as application/pdf")
    found = content.lookup(view, ["00420011"])
    assert isinstance(found, memoryview)
    length = header.data_set.get(Tag(0x00420015))
    if length is not None and isinstance(length.value, list) and length.value and isinstance(length.value[0], int):
        found = found[: length.value[0]]
    return ranged(request, found, PDF.encode(), SANDBOX)


def _one_instance(services: Services, request: Request) -> Resource:
    """The instance that stands for a resource."""
    archive = services.archive
    (resource, *_) = named_resources(archive, request.params, called=Level.INSTANCE)
    if resource.level is Level.STUDY:
        series = find.descendants(archive, Level.STUDY, resource.orthanc_id, Level.SERIES, Content.NOTHING)
        modality = Tag(0x00080060)
        without = ("SR", "PR", "KO", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "REG")
        resource = next((one for one in series if one.main_tags.get(modality) not in without), series[0])
    if resource.level is Level.SERIES:
        instances = find.descendants(archive, Level.SERIES, resource.orthanc_id, Level.INSTANCE, Content.NOTHING)
        if not instances:
            raise InexistentItem
        instances.sort(key=lambda one: one.index_in_series or 0)
        return instances[len(instances) // 2]
    return resource


def parse_quality(text: str | None, default: int) -> int:
    """The argument `quality`.

    Raises:
        ParameterOutOfRange: it is no number from 1 to 100.
    """
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= 100:
        raise ParameterOutOfRange(f'The value of "quality" {_SERVICE} between 1 and 100, found: {text[:32]}')
    return int(text)


Viewport = tuple[int, int, tuple[int, int, int, int] | None]


def _viewport(text: str | None) -> Viewport | None:
    """`width,height` and perhaps the region `x,y,width,height` of the image."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) not in (2, 6):
        raise ParameterOutOfRange(f'The number arguments to "viewport" {_SERVICE} 2 or 6')
    numbers = []
    for part in parts:
        try:
            if len(part) > 12:
                raise ValueError
            number = float(part) if part else 0.0
            if not -65536 < number < 65536:
                raise ValueError
        except ValueError:
            raise ParameterOutOfRange(
                f'Out-of-range value for "viewport" in WADO-RS Retrieve Rendered Transaction: {part[:32]}'
            ) from None
        numbers.append(int(number))
    if len(numbers) == 2:
        return numbers[0], numbers[1], None
    return numbers[0], numbers[1], (numbers[2], numbers[3], numbers[4], numbers[5])


def _rendering(text: str | None) -> Rendering | None:
    """`center,width,function`."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3:
        raise ParameterOutOfRange(f'The number arguments to "window" {_SERVICE} 3')
    try:
        center, width = float(parts[0][:32]), float(parts[1][:32])
    except ValueError:
        raise ParameterOutOfRange(
            f'The first and second arguments to "window" {_SERVICE} floats: {text[:64]}'
        ) from None
    function = _FUNCTIONS.get(parts[2].strip().lower().replace("_", "-"))
    if function is None:
        raise ParameterOutOfRange(f'The third argument to "window" {_SERVICE} one of {", ".join(_FUNCTIONS)}')
    return Rendering(window_center=center, window_width=width, function=function)
