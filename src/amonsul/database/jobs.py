"""Jobs as rows: their life, who runs them, what they made.

Every function is one question or one step inside a transaction of the caller. Writers take turns on both databases, so
a function may look first and write afterwards. Whoever runs a job holds its `fence`, a number that grows with each
claim: a write with an older number changes nothing, so a process that was taken for dead cannot write any more.
No time is compared here; the texts of times are for people.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import orjson

from amonsul.database.attachments import bury
from amonsul.database.engine import Row, SqlValue, Transaction

_PRUNED_AT_ONCE = 1000


class State(enum.Enum):
    """Where a job is in its life; the values are those of the REST API."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"
    RETRY = "Retry"

    @property
    def ended(self) -> bool:
        """Nothing more happens unless somebody asks for it."""
        return self in (State.SUCCESS, State.FAILURE)


class Wish(enum.Enum):
    """What somebody asked of a running job; it is heeded after the current step."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, as clients of the REST API read it.

    Attributes:
        code: number of the error, 0 for none.
        message: fixed text of the error.
        details: what was wrong this time.
        payload: JSON with more facts, None if there are none.
    """

    code: int = 0
    message: str = ""
    details: str = ""
    payload: object = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        row: number of its row: the order of submission.
        job_id: a UUID.
        kind: its type in the REST API.
        priority: higher ones go first.
        user_data: JSON that travels along, None for none.
        state: where it is.
        wish: what was asked of it while it runs.
        done, total: units of work.
        content: what its kind tells about it.
        failure: of a failed job, or of the attempt before a retry.
        created_at, completed_at: `YYYYMMDDTHHMMSS.ffffff`, UTC; `completed_at` is None before the end.
        runtime_ms: time spent running.
        attempt: attempts that failed since it last got further.
        retry_after_ms: of a job in state Retry: how long to wait before the next attempt.
        owner: identifier of the process that runs it.
    """

    row: int
    job_id: str
    kind: str
    priority: int
    user_data: object
    state: State
    wish: Wish
    done: int
    total: int
    content: dict[str, object]
    failure: Failure
    created_at: str
    completed_at: str | None
    runtime_ms: int
    attempt: int
    retry_after_ms: int
    owner: str | None

    @property
    def percent(self) -> int:
        """Progress from 0 to 100."""
        if self.state is State.SUCCESS:
            return 100
        return min(100, int(100 * self.done / self.total + 0.5)) if self.total else 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is known of a job when it is submitted. `arguments`, `content` and `user_data` are JSON."""

    job_id: str
    kind: str
    version: int
    arguments: str
    content: str
    priority: int
    user_data: str | None
    max_attempts: int
    created_at: str
    submitter: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write about a job: good until somebody else claims it."""

    row: int
    fence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that the caller runs from now on. `arguments` and `checkpoint` are JSON."""

    hold: Hold
    job: Job
    version: int
    arguments: str
    checkpoint: str | None
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What is kept of a running job. `checkpoint` and `content` are JSON."""

    done: int
    total: int
    checkpoint: str | None
    content: str
    runtime_ms: int


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a job made."""

    name: str
    uuid: str
    size: int
    media_type: str
    filename: str


_COLUMNS = (
    "id, job_id, kind, priority, user_data, state, wish, done, total, content, error_code, error_message, "
    "error_details, error_payload, created_at, completed_at, runtime_ms, attempt, retry_after_ms, owner"
)
_PROGRESS = (
    "takeovers = CASE WHEN :done > done THEN 0 ELSE takeovers END, done = :done, total = :total, "
    "checkpoint = :checkpoint, content = :content, runtime_ms = :runtime_ms"
)
_MINE = "id = :row AND fence = :fence AND state = 'Running'"
_NO_ERROR = "error_code = 0, error_message = '', error_details = '', error_payload = NULL"


def _job(row: Row) -> Job:
    return Job(
        row=row[0],
        job_id=row[1],
        kind=row[2],
        priority=row[3],
        user_data=None if row[4] is None else orjson.loads(row[4]),
        state=State(row[5]),
        wish=Wish(row[6]),
        done=row[7],
        total=row[8],
        content=orjson.loads(row[9]),
        failure=Failure(row[10], row[11], row[12], None if row[13] is None else orjson.loads(row[13])),
        created_at=row[14],
        completed_at=row[15],
        runtime_ms=row[16],
        attempt=row[17],
        retry_after_ms=row[18],
        owner=row[19],
    )


