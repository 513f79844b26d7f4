"""The file of a stored instance in the form that the configuration asks for now: transfer syntax and compression.

An instance keeps its identifier, its metadata and whatever hangs on it; only the bytes change. The new ones are
durable, read back, and, where the transfer syntax changed, decoded and compared with the old ones before any row names
them. A file that cannot have the form stays as it is: an instance is worth more than its transfer syntax.
"""

from __future__ import annotations

import logging

import numpy

from amonsul.archive import read
from amonsul.archive.context import Archive
from amonsul.archive.digest import md5_of
from amonsul.archive.edit import set_compression
from amonsul.archive.read import StoredAttachment
from amonsul.archive.reclaim import reclaim
from amonsul.archive.rewriting import copied
from amonsul.archive.staging import commit, discard, stage_instance, verify
from amonsul.blobs.spool import Spooled
from amonsul.database import Transaction, attachments, reconstruction, resources
from amonsul.database.attachments import DICOM, DICOM_UNTIL_PIXEL_DATA
from amonsul.database.storing import NewAttachment
from amonsul.dicom.header import Header, encode_header
from amonsul.dicom.identifiers import identifiers_of
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames, has_pixel_data

logger = logging.getLogger(__name__)


def refile(archive: Archive, codecs: Codecs, instance_id: OrthancId) -> bool:
    """Give the file of an instance the form that is configured; answer whether it had another one.

    Raises:
        UnknownResource: there is no such instance.
        BadFileFormat: what is stored is damaged; it stays as it is.
        StorageFull, CannotStore, Unavailable, ReadOnly, Conflict: it stays as it is.
    """
    archive.require_writable()
    stored = read.attachment(archive, Level.INSTANCE, instance_id)
    transcoded = None if archive.incoming is None else _transcoded(archive, codecs, stored, instance_id)
    if transcoded is not None:
        return _replace(archive, instance_id, stored, *transcoded)
    wanted = attachments.ZLIB_WITH_SIZE if archive.settings.compression else attachments.UNCOMPRESSED
    if stored.compression == wanted:
        return False
    set_compression(archive, Level.INSTANCE, instance_id, "dicom", archive.settings.compression)
    return True


def _transcoded(
    archive: Archive, codecs: Codecs, stored: StoredAttachment, instance_id: OrthancId
) -> tuple[Spooled, Header] | None:
    """The file in the transfer syntax of what comes in now; None if it stays in its own."""
    assert archive.incoming is not None
    original = copied(archive, stored)
    try:
        source = copied(archive, stored)
        made = archive.incoming(source)  # takes the source over only for another file
        if made is source:
            source.discard()
            return None
        try:
            header = _scanned(archive, made)
            if identifiers_of(header.data_set).at(Level.INSTANCE) != instance_id:
                logger.info("instance %s keeps its transfer syntax: transcoded, it would be another one", instance_id)
            elif not _is_same_picture(original, _scanned(archive, original), made, header, codecs):
                logger.error("instance %s keeps its transfer syntax: transcoded, it looks different", instance_id)
            else:
                return made, header
        except BaseException:
            made.discard()
            raise
        made.discard()
        return None
    finally:
        original.discard()


def _scanned(archive: Archive, file: Spooled) -> Header:
    return scan(file.view(), archive.settings.limits, archive.default_encoding, archive.dictionary)


def _is_same_picture(old: Spooled, old_header: Header, new: Spooled, new_header: Header, codecs: Codecs) -> bool:
    """Whether all frames of two files have the same samples."""
    if not has_pixel_data(old_header.data_set):
        return not has_pixel_data(new_header.data_set)
    before, after = Frames(old.view(), old_header), Frames(new.view(), new_header)
    if before.count != after.count:
        return False
    for frame in range(before.count):
        one, other = decode_frame(before, frame, codecs), decode_frame(after, frame, codecs)
        if one.samples.shape != other.samples.shape:
            return False
        is_comparable = one.photometric_interpretation == other.photometric_interpretation
        if is_comparable and not numpy.array_equal(one.samples, other.samples):
            return False
    return True


def _replace(archive: Archive, instance_id: OrthancId, stored: StoredAttachment, file: Spooled, header: Header) -> bool:
    """Put a file in the place of the one that was read; False if that was replaced meanwhile."""
    uuid = stored.uuid
    try:
        md5 = md5_of(file.view())
        staged = stage_instance(archive, file, header.pixel_data_offset)
    finally:
        file.discard()
    try:
        verify(archive, staged[0], md5)
    except BaseException:
        discard(archive, staged)
        raise
    gone = commit(
        archive,
        staged,
        lambda tx: _rewrite(tx, instance_id, uuid, staged, header),
        publish_if=lambda blobs: blobs is not None,
    )
    if gone is None:
        return False
    reclaim(archive, gone)
    return True


def _rewrite(
    tx: Transaction, instance_id: OrthancId, uuid: str, staged: list[NewAttachment], header: Header
) -> list[str] | None:
    """Name the new blobs in the index; answers the old ones, None if they are not what was read."""
    present = attachments.find(tx, Level.INSTANCE, instance_id, DICOM)
    row = resources.row_of(tx, Level.INSTANCE, instance_id)
    if present is None or row is None or present.uuid != uuid:
        return None
    reconstruction.write_header(tx, row, header, encode_header(header))
    gone = [uuid]
    beginning = attachments.discard(tx, Level.INSTANCE, row, DICOM_UNTIL_PIXEL_DATA)
    if beginning is not None:
        gone.append(beginning)
    attachments.put(tx, Level.INSTANCE, row, staged[0], present.revision + 1)
    for more in staged[1:]:
        attachments.put(tx, Level.INSTANCE, row, more, 0)
    return gone
