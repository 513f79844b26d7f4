"""Changing what is stored: deletion at four levels, metadata, labels, attachments, protection.

Rows go in one transaction together with tombstones of their blobs, the blobs after the commit; what a crash leaves
undone, `maintenance.recover` does at the next start.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.archive.digest import md5_of
from amonsul.archive.names import attachment_number, metadata_number
from amonsul.archive.reclaim import reclaim
from amonsul.blobs.crash import crash_point
from amonsul.blobs.spool import Spooled
from amonsul.database import (
    CommitUncertain,
    Transaction,
    attachments,
    changes,
    labels,
    metadata,
    removing,
    resources,
    storing,
)
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import Conflict, Forbidden, InexistentItem, ParameterOutOfRange, UnknownResource

logger = logging.getLogger(__name__)

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class RemainingAncestor:
    """The nearest ancestor that still has children after a deletion."""

    level: Level
    orthanc_id: OrthancId


@dataclass(frozen=True, slots=True)
class Expected:
    """What a client believes to be there (`If-Match`).

    Attributes:
        revision: the revision it read.
        md5: of the value it read; None if it did not say.
    """

    revision: int
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """Revision and MD5 of what was written, for the `ETag`."""

    revision: int
    md5: str


def delete(archive: Archive, level: Level, orthanc_id: OrthancId) -> RemainingAncestor | None:
    """Remove a resource, everything below it, and its ancestors that have nothing else.

    Raises:
        UnknownResource: there is no such resource.
    """

    def work(tx: Transaction) -> removing.Removed:
        removed = removing.remove(tx, level, _row(tx, level, orthanc_id), clock.now())
        crash_point("delete.in_transaction")
        return removed

    removed = archive.database.write(work)
    crash_point("delete.committed")
    reclaim(archive, removed.blobs)
    return None if removed.ancestor is None else RemainingAncestor(*removed.ancestor)


def set_metadata(
    archive: Archive, level: Level, orthanc_id: OrthancId, name: str, value: bytes, expected: Expected | None = None
) -> Written:
    """Set a user-defined metadata.

    Args:
        archive: where.
        level: of the resource.
        orthanc_id: of the resource.
        name: of the metadata, or its number.
        value: any bytes.
        expected: what must be there; None: nothing, or whatever is there if `check_revisions` is off.

    Raises:
        UnknownResource: there is no such resource.
        InexistentItem: no such name is configured.
        Forbidden: the metadata is one that the server keeps.
        Conflict: something else is there than expected.
    """
    number = _user_metadata(archive, name)
    md5 = md5_of(value)

    def work(tx: Transaction) -> Written:
        row = _row(tx, level, orthanc_id)
        present = metadata.get(tx, level, row, number)
        _check(archive, expected, None if present is None else (present.revision, md5_of(present.value)))
        revision = 0 if present is None else present.revision + 1
        metadata.put(tx, level, row, number, value, revision)
        changes.append(tx, "UpdatedMetadata", level, row, orthanc_id, clock.now())
        return Written(revision, md5)

    return archive.database.write(work)


def delete_metadata(
    archive: Archive, level: Level, orthanc_id: OrthancId, name: str, expected: Expected | None = None
) -> None:
    """Remove a user-defined metadata.

    Raises:
        UnknownResource: there is no such resource, or it has no such metadata.
        InexistentItem: no such name is configured.
        Forbidden: the metadata is one that the server keeps.
        Conflict: something else is there than expected.
    """
    number = _user_metadata(archive, name)

    def work(tx: Transaction) -> None:
        row = _row(tx, level, orthanc_id)
        present = metadata.get(tx, level, row, number)
        if present is None:
            raise UnknownResource
        _check(archive, expected, (present.revision, md5_of(present.value)))
        metadata.discard(tx, level, row, number)
        changes.append(tx, "UpdatedMetadata", level, row, orthanc_id, clock.now())

    archive.database.write(work)


def add_label(archive: Archive, level: Level, orthanc_id: OrthancId, label: str) -> None:
    """Give a resource a label.

    Raises:
        UnknownResource: there is no such resource.
        ParameterOutOfRange: not 1 to 64 letters, digits, `_` and `-` of ASCII.
    """
    if not _LABEL.fullmatch(label):
        raise ParameterOutOfRange(f"a label has 1 to 64 letters, digits, _ and - of ASCII: {label[:80]!r}")
    archive.database.write(lambda tx: labels.add(tx, level, _row(tx, level, orthanc_id), label))


def remove_label(archive: Archive, level: Level, orthanc_id: OrthancId, label: str) -> None:
    """Take a label from a resource; harmless if it has it not.

    Raises:
        UnknownResource: there is no such resource.
    """
    archive.database.write(lambda tx: labels.remove(tx, level, _row(tx, level, orthanc_id), label))


def all_labels(archive: Archive) -> list[str]:
    """All labels in use, sorted."""
    with archive.database.read() as tx:
        return labels.every(tx)


def set_attachment(
    archive: Archive,
    level: Level,
    orthanc_id: OrthancId,
    name: str,
    spooled: Spooled,
    expected: Expected | None = None,
) -> Written:
    """Set a user-defined attachment. Takes `spooled` over, whatever happens.

    Raises:
        UnknownResource: there is no such resource.
        InexistentItem: no such name is configured.
        Forbidden: the attachment is one that the server keeps.
        Conflict: something else is there than expected.
        StorageFull, CannotStore, Unavailable: nothing was stored.
    """
    try:
        number = _user_attachment(archive, name)
        md5 = md5_of(spooled.view()) if archive.settings.store_md5 else ""
        size = spooled.size
        blob = archive.blobs.stage(spooled)
    finally:
        spooled.discard()
    new = storing.NewAttachment(number, blob, size, md5, size, md5)

    def work(tx: Transaction) -> tuple[Written, str | None]:
        row = _row(tx, level, orthanc_id)
        present = attachments.find(tx, level, orthanc_id, number)
        _check(archive, expected, None if present is None else (present.revision, present.md5))
        revision = 0 if present is None else present.revision + 1
        attachments.put(tx, level, row, new, revision)
        changes.append(tx, "UpdatedAttachment", level, row, orthanc_id, clock.now())
        return Written(revision, md5), None if present is None else present.uuid

    try:
        written, replaced = archive.database.write(work)
    except CommitUncertain:
        logger.error("blob %s waits for the next start: its commit may or may not have happened", blob)
        raise
    except BaseException:
        archive.blobs.discard(blob)
        raise
    archive.blobs.publish(blob)
    if replaced is not None:
        reclaim(archive, [replaced])
    return written


def delete_attachment(
    archive: Archive, level: Level, orthanc_id: OrthancId, name: str, expected: Expected | None = None
) -> None:
    """Remove a user-defined attachment.

    Raises:
        UnknownResource: there is no such resource, or it has no such attachment.
        InexistentItem: no such name is configured.
        Forbidden: the attachment is one that the server keeps.
        Conflict: something else is there than expected.
    """
    number = _user_attachment(archive, name)

    def work(tx: Transaction) -> str:
        row = _row(tx, level, orthanc_id)
        present = attachments.find(tx, level, orthanc_id, number)
        if present is None:
            raise UnknownResource
        _check(archive, expected, (present.revision, present.md5))
        attachments.discard(tx, level, row, number)
        changes.append(tx, "UpdatedAttachment", level, row, orthanc_id, clock.now())
        return present.uuid

    reclaim(archive, [archive.database.write(work)])


def set_protection(archive: Archive, patient_id: OrthancId, is_protected: bool) -> None:
    """Keep a patient from recycling, or let it go to the end of the line.

    Raises:
        UnknownResource: there is no such patient.
    """
    archive.database.write(lambda tx: resources.set_protection(tx, _row(tx, Level.PATIENT, patient_id), is_protected))


def _row(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int:
    row = resources.row_of(tx, level, orthanc_id)
    if row is None:
        raise UnknownResource
    return row


def _user_metadata(archive: Archive, name: str) -> int:
    number = metadata_number(archive.settings, name)
    if number is None:
        raise InexistentItem
    if not metadata.FIRST_USER_NUMBER <= number <= metadata.LAST_USER_NUMBER:
        raise Forbidden("this metadata is kept by the server")
    return number


def _user_attachment(archive: Archive, name: str) -> int:
    number = attachment_number(archive.settings, name)
    if number is None:
        raise InexistentItem
    if not metadata.FIRST_USER_NUMBER <= number <= metadata.LAST_USER_NUMBER:
        raise Forbidden("this attachment is kept by the server")
    return number


def _check(archive: Archive, expected: Expected | None, present: tuple[int, str] | None) -> None:
    """Compare what a client expects with the revision and MD5 that are there.

    A client that says what it expects is always held to it; one that says nothing, only where revisions are checked.
    """
    if expected is None:
        if present is not None and archive.settings.check_revisions:
            raise Conflict
        return
    if present is None or expected.revision != present[0] or expected.md5 not in (None, present[1]):
        raise Conflict
