"""Multipart bodies as they stream by (RFC 2046 §5.1, RFC 2387): bytes in, events out, and parts into bytes.

Nothing of a body is kept but what could be the beginning of a delimiter. Headers of a part, their number, the number of
parts and the length of the boundary have bounds. Lines end in CRLF; a bare LF is taken at the end of header lines and
delimiters, since senders exist that write it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from amonsul.errors import BadFileFormat

MAX_PARTS = 100_000
MAX_HEADERS = 32
MAX_HEADER_SIZE = 8 << 10
"""Of all headers of a part, in bytes."""
MAX_BOUNDARY = 200
"""In characters; RFC 2046 §5.1.1 has 70, and Orthanc writes 73."""
_MAX_PREAMBLE = 64 << 10


class MultipartError(BadFileFormat):
    """A body that is no multipart body, or more than is accepted."""


@dataclass(frozen=True, slots=True)
class PartBegan:
    """A part begins; names of its headers are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part is complete."""


Event = PartBegan | PartData | PartEnded


class MultipartReader:
    """Takes a body apart, whatever the pieces in which it comes.

    Args:
        boundary: as in the Content-Type header.

    Raises:
        MultipartError: there is no boundary, or it is too long or no token.
    """

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
            raise MultipartError("the multipart body has no boundary, or a malformed one")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")  # so that a delimiter at the very start looks like the others
        self._state = self._preamble
        self._parts = 0
        self._is_complete = False

    @property
    def is_complete(self) -> bool:
        """Whether the closing delimiter was seen."""
        return self._is_complete

    def feed(self, data: bytes | memoryview) -> Iterator[Event]:
        """What the next bytes of the body tell; to be consumed before the next call.

        Raises:
            MultipartError: malformed, or beyond a bound.
        """
        self._buffer += data
        while (event := self._state()) is not _NEEDS_MORE:
            if isinstance(event, (PartBegan, PartData, PartEnded)):
                yield event

    def finish(self) -> None:
        """The body is at its end.

        Raises:
            MultipartError: the closing delimiter is missing.
        """
        if not self._is_complete:
            raise MultipartError("the multipart body is cut short")

    # Each state takes what it can from the buffer and answers an event, None to go on, or _NEEDS_MORE.

    def _preamble(self) -> object:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            if len(self._buffer) > _MAX_PREAMBLE:
                raise MultipartError("the multipart body does not begin with its boundary")
            return _NEEDS_MORE
        del self._buffer[: at + len(self._delimiter)]
        self._state = self._after_delimiter
        return None

    def _after_delimiter(self) -> object:
        head = bytes(self._buffer[:2])
        if head[:1] == b"-":
            if len(head) < 2:
                return _NEEDS_MORE
            if head != b"--":
                raise MultipartError("a delimiter of the multipart body is malformed")
            self._is_complete = True
            self._state = self._epilogue
            return None
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_HEADER_SIZE:
                raise MultipartError("a delimiter of the multipart body is malformed")
            return _NEEDS_MORE
        if self._buffer[:end].strip(b" \t\r"):
            raise MultipartError("a delimiter of the multipart body is malformed")
        del self._buffer[: end + 1]
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MultipartError(f"more than {MAX_PARTS} parts")
        self._state = self._headers
        return None

    def _headers(self) -> object:
        end = _end_of_headers(self._buffer)
        if end is None:
            if len(self._buffer) > MAX_HEADER_SIZE:
                raise MultipartError(f"the headers of a part have more than {MAX_HEADER_SIZE} bytes")
            return _NEEDS_MORE
        head_end, body_start = end
        if head_end > MAX_HEADER_SIZE:
            raise MultipartError(f"the headers of a part have more than {MAX_HEADER_SIZE} bytes")
        headers = _parse_headers(bytes(self._buffer[:head_end]))
        # The line end before the body may be the one before a delimiter: a part without a body.
        del self._buffer[:body_start]
        self._buffer[:0] = b"\r\n"
        self._state = self._first_of_body
        return PartBegan(headers)

    def _first_of_body(self) -> object:
        size = len(self._delimiter)
        if len(self._buffer) < size and self._delimiter.startswith(self._buffer):
            return _NEEDS_MORE
        if not self._buffer.startswith(self._delimiter):
            del self._buffer[:2]
        self._state = self._body
        return None

    def _body(self) -> object:
        at = self._buffer.find(self._delimiter)
        if at == 0:
            del self._buffer[: len(self._delimiter)]
            self._state = self._after_delimiter
            return PartEnded()
        if at < 0:
            at = len(self._buffer) - _overlap(self._buffer, self._delimiter)
            if at == 0:
                return _NEEDS_MORE
        data = bytes(self._buffer[:at])
        del self._buffer[:at]
        return PartData(data)

    def _epilogue(self) -> object:
        self._buffer.clear()
        return _NEEDS_MORE


_NEEDS_MORE = object()


def _overlap(buffer: bytearray, delimiter: bytes) -> int:
    """How many bytes at the end of a buffer could be the beginning of a delimiter."""
    tail = bytes(buffer[-(len(delimiter) - 1) :])
    at = tail.find(b"\r")
    while at >= 0:
        if delimiter.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(b"\r", at + 1)
    return 0


def _end_of_headers(buffer: bytearray) -> tuple[int, int] | None:
    """Where the headers end and where the body starts."""
    if buffer[:1] == b"\n":
        return 0, 1
    if buffer[:2] == b"\r\n":
        return 0, 2
    window = MAX_HEADER_SIZE + 4
    found = [
        (at, at + len(end)) for end in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := buffer.find(end, 0, window)) >= 0
    ]
    return min(found) if found else None


def _parse_headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    last = ""
    lines = [line for line in head.decode("latin-1").replace("\r\n", "\n").split("\n") if line]
    if len(lines) > MAX_HEADERS:
        raise MultipartError(f"a part has more than {MAX_HEADERS} headers")
    for line in lines:
        if line[0] in " \t" and last:  # folded
            headers[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        last = name.strip().lower()
        if not colon or not last:
            raise MultipartError("a header of a part is malformed")
        headers[last] = value.strip()
    return headers


def new_boundary() -> str:
    """A boundary that is in no part, as nobody can foresee it."""
    return secrets.token_hex(16)


def part_head(boundary: str, headers: Iterable[tuple[str, str]], is_first: bool) -> bytes:
    """What comes before the bytes of a part."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{'' if is_first else chr(13) + chr(10)}--{boundary}\r\n{lines}\r\n".encode()


def end_of_parts(boundary: str, is_empty: bool) -> bytes:
    """What comes after the last part."""
    return f"{'' if is_empty else chr(13) + chr(10)}--{boundary}--\r\n".encode("ascii")
