"""What each process does for the others: it frees the jobs of those that are gone, and ends the rest of jobs that wait
for another attempt.

All processes watch; whoever is first acts. Time is measured on the watcher's own clock, see `patience`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial

from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim
from amonsul.database import job_workers, jobs
from amonsul.database.job_workers import Glance, Orphaned
from amonsul.database.jobs import Hold
from amonsul.jobs import place
from amonsul.jobs.failures import CANCELED, CRASHED
from amonsul.jobs.patience import Patience
from amonsul.jobs.settings import JobsSettings

logger = logging.getLogger(__name__)


class Watch:
    """Looks after jobs that nobody runs though they should be run."""

    def __init__(
        self,
        archive: Archive,
        settings: JobsSettings,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._now = now
        self._leases = Patience(clock)
        self._rests = Patience(clock)
        self._strays = Patience(clock)

    def tend(self, seen: Glance, known: Collection[Hold]) -> bool:
        """Do what is due; whether more jobs wait for their turn now.

        Args:
            seen: the index a moment ago.
            known: jobs that this process does run.
        """
        freed = [self._take_over(seen), self._free_strays(seen, known), self._end_rests(seen)]
        return any(freed)

    def _take_over(self, seen: Glance) -> bool:
        """Free the jobs of processes that are gone."""
        self._leases.forget_all_but([other.worker for other in seen.others])
        freed = False
        for other in seen.others:
            silent_s = self._leases.unchanged_s(other.worker, other.beat)
            if silent_s < self._settings.lease_s and other.place and not place.is_gone(other.place):
                continue
            taken = self._archive.database.write(partial(job_workers.take_over, dead=other, orphaned=self._orphaned()))
            if taken is not None:
                found, blobs = taken
                reclaim(self._archive, blobs)
                logger.warning("%d jobs of a process that is gone go on", found)
                freed = True
        return freed

    def _free_strays(self, seen: Glance, known: Collection[Hold]) -> bool:
        """Free jobs that this process seems to run and does not: nobody knew whether their claim was committed."""
        strays = [hold for hold in seen.ours if hold not in known]
        self._strays.forget_all_but(strays)
        freed = False
        for hold in strays:
            if self._strays.unchanged_s(hold, hold.fence) >= self._settings.lease_s:
                blobs = self._archive.database.write(partial(job_workers.free, hold=hold, orphaned=self._orphaned()))
                reclaim(self._archive, blobs)
                freed = True
        return freed

    def _end_rests(self, seen: Glance) -> bool:
        """Let jobs line up that waited long enough for another attempt."""
        self._rests.forget_all_but([rest.hold.row for rest in seen.resting])
        ended = False
        for rest in seen.resting:
            if self._rests.unchanged_s(rest.hold.row, rest.hold.fence) * 1000 >= rest.wait_ms:
                self._archive.database.write(partial(jobs.wake, hold=rest.hold))
                ended = True
        return ended

    def _orphaned(self) -> Orphaned:
        settings = self._settings
        return Orphaned(CANCELED, CRASHED, self._now(), settings.maximum_takeovers, settings.history_size)
