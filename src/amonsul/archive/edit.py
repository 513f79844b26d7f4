"""Changing what is stored: deletion at four levels, metadata, labels, attachments, protection.

Rows go in one transaction together with tombstones of their blobs, the blobs after the commit; what a crash leaves
undone, `maintenance.recover` does at the next start.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.archive.digest import md5_of
from amonsul.archive.names import DICOM_AS_JSON, attachment_number, metadata_number
from amonsul.archive.read import StoredAttachment, attachment
from amonsul.archive.reclaim import reclaim
from amonsul.archive.space import make_room_for_attachment
from amonsul.archive.staging import commit, discard, stage, verify
from amonsul.blobs.crash import crash_point
from amonsul.blobs.spool import Spooled
from amonsul.database import (
    Transaction,
    attachments,
    changes,
    labels,
    metadata,
    removing,
    resources,
)
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import BadFileFormat, Conflict, Forbidden, InexistentItem, ParameterOutOfRange, UnknownResource

_ATTEMPTS: Final = 8
_NO_LIMIT: Final = 1 << 62
LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a label may be."""


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

    removed = archive.write(work)
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

    return archive.write(work)


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

    archive.write(work)


def add_label(archive: Archive, level: Level, orthanc_id: OrthancId, label: str) -> None:
    """Give a resource a label.

    Raises:
        UnknownResource: there is no such resource.
        ParameterOutOfRange: not 1 to 64 letters, digits, `_` and `-` of ASCII.
    """
    if not LABEL.fullmatch(label):
        raise ParameterOutOfRange(f"a label has 1 to 64 letters, digits, _ and - of ASCII: {label[:80]!r}")
    archive.write(lambda tx: labels.add(tx, level, _row(tx, level, orthanc_id), label))


def remove_label(archive: Archive, level: Level, orthanc_id: OrthancId, label: str) -> None:
    """Take a label from a resource; harmless if it has it not.

    Raises:
        UnknownResource: there is no such resource.
    """
    archive.write(lambda tx: labels.remove(tx, level, _row(tx, level, orthanc_id), label))


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
        archive.require_writable()
        number = _user_attachment(archive, name)
        md5 = "" if archive.settings.store_md5 else md5_of(spooled.view())  # the answer has it, the index does not
        new = stage(archive, spooled, number)
    finally:
        spooled.discard()

    def work(tx: Transaction) -> tuple[Written, list[str]]:
        row = _row(tx, level, orthanc_id)
        present = attachments.find(tx, level, orthanc_id, number)
        _check(archive, expected, None if present is None else (present.revision, present.md5))
        gone: list[str] = []
        if present is not None:
            attachments.discard(tx, level, row, number)
            gone.append(present.uuid)
        patient_row = resources.lineage(tx, level, row)[Level.PATIENT]
        gone += make_room_for_attachment(tx, archive.settings, patient_row, new.compressed_size)
        revision = 0 if present is None else present.revision + 1
        attachments.put(tx, level, row, new, revision)
        changes.append(tx, "UpdatedAttachment", level, row, orthanc_id, clock.now())
        return Written(revision, new.md5 or md5), gone

    written, gone = commit(archive, [new], work)
    reclaim(archive, gone)
    return written


def set_compression(archive: Archive, level: Level, orthanc_id: OrthancId, name: str, compressed: bool) -> None:
    """Compress an attachment in the storage, or uncompress it; harmless if it is so already.

    Its content stays the same, so no revision has to be known; it gets a new one all the same.

    Raises:
        UnknownResource: there is no such resource, or it has no such attachment.
        InexistentItem: no such name is configured.
        BadFileFormat: what is stored is damaged; it stays as it is.
        StorageFull, CannotStore, Unavailable: nothing was changed.
        Conflict: others keep changing it.
    """
    archive.require_writable()
    wanted = attachments.ZLIB_WITH_SIZE if compressed else attachments.UNCOMPRESSED
    for _ in range(_ATTEMPTS):
        stored = attachment(archive, level, orthanc_id, name)
        if stored.compression == wanted:
            return
        if _recode(archive, level, orthanc_id, stored, compressed):
            return
    raise Conflict


