"""What the kinds of jobs have in common that make instances out of stored ones: modify, anonymise, split, merge.

Instances are done in batches. Those of a batch are read, changed and ingested by several threads at once, and once
all are durable one transaction notes where they come from, copies labels and writes the checkpoint. A batch that a
crash cut short is done again and gives the same identifiers, so nothing is there twice. Only when everything is
stored do originals go, and never one whose place a result has taken.

Where all results take the places of their originals, doing it again would change what was changed already: dates
would move twice. There the checkpoint says, before a batch begins, which files its instances have, and an instance
that has another one by then is done.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from amonsul.archive import clock, read, rewriting
from amonsul.archive.context import Archive
from amonsul.archive.ingest import Ingested, IngestStatus, ingest
from amonsul.archive.origin import RestOrigin
from amonsul.archive.read import StoredAttachment
from amonsul.archive.reclaim import reclaim
from amonsul.archive.rewriting import Transcoding
from amonsul.database import Transaction, changes, headers, removing, resources, storing, transforming
from amonsul.database.transforming import Ancestry, Lineage
from amonsul.dicom.header import decode_header
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.pixel_cleaning import PixelCleaning
from amonsul.dicom.uid_map import LevelOf
from amonsul.errors import AmonsulError, CannotStore, UnknownResource
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Progress, Running

MODIFIED_FROM = 5
ANONYMIZED_FROM = 6

_THREADS = 12
"""Of one job, unless the operator wants more: most of the time of a small instance is waiting for the disk."""
_BYTES_AT_ONCE = 128 << 20
"""Of instances that are in memory together; a larger one is alone."""
_SMALLEST_BATCH = 32
_LARGEST_BATCH = 256
_BATCHES = 50
"""Checkpoints of a large job."""
_DELETED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who asked for a job: its results come from there."""

    remote_ip: str = ""
    username: str = ""

    @property
    def origin(self) -> RestOrigin:
        """The same for the archive."""
        return RestOrigin(self.remote_ip, self.username)


NOBODY = Submitter()

Change = Callable[[Dataset, LevelOf], PixelCleaning | None]
"""Changes a data set in place, and is told what else is in the job; answers what is to become of the pixels."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a job has to do.

    Attributes:
        instances: to be changed, in this order.
        change: what becomes of each.
        submitter: who asked.
        permissive: go on after failures.
        keep_source: whether originals stay.
        keep_labels: whether results get the labels of their originals.
        transcoding: of the results.
        mark: number of the metadata that names the original; None for none.
        level: of the change: main tags of what keeps its identifier at this level and below follow the results.
        is_in_place: results have the identifiers of their originals.
        change_type: of the line in the log of changes about each result at `level`; None for none.
        stored: told about each result, in order.
    """

    instances: Sequence[OrthancId]
    change: Change
    submitter: Submitter
    permissive: bool = False
    keep_source: bool = True
    keep_labels: bool = False
    transcoding: Transcoding | None = None
    mark: int | None = None
    level: Level | None = None
    is_in_place: bool = False
    change_type: str | None = None
    stored: Callable[[Ancestry], None] = lambda _: None


@dataclass(slots=True)
class _Checkpoint:
    """How far a job is.

    Attributes:
        done: instances that are dealt with.
        deleted: of these, originals that were considered for deletion.
        failed: those that could not be done; they stay.
        replaced: originals whose place a result took; they are results now.
        results: what was made at the level of the change, for the log.
        begun: of a job in place, blob and MD5 of the original by instance, of those that may or may not be done.
    """

    done: int = 0
    deleted: int = 0
    failed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    begun: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Mapping[str, object] | None) -> _Checkpoint:
        return cls(**value) if value else cls()  # type: ignore[arg-type]  # JSON of `write`

    def write(self) -> dict[str, object]:
        return {
            "done": self.done,
            "deleted": self.deleted,
            "failed": self.failed,
            "replaced": self.replaced,
            "results": self.results,
            "begun": self.begun,
        }


@dataclass(frozen=True, slots=True)
class _Result:
    lineage: Lineage
    ingested: Ingested

    @property
    def ancestry(self) -> Ancestry:
        made = self.ingested
        return made.patient_id, made.study_id, made.series_id, made.instance_id

    @property
    def pairs(self) -> Iterator[tuple[Level, OrthancId, OrthancId]]:
        """Level, original and result."""
        for level in Level:
            yield level, self.lineage.ancestry[level], self.ancestry[level]


