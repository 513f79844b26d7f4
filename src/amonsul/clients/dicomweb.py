"""DICOMweb as its user (PS3.18): instances fetched and sent, attributes searched for.

Both ways the instances stream: one that comes goes into a spool while it comes, and one that goes is read while it
goes, so that nothing depends on how large a study is. What the other side answers is distrusted: which parts it has,
how many and how large they are, how deep JSON goes. Of a store, only what it says to have stored counts as stored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

import orjson

from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients.http import Body, Incoming, Session
from amonsul.dicom import dicom_xml_reader
from amonsul.errors import BadFileFormat, NetworkProtocolError, UnknownResource
from amonsul.protocols.media_types import MediaType, parse
from amonsul.protocols.multipart import (
    MultipartError,
    MultipartReader,
    PartBegan,
    PartData,
    PartEnded,
    end_of_parts,
    new_boundary,
    part_head,
)

DICOM: Final = "application/dicom"
ANY_TRANSFER_SYNTAX: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""Instances as they are stored."""

_JSON: Final = ("application/dicom+json", "application/json")
_XML: Final = ("application/dicom+xml", "text/xml", "application/xml")
_MULTIPART: Final = "multipart/related"
_MAX_ANSWERS_SIZE: Final = 32 << 20
"""Of the answers to a search, in bytes."""
_MAX_DEPTH: Final = 64
_DOTS: Final = re.compile(r"\.{1,2}")
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"

Headers = Mapping[str, str]
Model = Mapping[str, object]
"""A data set in the DICOM JSON Model (PS3.18 §F.2)."""


def path(uri: str, arguments: Mapping[str, str]) -> str:
    """A path below the root of a server, with its arguments, as it is sent.

    Raises:
        BadFileFormat: it holds its arguments itself, or leads out of the root.
    """
    if "?" in uri or "#" in uri:
        raise BadFileFormat(
            f'The GET arguments must be provided in a separate field (explicit "?" is disallowed): {uri[:300]}'
        )
    if any(_DOTS.fullmatch(segment.partition(";")[0]) for segment in re.split(r"[/\\]", unquote(uri))):
        raise BadFileFormat(f"The URI must not lead out of the root of the server: {uri[:300]}")
    quoted = quote(uri.lstrip("/"), safe="/%:@!$&'()*+,;=~")
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in arguments.items())
    return f"{quoted}?{query}" if query else quoted


def resource_path(study: str, series: str = "", instance: str = "") -> str:
    """The URI of a study, a series or an instance.

    Raises:
        BadFileFormat: a UID that cannot be one.
    """
    segments = []
    for name, uid in (("studies", study), ("series", series), ("instances", instance)):
        if uid:
            if _DOTS.fullmatch(uid) or len(uid) > 64:
                raise BadFileFormat(f"This is not a DICOM identifier: {uid[:64]}")
            segments += [name, quote(uid, safe="")]
    return "/".join(segments)


@contextlib.contextmanager
def _answered(session: Session, method: str, target: str, headers: Headers) -> Iterator[Incoming]:
    """The answer to a request that was a success."""
    with session.stream(method, target, headers=headers) as incoming:
        if incoming.status in (404, 410):
            raise UnknownResource(f"{session.url(target)} is not there: HTTP status {incoming.status}")
        if not incoming.is_success:
            raise session.refusal(method, target, incoming.status)
        if incoming.headers.get("content-encoding", "identity").lower() != "identity":
            raise _unexpected(incoming, "a body without a Content-Encoding, which was not asked for,")
        yield incoming


def _media_type(incoming: Incoming) -> MediaType | None:
    return parse(incoming.headers.get("content-type", ""))


def _unexpected(incoming: Incoming, expected: str) -> NetworkProtocolError:
    kind = _media_type(incoming)
    return NetworkProtocolError(f"{expected} expected in the answer, not {kind.name if kind else 'an unnamed type'}")


# ---------------------------------------------------------------------------------------------------- what comes


@dataclass(frozen=True, slots=True)
class Arrived:
    """How far an answer with instances has come.

    Attributes:
        size: bytes until now, and `expected` in all, if that is known.
        file: an instance that is complete now; whoever gets it discards it.
    """

    size: int
    expected: int | None
    file: Spooled | None = None


def retrieve(
    session: Session, target: str, headers: Headers, new_spool: Callable[[], Spool]
) -> Generator[Arrived, None, None]:
    """Instances of a server (WADO-RS, PS3.18 §10.4), one after the other as they come.

    Raises:
        UnknownResource: the server has no such resource.
        NetworkProtocolError: it cannot be reached, refuses, or does not answer with instances.
    """
    with _answered(session, "GET", target, headers) as incoming:
        kind = _media_type(incoming)
        if kind is not None and kind.name == _MULTIPART and kind.parameters.get("boundary"):
            yield from _instances(incoming, kind.parameters["boundary"], new_spool)
        elif kind is not None and kind.name == DICOM:
            yield from _lone_instance(incoming, new_spool)
        elif incoming.status != 204:
            raise _unexpected(incoming, "instances")