def _recode(archive: Archive, level: Level, orthanc_id: OrthancId, stored: StoredAttachment, compressed: bool) -> bool:
    """Store an attachment in its other form; False if it was changed meanwhile."""
    spool = archive.blobs.spool(_NO_LIMIT)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for chunk in stored.chunks():
            spool.write(chunk)
            digest.update(chunk)
        md5 = digest.hexdigest()
        if stored.md5 not in ("", md5):
            raise BadFileFormat(f"blob {stored.uuid} is damaged; it stays as it is")
    except BaseException:
        spool.discard()
        raise
    uuid = stored.uuid
    spooled = spool.finish()
    try:
        new = stage(archive, spooled, stored.content_type, compressed=compressed)
    finally:
        spooled.discard()
    try:
        verify(archive, new, md5)
    except BaseException:
        discard(archive, [new])
        raise

    def work(tx: Transaction) -> bool:
        row = _row(tx, level, orthanc_id)
        present = attachments.find(tx, level, orthanc_id, new.content_type)
        if present is None:
            raise UnknownResource
        if present.uuid != uuid:
            return False
        attachments.put(tx, level, row, new, present.revision + 1)
        if new.content_type >= metadata.FIRST_USER_NUMBER:
            changes.append(tx, "UpdatedAttachment", level, row, orthanc_id, clock.now())
        return True

    if not commit(archive, [new], work, publish_if=bool):
        return False
    reclaim(archive, [uuid])
    return True


def delete_attachment(
    archive: Archive, level: Level, orthanc_id: OrthancId, name: str, expected: Expected | None = None
) -> None:
    """Remove a user-defined attachment, or the tags as JSON that an earlier system kept.

    Raises:
        UnknownResource: there is no such resource, or it has no such attachment.
        InexistentItem: no such name is configured.
        Forbidden: the attachment is one that the server keeps.
        Conflict: something else is there than expected.
    """
    number = _user_attachment(archive, name, DICOM_AS_JSON)

    def work(tx: Transaction) -> str:
        row = _row(tx, level, orthanc_id)
        present = attachments.find(tx, level, orthanc_id, number)
        if present is None:
            raise UnknownResource
        _check(archive, expected, (present.revision, present.md5))
        attachments.discard(tx, level, row, number)
        changes.append(tx, "UpdatedAttachment", level, row, orthanc_id, clock.now())
        return present.uuid

    reclaim(archive, [archive.write(work)])


def set_protection(archive: Archive, patient_id: OrthancId, is_protected: bool) -> None:
    """Keep a patient from recycling, or let it go to the end of the line.

    Raises:
        UnknownResource: there is no such patient.
    """
    archive.write(lambda tx: resources.set_protection(tx, _row(tx, Level.PATIENT, patient_id), is_protected))


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


def _user_attachment(archive: Archive, name: str, *others: int) -> int:
    number = attachment_number(archive.settings, name)
    if number is None:
        raise InexistentItem
    if number not in others and not metadata.FIRST_USER_NUMBER <= number <= metadata.LAST_USER_NUMBER:
        raise Forbidden("this attachment is kept by the server")
    return number


def _check(archive: Archive, expected: Expected | None, present: tuple[int, str] | None) -> None:
    """Compare what a client expects with the revision and MD5 that are there.

    A client that says what it expects is always held to it; one that says nothing, only where revisions are checked.
    Where there is nothing yet, nothing can be lost.
    """
    if present is None:
        return
    if expected is None:
        if archive.settings.check_revisions:
            raise Conflict
        return
    revision, md5 = present
    if expected.revision != revision or (md5 and expected.md5 not in (None, md5)):
        raise Conflict
