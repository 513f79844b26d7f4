"""Stored bytes as answers: whole, in part, under a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from amonsul import mapped
from amonsul.archive.read import StoredAttachment
from amonsul.blobs.spool import Spooled
from amonsul.errors import BadRequest
from amonsul.web.ranges import content_range, parse_range
from amonsul.web.values import BINARY_TYPE, Headers, Request, Response, Stream

_WHOLE_IN_MEMORY = 1 << 20
_PIECE = 1 << 20
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"\\/\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def content_disposition(filename: str) -> tuple[bytes, bytes]:
    """The header that names a download (RFC 6266); what could end the header or mislead a reader is replaced."""
    safe = _UNSAFE.sub("_", filename)
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    value = f'filename="{plain}"'
    if plain != safe:
        value += f"; filename*=UTF-8''{quote(safe, safe='')}"
    return b"content-disposition", value.encode("ascii")


def filename_argument(request: Request, default: str) -> str:
    """`?filename=` as the client gives it.

    Raises:
        BadRequest: it holds control characters.
    """
    name = request.query.get("filename") or default
    if any(character < " " or character == "\x7f" for character in name):
        raise BadRequest('Argument "filename" must not contain control characters')
    return name


def etag(revision: int, md5: str) -> tuple[bytes, bytes]:
    """The header that tells the revision of metadata and attachments."""
    return b"etag", f'"{revision}-{md5}"'.encode()


def file_response(stored: StoredAttachment, content_type: bytes, headers: Headers = ()) -> Response:
    """All bytes of an attachment."""
    if stored.size <= _WHOLE_IN_MEMORY:
        return Response(200, content_type, stored.read(), headers)
    chunks = stored.chunks()  # if it was overwritten meanwhile, this is the moment from which its size is true
    return Response(200, content_type, Stream(chunks, stored.size), headers)


def ranged_response(
    stored: StoredAttachment, request: Request, content_type: bytes, headers: Headers, name: tuple[bytes, bytes]
) -> Response:
    """What a Range header asks for, or all bytes under a name.

    Raises:
        BadRange: there is no such part.
    """
    interval = parse_range(request.header(b"range"), stored.size)
    if interval is None:
        return file_response(stored, content_type, (*headers, name))
    start, end = interval
    headers = (*headers, content_range(start, end, stored.size))
    if end - start <= _WHOLE_IN_MEMORY:
        return Response(206, BINARY_TYPE, stored.read(start, end), headers)
    return Response(206, BINARY_TYPE, Stream(stored.chunks(start, end), end - start), headers)


def spooled_response(file: Spooled, content_type: bytes, headers: Headers = ()) -> Response:
    """A file that was made for this answer; it is gone afterwards."""
    return Response(200, content_type, Stream(_pieces(file), file.size), headers)


def _pieces(file: Spooled) -> Iterator[bytes]:
    try:
        yield from map(bytes, mapped.pieces(file.view(), _PIECE))
    finally:
        file.discard()
