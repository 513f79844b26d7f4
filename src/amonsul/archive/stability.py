"""Telling when a patient, study or series is stable: no new instance for `StableAge` seconds.

Every process watches; each quiet time is told once all the same, because the claim is a transaction (see
`database.stability`). Time is measured by the monotonic clock of the watching process, so a wall clock may jump as it
likes. Nothing is lost in a restart: whatever was not yet stable is watched anew, from the start of the watch.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.database import Transaction, changes, stability

logger = logging.getLogger(__name__)

_STEPS: Final = 60
"""Samples kept; a resource is stable at the latest so many parts of its age too late."""
_CHUNK: Final = 500


class StabilityWatch:
    """The watch of one process.

    Args:
        archive: what is watched.
        age_s: the option `StableAge`.
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, archive: Archive, age_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._archive = archive
        self._age_s = age_s
        self._now = now
        self._samples: deque[tuple[float, int]] = deque()
        self._old = -1  # the last change that is old enough
        self._settled = -1  # the same when everything was told

    @property
    def interval_s(self) -> float:
        """How often to call `tick`."""
        return min(max(self._age_s / _STEPS, 0.1), 5.0)

    def tick(self) -> bool:
        """Look once; answer whether there may be more to tell at once.

        Raises:
            Unavailable: the index cannot be reached; nothing is lost.
        """
        now = self._now()
        with self._archive.database.read() as tx:
            last_change = changes.last_number(tx)
        if not self._samples or self._samples[-1][1] != last_change:
            self._samples.append((now, last_change))
        while self._samples and self._samples[0][0] <= now - self._age_s:
            self._old = self._samples.popleft()[1]
        if self._old == self._settled:
            return False
        with self._archive.database.read() as tx:
            is_due = stability.is_anything_quiet(tx, self._old)
        if is_due and self._archive.database.write(self._settle) == _CHUNK:
            return True
        self._settled = self._old
        return False

    def _settle(self, tx: Transaction) -> int:
        return stability.settle(tx, self._old, _CHUNK, clock.now())
