"""The way from an event loop into threads: the one line at which each edge leaves `async` behind.

A pool of plain threads takes calls from a simple queue and hands the outcome back to the loop. It costs about half of
what `asyncio.to_thread` does, which matters for requests that are answered from the index in 50 µs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
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
        # Any: the queue holds calls of every result type at once; `run` ties each back to its own.
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0  # calls handed in and not finished; touched on the loop only

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread of the pool. Cancelling the awaiter does not stop the call."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put((call, future))
        return await future

    def close(self, timeout_s: float = 5.0) -> None:
        """Let the threads finish what was handed in, then end them; those that take longer in all are left behind."""
        for _ in self._threads:
            self._calls.put(None)
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
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