def _instances(incoming: Incoming, boundary: str, new_spool: Callable[[], Spool]) -> Iterator[Arrived]:
    spool: Spool | None = None
    size = 0
    try:
        reader = MultipartReader(boundary)
        for piece in incoming.pieces():
            size += len(piece)
            for event in reader.feed(piece):
                match event:
                    case PartBegan(headers):
                        kind = parse(headers.get("content-type", DICOM))
                        if kind is None or kind.name != DICOM:
                            raise _unexpected(incoming, "parts that are instances")
                        spool = new_spool()
                    case PartData(data):
                        assert spool is not None
                        spool.write(data)
                    case PartEnded():
                        assert spool is not None
                        file, spool = spool.finish(), None
                        yield Arrived(size, incoming.length, file)
            yield Arrived(size, incoming.length)
        reader.finish()
    except MultipartError as error:
        raise NetworkProtocolError(f"the answer cannot be read: {error.details}") from error
    finally:
        if spool is not None:
            spool.discard()


def _lone_instance(incoming: Incoming, new_spool: Callable[[], Spool]) -> Iterator[Arrived]:
    spool = new_spool()
    try:
        for piece in incoming.pieces():
            spool.write(piece)
            yield Arrived(spool.size, incoming.length)
        yield Arrived(spool.size, incoming.length, spool.finish())
    finally:
        spool.discard()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer as it came; whoever gets it discards the body."""

    media_type: str
    body: Spooled


def fetch(session: Session, target: str, headers: Headers, new_spool: Callable[[], Spool]) -> Fetched:
    """What a server answers at a path, whatever it is.

    Raises:
        UnknownResource: the server has no such resource.
        NetworkProtocolError: it cannot be reached, or refuses.
    """
    with _answered(session, "GET", target, headers) as incoming:
        spool = new_spool()
        try:
            for piece in incoming.pieces():
                spool.write(piece)
            return Fetched(incoming.headers.get("content-type", ""), spool.finish())
        finally:
            spool.discard()


def search(session: Session, target: str, headers: Headers) -> list[Model]:
    """Data sets that a server answers with, in JSON or XML (QIDO-RS and metadata, PS3.18 §10.6, §10.4.1.1.2).

    Raises:
        UnknownResource: the server has no such resource.
        NetworkProtocolError: it cannot be reached, refuses, or does not answer with data sets.
    """
    with _answered(session, "GET", target, headers) as incoming:
        if incoming.status == 204:
            return []
        kind = _media_type(incoming)
        body = incoming.read(_MAX_ANSWERS_SIZE)
    if not body:
        return []
    try:
        if kind is not None and kind.name == _MULTIPART and kind.parameters.get("boundary"):
            return [_from_xml(part) for part in _parts(body, kind.parameters["boundary"])]
        if kind is not None and kind.name in _XML:
            return [_from_xml(body)]
        if kind is None or kind.name in _JSON:
            found = orjson.loads(body)
            return [_checked(each) for each in (found if isinstance(found, list) else [found])]
    except (orjson.JSONDecodeError, BadFileFormat) as error:
        raise NetworkProtocolError(f"the data sets of the answer cannot be read: {error}") from error
    raise _unexpected(incoming, "data sets")


def _parts(body: bytes, boundary: str) -> Iterator[bytes]:
    reader = MultipartReader(boundary)
    part = bytearray()
    for event in reader.feed(body):
        match event:
            case PartBegan():
                part = bytearray()
            case PartData(data):
                part += data
            case PartEnded():
                yield bytes(part)
    reader.finish()


def _from_xml(data: bytes) -> Model:
    return _checked(dicom_xml_reader.to_json(data))


def _checked(value: object, depth: int = 0) -> Model:
    """A data set of the JSON model, its shape made sure of.

    Raises:
        BadFileFormat: it is none, or is nested too deeply.
    """
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        raise BadFileFormat("no data set of the JSON model, or one that is nested too deeply")
    for tag, attribute in value.items():
        if not re.fullmatch(r"[0-9A-Fa-f]{8}", tag) or not isinstance(attribute, dict):
            raise BadFileFormat("a data set of the JSON model has a member that is no attribute")
        if not isinstance(attribute.get("vr", "UN"), str) or not isinstance(attribute.get("Value", []), list):
            raise BadFileFormat(f"attribute {tag} of the JSON model is malformed")
        if attribute.get("vr") == "SQ":
            for item in attribute.get("Value", []):
                _checked(item or {}, depth + 1)
    return value


# ---------------------------------------------------------------------------------------------------- what goes


@dataclass(frozen=True, slots=True)
class File:
    """An instance to send.

    Attributes:
        size: of the file in bytes.
        chunks: opens it.
    """

    sop_instance_uid: str
    size: int
    chunks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a server says of instances that were sent to it.

    Attributes:
        sent: bytes of the request.
        refused: why each that was not stored was not, by its SOP Instance UID.
        status: of the answer.
    """

    sent: int
    status: int
    refused: Mapping[str, str] = field(default_factory=dict)


