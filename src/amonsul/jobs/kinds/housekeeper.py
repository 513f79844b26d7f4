"""Housekeeper: upkeep that gives what is stored the form that the present settings ask for, a series after the other.

Main tags come from the stored headers, files are written anew only where their form is another one. What is right
already costs a question to the index. A series that was worked on is followed by a pause, and outside of its hours the
job waits. The checkpoint is the last series that was done; doing one twice finds nothing left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from amonsul.archive import reconstruct
from amonsul.archive.context import Archive
from amonsul.archive.edit import set_compression
from amonsul.archive.reconstruct import Scope, invalidate_summaries
from amonsul.archive.refiling import refile
from amonsul.database import Transaction, housekeeping, properties, statistics
from amonsul.database.attachments import UNCOMPRESSED, ZLIB_WITH_SIZE
from amonsul.database.housekeeping import Series
from amonsul.database.storing import MainTagValues, main_tag_values
from amonsul.dicom.header import decode_header
from amonsul.dicom.levels import Level
from amonsul.errors import AmonsulError, UnknownResource
from amonsul.imaging.codecs import Codecs
from amonsul.jobs import arguments as codec
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.schedule import Schedule

logger = logging.getLogger(__name__)

PRIORITY: Final = -100
STATE: Final = "housekeeper"
_PAGE: Final = 50
_CLOSED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Form:
    """What settings make of what is stored; nothing is known unless it is given.

    Attributes:
        signatures: of the main tags, by name of the level.
        compression: whether files are compressed.
        transfer_syntax_uid: of files; empty for any.
    """

    signatures: Mapping[str, str] = field(default_factory=dict)
    compression: bool | None = None
    transfer_syntax_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Triggers:
    """What is worked on, when its settings change.

    Attributes:
        main_tags: `MainDicomTagsChange`.
        compression: `StorageCompressionChange`.
        transcoding: `IngestTranscodingChange`.
        summaries: `UnnecessaryDicomAsJsonFiles`.
    """

    main_tags: bool = True
    compression: bool = True
    transcoding: bool = True
    summaries: bool = True

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return self.main_tags or self.compression or self.transcoding or self.summaries

    def settled(self, before: Form | None, now: Form) -> Form:
        """The form that everything has when what is worked on has the present one."""
        before = before or Form()
        return Form(
            now.signatures if self.main_tags else before.signatures,
            now.compression if self.compression else before.compression,
            now.transfer_syntax_uid if self.transcoding else before.transfer_syntax_uid,
        )


@dataclass(frozen=True, slots=True)
class HousekeeperSettings:
    """What the operator decides about it.

    Attributes:
        force: work on everything at each start, whatever changed.
        throttle_delay_s: pause after a series that was worked on.
        schedule: when it may work.
        triggers: what it works on.
        only: the one level whose main tags are read anew; None for all.
    """

    force: bool = False
    throttle_delay_s: float = 5.0
    schedule: Schedule = field(default_factory=Schedule)
    triggers: Triggers = field(default_factory=Triggers)
    only: Level | None = None


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """Arguments.

    Attributes:
        form: that was asked for.
        triggers: what is to be worked on.
        last_change: the last one when it was asked for.
        force: everything is read anew.
    """

    form: Form
    triggers: Triggers
    last_change: int
    force: bool = False
    description: str = "Upkeep"


@dataclass(frozen=True, slots=True)
class State:
    """What is kept between two runs.

    Attributes:
        form: that everything has since the last run; None before the first one.
        last_change: up to which that is so.
        started: when the last run began.
    """

    form: Form | None = None
    last_change: int = 0
    started: str = ""


def form_of(archive: Archive, transfer_syntax_uid: str) -> Form:
    """The form that the present settings ask for."""
    signatures = {level.type_name: archive.main_tags.signature(level) for level in Level}
    return Form(signatures, archive.settings.compression, transfer_syntax_uid)


def read_state(tx: Transaction) -> State:
    """What an earlier run left."""
    text = properties.get(tx, STATE)
    return State() if text is None else codec.decode(State, text)


def write_state(tx: Transaction, state: State) -> None:
    """Leave it for a later one."""
    properties.put(tx, STATE, codec.encode(state))


def housekeeper(
    archive: Archive,
    codecs: Codecs,
    settings: HousekeeperSettings,
    transfer_syntax_uid: str,
    now: Callable[[], datetime] = datetime.now,
) -> Kind[Housekeeping]:
    """The kind, with what it works with."""
    form = form_of(archive, transfer_syntax_uid)

    def run(arguments: Housekeeping, running: Running) -> Iterator[Progress]:
        if arguments.form != form:
            running.content["Superseded"] = True  # by other settings: there is another one for these
            return
        yield from _Round(archive, codecs, settings, arguments, running, now).go()

    return Kind("Housekeeper", Housekeeping, run, _content, is_upkeep=True)


def _content(arguments: Housekeeping) -> dict[str, object]:
    return {
        "Description": arguments.description,
        "FailedInstancesCount": 0,
        "ProcessedInstancesCount": 0,
        "LastProcessedChange": 0,
        "LastChangeToProcess": arguments.last_change,
    }


class _Round:
    """One run, from the checkpoint on."""

    def __init__(
        self,
        archive: Archive,
        codecs: Codecs,
        settings: HousekeeperSettings,
        arguments: Housekeeping,
        running: Running,
        now: Callable[[], datetime],
    ) -> None:
        self._archive = archive
        self._codecs = codecs
        self._settings = settings
        self._arguments = arguments
        self._running = running
        self._now = now
        self._row: int
        self._done: int
        self._row, self._done = running.checkpoint or (0, 0)
        levels = list(Level) if settings.only is None else [settings.only]
        self._signatures = {level: archive.main_tags.signature(level) for level in levels}
        with archive.database.read() as tx:
            self._total = statistics.system(tx).series

    def go(self) -> Iterator[Progress]:
        """Work on one series after the other."""
        archive, running, arguments = self._archive, self._running, self._arguments
        if arguments.triggers.summaries or arguments.force:
            invalidate_summaries(archive)
        while True:
            with archive.database.read() as tx:
                series = housekeeping.series_after(tx, self._row)
            if series is None:
                break
            yield from self._wait_for_hours()
            handled = running.content["ProcessedInstancesCount"]
            yield from self._work_on(series)
            self._row, self._done = series.row, self._done + 1
            content = running.content
            last = min(series.last_store, arguments.last_change)
            content["LastProcessedChange"] = max(content["LastProcessedChange"], last)
            if content["ProcessedInstancesCount"] > handled:
                yield self._progress()
                running.wait(self._settings.throttle_delay_s)
            yield self._progress()
        running.content["LastProcessedChange"] = arguments.last_change
        running.write(self._finish, self._progress())

    def _finish(self, tx: Transaction) -> None:
        state = read_state(tx)
        form = self._settings.triggers.settled(state.form, self._arguments.form)
        write_state(tx, State(form, self._arguments.last_change, state.started))

    def _progress(self) -> Progress:
        return Progress(self._done, max(self._done, self._total), (self._row, self._done))

    def _wait_for_hours(self) -> Iterator[Progress]:
        while not self._settings.schedule.is_open(self._now()):
            self._running.wait(_CLOSED_S)
            yield self._progress()

    def _work_on(self, series: Series) -> Iterator[Progress]:
        if self._arguments.force:
            yield from self._read_anew(series)
            return
        if self._arguments.triggers.main_tags:
            yield from self._refresh_tags(series)
        if self._arguments.triggers.compression or self._arguments.triggers.transcoding:
            yield from self._refile(series)

    def _read_anew(self, series: Series) -> Iterator[Progress]:
        scope, after = Scope(Level.SERIES, series.orthanc_id, files=True), 0
        while True:
            try:
                piece = reconstruct.read_piece(self._archive, self._codecs, scope, after)
            except UnknownResource:  # deleted meanwhile
                return
            if piece is None:
                return
            self._running.write(piece.write, self._progress())
            self._count(piece.size, piece.failed)
            after = piece.after
            yield self._progress()

    def _refresh_tags(self, series: Series) -> Iterator[Progress]:
        after = 0
        while True:
            with self._archive.database.read() as tx:
                page = housekeeping.stale(tx, series, self._signatures, after, _PAGE)
            if not page:
                return
            read = [(row, self._main_tags(packed)) for row, packed in page]

            def write(tx: Transaction) -> None:
                for row, main_tags in read:  # noqa: B023  # runs before the next round
                    housekeeping.refresh(tx, row, main_tags)

            self._running.write(write, self._progress())
            self._count(len(page))
            after = page[-1][0]
            yield self._progress()

    def _main_tags(self, packed: bytes) -> Mapping[Level, MainTagValues]:
        data_set = decode_header(packed).data_set
        return {level: main_tag_values(self._archive.main_tags, level, data_set) for level in self._signatures}

    def _refile(self, series: Series) -> Iterator[Progress]:
        archive, triggers, form = self._archive, self._arguments.triggers, self._arguments.form
        wanted = ZLIB_WITH_SIZE if form.compression else UNCOMPRESSED
        right = [wanted] if triggers.compression else [UNCOMPRESSED, ZLIB_WITH_SIZE]
        uid = form.transfer_syntax_uid or "" if triggers.transcoding else ""
        after = 0
        while True:
            with archive.database.read() as tx:
                page = housekeeping.in_another_form(tx, series, right, uid, after, 1)
            if not page:
                return
            after, instance_id = page[0]
            try:
                if uid:
                    is_changed = refile(archive, self._codecs, instance_id)
                else:
                    set_compression(archive, Level.INSTANCE, instance_id, "dicom", bool(form.compression))
                    is_changed = True
                self._count(int(is_changed))
            except UnknownResource:
                continue  # deleted meanwhile
            except AmonsulError as error:
                self._count(0, 1)
                logger.error("instance %s stays as it is: %s", instance_id, error.details or error.message)
            yield self._progress()

    def _count(self, handled: int, failed: int = 0) -> None:
        self._running.content["ProcessedInstancesCount"] += handled
        self._running.content["FailedInstancesCount"] += failed
