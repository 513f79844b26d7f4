"""The engine: takes jobs from the index, runs them, and sees that none is forgotten.

A job is a row, committed before its identifier is given away. Any process may claim it, and any may ask something of
it; nothing about a job is in memory only, but how far it got since that was last written down.

Every process that runs jobs gives signs of life: a number in the index that grows. Whoever sees the same number for the
time of a lease, or finds the process gone from this machine, frees its jobs, and they go on from their checkpoints. The
process itself, should it live after all, takes no further step once it could not give a sign for most of that time, and
finds its fence outdated when it writes. So at most one process takes steps of a job, but for a step that hangs longer
than a lease. A step that was taken and not written down is taken again: steps must be harmless when repeated, or use
`Running.write`. No wall clock takes part in any of this.

A job that finds a free hand as it is submitted is claimed in the same transaction; the others wait for a hand. One
thread looks around; it sleeps until a hand is free or until it is time to ask the index what others did. Each
background job has a thread while it runs; a synchronous one runs in the thread of its caller. Upkeep, of which there is
one job of a kind in the whole archive, takes no hand: it gets a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial

from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim
from amonsul.database import Transaction, job_workers, jobs
from amonsul.database.job_workers import Glance
from amonsul.database.jobs import Claimed, Hold, Job, NewJob, State, Wish
from amonsul.errors import AmonsulError, InexistentItem, Unavailable
from amonsul.jobs import arguments as codec
from amonsul.jobs import outputs, place
from amonsul.jobs.commands import Command, Effect, apply
from amonsul.jobs.failures import revive
from amonsul.jobs.kind import Kinds
from amonsul.jobs.runner import Run, Surroundings
from amonsul.jobs.settings import JobsSettings
from amonsul.jobs.watch import Watch

logger = logging.getLogger(__name__)

_BEATS_PER_LEASE = 5
_CERTAIN = 0.7
"""Part of a lease during which nobody else can have taken our jobs over."""
_PURGED_AT_ONCE = 500


def now() -> str:
    """The present time as rows keep it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")


