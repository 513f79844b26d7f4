"""The housekeeper: what is stored follows changed settings, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import Any, TypeVar

import pydicom
import pytest

from amonsul.archive import edit, find, fsck, read
from amonsul.archive.context import Archive
from amonsul.archive.find import Content
from amonsul.archive.ingest_transcoding import IngestTranscoding
from amonsul.database import Transaction
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags
from amonsul.errors import AmonsulError, ParameterOutOfRange
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.housekeeping import Housekeeper
from amonsul.jobs.kind import Kinds, Progress
from amonsul.jobs.kinds.housekeeper import (
    HousekeeperSettings,
    Housekeeping,
    Triggers,
    form_of,
    housekeeper,
    read_state,
)
from amonsul.jobs.schedule import Schedule
from amonsul.jobs.settings import JobsSettings
from tests.contract.storing import store
from tests.integration.rest.dicom_files import dicom_file

T = TypeVar("T")

ROWS, AGE = Tag(0x00280010), Tag(0x00101010)
MORE = MainTags({Level.INSTANCE: (ROWS,), Level.STUDY: (AGE,)})
RLE = "1.2.840.10008.1.2.5"
PROMPT = HousekeeperSettings(throttle_delay_s=0)
INSTANCES = 6


class Killed(BaseException):
    """The process is gone."""


class Fragile:
    """A job whose process dies at one of its steps, before or after what it writes."""

    job_id = "job"
    threads = 1
    stopping = False

    def __init__(self, archive: Archive, dies_at: int) -> None:
        self._archive = archive
        self._left = dies_at
        self.checkpoint: Any = None
        self.content: dict[str, Any] = {}

    def write(self, work: Callable[[Transaction], T], progress: Progress) -> T:
        self._step()
        result = self._archive.database.write(work)
        self.checkpoint = progress.checkpoint
        self._step()
        return result

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed

    def wait(self, _: float) -> bool:
        self._step()
        return False

    def keep_output(self, *_: object) -> None:
        raise AssertionError

    def tolerates(self, _: AmonsulError) -> bool:
        raise AssertionError

    @contextmanager
    def item(self, permissive: bool) -> Iterator[None]:
        assert permissive
        yield


@pytest.fixture
def archive(archive: Archive) -> Archive:
    """With instances in three series."""
    for number in range(1, INSTANCES + 1):
        store(archive, dicom_file(study=1 + number % 2, series=1 + number % 3, instance=number, pixels=16))
    return archive


def changed(archive: Archive) -> Archive:
    """The same archive with other settings."""
    transcoding = IngestTranscoding(RLE, LocalCodecs(), archive.blobs.spool)
    settings = replace(archive.settings, compression=True)
    return replace(archive, main_tags=MORE, settings=settings, incoming=transcoding)


def kept_house(
    archive: Archive,
    uid: str = RLE,
    settings: HousekeeperSettings = PROMPT,
    now: Callable[[], datetime] = datetime.now,
) -> tuple[Housekeeper, JobEngine]:
    kind = housekeeper(archive, LocalCodecs(), settings, uid, now)
    engine = JobEngine(archive, Kinds([kind]), JobsSettings(history_size=100, poll_s=0.05))
    return Housekeeper(archive, engine, settings, uid, now), engine


def run(archive: Archive, uid: str = RLE, settings: HousekeeperSettings = PROMPT) -> dict[str, Any] | None:
    """Let the housekeeper work to its end; the content of its job, None if there was nothing to do."""
    house, engine = kept_house(archive, uid, settings)
    house.tick()
    found = engine.page()
    if not found or found[-1].state.ended:
        return None
    engine.start()
    try:
        return engine.wait(found[-1].job_id).content
    finally:
        engine.stop()


def pixels(archive: Archive) -> list[bytes]:
    found = []
    for instance_id in find.list_ids(archive, Level.INSTANCE):
        data = read.attachment(archive, Level.INSTANCE, instance_id).read()
        found.append(pydicom.dcmread(BytesIO(data)).pixel_array.tobytes())
    return found


def assert_has_form(archive: Archive) -> None:
    """Everything is as the changed settings have it."""
    for instance in find.list_resources(archive, Level.INSTANCE, content=Content.METADATA):
        assert instance.transfer_syntax_uid == RLE
        assert instance.metadata["MainDicomTagsSignature"] == MORE.signature(Level.INSTANCE)
        assert instance.main_tags[ROWS] == "16"
        assert instance.metadata["RemoteIP"] == "192.0.2.1"
        stored = read.attachment(archive, Level.INSTANCE, instance.orthanc_id)
        assert stored.compression == 2
        assert read.header(archive, instance.orthanc_id).transfer_syntax_uid == RLE
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        for resource in find.list_resources(archive, level, content=Content.METADATA):
            assert resource.metadata["MainDicomTagsSignature"] == MORE.signature(level)
    assert fsck.check(archive).clean


def test_what_is_stored_follows_changed_settings(archive: Archive) -> None:
    before = pixels(archive)
    new = changed(archive)
    content = run(new)
    assert content is not None
    assert content["FailedInstancesCount"] == 0
    assert content["LastProcessedChange"] == content["LastChangeToProcess"] > 0
    assert_has_form(new)
    assert pixels(new) == before
    assert run(new) is None
    back = replace(archive, settings=replace(archive.settings, compression=False))
    assert run(back, "") is not None
    assert pixels(back) == before
    assert read.attachment(back, Level.INSTANCE, find.list_ids(back, Level.INSTANCE)[0]).compression == 1


def test_it_goes_on_wherever_it_was_killed(archive: Archive) -> None:
    before = pixels(archive)
    new = changed(archive)
    work = Housekeeping(form_of(new, RLE), Triggers(), 1)
    kind = housekeeper(new, LocalCodecs(), PROMPT, RLE)
    checkpoint: Any = None
    for dies_at in range(1, 60):
        job = Fragile(new, 1 + dies_at % 7)
        job.checkpoint, job.content = checkpoint, dict(kind.content(work))
        try:
            for progress in kind.run(work, job):
                job.checkpoint = progress.checkpoint
        except Killed:
            checkpoint = job.checkpoint
            assert pixels(new) == before
            continue
        break
    else:
        raise AssertionError("it never ends")
    assert_has_form(new)
    assert pixels(new) == before
    with new.database.read() as tx:
        assert read_state(tx).form == form_of(new, RLE)


def test_a_file_that_looks_different_when_transcoded_stays(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amonsul.archive.refiling.numpy.array_equal", lambda *_: False)
    before = pixels(archive)
    new = replace(changed(archive), settings=archive.settings)
    assert run(new) is not None
    assert pixels(new) == before
    assert all(i.transfer_syntax_uid != RLE for i in find.list_resources(new, Level.INSTANCE))


def test_a_damaged_file_is_left_alone(archive: Archive) -> None:
    instance_id = find.list_ids(archive, Level.INSTANCE)[0]
    stored = read.attachment(archive, Level.INSTANCE, instance_id)
    archive.write(
        lambda tx: tx.run("UPDATE attachments SET md5 = :md5 WHERE uuid = :uuid", md5="0" * 32, uuid=stored.uuid)
    )
    new = replace(archive, settings=replace(archive.settings, compression=True))
    content = run(new, "")
    assert content is not None
    assert content["FailedInstancesCount"] == 1
    assert read.attachment(new, Level.INSTANCE, instance_id).uuid == stored.uuid


def test_only_what_triggers_say_is_worked_on(archive: Archive) -> None:
    new = changed(archive)
    for triggers in (Triggers(False, False, False, False), Triggers(False, True, False, False)):
        run(new, RLE, replace(PROMPT, triggers=triggers))
        instance = find.list_resources(new, Level.INSTANCE)[0]
        assert ROWS not in instance.main_tags
        assert instance.transfer_syntax_uid != RLE
        compression = read.attachment(new, Level.INSTANCE, instance.orthanc_id).compression
        assert compression == (2 if triggers.compression else 1)


def test_one_level_alone(archive: Archive) -> None:
    new = replace(archive, main_tags=MORE)
    run(new, "", replace(PROMPT, only=Level.STUDY))
    assert ROWS not in find.list_resources(new, Level.INSTANCE)[0].main_tags
    study = find.list_resources(new, Level.STUDY, content=Content.METADATA)[0]
    assert study.metadata["MainDicomTagsSignature"] == MORE.signature(Level.STUDY)


def test_force_works_on_everything_at_each_start(archive: Archive) -> None:
    assert run(archive, "") is not None
    assert run(archive, "") is None
    for _ in range(2):
        content = run(archive, "", replace(PROMPT, force=True))
        assert content is not None
        assert content["ProcessedInstancesCount"] == INSTANCES


def test_nothing_is_done_outside_of_the_hours(archive: Archive) -> None:
    night = replace(PROMPT, schedule=Schedule.parse({"Monday": ["0-6", "20-24"]}))
    moment = [datetime(2024, 1, 1, 12)]
    house, engine = kept_house(changed(archive), RLE, night, lambda: moment[0])
    house.tick()
    assert engine.page() == []
    assert house.status()["IsWithinSchedule"] is False
    moment[0] = datetime(2024, 1, 1, 20)
    house.tick()
    assert len(engine.page()) == 1


def test_two_processes_begin_one_job_between_them(archive: Archive) -> None:
    new = changed(archive)
    one, engine = kept_house(new)
    other, _ = kept_house(new)
    one.tick()
    other.tick()
    other.tick()
    assert len(engine.page()) == 1
    status = other.status()
    assert status["JobID"] == engine.page()[0].job_id
    assert status["LastProcessedConfiguration"] is None
    assert status["CurrentlyProcessingConfiguration"] == {
        "IngestTranscoding": RLE,
        "MainDicomTagsSignature": {level.type_name: MORE.signature(level) for level in Level},
        "StorageCompressionEnabled": True,
    }


def test_a_job_for_settings_that_are_no_more_ends_by_itself(archive: Archive) -> None:
    kept_house(changed(archive))[0].tick()
    house, engine = kept_house(archive, "")
    house.tick()
    engine.start()
    try:
        assert engine.wait(engine.page()[0].job_id).content["Superseded"] is True
        house.tick()
        assert "Superseded" not in engine.wait(engine.page()[-1].job_id).content
    finally:
        engine.stop()


def test_an_empty_archive_needs_no_work(archive: Archive) -> None:
    edit.delete(archive, Level.PATIENT, find.list_ids(archive, Level.PATIENT)[0])
    house, engine = kept_house(archive, "")
    house.tick()
    assert engine.page() == []
    assert house.status()["LastProcessedConfiguration"] is not None


@pytest.mark.parametrize("hours", [{"Someday": ["0-6"]}, {"Monday": ["6-0"]}, {"Monday": ["0-25"]}, {"Monday": ["x"]}])
def test_hours_that_are_none(hours: dict[str, list[str]]) -> None:
    with pytest.raises(ParameterOutOfRange):
        Schedule.parse(hours)
