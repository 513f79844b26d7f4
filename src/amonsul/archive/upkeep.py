"""What a process does by itself now and then: a thread that calls small tasks, each at its own pace.

Every process of an archive has one. The tasks are such that it does no harm when several processes do the same.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amonsul.errors import AmonsulError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do.

    Attributes:
        name: for the log.
        run: does a small part of it; answers whether there is more to do at once.
        interval_s: from the end of one run to the next.
    """

    name: str
    run: Callable[[], bool]
    interval_s: float


class Upkeep:
    """The thread of a process."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)
        self._due = [0.0] * len(self._tasks)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the task at hand, or leave it behind when it takes longer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            for number, task in enumerate(self._tasks):
                if self._due[number] <= now and not self._stopping.is_set():
                    more = self._attempt(task)
                    self._due[number] = time.monotonic() + (0 if more else task.interval_s)
            self._stopping.wait(max(min(self._due, default=now + 1) - time.monotonic(), 0.0))

    def _attempt(self, task: Task) -> bool:
        try:
            return task.run()
        except AmonsulError as error:
            logger.warning("%s has to wait: %s", task.name, error.details or error.message)
        except Exception as error:  # one of the edges: a bug must not end the upkeep of the others
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s failed with %s\n%s", task.name, type(error).__name__, where)
        return False
