"""STOW-RS (PS3.18 §10.5): instances that come in one request, each to the one ingest.

Parts with DICOM files are spooled one after the other; each is stored before the next is read. Parts with metadata and
bulk data are collected, and become files when all are there (`store_metadata`). What became of each instance is told in
the response of §10.5.3: 200 if all were stored, 202 if some were, else 409, or 400 if none was DICOM at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.spool import Spool, Spooled
from amonsul.dicom import dicom_xml
from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.scanner import scan
from amonsul.errors import (
    AmonsulError,
    BadRequest,
    MissingIdentifier,
    ReadOnly,
    Unavailable,
    UnsupportedMediaType,
)
from amonsul.protocols.media_types import MediaType, parse
from amonsul.protocols.multipart import MultipartReader, PartBegan, PartData, PartEnded
from amonsul.web.dicomweb.addresses import base_url, instance_url, study_url
from amonsul.web.dicomweb.locate import spooled_pieces
from amonsul.web.dicomweb.negotiation import DICOM, DICOM_JSON, DICOM_XML, MULTIPART, wants_xml
from amonsul.web.dicomweb.store_metadata import Collected, files_of, identity
from amonsul.web.services import Services
from amonsul.web.values import Request, Response

logger = logging.getLogger(__name__)

_MAX_INSTANCE = 16 << 30

_PROCESSING_FAILURE = 0x0110
_CANNOT_UNDERSTAND = 0xC000
_OUT_OF_RESOURCES = 0xA700

_SOP_CLASS_UID, _SOP_INSTANCE_UID = Tag(0x00080016), Tag(0x00080018)
_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID = Tag(0x0020000D), Tag(0x0020000E)


@dataclass(slots=True)
class _Outcome:
    """What became of the instances of a request, as data sets of the JSON model.

    Attributes:
        study_instance_uid: of the first one stored.
        failed: instances that say what they are, `unknown` those that do not.
        status: of the answer, if all failed for want of something on this side.
    """

    study_instance_uid: str = ""
    stored: list[dict[str, object]] = field(default_factory=list)
    failed: list[dict[str, object]] = field(default_factory=list)
    unknown: list[dict[str, object]] = field(default_factory=list)
    status: int = 0


def store(services: Services, request: Request) -> Response:
    """POST {root}/studies, {root}/studies/{study}."""
    if services.information.read_only:
        raise ReadOnly
    coding = (request.header(b"content-encoding") or "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"a body with the content coding {coding[:32]} is not read")
    kind = parse(request.header(b"content-type") or "")
    root = _root_type(kind)
    assert kind is not None
    outcome = _Outcome()
    base = base_url(services, request)
    reader = MultipartReader(kind.parameters["boundary"])
    if root == DICOM:
        for spooled in _files(services, request, reader):
            _store_one(services, request, outcome, spooled, base)
    else:
        collected = Collected(services.archive.blobs.spool, services.settings.limits.maximum_json_size, root)
        try:
            _collect(request, reader, collected)
            for model, file in files_of(collected, services.archive.blobs.spool):
                if isinstance(file, AmonsulError):
                    _fail(outcome, identity(model), _CANNOT_UNDERSTAND)
                else:
                    _store_one(services, request, outcome, file, base)
        finally:
            collected.discard()
    if not (outcome.stored or outcome.failed or outcome.unknown):
        raise BadRequest("the request holds no instance")
    return _respond(request, outcome, base)


def _root_type(kind: MediaType | None) -> str:
    """The media type of the parts.

    Raises:
        UnsupportedMediaType: it is none of those that are stored, or there is no boundary.
    """
    if kind is None or not kind.parameters.get("boundary"):
        raise UnsupportedMediaType
    if kind.name != MULTIPART or kind.root not in (DICOM, DICOM_JSON, DICOM_XML):
        raise UnsupportedMediaType
    return kind.root


# ---------------------------------------------------------------------------------------------------- parts


def _files(services: Services, request: Request, reader: MultipartReader) -> Iterator[Spooled | None]:
    """The parts one after the other; None for one that is no DICOM file by its media type."""
    spool: Spool | None = None
    is_dicom = False
    try:
        for piece in spooled_pieces(request.body):
            for event in reader.feed(piece):
                match event:
                    case PartBegan(headers):
                        kind = parse(headers.get("content-type", ""))
                        is_dicom = kind is not None and kind.name == DICOM
                        spool = services.archive.blobs.spool(_MAX_INSTANCE) if is_dicom else None
                    case PartData(data):
                        if spool is not None:
                            spool.write(data)
                    case PartEnded():
                        if spool is None:
                            yield None
                            continue
                        finished = spool.finish()
                        spool = None
                        yield finished
        reader.finish()
    finally:
        if spool is not None:
            spool.discard()


def _collect(request: Request, reader: MultipartReader, collected: Collected) -> None:
    for piece in spooled_pieces(request.body):
        for event in reader.feed(piece):
            match event:
                case PartBegan(headers):
                    collected.begin(headers)
                case PartData(data):
                    collected.write(data)
                case PartEnded():
                    collected.end()
    reader.finish()


# ---------------------------------------------------------------------------------------------------- one instance


def _store_one(services: Services, request: Request, outcome: _Outcome, spooled: Spooled | None, base: str) -> None:
    if spooled is None:
        outcome.unknown.append(_reason(_CANNOT_UNDERSTAND))
        return
    archive = services.archive
    data_set: DataSet = {}
    try:
        limits = archive.settings.limits
        data_set = scan(spooled.view(), limits, archive.default_encoding, archive.dictionary).data_set
        wanted = request.params.get("study")
        if wanted is not None and _text(data_set, _STUDY_INSTANCE_UID) != wanted:
            _fail(outcome, data_set, _PROCESSING_FAILURE)
            return
        ingested = ingest(archive, spooled, InternalOrigin("Plugins"))
    except Unavailable:
        raise
    except AmonsulError as error:
        reason = _CANNOT_UNDERSTAND if isinstance(error, MissingIdentifier) else error.dimse_status
        _fail(outcome, data_set, reason)
        if reason == _OUT_OF_RESOURCES:
            outcome.status = error.http_status
        return
    finally:
        spooled.discard()
    if ingested.status is IngestStatus.FILTERED_OUT:
        _fail(outcome, data_set, ingested.refusal or _PROCESSING_FAILURE)
        return
    study = _text(data_set, _STUDY_INSTANCE_UID)
    url = instance_url(base, study, _text(data_set, _SERIES_INSTANCE_UID), ingested.sop_instance_uid)
    outcome.study_instance_uid = outcome.study_instance_uid or study
    outcome.stored.append({**_reference(data_set), "00081190": {"vr": "UR", "Value": [url]}})


def _text(data_set: DataSet, tag: Tag) -> str:
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


def _reference(data_set: DataSet) -> dict[str, object]:
    """Referenced SOP Class UID and Referenced SOP Instance UID."""
    written: dict[str, object] = {}
    for name, tag in (("00081150", _SOP_CLASS_UID), ("00081155", _SOP_INSTANCE_UID)):
        value = _text(data_set, tag)
        written[name] = {"vr": "UI", "Value": [value]} if value else {"vr": "UI"}
    return written


def _reason(reason: int) -> dict[str, object]:
    return {"00081197": {"vr": "US", "Value": [reason]}}


def _fail(outcome: _Outcome, data_set: DataSet, reason: int) -> None:
    if _text(data_set, _SOP_INSTANCE_UID):
        outcome.failed.append({**_reference(data_set), **_reason(reason)})
    else:
        outcome.unknown.append(_reason(reason))


# ---------------------------------------------------------------------------------------------------- the answer


def _respond(request: Request, outcome: _Outcome, base: str) -> Response:
    model: dict[str, object] = {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}
    model["00081190"] = {"vr": "UR"}  # of type 2: without a value if there is nothing to retrieve
    if outcome.stored:
        model["00081190"] = {"vr": "UR", "Value": [study_url(base, outcome.study_instance_uid)]}
    if outcome.failed:
        model["00081198"] = {"vr": "SQ", "Value": outcome.failed}
    model["00081199"] = {"vr": "SQ", "Value": outcome.stored} if outcome.stored else {"vr": "SQ"}
    if outcome.unknown:
        model["0008119A"] = {"vr": "SQ", "Value": outcome.unknown}
    if not (outcome.failed or outcome.unknown):
        status = 200
    elif outcome.stored:
        status = 202
    else:
        status = outcome.status or (409 if outcome.failed else 400)
    if wants_xml(request):
        return Response(status, DICOM_XML.encode(), dicom_xml.from_json(model))
    return Response(status, DICOM_JSON.encode(), orjson.dumps(model))
