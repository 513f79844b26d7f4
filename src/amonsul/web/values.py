"""A request and its answer, as the handlers see them: no sockets, no ASGI, nothing asynchronous.

`asgi.py` makes a `Request` once headers and body are in and writes the `Response` that the handler returns. A body is
bytes, or pieces of a known or unknown total length; pieces are fetched in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

import orjson

from amonsul.blobs.spool import Spooled

Headers = tuple[tuple[bytes, bytes], ...]

JSON_TYPE = b"application/json; charset=utf-8"
TEXT_TYPE = b"text/plain"
BINARY_TYPE = b"application/octet-stream"
DICOM_TYPE = b"application/dicom"


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: in upper case; HEAD is given as GET.
        uri: the path without empty segments and query, as error bodies name it.
        params: values of the placeholders of the route.
        query: arguments after `?`; one without `=` has an empty value, the last of several counts.
        headers: names in lower case; the last of several counts.
        body: complete; empty if the route takes none.
        remote_ip: of the client.
        username: of the client, empty without authentication.
        raw_query: what follows `?`, for routes on which an argument may be given several times.
    """

    method: str
    uri: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: Spooled
    remote_ip: str = ""
    username: str = ""
    raw_query: bytes = b""

    def query_items(self) -> list[tuple[str, str]]:
        """Arguments in order, as often as they are given."""
        return list(_arguments(self.raw_query))

    def header(self, name: bytes) -> str | None:
        """The value of a header, by its name in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def flag(self, name: str) -> bool:
        """Whether a boolean argument is given and not `false` or `0`."""
        value = self.query.get(name)
        return value is not None and value not in ("false", "0")

    def data(self) -> bytes:
        """The body as bytes; only for routes with a small bound."""
        return bytes(self.body.view())

    def text(self) -> str:
        """The body as text."""
        return self.data().decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Stream:
    """A body in pieces.

    Attributes:
        chunks: closed by the edge when the client goes away or the last piece is sent.
        length: in bytes, None if unknown.
        pause_s: an empty piece says that there is nothing for now; how long to wait before asking for the next one.
    """

    chunks: Iterator[bytes | memoryview]
    length: int | None
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The edge adds Content-Length and the headers that every answer has.

    Attributes:
        content_type: None for an answer without content.
    """

    status: int
    content_type: bytes | None = None
    body: bytes | Stream = b""
    headers: Headers = ()


def json(value: object, headers: Headers = (), content_type: bytes = JSON_TYPE) -> Response:
    """200 with a JSON body."""
    return Response(200, content_type, orjson.dumps(value), headers)


def text(value: str, headers: Headers = ()) -> Response:
    """200 with a text body."""
    return Response(200, TEXT_TYPE, value.encode(), headers)


def empty(status: int, headers: Headers = ()) -> Response:
    """An answer without content: what the API gives for an unknown resource, 403, 405 and others."""
    return Response(status, None, b"", headers)


NOT_FOUND = empty(404)


def parse_query(raw: bytes) -> dict[str, str]:
    """Arguments of a query string; only `&` separates, so that lists may use `;`."""
    return dict(_arguments(raw))


def _arguments(raw: bytes) -> Iterator[tuple[str, str]]:
    for part in raw.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if name:
            yield _decoded(name), _decoded(value)


def _decoded(value: str) -> str:
    return unquote_plus(value) if "%" in value or "+" in value else value


def split_path(raw: bytes) -> list[str]:
    """Segments of a path as it came over the wire; empty ones vanish, `.` and `..` are resolved.

    Escapes are resolved first, so that an escaped slash separates like any other. Parameters (`;…`) are left alone.
    """
    path = raw.decode("latin-1")
    if "%" in path:
        path = unquote(path)
    segments = [segment for segment in path.split("/") if segment]
    if "/." in path:
        resolved: list[str] = []
        for segment in segments:
            if segment == "..":
                del resolved[-1:]
            elif segment != ".":
                resolved.append(segment)
        segments = resolved
    return segments
