"""One job being run: the loop around the generator of its kind.

Between two steps, and nowhere else, the job looks up: was it asked to pause or to end, does the server stop, is it
still ours? Then it takes the next step and notes how far it is; from time to time it writes that down. Whatever it
writes carries its fence: if the job was taken over meanwhile, nothing is written and the run ends without a trace.

A database that is away for a while does not fail a job: the write is tried again until it is back.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim
from amonsul.blobs.spool import Spooled
from amonsul.database import CommitUncertain, Transaction, jobs
from amonsul.database.jobs import Claimed, Failure, Job, Output, Saved, State, Wish
from amonsul.errors import AmonsulError, StorageFull, Unavailable
from amonsul.jobs import arguments as codec
from amonsul.jobs.failures import CANCELED, describe, describe_bug
from amonsul.jobs.kind import Kind, Progress
from amonsul.jobs.settings import JobsSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TRY_AGAIN_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_FAILED_INSTANCES = "FailedInstancesCount"


class Lost(Exception):
    """The job belongs to another process now, or the server stopped before it could be written about."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs of the process around it.

    Attributes:
        clock: monotonic seconds.
        now: the present time as text, UTC, for people.
        await_lease: returns at once while other processes certainly leave this run alone; else waits for the next
            sign of life to get through, or until something is asked of the run.
    """

    archive: Archive
    settings: JobsSettings
    clock: Callable[[], float]
    now: Callable[[], str]
    await_lease: Callable[[Run], None]


class Run:
    """A claimed job while it runs; `kind.Running` is what its kind sees of it.

    Args:
        claimed_at: time on the clock when the claim was certainly not yet made.
    """

    def __init__(self, claimed: Claimed, claimed_at: float, kind: Kind[Any], around: Surroundings) -> None:
        self._claimed = claimed
        self._job = claimed.job
        self._kind = kind
        self._around = around
        self._began = around.clock()
        self._done, self._total = claimed.job.done, claimed.job.total
        self._written_done = claimed.job.done
        self._written_at = self._began
        self._checkpoint_text = claimed.checkpoint
        self._signal = threading.Event()  # something is asked
        self._over = threading.Event()  # nothing may be written any more, or soon
        self._wish = claimed.job.wish
        self._releasing = False
        self._lost = False
        self.hold = claimed.hold
        self.claimed_at = claimed_at
        self.error: AmonsulError | None = None
        self.job_id = claimed.job.job_id
        self.threads = around.settings.threads.get(kind.name, 1)
        self.content: dict[str, Any] = dict(claimed.job.content)
        self.checkpoint: Any = None if claimed.checkpoint is None else codec.parse(claimed.checkpoint)

    # ------------------------------------------------------------------------------------- asked from other threads

    def ask(self, wish: Wish) -> None:
        """Pause or end after the current step; the end prevails."""
        if self._wish is not Wish.CANCEL and wish is not Wish.NONE:
            self._wish = wish
            self._signal.set()

    def release(self) -> None:
        """Give the job back after the current step: the server stops."""
        self._releasing = True
        self._over.set()
        self._signal.set()

    def lose(self) -> None:
        """The job is not ours any more."""
        self._lost = True
        self._over.set()
        self._signal.set()

    def view(self, job: Job) -> Job:
        """The job with what is known of it only here."""
        if job.state is not State.RUNNING:
            return job
        return replace(job, done=self._done, total=self._total, runtime_ms=self._runtime_ms())

    def wait(self, seconds: float) -> bool:
        """Wait until something is asked of the run, at most so long; whether something is."""
        return self._signal.wait(seconds)

    # ------------------------------------------------------------------------------------------ asked by the kind

    @property
    def stopping(self) -> bool:
        """See Running."""
        return self._lost or self._releasing or self._wish is not Wish.NONE

    def write(self, work: Callable[[Transaction], T], progress: Progress) -> T:
        """See Running."""
        self._note(progress)
        saved = self._saved()
        results: list[T] = []

        def save_and_work(transaction: Transaction) -> Wish | None:
            asked = jobs.save(transaction, self.hold, saved)
            if asked is not None:
                results[:] = [work(transaction)]
            return asked

        def was_committed(transaction: Transaction) -> bool:
            return jobs.is_saved(transaction, self.hold, saved)

        self._heed(self._persist(save_and_work, was_committed))
        return results[0]

    def keep_output(self, name: str, spooled: Spooled, media_type: str, filename: str) -> None:
        """See Running."""
        archive = self._around.archive
        size = spooled.size
        blob = archive.blobs.stage(spooled)
        output = Output(name, blob, size, media_type, filename)
        try:
            gone = archive.database.write(
                partial(jobs.put_output, hold=self.hold, output=output, kept=self._around.settings.outputs_kept)
            )
        except CommitUncertain:
            raise  # the row may be there: what is staged is settled at the next start
        except BaseException:
            archive.blobs.discard(blob)
            raise
        if gone is None:
            archive.blobs.discard(blob)
            raise Lost
        archive.blobs.publish(blob)
        reclaim(archive, gone)

    def tolerates(self, error: AmonsulError) -> bool:
        """See Running."""
        return not (self.stopping or (self._has_attempts and self._kind.may_pass(error)))

    @property
    def _has_attempts(self) -> bool:
        return self._job.attempt + 1 < self._claimed.max_attempts

    @contextmanager
    def item(self, permissive: bool) -> Iterator[None]:
        """See Running."""
        try:
            yield
        except AmonsulError as error:
            if not (permissive and self.tolerates(error)):
                raise
            logger.info("job %s goes on after an error: %s", self.job_id, error)
            self.content[_FAILED_INSTANCES] = self.content.get(_FAILED_INSTANCES, 0) + 1

    # ------------------------------------------------------------------------------------------------- the loop

    def drive(self) -> Job | None:
        """Run the job until it ends, is set aside or lost. Answers what is known of it then, None if it is lost."""
        try:
            try:
                arguments = self._kind.decode(self._claimed.version, self._claimed.arguments)
                if self.checkpoint is None:  # whatever was found out before is found out again
                    self.content = self._kind.content(arguments)
                steps = self._kind.run(arguments, self)
                try:
                    return self._step_through(steps)
                finally:
                    if isinstance(steps, Generator):
                        steps.close()
            except Lost:
                raise
            except AmonsulError as error:
                return self._refused(error)
            except Exception as error:  # the edge of the engine: a kind has a bug
                return self._end(describe_bug(error, self._kind.name, self.job_id))
        except Lost:
            logger.info("job %s (%s) goes on elsewhere", self.job_id, self._kind.name)
            return None

    def _step_through(self, steps: Iterator[Progress]) -> Job:
        while True:
            self._around.await_lease(self)
            if self.stopping:
                return self._stop()
            try:
                progress = next(steps)
            except StopIteration:
                return self._end(None)
            self._note(progress)
            if progress.durable or self._around.clock() - self._written_at >= self._around.settings.checkpoint_s:
                self._heed(self._persist(partial(jobs.save, hold=self.hold, saved=self._saved())))

    def _stop(self) -> Job:
        """Heed what was asked."""
        if self._lost:
            raise Lost
        if self._wish is Wish.CANCEL:
            return self._end(CANCELED)
        return self._set_aside(State.PAUSED if self._wish is Wish.PAUSE else State.PENDING)

    def _refused(self, error: AmonsulError) -> Job:
        if self.stopping:  # as likely as not because of it
            return self._stop()
        failure = describe(error)
        attempt = 1 if self._done > self._job.done else self._job.attempt + 1
        if attempt < self._claimed.max_attempts and self._kind.may_pass(error):
            logger.info("job %s (%s) is tried again later: %s", self.job_id, self._kind.name, error)
            return self._set_aside(State.RETRY, failure, attempt)
        self.error = error
        return self._end(failure)

    # ------------------------------------------------------------------------------------------------ writing down

    def _note(self, progress: Progress) -> None:
        self._done, self._total = progress.done, progress.total
        self._checkpoint_text = None if progress.checkpoint is None else codec.encode(progress.checkpoint)

    def _runtime_ms(self) -> int:
        return self._job.runtime_ms + int(1000 * (self._around.clock() - self._began))

    def _saved(self) -> Saved:
        return Saved(self._done, self._total, self._checkpoint_text, codec.encode(self.content), self._runtime_ms())

    def _heed(self, asked: Wish | None) -> None:
        if asked is None:
            raise Lost
        self._written_at = self._around.clock()
        self.ask(asked)

    def _end(self, failure: Failure | None) -> Job:
        around, saved, now = self._around, self._saved(), self._around.now()
        work = partial(
            jobs.end,
            hold=self.hold,
            saved=saved,
            failure=failure,
            completed_at=now,
            history_size=around.settings.history_size,
        )
        gone = self._persist(work, partial(jobs.has_left, hold=self.hold))
        if gone is None:
            raise Lost
        reclaim(around.archive, gone)
        state = State.SUCCESS if failure is None else State.FAILURE
        return replace(self._now(state, saved), failure=failure or Failure(), completed_at=now, attempt=0)

    def _set_aside(self, state: State, failure: Failure | None = None, attempt: int = 0) -> Job:
        saved = self._saved()
        settings = self._around.settings
        retry_after_s = min(settings.retry_first_s * 2 ** max(attempt - 1, 0), settings.retry_limit_s)
        work = partial(
            jobs.release,
            hold=self.hold,
            saved=saved,
            state=state,
            failure=failure,
            attempt=attempt,
            retry_after_ms=int(1000 * retry_after_s * random.uniform(0.9, 1.1)) if state is State.RETRY else 0,
        )
        if not self._persist(work, partial(jobs.has_left, hold=self.hold)):
            raise Lost
        return self._now(state, saved)

    def _now(self, state: State, saved: Saved) -> Job:
        return replace(
            self._job,
            state=state,
            wish=Wish.NONE,
            owner=None,
            done=saved.done,
            total=saved.total,
            content=self.content,
            runtime_ms=saved.runtime_ms,
        )

    def _persist(
        self, work: Callable[[Transaction], T], was_committed: Callable[[Transaction], bool] | None = None
    ) -> T:
        """Write, if need be again until the database takes it.

        A commit of which nobody knows whether it happened is looked for before `work`, which is safe to run twice if
        nothing is given to look for it, is run again.
        """
        last: list[T] = []
        uncertain = False

        def attempt(transaction: Transaction) -> T:
            if uncertain and last and was_committed is not None and was_committed(transaction):
                return last[0]
            last[:] = [work(transaction)]
            return last[0]

        for failures in range(1 << 30):
            try:
                return self._around.archive.database.write(attempt)
            except (Unavailable, StorageFull) as error:
                uncertain = uncertain or isinstance(error, CommitUncertain)
                if failures == 0:
                    logger.warning("job %s cannot be written down yet: %s", self.job_id, error)
                if self._over.wait(_TRY_AGAIN_S[min(failures, len(_TRY_AGAIN_S) - 1)]):
                    raise Lost from error
        raise AssertionError