# ------------------------------------------------------------------------------------------------------ questions


def find(tx: Transaction, job_id: str) -> Job | None:
    """One job."""
    row = tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = :job_id", job_id=job_id)
    return _job(row) if row else None


def page(
    tx: Transaction, states: Collection[State] = (), kinds: Collection[str] = (), since: int = 0, limit: int = 0
) -> list[Job]:
    """Jobs in order of submission, of some states and kinds (all if none is named); `limit` 0 is no limit."""
    condition, params = _condition(tx, states, kinds)
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM jobs WHERE {condition} ORDER BY id LIMIT :limit OFFSET :since",
        since=since,
        limit=limit or (1 << 62),
        **params,
    )
    return [_job(row) for row in rows]


def identifiers(
    tx: Transaction, states: Collection[State] = (), kinds: Collection[str] = (), since: int = 0, limit: int = 0
) -> list[str]:
    """The same, identifiers only."""
    condition, params = _condition(tx, states, kinds)
    rows = tx.all(
        f"SELECT job_id FROM jobs WHERE {condition} ORDER BY id LIMIT :limit OFFSET :since",
        since=since,
        limit=limit or (1 << 62),
        **params,
    )
    return [row[0] for row in rows]


def _condition(tx: Transaction, states: Collection[State], kinds: Collection[str]) -> tuple[str, dict[str, SqlValue]]:
    conditions, params = ["1 = 1"], dict[str, SqlValue]()
    if states:
        conditions.append(tx.dialect.is_text_in("state", "states"))
        params["states"] = tx.dialect.texts(state.value for state in states)
    if kinds:
        conditions.append(tx.dialect.is_text_in("kind", "kinds"))
        params["kinds"] = tx.dialect.texts(kinds)
    return " AND ".join(conditions), params


def counts(tx: Transaction) -> dict[State, int]:
    """How many jobs are in each state."""
    found = dict.fromkeys(State, 0)
    for state, count in tx.all("SELECT state, count(*) FROM jobs GROUP BY state"):
        found[State(state)] = count
    return found


def more_than_pending(tx: Transaction, number: int) -> bool:
    """Whether more than so many jobs wait for their turn."""
    return tx.one("SELECT 1 FROM jobs WHERE state = 'Pending' LIMIT 1 OFFSET :number", number=number) is not None


def pending(tx: Transaction, kinds: Iterable[str], limit: int) -> int:
    """How many jobs of some kinds wait for their turn, `limit` at most."""
    row = tx.one(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'Pending' "
        f"AND {tx.dialect.is_text_in('kind', 'kinds')} LIMIT :limit) AS waiting",
        kinds=tx.dialect.texts(kinds),
        limit=limit,
    )
    return int(row[0]) if row else 0


def is_another_due(tx: Transaction, kinds: Iterable[str], priority: int) -> bool:
    """Whether a job of some kinds waits that goes before a new one of this priority."""
    row = tx.one(
        f"SELECT 1 FROM jobs WHERE state = 'Pending' AND priority >= :priority "
        f"AND {tx.dialect.is_text_in('kind', 'kinds')} LIMIT 1",
        kinds=tx.dialect.texts(kinds),
        priority=priority,
    )
    return row is not None


def alive(tx: Transaction, kind: str) -> str | None:
    """The identifier of a job of a kind that has not ended, if there is one."""
    row = tx.one(
        "SELECT job_id FROM jobs WHERE kind = :kind AND state NOT IN ('Success', 'Failure') ORDER BY id LIMIT 1",
        kind=kind,
    )
    return None if row is None else str(row[0])


# ------------------------------------------------------------------------------------------------------ beginning


def insert(tx: Transaction, new: NewJob) -> None:
    """Write down a job that waits for its turn."""
    _insert(tx, new, State.PENDING, None, 0)


def insert_claimed(tx: Transaction, new: NewJob, worker: str, place: str) -> Hold:
    """Write down a job that its submitter runs at once."""
    give_sign(tx, worker, place)
    return Hold(_insert(tx, new, State.RUNNING, worker, 1), 1)


