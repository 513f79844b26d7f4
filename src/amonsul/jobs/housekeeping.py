"""Notices that settings changed since everything was given their form, and asks for the upkeep that does it again.

Every process of an archive calls `tick`; what was done is in the index, and there is one such job at a time. A job that
somebody ended is not begun again before the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.database import changes, jobs, statistics
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kinds.housekeeper import (
    PRIORITY,
    Form,
    HousekeeperSettings,
    Housekeeping,
    State,
    Triggers,
    form_of,
    read_state,
    write_state,
)

_KIND = "Housekeeper"
_ALL = Triggers()


class Housekeeper:
    """The watch of one process.

    Args:
        archive: what is kept.
        engine: runs the upkeep.
        settings: what is done, and when.
        transfer_syntax_uid: of the option `IngestTranscoding`; empty for none.
        now: local time.
    """

    def __init__(
        self,
        archive: Archive,
        engine: JobEngine,
        settings: HousekeeperSettings,
        transfer_syntax_uid: str = "",
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._archive = archive
        self._engine = engine
        self._settings = settings
        self._now = now
        self._form = form_of(archive, transfer_syntax_uid)
        self._has_begun = False

    def tick(self) -> bool:
        """Look once; there is never more to do at once."""
        if self._has_begun or not self._settings.schedule.is_open(self._now()):
            return False
        with self._archive.database.read() as tx:
            state = read_state(tx)
            last_change = changes.last_number(tx)
            is_empty = statistics.system(tx).instances == 0
        triggers = _ALL if self._settings.force else self._triggered(state.form)
        if is_empty or not triggers:
            settled = self._form if is_empty else self._settings.triggers.settled(state.form, self._form)
            if state.form != settled:
                self._archive.write(lambda tx: write_state(tx, replace(read_state(tx), form=settled)))
            return False
        self._archive.write(lambda tx: write_state(tx, replace(read_state(tx), started=clock.now())))
        work = Housekeeping(self._form, triggers, last_change, self._settings.force)
        begun = self._engine.arguments(self._engine.submit(work, priority=PRIORITY))
        # One that is under way for other settings ends by itself; then it is our turn.
        self._has_begun = isinstance(begun, Housekeeping) and (begun.form, begun.force) == (work.form, work.force)
        return False

    def _triggered(self, done: Form | None) -> Triggers:
        """What has to be worked on because its settings changed."""
        form, wanted = self._form, self._settings.triggers
        return Triggers(
            main_tags=wanted.main_tags and (done is None or done.signatures != form.signatures),
            compression=wanted.compression and (done is None or done.compression != form.compression),
            transcoding=wanted.transcoding
            and bool(form.transfer_syntax_uid)
            and (done is None or done.transfer_syntax_uid != form.transfer_syntax_uid),
            summaries=wanted.summaries and done is None,
        )

    def status(self) -> dict[str, object]:
        """What `GET /housekeeper/status` answers."""
        with self._archive.database.read() as tx:
            state: State = read_state(tx)
            job_id = jobs.alive(tx, _KIND)
            job = None if job_id is None else jobs.find(tx, job_id)
        processing = None
        if job is not None and isinstance(arguments := self._engine.arguments(job.job_id), Housekeeping):
            processing = _shown(arguments.form)
        return {
            "CurrentlyProcessingConfiguration": processing,
            "IsWithinSchedule": self._settings.schedule.is_open(self._now()),
            "JobID": job_id,
            "LastChangeToProcess": state.last_change if job is None else job.content["LastChangeToProcess"],
            "LastProcessedChange": state.last_change if job is None else job.content["LastProcessedChange"],
            "LastProcessedConfiguration": None if state.form is None else _shown(state.form),
            "LastTimeStarted": state.started,
        }


def _shown(form: Form) -> dict[str, object]:
    return {
        "IngestTranscoding": form.transfer_syntax_uid,
        "MainDicomTagsSignature": dict(form.signatures),
        "StorageCompressionEnabled": form.compression,
    }
