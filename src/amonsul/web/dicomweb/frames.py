"""WADO-RS frames and pixel data (PS3.18 §10.4.1.1.6, §10.4.1.1.7): frames without a file around them, each a part.

Uncompressed frames are little endian. A frame goes out as it is stored if the client takes its transfer syntax, and is
decoded, or encoded anew, otherwise. The first one is made before the answer begins, so that refusals can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from amonsul.archive import read
from amonsul.archive.find import Resource
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from amonsul.errors import BadFileFormat, BadRequest, NotImplementedHere, ParameterOutOfRange
from amonsul.imaging import syntaxes
from amonsul.imaging.frame_transcode import frame_in
from amonsul.imaging.frames import Frames, is_video
from amonsul.protocols.media_types import MediaType
from amonsul.web.dicomweb.addresses import base_url, url_of
from amonsul.web.dicomweb.locate import instances_of, named_resources, ranged, view_of
from amonsul.web.dicomweb.negotiation import (
    MULTIPART,
    OCTET_STREAM,
    NotAcceptable,
    Part,
    accepted,
    first_that_can_be,
    multipart_response,
    understood,
)
from amonsul.web.dicomweb.retrieve import AS_STORED, checked_syntax
from amonsul.web.services import Services
from amonsul.web.values import BINARY_TYPE, Request, Response

MAX_FRAMES = 65_536
"""Named in one request."""

_MEDIA_TYPES: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": (
        syntaxes.JPEG_LOSSLESS_SV1,
        syntaxes.JPEG_BASELINE,
        syntaxes.JPEG_EXTENDED,
        syntaxes.JPEG_LOSSLESS,
    ),
    "image/dicom-rle": (syntaxes.RLE_LOSSLESS,),
    "image/jls": (syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LS_NEAR_LOSSLESS),
    "image/jp2": (syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_2000),
    "image/jphc": (syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K_LOSSLESS_RPCL, syntaxes.HTJ2K),
    "image/jxl": (syntaxes.JPEG_XL_LOSSLESS, syntaxes.JPEG_XL_JPEG, syntaxes.JPEG_XL),
    "video/mpeg": tuple(f"1.2.840.10008.1.2.4.{number}{end}" for end in ("", ".1") for number in (100, 101)),
    "video/mp4": tuple(f"1.2.840.10008.1.2.4.{number}{end}" for end in ("", ".1") for number in range(102, 109)),
}
"""Media types of compressed frames with their transfer syntaxes, the default first (PS3.18 Table 8.7.3-5)."""
MEDIA_TYPE_OF = {uid: name for name, uids in _MEDIA_TYPES.items() for uid in uids}
"""The same by transfer syntax."""
_OLD_NAMES = {"image/x-dicom-rle": "image/dicom-rle", "image/x-jls": "image/jls", "image/dicom+jpeg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class _Form:
    """How frames are wanted: the transfer syntax or `*`, and whether a frame is wanted alone, not in parts."""

    transfer_syntax_uid: str
    is_alone: bool


def get_frames(services: Services, request: Request) -> Response:
    """GET …/instances/{instance}/frames/{frames}; all of them without a list."""
    forms = _wanted(accepted(request))
    numbers = parse_frames(request.params["frames"]) if "frames" in request.params else None
    (instance, *_) = named_resources(services.archive, request.params)
    frames = _frames_of(services, instance)
    if numbers is not None and max(numbers) > frames.count:
        raise ParameterOutOfRange(f"There is no frame {max(numbers)}")
    url = url_of(base_url(services, request), frames.data_set)
    return first_that_can_be(forms, lambda form: _answer(services, frames, numbers, form, url))


def _answer(services: Services, frames: Frames, numbers: Sequence[int] | None, form: _Form, url: str) -> Response:
    if not form.is_alone:
        return _in_parts(_parts(services, frames, numbers, form.transfer_syntax_uid, url))
    if numbers is None or len(numbers) != 1:
        raise NotAcceptable("several frames are sent in parts")
    data, name, uid = _frame(services, frames, numbers[0], form.transfer_syntax_uid)
    kind = BINARY_TYPE if name == OCTET_STREAM else f"{name}; transfer-syntax={uid}".encode()
    return Response(200, kind, bytes(data))


def all_frames(services: Services, request: Request, instance: Resource) -> Response:
    """Pixel data in fragments, as a bulk data: its frames as they are stored, unless another syntax is accepted."""
    ranges = [one for one in accepted(request) if one.transfer_syntax is not None]
    target = _wanted(ranges)[0].transfer_syntax_uid if ranges else AS_STORED
    frames = _frames_of(services, instance)
    return _in_parts(_parts(services, frames, None, target, url_of(base_url(services, request), frames.data_set)))


def only_frame(services: Services, request: Request, instance: Resource) -> Response:
    """Pixel data in fragments, as a bulk data that is wanted without parts: the only frame, decoded."""
    frames = _frames_of(services, instance)
    if frames.count != 1 or is_video(frames.syntax.uid):
        raise NotAcceptable("several frames are sent in parts")
    data, *_ = _frame(services, frames, 1, EXPLICIT_VR_LITTLE_ENDIAN)
    return ranged(request, memoryview(data), BINARY_TYPE)


def stored_frames(services: Services, instance: Resource, base: str) -> Iterator[Part]:
    """The frames of an instance as they are stored."""
    frames = _frames_of(services, instance)
    return _parts(services, frames, None, AS_STORED, url_of(base, frames.data_set))


def get_pixel_data(services: Services, request: Request) -> Response:
    """GET {root}/studies/{study}/pixeldata and below: all frames, one part each."""
    ranges = accepted(request)
    targets = [form.transfer_syntax_uid for form in _wanted(ranges) if not form.is_alone]
    if not targets:
        raise NotAcceptable("frames of a resource are sent in parts")
    target = targets[0]
    if not any(one.transfer_syntax or one.root not in ("", OCTET_STREAM) for one in ranges):
        target = AS_STORED
    instances = list(instances_of(services.archive, named_resources(services.archive, request.params)))

    def parts() -> Iterator[Part]:
        for instance in instances:
            try:
                frames = _frames_of(services, instance)
            except (BadRequest, BadFileFormat):  # without pixels, or with less than it says
                continue
            yield from _parts(services, frames, None, target, url_of(base_url(services, request), frames.data_set))

    return _in_parts(parts())


def parse_frames(text: str) -> list[int]:
    """Numbers between commas, counted from 1.

    Raises:
        BadFileFormat: one is no number.
        ParameterOutOfRange: one is below 1, or there are too many.
    """
    numbers = []
    for part in text.split(",", MAX_FRAMES):
        try:
            if len(part) > 11 or not part.isascii():
                raise ValueError
            number = int(part)
        except ValueError:
            raise BadFileFormat from None
        if number < 1:
            raise ParameterOutOfRange(f"Invalid frame number (must be > 0): {number}")
        numbers.append(number)
    if len(numbers) > MAX_FRAMES:
        raise ParameterOutOfRange(f"more than {MAX_FRAMES} frames")
    return numbers


def _wanted(ranges: Sequence[MediaType]) -> Sequence[_Form]:
    """What a client takes, best first; never empty.

    Raises:
        NotAcceptable: no media type of frames is accepted.
        BadRequest: with a transfer syntax that there is not, or that the media type does not have.
    """
    return understood(ranges, _form, "frames are sent in parts of application/octet-stream or of an image type")


def _form(one: MediaType) -> _Form | None:
    if one.name in ("*/*", "multipart/*"):
        return _Form(EXPLICIT_VR_LITTLE_ENDIAN, is_alone=False)
    is_alone = one.name != MULTIPART
    root = one.name if is_alone else one.root
    name = _OLD_NAMES.get(root, root)
    if name == OCTET_STREAM or (not is_alone and name in ("", "*/*")):
        return _Form(_uncompressed(checked_syntax(one.transfer_syntax)), is_alone)
    if name not in _MEDIA_TYPES:
        return None
    uid = checked_syntax(one.transfer_syntax, default=_MEDIA_TYPES[name][0])
    if uid != AS_STORED and uid not in _MEDIA_TYPES[name]:
        raise BadRequest(f"{name} is no media type of transfer syntax {uid}")
    return _Form(uid, is_alone)


def _uncompressed(uid: str) -> str:
    is_native = uid != AS_STORED and not transfer_syntax(uid).is_encapsulated
    return EXPLICIT_VR_LITTLE_ENDIAN if is_native else uid


def _frames_of(services: Services, instance: Resource) -> Frames:
    archive = services.archive
    try:
        return Frames(view_of(archive, instance.orthanc_id), read.header(archive, instance.orthanc_id))
    except NotImplementedHere as error:
        raise NotAcceptable(error.details) from error


def _frame(services: Services, frames: Frames, number: int, target: str) -> tuple[memoryview | bytes, str, str]:
    """A frame, its media type and transfer syntax."""
    own = frames.syntax
    uid = target
    if target == AS_STORED:
        uid = own.uid if own.is_encapsulated else EXPLICIT_VR_LITTLE_ENDIAN
    if is_video(own.uid):
        if uid != EXPLICIT_VR_LITTLE_ENDIAN and MEDIA_TYPE_OF.get(uid) != MEDIA_TYPE_OF.get(own.uid):
            raise NotAcceptable("a video is sent as it is")
        uid = own.uid
    try:
        data = frame_in(frames, number - 1, uid, services.codecs, services.settings.lossy_quality)
    except NotImplementedHere as error:
        raise NotAcceptable(error.details) from error
    name = MEDIA_TYPE_OF.get(uid, OCTET_STREAM)
    return data, name, uid


def _parts(services: Services, frames: Frames, numbers: Iterable[int] | None, target: str, url: str) -> Iterator[Part]:
    for number in range(1, frames.count + 1) if numbers is None else numbers:
        data, name, uid = _frame(services, frames, number, target)
        headers = (
            ("Content-Location", f"{url}/frames/{number}"),
            ("Content-Type", f"{name}; transfer-syntax={uid}"),
        )
        yield Part(headers, (data,))


def _in_parts(parts: Iterator[Part]) -> Response:
    """The parts, of which the first is made now; it says what the media type of all is."""
    first = next(parts, None)
    if first is None:
        return multipart_response(OCTET_STREAM, ())
    root = dict(first.headers)["Content-Type"]

    def all_parts() -> Iterator[Part]:
        yield first
        yield from parts

    return multipart_response(root, all_parts())