def _insert(tx: Transaction, new: NewJob, state: State, owner: str | None, fence: int) -> int:
    row = tx.insert(
        "INSERT INTO jobs (job_id, kind, version, priority, user_data, state, content, created_at, max_attempts, "
        "submitter, owner, fence) VALUES (:job_id, :kind, :version, :priority, :user_data, :state, :content, "
        ":created_at, :max_attempts, :submitter, :owner, :fence) RETURNING id",
        job_id=new.job_id,
        kind=new.kind,
        version=new.version,
        priority=new.priority,
        user_data=new.user_data,
        state=state.value,
        content=new.content,
        created_at=new.created_at,
        max_attempts=new.max_attempts,
        submitter=new.submitter,
        owner=owner,
        fence=fence,
    )
    tx.run("INSERT INTO job_arguments (job_row, arguments) VALUES (:row, :arguments)", row=row, arguments=new.arguments)
    return row


def claim(tx: Transaction, kinds: Iterable[str], worker: str, place: str) -> Claimed | None:
    """Take the next job of some kinds: the first submitted of the highest priority. A sign of life, too."""
    row = tx.one(
        f"SELECT {_COLUMNS}, version, checkpoint, max_attempts, fence FROM jobs "
        f"WHERE state = 'Pending' AND {tx.dialect.is_text_in('kind', 'kinds')} ORDER BY priority DESC, id LIMIT 1",
        kinds=tx.dialect.texts(kinds),
    )
    if row is None:
        return None
    job, (version, checkpoint, max_attempts, fence) = _job(row), row[-4:]
    give_sign(tx, worker, place)
    tx.run(
        f"UPDATE jobs SET state = 'Running', wish = '', owner = :worker, fence = fence + 1, {_NO_ERROR} "
        "WHERE id = :row",
        row=job.row,
        worker=worker,
    )
    arguments = tx.one("SELECT arguments FROM job_arguments WHERE job_row = :row", row=job.row)
    assert arguments is not None
    return Claimed(Hold(job.row, fence + 1), job, version, arguments[0], checkpoint, max_attempts)


def give_sign(tx: Transaction, worker: str, place: str) -> None:
    """Give a sign of life."""
    tx.run(
        "INSERT INTO job_workers (worker, place, beat) VALUES (:worker, :place, 1) "
        "ON CONFLICT (worker) DO UPDATE SET beat = job_workers.beat + 1",
        worker=worker,
        place=place,
    )


# -------------------------------------------------------------------------------------------------------- running


def save(tx: Transaction, hold: Hold, saved: Saved) -> Wish | None:
    """Keep the progress of a running job; answer what is asked of it, None if it is not the caller's any more."""
    row = tx.one(f"UPDATE jobs SET {_PROGRESS} WHERE {_MINE} RETURNING wish", **_params(hold, saved))
    return Wish(row[0]) if row else None


def is_saved(tx: Transaction, hold: Hold, saved: Saved) -> bool:
    """Whether exactly this progress was kept."""
    row = tx.one(f"SELECT done, total, checkpoint, content FROM jobs WHERE {_MINE}", row=hold.row, fence=hold.fence)
    return row is not None and tuple(row) == (saved.done, saved.total, saved.checkpoint, saved.content)


def has_left(tx: Transaction, hold: Hold) -> bool:
    """Whether a job that its holder gave back or ended is still as it left it, or was forgotten since."""
    row = tx.one("SELECT fence, state FROM jobs WHERE id = :row", row=hold.row)
    return row is None or (row[0] == hold.fence and row[1] != State.RUNNING.value)


def holds(tx: Transaction, hold: Hold) -> bool:
    """Whether a job is still the caller's."""
    return tx.one(f"SELECT 1 FROM jobs WHERE {_MINE}", row=hold.row, fence=hold.fence) is not None


def end(
    tx: Transaction, hold: Hold, saved: Saved, failure: Failure | None, completed_at: str, history_size: int
) -> list[str] | None:
    """End a running job, with success unless there is a failure; forget the oldest ended ones.

    Answers the blobs that have tombstones now, None if the job is not the caller's any more.
    """
    if not holds(tx, hold):
        return None
    tx.run(f"UPDATE jobs SET {_PROGRESS} WHERE {_MINE}", **_params(hold, saved))
    return end_row(tx, hold.row, failure, completed_at, history_size)