def transform(archive: Archive, codecs: Codecs, running: Running, work: Work) -> Iterator[Progress]:
    """Do the work, from the checkpoint on."""
    checkpoint = _Checkpoint.read(running.checkpoint)
    steps = _Steps(archive, codecs, running, work, checkpoint)
    total = len(work.instances)
    if not total:
        return
    with ThreadPoolExecutor(max(running.threads, _THREADS), "transform") as pool:
        while checkpoint.done < total:
            yield steps.store_batch(pool)
    if not work.keep_source:
        while checkpoint.deleted < total:
            yield steps.delete_batch()


class _Room:
    """Lets work begin as long as all that is in the room has room."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


class _Steps:
    def __init__(self, archive: Archive, codecs: Codecs, running: Running, work: Work, checkpoint: _Checkpoint) -> None:
        self._archive = archive
        self._codecs = codecs
        self._running = running
        self._work = work
        self._checkpoint = checkpoint
        self._sources = frozenset(work.instances)
        self._lineages = self._find_lineages() if checkpoint.done < len(work.instances) else {}
        self._level_of = _level_of(self._lineages)
        self._below = Counter(orthanc_id for each in self._lineages.values() for orthanc_id in each.ancestry)
        self._room = _Room(_BYTES_AT_ONCE)
        self._is_over = False  # an instance could not be done
        self._seen: set[tuple[Level, OrthancId, OrthancId]] = set()
        self._batch = min(max(_SMALLEST_BATCH, len(work.instances) // _BATCHES), _LARGEST_BATCH)

    def _find_lineages(self) -> dict[OrthancId, Lineage]:
        found: dict[OrthancId, Lineage] = {}
        for at in range(0, len(self._work.instances), 1000):
            with self._archive.database.read() as tx:
                for each in transforming.lineages(tx, self._work.instances[at : at + 1000]):
                    found[each.ancestry[Level.INSTANCE]] = each
        return found

    def store_batch(self, pool: ThreadPoolExecutor) -> Progress:
        checkpoint, work = self._checkpoint, self._work
        batch = work.instances[checkpoint.done : checkpoint.done + self._batch]
        results: list[_Result] = []
        done = 0
        if work.is_in_place:
            self._begin(batch)
        try:
            for instance_id, outcome in zip(batch, pool.map(self._store, batch), strict=True):
                if outcome is None:  # something is asked of the job
                    break
                if isinstance(outcome, AmonsulError):
                    self._tolerate(outcome)
                    checkpoint.failed.append(instance_id)
                else:
                    results.append(outcome)
                done += 1
        finally:
            self._is_over = done < len(batch)
            checkpoint.done += done
            for instance_id in batch[:done]:
                checkpoint.begun.pop(instance_id, None)
            progress = self._commit(results)
        return progress

    def _begin(self, batch: Sequence[OrthancId]) -> None:
        """Write down which files the instances have, unless an earlier run has done so."""
        checkpoint = self._checkpoint
        unknown = [instance_id for instance_id in batch if instance_id not in checkpoint.begun]
        if not unknown:
            return
        with self._archive.database.read() as tx:
            checkpoint.begun.update({str(each): file for each, file in transforming.files(tx, unknown).items()})
        total = len(self._work.instances) * (1 if self._work.keep_source else 2)
        self._running.write(lambda _: None, Progress(checkpoint.done, total, checkpoint.write()))

    def _is_done(self, instance_id: OrthancId, stored: StoredAttachment) -> bool:
        """Whether an instance of a job in place has another file than when its batch began."""
        begun = self._checkpoint.begun.get(instance_id)
        if begun is None:
            return False
        blob, md5 = begun
        return stored.uuid != blob and (not md5 or stored.md5 != md5)  # compressed since, it is the same file

    def _store(self, instance_id: OrthancId) -> _Result | AmonsulError | None:
        """Make one result; None if there is no time for it any more."""
        if self._is_over or self._running.stopping:
            return None
        try:
            lineage = self._lineages.get(instance_id)
            if lineage is None:
                raise UnknownResource(f"the instance {instance_id} is gone")
            stored = read.attachment(self._archive, Level.INSTANCE, instance_id)
            if self._work.is_in_place and self._is_done(instance_id, stored):
                return _Result(lineage, _unchanged(lineage))
            with self._room.holding(stored.size):
                data_set = rewriting.load(self._archive, instance_id, lineage.transfer_syntax_uid, stored=stored)
                cleaning = self._work.change(data_set, self._level_of)
                file = rewriting.save(self._archive, data_set, self._codecs, self._work.transcoding, cleaning)
                del data_set
                ingested = ingest(self._archive, file, self._work.submitter.origin, is_edit=self._work.is_in_place)
            if ingested.status is IngestStatus.FILTERED_OUT:
                raise CannotStore("a filter refuses the result")
            return _Result(lineage, ingested)
        except AmonsulError as error:
            return error

    def _tolerate(self, error: AmonsulError) -> None:
        """Go on in spite of an error, if the job may."""
        with self._running.item(self._work.permissive):
            raise error

    def _commit(self, results: Sequence[_Result]) -> Progress:
        """Note what became of a batch, exactly once."""
        checkpoint, work = self._checkpoint, self._work
        at_level = dict.fromkeys(checkpoint.results)
        for result in results:
            work.stored(result.ancestry)
            if result.ingested.instance_id in self._sources:
                checkpoint.replaced.append(result.ingested.instance_id)
            if work.change_type is not None and work.level is not None:
                at_level[result.ancestry[work.level]] = None
        checkpoint.results = list(at_level)
        total = len(work.instances) * (1 if work.keep_source else 2)
        progress = Progress(checkpoint.done, total, checkpoint.write())
        is_last = checkpoint.done >= len(work.instances)

        def note(tx: Transaction) -> None:
            for result in results:
                self._inherit(tx, result)
            if is_last and work.change_type is not None and work.level is not None:
                for orthanc_id in checkpoint.results:
                    row = resources.row_of(tx, work.level, OrthancId(orthanc_id))
                    if row is not None:
                        changes.append(tx, work.change_type, work.level, row, OrthancId(orthanc_id), clock.now())

        self._running.write(note, progress)
        return progress

    def _inherit(self, tx: Transaction, result: _Result) -> None:
        work = self._work
        is_ours = (
            result.ingested.status is IngestStatus.SUCCESS
            or result.ingested.sop_instance_uid != result.lineage.sop_instance_uid
        )
        if not is_ours:  # another instance with this identifier was there before, and stayed
            return
        for level, source, target in result.pairs:
            if level is Level.INSTANCE:
                if work.mark is not None:
                    transforming.mark(tx, level, target, work.mark, source)
            elif (level, source, target) in self._seen:
                continue
            else:
                self._seen.add((level, source, target))
                if work.mark is not None and source != target:
                    transforming.mark(tx, level, target, work.mark, source)
                if (
                    source == target
                    and work.level is not None
                    and (level >= work.level or self._is_all_of(tx, level, target))
                ):
                    self._refresh(tx, level, target, result.ingested.instance_id)
            if work.keep_labels and source != target:
                transforming.copy_labels(tx, level, source, target)

    def _is_all_of(self, tx: Transaction, level: Level, orthanc_id: OrthancId) -> bool:
        """Whether there is nothing in a patient, study or series but what the job changes."""
        return transforming.number_of_instances(tx, level, orthanc_id) == self._below[orthanc_id]

    def _refresh(self, tx: Transaction, level: Level, target: OrthancId, instance_id: OrthancId) -> None:
        """What kept its identifier shows the main tags that the results have."""
        packed = headers.of_instance(tx, instance_id)
        if packed is not None:
            values = storing.main_tag_values(self._archive.main_tags, level, decode_header(packed).data_set)
            transforming.set_main_tags(tx, level, target, values)

    def delete_batch(self) -> Progress:
        """Delete some of the originals."""
        checkpoint, work = self._checkpoint, self._work
        batch = work.instances[checkpoint.deleted : checkpoint.deleted + _DELETED_AT_ONCE]
        stay = {*checkpoint.failed, *checkpoint.replaced}
        checkpoint.deleted += len(batch)
        total = len(work.instances)
        progress = Progress(total + checkpoint.deleted, 2 * total, checkpoint.write())

        def delete(tx: Transaction) -> list[str]:
            blobs = []
            for instance_id in batch:
                row = None if instance_id in stay else resources.row_of(tx, Level.INSTANCE, instance_id)
                if row is not None:
                    blobs += removing.remove(tx, Level.INSTANCE, row, clock.now()).blobs
            return blobs

        reclaim(self._archive, self._running.write(delete, progress))
        return progress


def _unchanged(lineage: Lineage) -> Ingested:
    """What became of an instance that an earlier run put in the place of its original."""
    return Ingested(IngestStatus.SUCCESS, *lineage.ancestry, "", lineage.sop_instance_uid)


def _level_of(lineages: Mapping[OrthancId, Lineage]) -> LevelOf:
    levels: dict[str, Level] = {}
    for each in lineages.values():
        levels[each.sop_instance_uid] = Level.INSTANCE
    for each in lineages.values():
        levels[each.series_instance_uid] = Level.SERIES
        levels[each.study_instance_uid] = Level.STUDY
    return levels.get
