"""MD5 sums, beside other work.

A sum over half a megabyte takes as long as writing it to a disk and waiting for it. Both leave the interpreter free, so
one is done in a thread beside the other. The threads are few and shared; when they are taken, or the bytes are few,
the caller does it all itself.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from amonsul import mapped

_AT_ONCE: Final = 8 << 20
BESIDE_FROM: Final = 128 << 10
"""Bytes from which the way to another thread and back is the lesser cost."""


def md5_of(view: bytes | memoryview) -> str:
    """MD5 in hexadecimal digits."""
    if len(view) <= _AT_ONCE or not isinstance(view, memoryview):
        return hashlib.md5(view, usedforsecurity=False).hexdigest()
    digest = hashlib.md5(usedforsecurity=False)
    for piece in mapped.pieces(view):
        digest.update(piece)
    return digest.hexdigest()


class _Sum:
    """One sum on its way."""

    __slots__ = ("done", "result", "view")

    def __init__(self, view: memoryview) -> None:
        self.view: memoryview | None = view
        self.result = ""
        self.done = threading.Lock()
        self.done.acquire()

    def compute(self) -> None:
        """Called once, by the thread that took it."""
        try:
            if self.view is not None:
                self.result = md5_of(self.view)
        finally:
            self.view = None
            self.done.release()


class Digests:
    """The threads of a process that make sums."""

    def __init__(self, threads: int) -> None:
        self._limit = threads
        self._mutex = threading.Lock()
        self._threads = 0
        self._free = 0
        self._line: SimpleQueue[_Sum] = SimpleQueue()

    def begin(self, view: memoryview) -> Callable[[], str]:
        """Start a sum; the answer waits for it. The bytes must stay until then."""
        if len(view) < BESIDE_FROM or not self._take():
            return lambda: md5_of(view)
        one = _Sum(view)
        self._line.put(one)

        def wait() -> str:
            one.done.acquire()
            if not one.result:
                return md5_of(view)
            return one.result

        return wait

    def _take(self) -> bool:
        """Whether a thread is free for one sum."""
        with self._mutex:
            if self._free == 0:
                if self._threads == self._limit:
                    return False
                self._threads += 1
                self._free += 1
                threading.Thread(target=self._work, name=f"md5-{self._threads}", daemon=True).start()
            self._free -= 1
            return True

    def _work(self) -> None:
        while True:
            self._line.get().compute()
            with self._mutex:
                self._free += 1


DIGESTS: Final = Digests(threads=max(1, (os.cpu_count() or 2) // 2))
"""Of this process; threads start when first needed."""
