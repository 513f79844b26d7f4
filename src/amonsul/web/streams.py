"""Bodies that are made while they are sent, taken in batches that are worth a turn of the event loop.

The first batch is made where the handler was called, so that what fails at once is still refused with a status, and an
answer that turns out to be short is sent as any other, with its length.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass

from amonsul.web.values import Response, Stream

_BATCH_SIZE = 1 << 20
_GATHER_S = 0.05


class Then(enum.Enum):
    """What comes after a batch."""

    MORE = enum.auto()
    PAUSE = enum.auto()
    END = enum.auto()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pieces of a body as one."""

    data: bytes
    then: Then


def gather(chunks: Iterator[bytes]) -> Batch:
    """Take pieces until they are enough, or have taken a while to make."""
    pieces: list[bytes] = []
    size, then = 0, Then.MORE
    end = time.monotonic() + _GATHER_S
    for piece in chunks:
        if not piece:
            then = Then.PAUSE
            break
        pieces.append(piece)
        size += len(piece)
        if size >= _BATCH_SIZE or time.monotonic() > end:
            break
    else:
        then = Then.END
    return Batch(pieces[0] if len(pieces) == 1 else b"".join(pieces), then)


def begin(response: Response, stream: Stream) -> Response:
    """The same answer, of which the first batch is made; without a stream if that is all."""
    batch = gather(stream.chunks)
    if batch.then is Then.END:
        return dataclasses.replace(response, body=batch.data)
    rest = dataclasses.replace(stream, chunks=_Begun(batch.data, stream.chunks))
    return dataclasses.replace(response, body=rest)


def close(chunks: Iterator[bytes]) -> None:
    """Give up what is left of a body."""
    ending = getattr(chunks, "close", None)
    if ending is not None:
        ending()


class _Begun:
    """Pieces of which the first were taken already; closes the rest also when it was never asked for one."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return next(self._rest)

    def close(self) -> None:
        close(self._rest)
