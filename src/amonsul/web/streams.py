"""Bodies that are made while they are sent, taken in batches that are worth a turn of the event loop.

The first batch is made where the handler was called, so that what fails at once is still refused with a status, and an
answer that turns out to be short is sent as any other, with its length.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amonsul.web.values import Response, Stream

_BATCH_SIZE = 1 << 20
_GATHER_S = 0.05
_LARGE = 128 << 10
"""A piece of which a copy costs more than to send it by itself."""


class Then(enum.Enum):
    """What comes after a batch."""

    MORE = enum.auto()
    PAUSE = enum.auto()
    END = enum.auto()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pieces of a body; those that are small are put together."""

    pieces: Sequence[bytes]
    then: Then


def gather(chunks: Iterator[bytes | memoryview]) -> Batch:
    """Take pieces until they are enough, or have taken a while to make."""
    pieces, then = _take(chunks)
    return Batch(_joined(pieces), then)


def begin(response: Response, stream: Stream) -> Response:
    """The same answer, of which the first batch is made; without a stream if that is all."""
    pieces, then = _take(stream.chunks)
    if then is Then.END:
        return dataclasses.replace(response, body=b"".join(pieces))
    rest = dataclasses.replace(stream, chunks=_Begun(_joined(pieces), stream.chunks))
    return dataclasses.replace(response, body=rest)


def _take(chunks: Iterator[bytes | memoryview]) -> tuple[list[bytes | memoryview], Then]:
    pieces: list[bytes | memoryview] = []
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
    return pieces, then


def _joined(pieces: Sequence[bytes | memoryview]) -> list[bytes]:
    """The same bytes in fewer pieces; one that is large and bytes already is not copied."""
    joined: list[bytes] = []
    small: list[bytes | memoryview] = []
    for piece in pieces:
        if isinstance(piece, bytes) and len(piece) >= _LARGE:
            if small:
                joined.append(b"".join(small))
                small = []
            joined.append(piece)
        else:
            small.append(piece)
    if small:
        joined.append(b"".join(small))
    return joined


def close(chunks: Iterator[bytes | memoryview]) -> None:
    """Give up what is left of a body."""
    ending = getattr(chunks, "close", None)
    if ending is not None:
        ending()


class _Begun:
    """Pieces of which the first were taken already; closes the rest also when it was never asked for one."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: Sequence[bytes], rest: Iterator[bytes | memoryview]) -> None:
        self._first = list(reversed(first))
        self._rest = rest

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return self

    def __next__(self) -> bytes | memoryview:
        return self._first.pop() if self._first else next(self._rest)

    def close(self) -> None:
        close(self._rest)
