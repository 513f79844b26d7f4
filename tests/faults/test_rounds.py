"""Rounds of concurrent writes of every kind, through two openings of one archive, end with exact counts each time.

Writers share one small set of patients, where they are in each other's way all the time, and have a patient each of
whom they alone know what must be there in the end. `AMONSUL_TEST_ROUNDS=250 pytest tests/faults/test_rounds.py` is the
full run; `AMONSUL_TEST_SEED` repeats one.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from amonsul.archive import edit, find, read, statistics
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.ingest import Ingested, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.spool import Spooled
from amonsul.database.resources import PARENT_COLUMNS, TABLES
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import InexistentItem, UnknownResource
from tests.contract.dicom_files import instance_file
from tests.faults.places import Place, assert_whole

ROUNDS = int(os.environ.get("AMONSUL_TEST_ROUNDS", 25))
WRITERS = 6
STEPS = 12
METADATA = "1024"
_PATIENT_ID = Tag(0x00100020)


@dataclass
class Writer:
    """One caller, and what it knows of the patient that nobody else touches: of one study with one series.

    Attributes:
        files: MD5 by instance, of its own patient.
        labels, metadata: of the study of its own patient; they go with the study.
    """

    archive: Archive
    number: int
    chance: random.Random
    files: dict[OrthancId, str] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    metadata: bytes | None = None
    study_id: OrthancId | None = None

    def run(self) -> None:
        """Some steps, half of them where others are at work."""
        for _ in range(STEPS):
            try:
                if self.chance.random() < 0.5:
                    self._step_among_others()
                else:
                    self._step_alone()
            except (UnknownResource, InexistentItem):
                pass  # among others: somebody was faster

    def _store(self, patient: int, study: int, series: int, instance: int) -> tuple[Ingested, bytes]:
        pixels = self.chance.randbytes(self.chance.randrange(0, 3000, 2))
        data = instance_file(patient, study, series, instance, pixels=pixels)
        return ingest(self.archive, Spooled.of(data), InternalOrigin()), data

    def _step_among_others(self) -> None:
        small = partial(self.chance.randint, 1, 2)
        kind = self.chance.randrange(6)
        if kind < 2:
            self._store(small(), small(), small(), self.chance.randint(1, 3))
            return
        level = self.chance.choice(list(Level))
        shared = [each for each in find.list_ids(self.archive, level) if not self._is_private(level, each)]
        if not shared:
            return
        target = self.chance.choice(shared)
        match kind:
            case 2:
                edit.delete(self.archive, level, target)
            case 3:
                edit.add_label(self.archive, level, target, self.chance.choice("ab"))
            case 4:
                edit.remove_label(self.archive, level, target, self.chance.choice("ab"))
            case _:
                edit.set_metadata(self.archive, level, target, METADATA, b"%d" % self.number)

    def _is_private(self, level: Level, orthanc_id: OrthancId) -> bool:
        patient = find.ancestor(self.archive, level, orthanc_id, Level.PATIENT, find.Content.NOTHING)
        return int(patient.main_tags[_PATIENT_ID].removeprefix("PID")) >= 100

    def _step_alone(self) -> None:
        kind = self.chance.randrange(6)
        if kind < 3 or self.study_id is None:
            stored, data = self._store(100 + self.number, 1, 1, self.chance.randint(1, 3))
            if set(self.files) == {stored.instance_id}:
                self._forget_study()  # what is replaced goes first, and its study with it
            self.study_id = stored.study_id
            self.files[stored.instance_id] = hashlib.md5(data).hexdigest()
        elif kind == 3:
            gone = self.chance.choice(sorted(self.files))
            edit.delete(self.archive, Level.INSTANCE, gone)
            del self.files[gone]
            if not self.files:
                self._forget_study()
                self.study_id = None
        elif kind == 4:
            label = self.chance.choice("abc")
            if label in self.labels:
                edit.remove_label(self.archive, Level.STUDY, self.study_id, label)
            else:
                edit.add_label(self.archive, Level.STUDY, self.study_id, label)
            self.labels ^= {label}
        elif self.metadata is None or self.chance.random() < 0.7:
            self.metadata = self.chance.randbytes(4).hex().encode()
            edit.set_metadata(self.archive, Level.STUDY, self.study_id, METADATA, self.metadata)
        else:
            edit.delete_metadata(self.archive, Level.STUDY, self.study_id, METADATA)
            self.metadata = None

    def _forget_study(self) -> None:
        self.labels = set()
        self.metadata = None

    def assert_kept(self) -> None:
        """What was acknowledged is there, and nothing else of this patient."""
        if self.study_id is None:
            assert self.files == {}
            return
        study = find.get(self.archive, Level.STUDY, self.study_id, find.Content.ALL)
        there = find.descendant_ids(self.archive, Level.STUDY, self.study_id, Level.INSTANCE)
        assert sorted(there) == sorted(self.files)
        assert set(study.labels) == self.labels
        assert study.metadata.get(METADATA) == (None if self.metadata is None else self.metadata.decode())
        for instance, md5 in self.files.items():
            stored = read.attachment(self.archive, Level.INSTANCE, instance).read()
            assert hashlib.md5(stored).hexdigest() == md5


def assert_exact(archive: Archive) -> None:
    """Counters, changes, and whatever hangs on resources agree with the resources."""
    with archive.database.read() as tx:
        rows: dict[Level, dict[int, str]] = {
            level: dict(tx.all(f"SELECT id, orthanc_id FROM {TABLES[level]}")) for level in Level
        }
        for level in Level:
            if level is not Level.PATIENT:
                parents = {row[0] for row in tx.all(f"SELECT {PARENT_COLUMNS[level]} FROM {TABLES[level]}")}
                assert parents == set(rows[Level(level - 1)])
        for table in ("labels", "metadata", "attachments"):
            for level, row in tx.all(f"SELECT level, resource_row FROM {table}"):
                assert row in rows[Level(level)], table
        assert {row[0] for row in tx.all("SELECT instance_row FROM headers")} == set(rows[Level.INSTANCE])
        log = tx.all("SELECT sequence, change_type, level, resource_row, orthanc_id FROM changes ORDER BY sequence")
        sizes = tx.all("SELECT compressed_size, size FROM attachments")
        (last_change,) = tx.all("SELECT last_change FROM statistics")[0]
    appeared = Counter((level, row) for _, change_type, level, row, _ in log if 2 <= change_type <= 5)
    assert appeared == Counter((int(level), row) for level in Level for row in rows[level])
    for sequence, _, level, row, orthanc_id in log:
        assert sequence <= last_change
        assert rows[Level(level)][row] == orthanc_id
    patients, studies, series, instances = (len(rows[level]) for level in Level)
    disk_size, size = sum(each[0] for each in sizes), sum(each[1] for each in sizes)
    expected = statistics.SystemStatistics(patients, studies, series, instances, disk_size, size)
    assert statistics.system(archive) == expected


def run_together(writers: Sequence[Writer]) -> None:
    failures: list[BaseException] = []

    def run(writer: Writer) -> None:
        try:
            writer.run()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@pytest.mark.timeout(600 + 8 * ROUNDS)
def test_rounds_of_concurrent_writes_end_with_exact_counts(place: Place) -> None:
    seed = int(os.environ.get("AMONSUL_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}")
    with place.archive(Overwrite.ALWAYS) as one, place.archive(Overwrite.ALWAYS) as other:
        writers = [Writer((one, other)[n % 2], n, random.Random(f"{seed} {n}")) for n in range(WRITERS)]
        for _ in range(ROUNDS):
            run_together(writers)
            assert_whole(place, one)
            assert_exact(one)
            for writer in writers:
                writer.assert_kept()
