"""The status line and headers of an HTTP answer, from servers that may never come to their end.

The library bounds each line and the number of headers, but waits for each byte anew, and for as many interim answers as
there are. Here the whole is bounded: its bytes, the interim answers before it (RFC 9110 §15.2), and the time from the
first byte of a head to its last. How long that first byte is waited for is the timeout of the socket.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Final

LONGEST_HEAD: Final = 64 << 10
"""In bytes, those of interim answers included."""
_HEAD_S: Final = 60.0
"""From the first byte of a head to its end."""
_MOST_INTERIM: Final = 20
"""Interim answers before the answer."""


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose head is bounded as a whole."""

    def begin(self) -> None:
        stream = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # of a stream, it has what is asked for here
        try:
            super().begin()
        finally:
            if not stream.closed:  # as it is after what is no answer
                self.fp = stream


class _Head:
    """The lines of a head, and of the interim answers before it (RFC 9110 §15.2)."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._size = 0
        self._interim = 0
        self._began: float | None = None  # when the first byte of this head had come

    def readline(self, limit: int) -> bytes:
        """The next line, or what there is of it."""
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < limit:
            waiting = self._stream.peek(1)  # type: ignore[attr-defined]  # waits for one piece at most
            if not waiting:
                break
            now = time.monotonic()
            self._began = self._began or now
            end = min(waiting.find(b"\n") + 1 or len(waiting), limit - len(line))
            line += self._stream.read(end)
            self._size += end
            too_long = self._size > LONGEST_HEAD or self._interim > _MOST_INTERIM
            if too_long or now - self._began > _HEAD_S:
                raise http.client.HTTPException("the head of the answer does not come to its end")
        if not line.rstrip(b"\r\n"):
            self._interim += 1
            self._began = None
        return bytes(line)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
