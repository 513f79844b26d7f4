"""What a kind of job is: arguments, a generator of progress, and how it appears in the REST API.

`kinds/` has one file per kind and says there how to write one. This module has the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import orjson

from amonsul.blobs.spool import Spooled
from amonsul.database import Transaction
from amonsul.errors import AmonsulError, BadFileFormat
from amonsul.jobs import arguments as codec

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; yielded after each unit of work.

    Attributes:
        done, total: units of work.
        checkpoint: JSON that is given back when the job goes on after a pause, a retry or a crash.
        durable: write it down before the next step, not only now and then.
    """

    done: int
    total: int
    checkpoint: object = None
    durable: bool = False


class Running(Protocol):
    """What a kind sees of the job that it runs.

    Attributes:
        job_id: identifier of the job; good for keys that must be the same when a step is run again.
        checkpoint: that of the last progress that was written down; None at the very beginning.
        content: the `Content` of the REST API. Starts with what `Kind.content` made of the arguments, or with what was
            written down with the checkpoint; results are added to it. Shown and written down with each progress.
        threads: threads that a job of this kind may use (option `JobsEngineThreadsCount`).
    """

    job_id: str
    checkpoint: Any  # Any: JSON that the kind itself made
    content: dict[str, Any]  # Any: JSON of every type
    threads: int

    @property
    def stopping(self) -> bool:
        """Somebody asked for a pause or the end, or the server stops: a long step may end early and yield."""
        ...

    def wait(self, seconds: float) -> bool:
        """Do nothing for so long, or until somebody asks something of the job; whether somebody does."""
        ...

    def write(self, work: Callable[[Transaction], T], progress: Progress) -> T:
        """Run `work` in the transaction that writes the progress down: it takes effect exactly once."""
        ...

    def keep_output(self, name: str, spooled: Spooled, media_type: str, filename: str) -> None:
        """Keep a file that the job made; it is downloaded from `/jobs/{id}/{name}`."""
        ...

    def item(self, permissive: bool) -> AbstractContextManager[None]:
        """Around one of many items: a permissive job counts what is refused in `FailedInstancesCount` and goes on."""
        ...

    def tolerates(self, error: AmonsulError) -> bool:
        """Whether a permissive job goes on after an error; not while it may pass and the job is to be tried again."""
        ...


def _never(_: AmonsulError) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind(Generic[A]):
    """A kind of job.

    Attributes:
        name: its `Type` in the REST API.
        arguments: a frozen dataclass; see `jobs.arguments` for what it may hold.
        run: does the work, yielding after each unit of it.
        content: the first `Content` of the REST API, made of the arguments alone.
        version: of the arguments; raise it when their fields change.
        upgrade: makes JSON of an older version fit the present one.
        may_pass: whether an error may be gone later, because it was the remote's; such a job is tried again.
        max_attempts: tries before it fails, unless whoever submits it says otherwise.
        answer_payload: `ErrorPayload` of the answer to a synchronous call that failed, made of the content and of the
            payload of the error.
        is_upkeep: the server asks for it itself and nobody waits for it. At most one such job of the kind is alive, and
            it runs beside those that people wait for, because it takes long and mostly pauses.
    """

    name: str
    arguments: type[A]
    run: Callable[[A, Running], Iterator[Progress]]
    content: Callable[[A], dict[str, object]]
    version: int = 1
    upgrade: Callable[[int, dict[str, object]], dict[str, object]] | None = None
    may_pass: Callable[[AmonsulError], bool] = _never
    max_attempts: int = 1
    answer_payload: Callable[[Mapping[str, object], object], object] | None = None
    is_upkeep: bool = False

    def __post_init__(self) -> None:
        codec.check(self.arguments)

    def decode(self, version: int, text: str) -> A:
        """Arguments as they were written down, by this version or an older one.

        Raises:
            BadFileFormat: they cannot be read.
        """
        if version == self.version:
            return codec.decode(self.arguments, text)
        if version > self.version or self.upgrade is None:
            raise BadFileFormat(f"arguments of version {version}; this server knows {self.version}")
        return codec.decode_value(self.arguments, self.upgrade(version, orjson.loads(text)))


class Kinds:
    """The kinds that a server knows, by name and by type of arguments."""

    def __init__(self, kinds: Iterable[Kind[Any]]) -> None:
        self._by_name: dict[str, Kind[Any]] = {}
        self._by_arguments: dict[type, Kind[Any]] = {}
        for kind in kinds:
            if kind.name in self._by_name or kind.arguments in self._by_arguments:
                raise ValueError(f"two kinds {kind.name}")
            self._by_name[kind.name] = kind
            self._by_arguments[kind.arguments] = kind

    @property
    def names(self) -> list[str]:
        """Names of the kinds that people wait for."""
        return [name for name, kind in self._by_name.items() if not kind.is_upkeep]

    @property
    def upkeep_names(self) -> list[str]:
        """Names of the other ones."""
        return [name for name, kind in self._by_name.items() if kind.is_upkeep]

    def of(self, arguments: object) -> Kind[Any]:
        """The kind that takes such arguments."""
        return self._by_arguments[type(arguments)]

    def get(self, name: str) -> Kind[Any] | None:
        """A kind by its name."""
        return self._by_name.get(name)