def store(session: Session, files: Sequence[File], headers: Headers, *, is_chunked: bool) -> Stored:
    """Send instances in one request (STOW-RS, PS3.18 §10.5).

    Args:
        session: with the server.
        files: the instances.
        headers: of the request.
        is_chunked: whether the server takes a request whose length it is not told beforehand.

    Raises:
        NetworkProtocolError: the server cannot be reached, refuses all, or does not tell what it stored.
    """
    boundary = new_boundary()
    size = sum(file.size for file in files) + sum(map(len, _frames(boundary, len(files))))
    body = Body(
        lambda: (None if is_chunked else size, _pieces(files, boundary)),
        f'{_MULTIPART}; type="{DICOM}"; boundary={boundary}',
    )
    answer = session.request("POST", "studies", body, {"Accept": _JSON[0], **headers})
    # 202 and 409 tell what became of each instance (PS3.18 Table 10.5.3-1).
    if answer.status not in (200, 202, 409) or (answer.status == 409 and not answer.body):
        raise session.refusal("POST", "studies", answer.status)
    model = _store_response(answer.headers.get("content-type", ""), answer.body)
    stored = _uids(model, _REFERENCED_SOP_SEQUENCE)
    failed = {uid: _reason(item) for uid, item in _items(model, _FAILED_SOP_SEQUENCE)}
    refused = {}
    for file in files:
        if file.sop_instance_uid in failed:
            refused[file.sop_instance_uid] = failed[file.sop_instance_uid]
        elif file.sop_instance_uid not in stored:
            refused[file.sop_instance_uid] = "the server does not say that it stored it"
    return Stored(size, answer.status, refused)


def _frames(boundary: str, count: int) -> Iterator[bytes]:
    """What stands around the files."""
    for number in range(count):
        yield part_head(boundary, (("Content-Type", DICOM),), number == 0)
    yield end_of_parts(boundary, count == 0)


def _pieces(files: Sequence[File], boundary: str) -> Iterator[bytes]:
    *heads, end = _frames(boundary, len(files))
    for head, file in zip(heads, files, strict=True):
        pending, size = head, 0
        for chunk in file.chunks():
            yield pending + chunk if pending else chunk
            pending, size = b"", size + len(chunk)
        if size != file.size:
            raise NetworkProtocolError(f"instance {file.sop_instance_uid} was replaced while it was sent")
        if pending:
            yield pending
    yield end


def _store_response(media_type: str, body: bytes) -> Model:
    kind = parse(media_type)
    try:
        if kind is not None and kind.name in _XML:
            return _from_xml(body)
        found = orjson.loads(body)
        return _checked(found[0] if isinstance(found, list) and found else found)
    except (orjson.JSONDecodeError, BadFileFormat) as error:
        raise NetworkProtocolError("the server does not tell what it stored") from error


def _items(model: Model, sequence: str) -> Iterator[tuple[str, Model]]:
    """The items of a sequence by the instance that they speak of."""
    attribute = model.get(sequence)
    values = attribute.get("Value", []) if isinstance(attribute, dict) else []
    for item in values:
        if isinstance(item, dict) and (uid := _first(item, _REFERENCED_SOP_INSTANCE_UID)) is not None:
            yield str(uid), item


def _uids(model: Model, sequence: str) -> set[str]:
    return {uid for uid, _ in _items(model, sequence)}


def _first(item: Model, tag: str) -> object:
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _reason(item: Model) -> str:
    """Failure Reason as people look it up (PS3.18 §I.2.2)."""
    reason = _first(item, _FAILURE_REASON)
    return f"failure reason 0x{reason:04X}" if isinstance(reason, int) else "refused without a reason"


def delete(session: Session, target: str, headers: Headers) -> None:
    """Have a resource deleted.

    Raises:
        UnknownResource: the server has no such resource.
        NetworkProtocolError: it cannot be reached, or refuses.
    """
    with _answered(session, "DELETE", target, headers):
        pass
