"""Comparing the index with the blobs, both ways, and repairing what differs.

Both sides come in the order of their identifiers and are merged, so memory does not grow with the archive.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim
from amonsul.blobs.store import BlobId
from amonsul.database import Transaction, attachments, checking, removing
from amonsul.dicom.levels import Level
from amonsul.errors import InexistentFile


class Repair(enum.Flag):
    """What `check` may change."""

    NOTHING = 0
    REMOVE_ORPHANS = enum.auto()
    """Delete blobs that no row names."""
    REMOVE_LOST = enum.auto()
    """Delete instances and attachments whose bytes are missing or wrong."""
    RECOUNT = enum.auto()
    """Write the recounted aggregates."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference.

    Attributes:
        kind: `missing` (a row without blob), `size` or `md5` (a blob that is not what its row says), `orphan` (a blob
            without row), `aggregate` (a wrong sum), `empty` (a resource with nothing below it).
        subject: a blob, or a resource.
        details: what is wrong.
        repaired: whether it was put right.
    """

    kind: str
    subject: str
    details: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    blobs: int
    resources: int
    findings: Sequence[Finding]

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.findings


def check(
    archive: Archive,
    repair: Repair = Repair.NOTHING,
    *,
    verify_md5: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Compare and, where asked, repair. Nothing else may write meanwhile.

    Args:
        archive: what to check.
        repair: what may be changed.
        verify_md5: read every blob and compare its MD5.
        progress: told now and then how many blobs were compared.
    """
    findings: list[Finding] = []
    blobs = 0
    lost: list[tuple[Finding, Level, int, int]] = []
    orphans: list[BlobId] = []
    for blob, stored_size, row in _merged(archive):
        if stored_size is not None:
            blobs += 1
            if progress is not None and blobs % 1000 == 0:
                progress(blobs)
        if row is None:
            orphans.append(blob)
            continue
        finding = _compare(archive, blob, stored_size, row, verify_md5)
        if finding is not None:
            lost.append((finding, row.level, row.row, row.content_type))
    findings += _repair_orphans(archive, orphans, repair)
    findings += _repair_lost(archive, lost, repair)
    findings += _check_tree(archive, repair)
    with archive.database.read() as tx:
        resources = checking.count_resources(tx)
    if progress is not None:
        progress(blobs)
    return Report(blobs, resources, findings)


@dataclass(frozen=True, slots=True)
class _Row:
    """What the index says of a blob."""

    size: int
    md5: str
    level: Level
    row: int
    content_type: int


def _merged(archive: Archive) -> Iterator[tuple[BlobId, int | None, _Row | None]]:
    """Blobs in order: their size in the storage and their row, either of which may lack."""
    with archive.database.read() as tx:
        known_elsewhere = checking.blobs_named_otherwise(tx)
        rows = (
            (blob, _Row(size, md5, level, row, content_type))
            for blob, size, md5, level, row, content_type in attachments.every_blob(tx)
        )
        stored = archive.blobs.scan()
        one, other = next(rows, None), next(stored, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one[0] < other[0]):
                assert one is not None
                yield BlobId(one[0]), None, one[1]
                one = next(rows, None)
            elif one is None or other[0] < one[0]:
                if other[0] not in known_elsewhere:
                    yield other[0], other[1], None
                other = next(stored, None)
            else:
                yield other[0], other[1], one[1]
                one, other = next(rows, None), next(stored, None)


def _compare(archive: Archive, blob: BlobId, stored_size: int | None, row: _Row, verify_md5: bool) -> Finding | None:
    if stored_size is None:
        try:
            stored_size = archive.blobs.size(blob)  # committed, but not moved into place yet
        except InexistentFile:
            return Finding("missing", blob, f"the file of {row.level.type_name.lower()} row {row.row} is gone", False)
    if stored_size != row.size:
        return Finding("size", blob, f"{stored_size} bytes, should be {row.size}", False)
    if verify_md5 and row.md5:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            for chunk in archive.blobs.chunks(blob):
                digest.update(chunk)
        except (InexistentFile, OSError):
            return Finding("md5", blob, "the file cannot be read", False)
        if digest.hexdigest() != row.md5:
            return Finding("md5", blob, f"the MD5 is {digest.hexdigest()}, should be {row.md5}", False)
    return None


def _repair_orphans(archive: Archive, orphans: Sequence[BlobId], repair: Repair) -> Iterator[Finding]:
    for blob in orphans:
        if Repair.REMOVE_ORPHANS in repair:
            archive.blobs.delete(blob)
        yield Finding("orphan", blob, "nothing in the index names this file", Repair.REMOVE_ORPHANS in repair)


def _repair_lost(
    archive: Archive, lost: Sequence[tuple[Finding, Level, int, int]], repair: Repair
) -> Iterator[Finding]:
    for finding, level, row, content_type in lost:
        with archive.database.read() as tx:
            resource = checking.identifier_of(tx, level, row)
        details = f"{finding.details} ({level.type_name.lower()} {resource})"
        if Repair.REMOVE_LOST in repair and resource is not None:
            reclaim(archive, archive.database.write(_removal(level, row, content_type)))
        yield Finding(finding.kind, finding.subject, details, Repair.REMOVE_LOST in repair)


def _removal(level: Level, row: int, content_type: int) -> Callable[[Transaction], list[str]]:
    def work(tx: Transaction) -> list[str]:
        if level is Level.INSTANCE and content_type == attachments.DICOM:
            if checking.identifier_of(tx, level, row) is None:
                return []
            return removing.remove(tx, level, row, clock.now()).blobs
        blob = attachments.discard(tx, level, row, content_type)
        return [] if blob is None else [blob]

    return work


def _check_tree(archive: Archive, repair: Repair) -> Iterator[Finding]:
    with archive.database.read() as tx:
        fileless = checking.instances_without_file(tx)
    for row, orthanc_id in fileless:
        if Repair.REMOVE_LOST in repair:
            reclaim(archive, archive.database.write(_removal(Level.INSTANCE, row, attachments.DICOM)))
        yield Finding("missing", orthanc_id, "the instance has no file", Repair.REMOVE_LOST in repair)
    with archive.database.read() as tx:
        wrong = list(checking.wrong_aggregates(tx))
        totals = checking.wrong_statistics(tx)
        empty = checking.childless(tx)

    def recount(tx: Transaction) -> None:
        for found in wrong:
            checking.correct(tx, found)
        checking.correct_statistics(tx, checking.wrong_statistics(tx))

    repaired = Repair.RECOUNT in repair
    if repaired and (wrong or totals):
        archive.database.write(recount)
    for level, _, orthanc_id in empty:
        yield Finding("empty", orthanc_id, f"the {level.type_name.lower()} has nothing below it", False)
    for found in wrong:
        details = f"{found.column} is {found.stored!r}, should be {found.counted!r}"
        yield Finding("aggregate", f"{found.level.type_name.lower()} {found.orthanc_id}", details, repaired)
    for name, (stored, counted) in totals.items():
        yield Finding("aggregate", "statistics", f"{name} is {stored}, should be {counted}", repaired)
