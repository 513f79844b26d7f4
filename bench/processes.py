"""Several client processes that begin together, and what they measured."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Measured:
    """Operations of all processes together.

    Attributes:
        seconds: from the first start to the last end.
        latencies: seconds of every operation, sorted.
    """

    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Operations per second."""
        return len(self.latencies) / self.seconds


class LoadFailed(Exception):
    """A client process could not do its work."""


def run_processes(count: int, work: Callable[[int, Callable[[], None]], list[float]]) -> Measured:
    """Run `work(number, go)` in so many processes.

    Each prepares itself and calls `go`, which returns when all are ready; it answers the seconds of each operation.

    Raises:
        LoadFailed: one of them failed; with its traceback.
    """
    barrier = _FORK.Barrier(count)

    def child(number: int, results: Connection) -> None:
        begun: list[float] = []

        def go() -> None:
            barrier.wait(300)
            begun.append(time.time())

        try:
            latencies = work(number, go)
            results.send((begun[0], time.time(), latencies))
        except BaseException:  # told to the parent, whatever it is
            barrier.abort()
            results.send(traceback.format_exc())

    pipes = [_FORK.Pipe(duplex=False) for _ in range(count)]
    processes = [_FORK.Process(target=child, args=(number, pipe[1])) for number, pipe in enumerate(pipes)]
    for process in processes:
        process.start()
    outcomes: list[object] = [pipe[0].recv() for pipe in pipes]
    for process in processes:
        process.join()
    begins, ends, latencies = [], [], []
    for outcome in outcomes:
        if not isinstance(outcome, tuple):
            raise LoadFailed(str(outcome))
        begins.append(outcome[0])
        ends.append(outcome[1])
        latencies.extend(outcome[2])
    return Measured(max(ends) - min(begins), tuple(sorted(latencies)))
