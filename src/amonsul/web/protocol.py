"""HTTP over a socket: uvicorn's protocol with the bounds that it lacks.

Until the headers of a request are complete nobody has seen it, so the bounds on that phase live here: a deadline for
all headers (however they drip), a limit on bytes that lead to nothing (headers or trailers without end, extensions of
chunks), and a cap on connections. When the cap is reached, the
connection that has waited longest without a request being worked on makes room; a server full of real work answers
503. Trailers of a chunked body are dropped.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD_SIZE = 64 << 10
"""Bytes in a row that complete no headers and bring no body."""
MAX_TRAILER_SIZE = 8 << 10

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


_turns = itertools.count()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Subclasses carry the limits, because uvicorn makes the instances."""

    header_timeout_s = 10.0
    maximum_connections = 2048

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # Any: as uvicorn declares it
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._idle_since = 0  # counts, since clocks give the same time twice
        self._progress = False
        self._unseen = 0
        self._in_head = False
        self._trailer_size = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Arm the deadline for the first headers, or refuse when the server is full."""
        super().connection_made(transport)
        self._idle_since = next(_turns)
        if len(self.connections) > self.maximum_connections and not self._make_room():
            transport.write(_BUSY)
            transport.close()
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._progress = False
        super().data_received(data)
        if self._deadline is None and self.is_idle and not self.transport.is_closing():
            self._arm()
        if self._progress:
            self._unseen = 0
            return
        self._unseen += len(data)
        if self._unseen > MAX_HEAD_SIZE:
            self._give_up(_HEAD_TOO_LARGE if self.is_idle else b"")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailer_size += len(name) + len(value)
        if self._trailer_size > MAX_TRAILER_SIZE:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The request can be worked on."""
        self._disarm()
        self._in_head = False
        self._progress = True
        self._trailer_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._progress = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written."""
        self._idle_since = next(_turns)
        super().on_response_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout_s, self._give_up, _TIMEOUT)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _make_room(self) -> bool:
        longest: BoundedProtocol | None = None
        for other in self.connections:
            if not isinstance(other, BoundedProtocol) or other is self or not other.is_idle:
                continue
            if not other.transport.is_closing() and (longest is None or other._idle_since < longest._idle_since):
                longest = other
        if longest is None:
            return False
        longest.transport.abort()
        return True
