"""Work that is cheaper done together: whoever comes first leads, those who come meanwhile go together next.

There is no thread of its own. A lone caller hands nothing over and pays one uncontended lock; callers that arrive while
a batch is under way wait in line, and the first of them leads all of them as the next batch. Commits and syncs of
several callers thus share one wait for the disk, and only one thread at a time makes the system calls.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar


class Passenger:
    """One piece of work in line; subclasses say what it is and keep what became of it."""

    __slots__ = ("leads", "wake")

    def __init__(self) -> None:
        self.wake: threading.Lock | None = None
        self.leads = False


P = TypeVar("P", bound=Passenger)


class Convoy(Generic[P]):
    """Batches of passengers, one batch at a time.

    Args:
        run: does the work of a batch and notes the outcome in each passenger; never raises.
        limit: passengers in one batch at most.
    """

    def __init__(self, run: Callable[[Sequence[P]], None], limit: int = 64) -> None:
        self._run = run
        self._limit = limit
        self._mutex = threading.Lock()
        self._busy = False
        self._line: deque[P] = deque()

    @property
    def waiting(self) -> int:
        """How many are in line."""
        return len(self._line)

    def join(self, passenger: P) -> None:
        """Return when the work of `passenger` is done, by this thread or by another."""
        with self._mutex:
            if self._busy:
                passenger.wake = threading.Lock()
                passenger.wake.acquire()
                self._line.append(passenger)
            else:
                self._busy = passenger.leads = True
        if passenger.wake is not None:
            passenger.wake.acquire()  # until done, or until it is ours to lead
            if not passenger.leads:
                return
        batch = [passenger]
        with self._mutex:
            while self._line and len(batch) < self._limit:
                batch.append(self._line.popleft())
        try:
            self._run(batch)
        finally:
            with self._mutex:
                successor = self._line.popleft() if self._line else None
                if successor is None:
                    self._busy = False
                else:
                    successor.leads = True
            # The next batch first: its leader has work to do, the others only go home.
            for waiting in ([successor] if successor is not None else []) + batch[1:]:
                assert waiting.wake is not None
                waiting.wake.release()
