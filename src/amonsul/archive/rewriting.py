"""Stored instances as data sets that can be changed, and changed data sets as files to be stored."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from amonsul.archive import read
from amonsul.archive.context import Archive
from amonsul.archive.read import StoredAttachment
from amonsul.blobs.spool import Spooled
from amonsul.dicom.encoding import encode_file
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.pixel_cleaning import PixelCleaning
from amonsul.dicom.quick_reader import read_quickly
from amonsul.dicom.scanner import scan
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from amonsul.errors import BadFileFormat, InexistentFile
from amonsul.imaging.attributes import integer
from amonsul.imaging.blanking import blank
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.syntaxes import WRITABLE
from amonsul.imaging.transcode import TranscodeOptions, transcode

_BITS_ALLOCATED = 0x00280100
_SMALL = 4 << 20
_UNREADABLE = (ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError, AttributeError, struct.error)


@dataclass(frozen=True, slots=True)
class Transcoding:
    """Into which transfer syntax results are written."""

    transfer_syntax_uid: str
    quality: int = 90


def load(
    archive: Archive,
    instance_id: OrthancId,
    transfer_syntax_uid: str = "",
    *,
    stored: StoredAttachment | None = None,
    with_pixels: bool = True,
) -> Dataset:
    """The data set of an instance, nothing of it decoded.

    Args:
        archive: where.
        instance_id: of the instance.
        transfer_syntax_uid: of the file, for one that does not say it itself; asked of the index unless given.
        stored: its file, for one who has asked for it already.
        with_pixels: False to leave out the pixel data and what follows.

    Raises:
        UnknownResource: there is no such instance.
        BadFileFormat: pydicom cannot read it.
    """
    data = _bytes_of(stored or read.attachment(archive, Level.INSTANCE, instance_id))
    data_set = read_quickly(data) if with_pixels else None
    if data_set is None:
        try:
            data_set = pydicom.dcmread(BytesIO(data), force=True, stop_before_pixels=not with_pixels)
        except _UNREADABLE as error:
            raise BadFileFormat(f"cannot read the instance {instance_id}") from error
    meta = getattr(data_set, "file_meta", None)
    if meta is None:
        meta = data_set.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        meta.TransferSyntaxUID = UID(transfer_syntax_uid or read.header(archive, instance_id).transfer_syntax_uid)
    return data_set


def _bytes_of(stored: StoredAttachment) -> bytes | memoryview:
    """The bytes of an attachment; those of a large one lie in its file."""
    if stored.size > _SMALL:
        path = stored.path()
        if path is not None:
            with (
                contextlib.suppress(FileNotFoundError),
                open(path, "rb") as file,
            ):  # overwritten since: read the new one
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return stored.read()


def save(
    archive: Archive,
    data_set: Dataset,
    codecs: Codecs,
    transcoding: Transcoding | None = None,
    cleaning: PixelCleaning | None = None,
) -> Spooled:
    """A data set as a file, in the transfer syntax that its file meta information names or in another one.

    Pixels that are blanked and were compressed with losses are not compressed again unless `transcoding` says how.

    Raises:
        BadFileFormat: it cannot be written.
        NotImplementedHere: its pixels cannot be transcoded so.
        StorageFull: there is no room for the file.
    """
    file = spooled(archive, encode_file(data_set))
    if cleaning is not None:
        file = _cleaned(archive, file, codecs, cleaning, is_final=transcoding is None)
    return transcoded(archive, file, codecs, transcoding)


def spooled(archive: Archive, parts: Sequence[bytes]) -> Spooled:
    """Parts of a file as a whole."""
    if sum(map(len, parts)) <= _SMALL:
        return Spooled.of(b"".join(parts))
    spool = archive.blobs.spool()
    try:
        for part in parts:
            spool.write(part)
        return spool.finish()
    except BaseException:
        spool.discard()
        raise


def transcoded(
    archive: Archive, file: Spooled, codecs: Codecs, transcoding: Transcoding | None, *, is_new: bool = True
) -> Spooled:
    """The same file in another transfer syntax; takes `file` over, whatever happens.

    Args:
        archive: where.
        file: to transcode.
        codecs: for its frames.
        transcoding: how; None: not at all.
        is_new: it has an identifier of its own already, so that it needs no other one for what it loses.
    """
    if transcoding is None:
        return file
    spool = archive.blobs.spool()
    try:
        view = file.view()
        header = _scan(archive, file)
        if header.transfer_syntax_uid == transcoding.transfer_syntax_uid:
            return file
        options = TranscodeOptions(transcoding.quality, keeps_sop_instance_uid=is_new)
        transcode(view, header, transcoding.transfer_syntax_uid, spool, codecs, options)
    except BaseException:
        spool.discard()
        file.discard()
        raise
    result = spool.finish()
    file.discard()
    return result


def _cleaned(archive: Archive, file: Spooled, codecs: Codecs, cleaning: PixelCleaning, *, is_final: bool) -> Spooled:
    """The same file with pixels blanked; takes `file` over, whatever happens.

    Compressed frames are unpacked for that, and packed again if nothing gets lost by it and the result `is_final`.
    """
    original = transfer_syntax(_scan(archive, file).transfer_syntax_uid)
    if original.is_encapsulated and not cleaning.blank and cleaning.keep is None:
        return file
    is_plain = not (original.is_encapsulated or original.is_deflated or original.is_big_endian)
    if not is_plain:
        file = transcoded(archive, file, codecs, Transcoding(EXPLICIT_VR_LITTLE_ENDIAN))
    spool = archive.blobs.spool()
    try:
        blank(file.view(), _scan(archive, file), cleaning, spool)
    except BaseException:
        spool.discard()
        raise
    finally:
        file.discard()
    result = spool.finish()
    if is_plain or not is_final or (original.is_encapsulated and not _takes_all(original.uid, _scan(archive, result))):
        return result
    return transcoded(archive, result, codecs, Transcoding(original.uid))


def _takes_all(transfer_syntax_uid: str, header: Header) -> bool:
    """Whether pixels can be written in a transfer syntax that compresses, with nothing of them lost."""
    writable = WRITABLE.get(transfer_syntax_uid)
    if writable is None or writable.is_lossy:
        return False
    return writable.takes_bits or integer(header.data_set, _BITS_ALLOCATED) != 1


def _scan(archive: Archive, file: Spooled) -> Header:
    return scan(file.view(), archive.settings.limits, archive.default_encoding, archive.dictionary)


def copied(archive: Archive, stored: StoredAttachment) -> Spooled:
    """The bytes of an attachment, mapped where there is a file; `discard` leaves what is stored alone."""
    path = stored.path()
    if path is not None:
        return _Mapped(path, stored.size)
    spool = archive.blobs.spool()
    try:
        for chunk in stored.chunks():
            spool.write(chunk)
        return spool.finish()
    except BaseException:
        spool.discard()
        raise


class _Mapped(Spooled):
    """A file of the storage, looked at in place."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(None, path, size)
        try:
            self.view()  # opened now: it may go away
        except FileNotFoundError as error:
            raise InexistentFile from error

    def discard(self) -> None:
        """Let go of it."""
        self.path = None
        super().discard()