class _Waiter:
    """Somebody who waits for the end of a job."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.job: Job | None = None
        self.error: AmonsulError | None = None


class JobEngine:
    """The jobs of one process. All methods may be called from any thread.

    Args:
        kinds: what this process can run; jobs of other kinds are left to others.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        archive: Archive,
        kinds: Kinds,
        settings: JobsSettings = JobsSettings(),  # noqa: B008  frozen
        clock: Callable[[], float] = time.monotonic,
        worker_place: str | None = None,
    ) -> None:
        self._archive = archive
        self._database = archive.database
        self._kinds = kinds
        self._upkeep = kinds.upkeep_names
        self._settings = settings
        self._clock = clock
        self._worker = uuid.uuid4().hex
        self._place = place.here() if worker_place is None else worker_place
        self._around = Surroundings(archive, settings, clock, now, self._await_lease)
        self._changed = threading.Condition()  # guards what follows
        self._runs: dict[Hold, Run] = {}
        self._waiters: defaultdict[str, list[_Waiter]] = defaultdict(list)
        self._busy = 0  # background threads
        self._busy_with_upkeep = 0
        self._news = False  # something is to be looked at
        self._stopping = self._stopped = False
        self._thread: threading.Thread | None = None
        self._beaten_at = float("-inf")
        self._watch = Watch(archive, settings, clock, now)

    # ------------------------------------------------------------------------------------------- starting, stopping

    def start(self) -> None:
        """Begin to run jobs, those first that an earlier run of this machine left behind."""
        self._thread = threading.Thread(target=self._supervise, name="jobs", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Give all jobs back after their current step; those that take longer are taken over at the next start."""
        deadline = self._clock() + timeout_s
        with self._changed:
            self._stopping = True
            for run in self._runs.values():
                run.release()
            self._changed.notify_all()
            idle = lambda: not (self._runs or self._busy or self._busy_with_upkeep)  # noqa: E731
            self._changed.wait_for(idle, max(0.0, deadline - self._clock()))
            unfinished = list(self._runs.values())
            for run in unfinished:
                run.lose()
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if unfinished:
            logger.warning("%d jobs did not pause in time; they go on at the next start", len(unfinished))
        self._release_waiters()
        try:
            if not self._settings.save_jobs:
                forgotten = self._database.write(partial(jobs.forget_submitted, submitter=self._worker))
                reclaim(self._archive, forgotten)
            self._database.write(job_workers.leave)
        except AmonsulError as error:
            logger.warning("the jobs engine could not sign off: %s", error)

    def _release_waiters(self) -> None:
        with self._changed:
            waiters = [waiter for waiting in self._waiters.values() for waiter in waiting]
        for waiter in waiters:
            waiter.ended.set()

    # ---------------------------------------------------------------------------------------------- submitting

    def submit(
        self, arguments: object, *, priority: int = 0, user_data: object = None, max_attempts: int | None = None
    ) -> str:
        """Write down a job to be run in the background; answer its identifier.

        Args:
            arguments: those of one of the kinds.
            priority: higher ones go first.
            user_data: JSON that travels along; None for none.
            max_attempts: tries before it fails, where its kind tries again at all; that of the kind unless given.

        Raises:
            Unavailable: there is no database, or too many jobs wait already.
        """
        new = self._new_job(arguments, priority, user_data, max_attempts)
        limit = self._settings.maximum_pending
        if self._kinds.of(arguments).is_upkeep:
            return self._submit_upkeep(new)
        has_hand = self._take_hand()
        claimed_at = self._clock()

        def insert(transaction: Transaction) -> Hold | None:
            if jobs.more_than_pending(transaction, limit - 1):
                raise Unavailable(f"{limit} jobs wait for their turn already")
            if has_hand and not jobs.is_another_due(transaction, self._kinds.names, priority):
                return jobs.insert_claimed(transaction, new, self._worker, self._place)
            jobs.insert(transaction, new)
            return None

        try:
            hold = self._database.write(insert)
        except BaseException:
            if has_hand:
                self._put_down()
            raise
        if has_hand:
            self._start_hand(None if hold is None else (_claimed(new, hold), claimed_at))
        return new.job_id

    def _submit_upkeep(self, new: NewJob) -> str:
        """Write down a job unless there is one of its kind; answer the identifier of the one there is."""

        def insert(transaction: Transaction) -> str:
            alive = jobs.alive(transaction, new.kind)
            if alive is not None:
                return alive
            jobs.insert(transaction, new)
            return new.job_id

        job_id = self._database.write(insert)
        self._wake()
        return job_id

    def run(
        self, arguments: object, *, priority: int = 0, user_data: object = None, max_attempts: int | None = None
    ) -> Job:
        """Run a job here and now; answer it when it has ended, even if that is after a pause.

        It is a job as any other: listed, and paused or ended from outside.

        Raises:
            AmonsulError: what the job failed with.
            Unavailable: there is no database, or the server stops; the job goes on at the next start.
        """
        new = self._new_job(arguments, priority, user_data, max_attempts)
        if self._stopping:
            raise Unavailable("the server is stopping")
        waiter = _Waiter()
        with self._changed:
            self._waiters[new.job_id].append(waiter)
        try:
            claimed_at = self._clock()
            hold = self._database.write(partial(jobs.insert_claimed, new=new, worker=self._worker, place=self._place))
            self._execute(_claimed(new, hold), claimed_at)
            return self._wait(waiter, new.job_id, None)
        finally:
            self._forget_waiter(new.job_id, waiter)

    def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """Wait for the end of a job, wherever it runs; answer it as it is then, or when the time is over.

        Raises:
            InexistentItem: there is no such job, or no more.
            AmonsulError: what the job failed with.
            Unavailable: the server stops.
        """
        waiter = _Waiter()
        with self._changed:
            self._waiters[job_id].append(waiter)
        try:
            return self._wait(waiter, job_id, timeout_s)
        finally:
            self._forget_waiter(job_id, waiter)

    def _wait(self, waiter: _Waiter, job_id: str, timeout_s: float | None) -> Job:
        deadline = None if timeout_s is None else self._clock() + timeout_s
        while True:
            job = waiter.job
            if job is None:
                job = self.get(job_id)
            if job.state.ended or (deadline is not None and self._clock() >= deadline):
                if job.state is State.FAILURE:
                    raise self._answered(waiter.error or revive(job.failure), job)
                return job
            if self._stopping:
                raise Unavailable("the server is stopping; the job goes on at its next start")
            waiter.ended.wait(
                self._settings.poll_s if deadline is None else min(self._settings.poll_s, deadline - self._clock())
            )

    def _answered(self, error: AmonsulError, job: Job) -> AmonsulError:
        """The failure of a job as whoever waits for it is told."""
        kind = self._kinds.get(job.kind)
        if kind is not None and kind.answer_payload is not None:
            error.payload = kind.answer_payload(job.content, error.payload)
        return error

    def _forget_waiter(self, job_id: str, waiter: _Waiter) -> None:
        with self._changed:
            waiting = self._waiters[job_id]
            waiting.remove(waiter)
            if not waiting:
                del self._waiters[job_id]

    def _announce(self, job: Job, error: AmonsulError | None = None) -> None:
        """Tell those who wait here that a job has ended."""
        with self._changed:
            waiting = list(self._waiters.get(job.job_id, ()))
        for waiter in waiting:
            waiter.job, waiter.error = job, error
            waiter.ended.set()

    def _new_job(self, arguments: object, priority: int, user_data: object, max_attempts: int | None) -> NewJob:
        kind = self._kinds.of(arguments)
        return NewJob(
            job_id=str(uuid.uuid4()),
            kind=kind.name,
            version=kind.version,
            arguments=codec.encode(arguments),
            content=codec.encode(kind.content(arguments)),
            priority=priority,
            user_data=None if user_data is None else codec.encode(user_data),
            max_attempts=kind.max_attempts if max_attempts is None else max_attempts,
            created_at=now(),
            submitter=self._worker,
        )

    # ------------------------------------------------------------------------------------------------- asking

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            InexistentItem: there is no such job.
        """
        with self._database.read() as transaction:
            job = jobs.find(transaction, job_id)
        if job is None:
            raise InexistentItem(f"No job found with this id: {job_id}")
        return self._view(job)

    def arguments(self, job_id: str) -> object:
        """What a job was submitted with; None if it is forgotten, or of a kind that is not known here."""
        with self._database.read() as transaction:
            job = jobs.find(transaction, job_id)
            kind = self._kinds.get(job.kind) if job is not None else None
            if job is None or kind is None:
                return None
            version, text = jobs.arguments(transaction, job)
        decoded: object = kind.decode(version, text)
        return decoded

    def page(
        self, states: Collection[State] = (), kinds: Collection[str] = (), since: int = 0, limit: int = 0
    ) -> list[Job]:
        """Jobs in order of submission, of some states and kinds; all if none is named. `limit` 0 is no limit."""
        with self._database.read() as transaction:
            found = jobs.page(transaction, states, kinds, since, limit)
        return [self._view(job) for job in found]

    def identifiers(
        self, states: Collection[State] = (), kinds: Collection[str] = (), since: int = 0, limit: int = 0
    ) -> list[str]:
        """The same, identifiers only."""
        with self._database.read() as transaction:
            return jobs.identifiers(transaction, states, kinds, since, limit)

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        with self._database.read() as transaction:
            return jobs.counts(transaction)

    def _view(self, job: Job) -> Job:
        if job.owner != self._worker:
            return job
        with self._changed:
            run = next((run for run in self._runs.values() if run.job_id == job.job_id), None)
        return job if run is None else run.view(job)

    # ------------------------------------------------------------------------------------------------ commanding

    def command(self, job_id: str, command: Command) -> bool:
        """Pause, cancel, resume or resubmit a job; False if its state does not allow it or there is no such job."""
        done = self._database.write(
            partial(
                apply,
                job_id=job_id,
                command=command,
                kinds=self._kinds,
                now=now(),
                history_size=self._settings.history_size,
            )
        )
        if done is None:
            return False
        reclaim(self._archive, done.blobs)
        if done.ended is not None:
            self._announce(done.ended)
        if done.effect in (Effect.LINE_UP, Effect.BEGIN_ANEW):
            self._wake()
        elif done.effect in (Effect.ASK_FOR_PAUSE, Effect.ASK_FOR_END):
            self._listen()
        return True

    def delete(self, job_id: str) -> None:
        """Forget an ended job and what it made.

        Raises:
            InexistentItem: there is no such job, or it has not ended.
        """

        def work(transaction: Transaction) -> list[str]:
            job = jobs.find(transaction, job_id)
            if job is None or not job.state.ended:
                raise InexistentItem(f"No job found with this id: {job_id}")
            return jobs.delete(transaction, job)

        reclaim(self._archive, self._database.write(work))

    def purge(self, states: Collection[State] = (), kinds: Collection[str] = ()) -> int:
        """Forget all ended jobs, of some states and kinds if any is named; answer how many there were."""
        purged = 0
        while True:
            work = partial(jobs.purge, states=states, kinds=kinds, limit=_PURGED_AT_ONCE)
            found, blobs = self._database.write(work)
            reclaim(self._archive, blobs)
            purged += found
            if found < _PURGED_AT_ONCE:
                return purged

    def output(self, job_id: str, name: str) -> outputs.StoredOutput:
        """A file that a job made.

        Raises:
            InexistentItem: there is no such job, or it made no such thing.
        """
        return outputs.find(self._archive, job_id, name)

    def delete_output(self, job_id: str, name: str) -> None:
        """Remove a file that a job made.

        Raises:
            InexistentItem: there is no such job, or it made no such thing.
        """
        outputs.delete(self._archive, job_id, name)

    # --------------------------------------------------------------------------------------------------- running

    def _execute(self, claimed: Claimed, claimed_at: float) -> None:
        """Run a claimed job in this thread."""
        kind = self._kinds.get(claimed.job.kind)
        assert kind is not None  # only known kinds are claimed
        run = Run(claimed, claimed_at, kind, self._around)
        with self._changed:
            self._runs[claimed.hold] = run
            if self._stopping:
                run.release()
        logger.debug("job %s (%s) runs", run.job_id, kind.name)
        try:
            job = run.drive()
        finally:
            with self._changed:
                del self._runs[claimed.hold]
                self._changed.notify_all()
        if job is not None:
            logger.info("job %s (%s): %s", job.job_id, job.kind, job.state.value)
            if job.state.ended:
                self._announce(job, run.error)

    def _take_hand(self) -> bool:
        """Reserve one of the hands, if one is free and the engine runs."""
        with self._changed:
            if self._thread is None or self._stopping or self._busy >= self._settings.hands:
                return False
            self._busy += 1
            return True

    def _start_hand(self, first: tuple[Claimed, float] | None) -> None:
        """Let a reserved hand work, on a job that was claimed for it if there is one."""
        try:
            threading.Thread(target=self._work, args=(first,), name="job", daemon=True).start()
        except RuntimeError as error:  # what was claimed is found by the watch
            logger.warning("no thread for a job: %s", error)
            self._put_down()

    def _put_down(self) -> None:
        with self._changed:
            self._busy -= 1
            self._news = True  # a job may have come between the last look and now
            self._changed.notify_all()

    def _work(self, first: tuple[Claimed, float] | None) -> None:
        """Run jobs one after the other, until none waits."""
        try:
            self._run_all(self._kinds.names, first)
        finally:
            self._put_down()

    def _run_all(self, kinds: list[str], first: tuple[Claimed, float] | None = None) -> None:
        """Run jobs of some kinds one after the other, until none waits."""
        try:
            if first is not None:
                self._execute(*first)
            while not self._stopping and (claimed := self._claim(kinds)) is not None:
                self._execute(*claimed)
        except AmonsulError as error:
            logger.warning("no job could be claimed: %s", error)
        except Exception:  # the edge of the thread
            logger.exception("a jobs thread ended unexpectedly")

    def _claim(self, kinds: list[str]) -> tuple[Claimed, float] | None:
        """The next job whose turn it is."""
        with self._database.read() as transaction:
            if not jobs.pending(transaction, kinds, 1):
                return None
        claimed_at = self._clock()
        claimed = self._database.write(partial(jobs.claim, kinds=kinds, worker=self._worker, place=self._place))
        return None if claimed is None else (claimed, claimed_at)

    def _start_upkeep(self) -> None:
        """Start a thread for upkeep that waits."""
        with self._changed:
            if self._stopping:
                return
            self._busy_with_upkeep += 1
        try:
            threading.Thread(target=self._work_on_upkeep, name="upkeep-job", daemon=True).start()
        except RuntimeError as error:
            logger.warning("no thread for upkeep: %s", error)
            self._put_upkeep_down()

    def _work_on_upkeep(self) -> None:
        try:
            self._run_all(self._upkeep)
        finally:
            self._put_upkeep_down()

    def _put_upkeep_down(self) -> None:
        with self._changed:
            self._busy_with_upkeep -= 1
            self._changed.notify_all()

    def _await_lease(self, run: Run) -> None:
        certain_s = _CERTAIN * self._settings.lease_s
        if self._clock() - max(run.claimed_at, self._beaten_at) < certain_s:
            return
        self._wake()
        while self._clock() - self._beaten_at >= certain_s:
            if run.wait(0.05):
                return

    # ---------------------------------------------------------------------------------------------- looking around

    def _supervise(self) -> None:
        failures = 0
        while True:
            try:
                self.look_around()
                failures = 0
            except AmonsulError as error:
                failures += 1
                logger.log(logging.WARNING if failures == 1 else logging.DEBUG, "the jobs cannot be seen: %s", error)
            except Exception:  # the edge of the thread: it must not end
                failures += 1
                logger.exception("the jobs engine met a bug")
            with self._changed:
                if failures:
                    self._changed.wait(min(0.1 * failures, 5.0))
                elif not self._news and not self._stopped:
                    self._changed.wait(min(self._settings.poll_s, self._settings.lease_s / _BEATS_PER_LEASE))
                if self._stopped:
                    return

    def look_around(self) -> None:
        """Do once what is due: a sign of life, wishes, other processes, further attempts, free hands."""
        with self._changed:
            self._news = False
            known = dict(self._runs)
            free = 0 if self._stopping else self._settings.hands - self._busy
        if known:
            self._beat(known)
        with self._database.read() as transaction:
            seen: Glance = job_workers.glance(transaction, self._worker, self._kinds.names, free)
            upkeep = jobs.pending(transaction, self._upkeep, len(self._upkeep)) if self._upkeep else 0
        self._heed(known, seen.ours)
        with self._changed:
            known = dict(self._runs)
        if self._watch.tend(seen, known):
            self._wake()
        self._start_hands(seen.waiting)
        for _ in range(upkeep):
            self._start_upkeep()

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def _beat(self, known: dict[Hold, Run]) -> None:
        """Give a sign of life, if one is due."""
        beaten_at = self._clock()
        if beaten_at - self._beaten_at >= self._settings.lease_s / _BEATS_PER_LEASE:
            self._heed(known, self._database.write(partial(job_workers.beat, worker=self._worker, place=self._place)))
            self._beaten_at = beaten_at  # after what was lost heard of it

    def _listen(self) -> None:
        """Hear at once what is asked of the jobs that run here."""
        with self._changed:
            known = dict(self._runs)
        if known:
            with self._database.read() as transaction:
                ours = job_workers.running_of(transaction, self._worker)
            self._heed(known, ours)

    def _heed(self, known: dict[Hold, Run], ours: dict[Hold, Wish]) -> None:
        """Tell runs, known before the index was asked, what it says."""
        for hold, run in known.items():
            if hold in ours:
                run.ask(ours[hold])
            else:
                run.lose()  # harmless if it ended meanwhile

    def _start_hands(self, waiting: int) -> None:
        """Start a thread for each job that waits, as long as there are hands."""
        for _ in range(waiting):
            with self._changed:
                if self._stopping or self._busy >= self._settings.hands:
                    return
                self._busy += 1
            self._start_hand(None)


def _claimed(new: NewJob, hold: Hold) -> Claimed:
    """A job that was claimed as it was submitted."""
    job = Job(
        row=hold.row,
        job_id=new.job_id,
        kind=new.kind,
        priority=new.priority,
        user_data=None if new.user_data is None else codec.parse(new.user_data),
        state=State.RUNNING,
        wish=jobs.Wish.NONE,
        done=0,
        total=0,
        content={},
        failure=jobs.Failure(),
        created_at=new.created_at,
        completed_at=None,
        runtime_ms=0,
        attempt=0,
        retry_after_ms=0,
        owner=None,
    )
    return Claimed(hold, job, new.version, new.arguments, None, new.max_attempts)
