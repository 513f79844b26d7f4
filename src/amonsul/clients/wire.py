"""Many pieces onto a TCP socket that does not block, without putting them together first.

A data set is read in pieces of some hundred KB and goes out in PDUs of its peer's length. Headers and slices of the
pieces are handed to the operating system side by side (`sendmsg`): putting them together would copy every byte once
more, into memory that has to be found anew each time, and costs more than the way over the loopback network. What goes
out as it lies in its file, without headers in between, is left to the system altogether.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from amonsul.errors import InexistentFile

_MAX_PARTS: Final = 1000
"""Pieces that go together; Linux takes 1024 at most."""

SIDE_BY_SIDE: Final = 1 << 20
"""Bytes that are worth a call of the system where pieces need not be put together, and are read ahead for it."""

JOINED: Final = 128 << 10
"""The same where they must be."""

PUT_AWAY_PER_S: Final = 10 << 20
"""Bytes per second of what was sent that a remote is granted to put away, beside the usual time for its answer: who
takes 2 GB within seconds may have to wait for its disk."""

_NO_SENDFILE: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
"""How a system says that it cannot send a file of this file system."""

Part = bytes | memoryview

Batch = tuple[list[Part], int]
"""Parts that are written together, and their size in bytes."""


def batches(pdus: Iterable[Sequence[Part]], max_size: int) -> Iterator[Batch]:
    """PDUs that come in parts, as many together as make `max_size`."""
    pending: list[Part] = []
    size = 0
    for parts in pdus:
        pending += parts
        size += sum(map(len, parts))
        if size >= max_size or len(pending) >= _MAX_PARTS:
            yield pending, size
            pending, size = [], 0
    if pending:
        yield pending, size


class SocketWriter:
    """Writes to a socket that does not block and that somebody else may read.

    Args:
        link: stays the caller's.
        timeout_s: longest wait for the peer to take something, 0 for any.
    """

    def __init__(self, link: socket.socket, timeout_s: float) -> None:
        self._link = link
        self._timeout_ms = timeout_s * 1000 or None
        self._poll = select.poll()
        self._poll.register(link, select.POLLOUT)

    def write(self, parts: list[Part], size: int) -> None:
        """Write parts of so many bytes together.

        Raises:
            TimeoutError: the peer takes nothing.
            OSError: the connection is lost.
        """
        while size:
            try:
                sent = self._link.sendmsg(parts)
            except BlockingIOError:
                self._wait()
                continue
            size -= sent
            if size:
                parts = _rest(parts, sent)

    def write_file(self, number: int, start: int, size: int) -> None:
        """Have the operating system write so many bytes of an open file, which then never pass through this process.

        Raises:
            TimeoutError: the peer takes nothing.
            OSError: the connection is lost, or the file cannot be read.
            InexistentFile: the file ends too early.
        """
        while size:
            try:
                sent = os.sendfile(self._link.fileno(), number, start, size)
            except BlockingIOError:
                self._wait()
                continue
            except OSError as error:
                if error.errno not in _NO_SENDFILE:
                    raise
                piece = os.pread(number, min(size, JOINED), start)
                sent = len(piece)
                self.write([piece], sent)
            if not sent:
                raise InexistentFile("a file became shorter while it was sent")
            start += sent
            size -= sent

    def _wait(self) -> None:
        if not self._poll.poll(self._timeout_ms):
            raise TimeoutError


def _rest(parts: list[Part], sent: int) -> list[Part]:
    """What is left of the parts after so many bytes."""
    for number, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[number + 1 :]]
        sent -= len(part)
    return []