def release(
    tx: Transaction,
    hold: Hold,
    saved: Saved,
    state: State,
    failure: Failure | None = None,
    attempt: int = 0,
    retry_after_ms: int = 0,
) -> bool:
    """Give a running job back in state Pending, Paused or Retry; False if it is not the caller's any more."""
    params = _params(hold, saved)
    params |= {"state": state.value, "attempt": attempt, "retry_after_ms": retry_after_ms}
    params |= _failure_params(failure or Failure())
    changed = tx.run(
        f"UPDATE jobs SET {_PROGRESS}, state = :state, wish = '', owner = NULL, attempt = :attempt, "
        "retry_after_ms = :retry_after_ms, error_code = :code, error_message = :message, error_details = :details, "
        f"error_payload = :payload WHERE {_MINE}",
        **params,
    )
    return changed == 1


def _params(hold: Hold, saved: Saved) -> dict[str, SqlValue]:
    return {
        "row": hold.row,
        "fence": hold.fence,
        "done": saved.done,
        "total": saved.total,
        "checkpoint": saved.checkpoint,
        "content": saved.content,
        "runtime_ms": saved.runtime_ms,
    }


def _failure_params(failure: Failure) -> dict[str, SqlValue]:
    return {
        "code": failure.code,
        "message": failure.message,
        "details": failure.details.replace("\0", ""),
        "payload": None if failure.payload is None else orjson.dumps(failure.payload).decode(),
    }


def end_row(tx: Transaction, row: int, failure: Failure | None, completed_at: str, history_size: int) -> list[str]:
    """End a job, whoever runs it; answers as `end`."""
    tx.run(
        "UPDATE jobs SET state = :state, wish = '', owner = NULL, attempt = 0, error_code = :code, "
        "error_message = :message, error_details = :details, error_payload = :payload, completed_at = :completed_at, "
        "ended = (SELECT COALESCE(MAX(ended), 0) + 1 FROM jobs) WHERE id = :row",
        row=row,
        state=State.SUCCESS.value if failure is None else State.FAILURE.value,
        completed_at=completed_at,
        **_failure_params(failure or Failure()),
    )
    return _remove(
        tx,
        "SELECT id FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT :limit OFFSET :kept",
        limit=_PRUNED_AT_ONCE,
        kept=history_size,
    )


# ------------------------------------------------------------------------------------------------ asking for things


def pause(tx: Transaction, job: Job) -> None:
    """Set a job aside, which waits for its turn or for another attempt."""
    tx.run("UPDATE jobs SET state = 'Paused' WHERE id = :row", row=job.row)


def wish(tx: Transaction, job: Job, what: Wish) -> None:
    """Ask something of a running job."""
    tx.run("UPDATE jobs SET wish = :wish WHERE id = :row", row=job.row, wish=what.value)


def fail(tx: Transaction, job: Job, failure: Failure, completed_at: str, history_size: int) -> list[str]:
    """End a job that does not run; answers as `end`."""
    return end_row(tx, job.row, failure, completed_at, history_size)


def resume(tx: Transaction, job: Job) -> None:
    """Let a paused job wait for its turn again; it goes on where it was."""
    tx.run(f"UPDATE jobs SET state = 'Pending', attempt = 0, {_NO_ERROR} WHERE id = :row", row=job.row)


def resubmit(tx: Transaction, job: Job, content: str) -> None:
    """Let a failed job begin anew."""
    tx.run(
        "UPDATE jobs SET state = 'Pending', done = 0, total = 0, checkpoint = NULL, content = :content, "
        f"completed_at = NULL, ended = NULL, runtime_ms = 0, attempt = 0, takeovers = 0, {_NO_ERROR} WHERE id = :row",
        row=job.row,
        content=content,
    )


def arguments(tx: Transaction, job: Job) -> tuple[int, str]:
    """Version and JSON of the arguments of a job."""
    row = tx.one(
        "SELECT j.version, a.arguments FROM jobs j JOIN job_arguments a ON a.job_row = j.id WHERE j.id = :row",
        row=job.row,
    )
    assert row is not None
    return row[0], row[1]


def wake(tx: Transaction, hold: Hold) -> None:
    """Let a job that waited for another attempt wait for its turn."""
    tx.run(
        "UPDATE jobs SET state = 'Pending' WHERE id = :row AND fence = :fence AND state = 'Retry'",
        row=hold.row,
        fence=hold.fence,
    )


# ------------------------------------------------------------------------------------------------------- forgetting


