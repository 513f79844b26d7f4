"""What a client wants to have, and bodies in several parts (PS3.18 §8.7).

The query parameter `accept` goes before the header (PS3.18 §8.3.3.1). Answers in several parts are made while they are
sent; whoever makes the parts says how many bytes there are, if that is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import orjson

from amonsul.dicom import dicom_xml
from amonsul.dicom.dictionary import Dictionary
from amonsul.errors import AmonsulError, BadRequest
from amonsul.protocols.media_types import MediaType, parse_accept
from amonsul.protocols.multipart import end_of_parts, new_boundary, part_head
from amonsul.web.values import Headers, Request, Response, Stream

F = TypeVar("F")

DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
DICOM = "application/dicom"
OCTET_STREAM = "application/octet-stream"
MULTIPART = "multipart/related"

_PLUS = re.compile(r"(?<=application/dicom) (?=json|xml)")


class NotAcceptable(AmonsulError):
    """No media type that the client accepts can be made of the resource."""

    http_status, orthanc_status, message = 406, 8, "Bad request"


def accepted(request: Request) -> Sequence[MediaType]:
    """The media types that a request accepts, best first."""
    argument = request.query.get("accept")
    if argument:
        # A plus sign means a blank in a query, and yet is often written as it is.
        return parse_accept(_PLUS.sub("+", argument))
    return parse_accept(request.header(b"accept"))


def understood(ranges: Sequence[MediaType], form: Callable[[MediaType], F | None], refusal: str) -> Sequence[F]:
    """The forms that media ranges ask for, in their order; never empty.

    Args:
        ranges: best first.
        form: what one of them asks for, None if nothing that there is.
        refusal: what to tell if that holds for all.

    Raises:
        NotAcceptable: none of them asks for anything that there is.
        BadRequest: the only ones that do make no sense.
    """
    found: list[F] = []
    error: AmonsulError = NotAcceptable(refusal)
    for one in ranges:
        try:
            wanted = form(one)
        except BadRequest as senseless:
            error = senseless
            continue
        if wanted is not None:
            found.append(wanted)
    if not found:
        raise error
    return found


def first_that_can_be(forms: Sequence[F], make: Callable[[F], Response]) -> Response:
    """The answer in the first form in which it can be given.

    Raises:
        NotAcceptable: there is none; why not in the first one.
    """
    refusal: NotAcceptable | None = None
    for form in forms:
        try:
            return make(form)
        except NotAcceptable as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def wants_xml(request: Request, *, default: bool | None = False) -> bool | None:
    """Whether data sets are wanted in XML rather than in JSON; `default` if the request accepts neither."""
    for one in accepted(request):
        if one.accepts(DICOM_JSON) or one.name == "application/json" or (one.name, one.root) == (MULTIPART, DICOM_JSON):
            return False
        if one.accepts(DICOM_XML) or (one.name, one.root) == (MULTIPART, DICOM_XML):
            return True
    return default


def models_response(
    models: Sequence[Mapping[str, object]], dictionary: Dictionary, *, as_xml: bool, headers: Headers = ()
) -> Response:
    """Data sets of the JSON model as an array, or each as a part in XML."""
    if not as_xml:
        return Response(200, DICOM_JSON.encode(), orjson.dumps(models), headers)
    parts = (Part(((("Content-Type"), DICOM_XML),), (dicom_xml.from_json(model, dictionary),)) for model in models)
    boundary = new_boundary()
    body = b"".join(write_parts(boundary, parts))
    return Response(200, multipart_type(DICOM_XML, boundary), body, headers)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a body: headers, and its bytes in pieces."""

    headers: tuple[tuple[str, str], ...]
    pieces: Iterable[bytes | memoryview]


def multipart_type(root: str, boundary: str) -> bytes:
    """The media type of a body in parts."""
    return f'{MULTIPART}; type="{root}"; boundary={boundary}'.encode()


def write_parts(boundary: str, parts: Iterable[Part]) -> Iterator[bytes | memoryview]:
    """The bytes of a body; the parts are taken one after the other."""
    count = 0
    for part in parts:
        yield part_head(boundary, part.headers, count == 0)
        yield from part.pieces
        count += 1
    yield end_of_parts(boundary, count == 0)


def multipart_response(root: str, parts: Iterable[Part], headers: Headers = (), length: int | None = None) -> Response:
    """200 with a body in parts that are made while they are sent."""
    boundary = new_boundary()
    return Response(200, multipart_type(root, boundary), Stream(write_parts(boundary, parts), length), headers)
