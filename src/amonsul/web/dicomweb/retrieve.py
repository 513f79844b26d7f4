"""WADO-RS: instances as DICOM files (PS3.18 §10.4), in parts, alone, or in a ZIP archive.

Files go out as they lie in the storage when that is what the client wants. Unless it names another transfer syntax, it
wants Explicit VR Little Endian; what has to be transcoded is written to a spool first, which goes to a file when it is
large. Nothing else is ever held of a study than the piece that is being sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from amonsul.archive import read
from amonsul.archive.find import Resource
from amonsul.archive.zip_stream import ZipStream
from amonsul.dicom.levels import Level
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, is_valid, transfer_syntaxes
from amonsul.errors import BadFileFormat, BadRequest, NotImplementedHere, UnknownResource
from amonsul.imaging.frames import is_video
from amonsul.imaging.transcode import TranscodeOptions, can_write, transcode
from amonsul.protocols.media_types import MediaType
from amonsul.web.dicomweb.locate import instances_of, named_resources, pieces_of, slices, spooled_pieces, view_of
from amonsul.web.dicomweb.negotiation import (
    DICOM,
    MULTIPART,
    NotAcceptable,
    Part,
    accepted,
    first_that_can_be,
    multipart_response,
    understood,
)
from amonsul.web.files import content_disposition
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, Stream

logger = logging.getLogger(__name__)

ZIP = "application/zip"
AS_STORED = "*"
_MAX_TRANSCODED = 16 << 30


@dataclass(frozen=True, slots=True)
class _Form:
    """How instances are wanted: `multipart/related`, a single file or a ZIP archive; in a transfer syntax or `*`."""

    name: str
    transfer_syntax_uid: str


def retrieve(services: Services, request: Request) -> Response:
    """GET {root}/studies/{study}, …/series/{series}, …/instances/{instance}."""
    forms = _wanted(accepted(request), is_instance="instance" in request.params)
    found = named_resources(services.archive, request.params)
    instances = list(instances_of(services.archive, found))
    named = content_disposition(f"{list(request.params.values())[-1]}.zip")
    return first_that_can_be(forms, lambda form: _answer(services, instances, form, named))


def _answer(
    services: Services, instances: Sequence[Resource], form: _Form, disposition: tuple[bytes, bytes]
) -> Response:
    uid = form.transfer_syntax_uid
    if form.name == ZIP:
        return Response(200, ZIP.encode(), Stream(_zipped(services, instances, uid), None), (disposition,))
    if form.name == DICOM:
        return Response(200, DICOM.encode(), Stream(_begun(instance_pieces(services, instances[0], uid)), None))
    parts = _parts(services, instances, uid)
    first = next(parts, None)  # what cannot be done shows before the status line is out
    return multipart_response(DICOM, chain((first,), parts) if first is not None else ())


def _wanted(ranges: Sequence[MediaType], *, is_instance: bool) -> Sequence[_Form]:
    """What a client takes, best first; never empty.

    Raises:
        NotAcceptable: nothing of what is accepted can be made.
        BadRequest: there is no such transfer syntax.
    """

    def form(one: MediaType) -> _Form | None:
        if one.name == MULTIPART and one.root in ("", DICOM, "*/*"):
            return _Form(MULTIPART, checked_syntax(one.transfer_syntax))
        if one.name in ("*/*", "multipart/*"):
            return _Form(MULTIPART, EXPLICIT_VR_LITTLE_ENDIAN)
        if one.name in (DICOM, "application/*") and is_instance:
            return _Form(DICOM, checked_syntax(one.transfer_syntax))
        if one.name == ZIP:
            return _Form(ZIP, checked_syntax(one.transfer_syntax, default=AS_STORED))
        return None

    names = ", ".join(one.name + (f" of {one.root}" if one.root else "") for one in ranges)[:200]
    return understood(ranges, form, f"DICOM files cannot be sent as {names}")


def checked_syntax(uid: str | None, default: str = EXPLICIT_VR_LITTLE_ENDIAN) -> str:
    """The transfer syntax that a client names, or `*` for that of the file.

    Raises:
        BadRequest: there is no such transfer syntax, or nothing can be written in it.
    """
    if uid is None:
        return default
    if uid != AS_STORED and not (is_valid(uid) and (can_write(uid) or uid in transfer_syntaxes())):
        raise BadRequest(f"Unsupported transfer syntax in WADO-RS: {uid[:64]}")
    return uid


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, of which the first is made already: refusals come now."""
    first = next(pieces, b"")

    def rest() -> Iterator[bytes]:
        yield first
        yield from pieces

    return rest()


def _parts(services: Services, instances: Sequence[Resource], transfer_syntax_uid: str) -> Iterator[Part]:
    headers = (("Content-Type", DICOM),)
    for _, pieces in _files(services, instances, transfer_syntax_uid):
        yield Part(headers, pieces)


def _zipped(services: Services, instances: Sequence[Resource], transfer_syntax_uid: str) -> Iterator[bytes]:
    stream = ZipStream(datetime.now())
    for number, (instance, pieces) in enumerate(_files(services, instances, transfer_syntax_uid), 1):
        yield from stream.add(f"DICOM/{number:08d}.dcm", instance.file_size, pieces)
    yield from stream.finish()


def _files(
    services: Services, instances: Sequence[Resource], transfer_syntax_uid: str
) -> Iterator[tuple[Resource, Iterator[bytes]]]:
    """Instances with their bytes; those that went meanwhile are left out.

    Raises:
        NotAcceptable: not even the first one can be written so; later ones are left out, too.
    """
    is_first = True
    for instance in instances:
        try:
            pieces = _begun(instance_pieces(services, instance, transfer_syntax_uid))
        except UnknownResource:
            continue
        except NotAcceptable as error:
            if is_first:
                raise
            logger.warning("instance %s is left out of an answer: %s", instance.orthanc_id, error.details)
            continue
        is_first = False
        yield instance, pieces


def instance_pieces(services: Services, instance: Resource, transfer_syntax_uid: str) -> Iterator[bytes]:
    """The file of an instance in a transfer syntax.

    A video stays one, and what no codec reads is sent as it is, unless another syntax was asked for by name.

    Raises:
        NotAcceptable: it cannot be written so.
        UnknownResource: it is gone.
    """
    archive = services.archive
    own = instance.transfer_syntax_uid
    if transfer_syntax_uid in (AS_STORED, own) or (transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN and is_video(own)):
        yield from pieces_of(read.attachment(archive, Level.INSTANCE, instance.orthanc_id))
        return
    view = view_of(archive, instance.orthanc_id)
    header = read.header(archive, instance.orthanc_id)
    spool = archive.blobs.spool(_MAX_TRANSCODED)
    try:
        try:
            options = TranscodeOptions(keeps_sop_instance_uid=True)
            transcode(view, header, transfer_syntax_uid, spool, services.codecs, options)
        except (NotImplementedHere, BadFileFormat) as error:
            if transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN:
                raise NotAcceptable(error.details) from error
            yield from slices(view)
            return
        spooled = spool.finish()
    finally:
        spool.discard()
    try:
        yield from spooled_pieces(spooled)
    finally:
        spooled.discard()