def delete(tx: Transaction, job: Job) -> list[str]:
    """Forget a job and what it made; answers the blobs that have tombstones now."""
    return _remove(tx, "SELECT id FROM jobs WHERE id = :row", row=job.row)


def purge(tx: Transaction, states: Collection[State], kinds: Collection[str], limit: int) -> tuple[int, list[str]]:
    """Forget ended jobs of some states and kinds, all if none is named, `limit` at most; answers as `take_over`."""
    wanted = [state for state in (states or State) if state.ended]
    if not wanted:
        return 0, []
    condition, params = _condition(tx, wanted, kinds)
    rows = tx.all(f"SELECT id FROM jobs WHERE {condition} ORDER BY id LIMIT :limit", limit=limit, **params)
    return len(rows), _remove_rows(tx, [row[0] for row in rows])


def forget_submitted(tx: Transaction, submitter: str) -> list[str]:
    """Forget all that a process submitted, but for what another one is running."""
    return _remove(
        tx,
        "SELECT id FROM jobs WHERE submitter = :submitter AND (owner IS NULL OR owner = :submitter)",
        submitter=submitter,
    )


def _remove(tx: Transaction, which: str, /, **params: SqlValue) -> list[str]:
    return _remove_rows(tx, [row[0] for row in tx.all(which, **params)])


def _remove_rows(tx: Transaction, rows: Sequence[int]) -> list[str]:
    if not rows:
        return []
    numbers = tx.dialect.numbers(rows)
    blobs = [
        row[0]
        for row in tx.all(
            f"SELECT uuid FROM job_outputs WHERE {tx.dialect.is_number_in('job_row', 'rows')}", rows=numbers
        )
    ]
    bury(tx, blobs)
    for table, column in (("job_outputs", "job_row"), ("job_arguments", "job_row"), ("jobs", "id")):
        tx.run(f"DELETE FROM {table} WHERE {tx.dialect.is_number_in(column, 'rows')}", rows=numbers)
    return blobs


# ---------------------------------------------------------------------------------------------------------- outputs


def outputs(tx: Transaction, job: Job) -> list[Output]:
    """What a job made, in order of names."""
    rows = tx.all(
        "SELECT name, uuid, size, media_type, filename FROM job_outputs WHERE job_row = :row ORDER BY name", row=job.row
    )
    return [Output(*row) for row in rows]


def find_output(tx: Transaction, job_id: str, name: str) -> Output | None:
    """One thing that a job made."""
    row = tx.one(
        "SELECT o.name, o.uuid, o.size, o.media_type, o.filename FROM job_outputs o JOIN jobs j ON j.id = o.job_row "
        "WHERE j.job_id = :job_id AND o.name = :name",
        job_id=job_id,
        name=name,
    )
    return Output(*row) if row else None


def put_output(tx: Transaction, hold: Hold, output: Output, kept: int) -> list[str] | None:
    """Name what a running job made; the oldest beyond `kept` are forgotten. Answers as `end`."""
    if not holds(tx, hold):
        return None
    gone = tx.all(
        "DELETE FROM job_outputs WHERE job_row = :row AND name = :name RETURNING uuid", row=hold.row, name=output.name
    )
    tx.run(
        "INSERT INTO job_outputs (job_row, name, uuid, size, media_type, filename, sequence) VALUES (:row, :name, "
        ":uuid, :size, :media_type, :filename, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM job_outputs))",
        row=hold.row,
        name=output.name,
        uuid=output.uuid,
        size=output.size,
        media_type=output.media_type,
        filename=output.filename.replace("\0", ""),
    )
    oldest = tx.all(
        "SELECT uuid FROM job_outputs ORDER BY sequence DESC LIMIT :limit OFFSET :kept",
        limit=_PRUNED_AT_ONCE,
        kept=max(kept, 1),
    )
    tx.run_many("DELETE FROM job_outputs WHERE uuid = :uuid", [{"uuid": row[0]} for row in oldest])
    blobs = [row[0] for row in [*gone, *oldest]]
    bury(tx, blobs)
    return blobs


def delete_output(tx: Transaction, job_id: str, name: str) -> str | None:
    """Forget one thing that a job made; answers its blob, None if there is no such thing."""
    found = find_output(tx, job_id, name)
    if found is None:
        return None
    tx.run("DELETE FROM job_outputs WHERE uuid = :uuid", uuid=found.uuid)
    bury(tx, [found.uuid])
    return found.uuid
