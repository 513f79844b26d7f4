"""Reading what is stored: headers, files and other attachments, metadata.

A header comes from the index and opens no file. The bytes of an attachment come from the blob store; when the blob
vanished between the two (an overwrite meanwhile), the index is asked again, so that a reader gets the old or the new
bytes and never an error in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from amonsul.archive.compression import PREFIX, inflate, part
from amonsul.archive.context import Archive
from amonsul.archive.names import attachment_name, attachment_number, metadata_names
from amonsul.blobs.store import BlobId
from amonsul.database import Transaction, resources
from amonsul.database import attachments as attachment_rows
from amonsul.database import headers as header_rows
from amonsul.database import metadata as metadata_rows
from amonsul.database.attachments import DICOM, UNCOMPRESSED, Attachment
from amonsul.dicom.header import Header, HeaderReader, decode_header
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import BadFileFormat, InexistentFile, InexistentItem, UnknownResource

T = TypeVar("T")

_ATTEMPTS = 8
_HEADERS = 200


class Metadata(NamedTuple):
    """One metadata entry."""

    value: bytes
    """UTF-8 text as a rule; a client may have put anything."""
    revision: int
    number: int
    """Numeric form of its name; 1024 and above are user-defined."""

    @property
    def text(self) -> str:
        """The value as text."""
        return self.value.decode("utf-8", "replace")


class StoredAttachment:
    """One attachment of a resource, and the way to its bytes.

    If it is overwritten meanwhile, the attributes are those of the new bytes as soon as a method gave these; so open
    first (`chunks`), then announce the size.

    Attributes:
        content_type: number; 1 is the DICOM file.
        uuid: identifier of the blob.
        size: uncompressed, in bytes.
        md5: of the uncompressed bytes; empty if it was not computed.
        compressed_size, compressed_md5: of what lies in the storage; the same without compression.
        compression: 1 is none, 2 is zlib with size prefix.
        revision: counts writes from 0.
    """

    __slots__ = (
        "_archive",
        "_level",
        "_orthanc_id",
        "compressed_md5",
        "compressed_size",
        "compression",
        "content_type",
        "md5",
        "revision",
        "size",
        "uuid",
    )

    def __init__(self, archive: Archive, level: Level, orthanc_id: OrthancId, row: Attachment) -> None:
        self._archive = archive
        self._level = level
        self._orthanc_id = orthanc_id
        self.content_type = row.content_type
        self._take(row)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of the uncompressed attachment.

        Raises:
            InexistentFile: the storage lost it.
            UnknownResource: it was deleted meanwhile.
        """
        if self.compression == UNCOMPRESSED:
            return self._open(lambda blob: self._archive.blobs.read(blob, start, end), lambda: self.read(start, end))
        return b"".join(self.chunks(start, end))

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The same in pieces of bounded size; the blob is opened before this returns.

        Raises:
            InexistentFile: the storage lost it.
            UnknownResource: it was deleted meanwhile.
        """
        blobs = self._archive.blobs
        if self.compression == UNCOMPRESSED:
            return self._open(lambda blob: blobs.chunks(blob, start, end), lambda: self.chunks(start, end))
        packed = self._open(lambda blob: blobs.chunks(blob, PREFIX.size), lambda: None)
        if packed is None:
            return self.chunks(start, end)
        content = inflate(packed, self.size)
        return content if start == 0 and end is None else part(content, start, end)

    def read_compressed(self) -> bytes:
        """The bytes as they lie in the storage."""
        return self._open(self._archive.blobs.read, self.read_compressed)

    def chunks_compressed(self) -> Iterator[bytes]:
        """The same in pieces of bounded size; the blob is opened before this returns."""
        return self._open(self._archive.blobs.chunks, self.chunks_compressed)

    def path(self) -> Path | None:
        """The file with the uncompressed bytes, where there is one; open it at once, it may go away."""
        return self._open(self._archive.blobs.path, self.path) if self.compression == UNCOMPRESSED else None

    def verify(self) -> bool | None:
        """Whether the bytes match the MD5; None if none was computed."""
        if not self.md5:
            return None
        digest = hashlib.md5(usedforsecurity=False)
        try:
            for chunk in self.chunks():
                digest.update(chunk)
        except BadFileFormat:
            return False
        return digest.hexdigest() == self.md5

    def _take(self, row: Attachment) -> None:
        self.uuid = BlobId(row.uuid)
        self.size = row.size
        self.md5 = row.md5
        self.compressed_size = row.compressed_size
        self.compressed_md5 = row.compressed_md5
        self.compression = row.compression
        self.revision = row.revision

    def _open(self, reach: Callable[[BlobId], T], anew: Callable[[], T]) -> T:
        """Reach the blob; if it is gone, ask the index whether another took its place.

        Should that one lie in another form, all begins `anew`.
        """
        for _ in range(_ATTEMPTS):
            try:
                return reach(self.uuid)
            except InexistentFile:
                with self._archive.database.read() as tx:
                    row = attachment_rows.find(tx, self._level, self._orthanc_id, self.content_type)
                if row is None:
                    raise UnknownResource from None
                if row.uuid == self.uuid:
                    raise
                before = self.compression
                self._take(row)
                if self.compression != before:
                    return anew()
        return reach(self.uuid)


def header(archive: Archive, instance_id: OrthancId) -> Header:
    """The header of an instance.

    Raises:
        UnknownResource: there is no such instance.
    """
    with archive.database.read() as tx:
        packed = header_rows.of_instance(tx, instance_id)
    if packed is None:
        raise UnknownResource
    return decode_header(packed)


def headers_below(archive: Archive, level: Level, orthanc_id: OrthancId) -> Iterator[tuple[OrthancId, Header]]:
    """Headers of all instances of a resource, in order of arrival; memory stays bounded.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        row = _row(tx, level, orthanc_id)
    return _headers(archive, level, row)


def _headers(archive: Archive, level: Level, row: int) -> Iterator[tuple[OrthancId, Header]]:
    after, reader = 0, HeaderReader()
    while True:
        with archive.database.read() as tx:
            chunk = header_rows.below(tx, level, row, after, limit=_HEADERS)
        for after, orthanc_id, packed in chunk:  # noqa: B007  # the last one is where the next chunk begins
            yield orthanc_id, reader.read(packed)
        if len(chunk) < _HEADERS:
            return


def packed_headers_below(archive: Archive, level: Level, orthanc_id: OrthancId) -> Iterator[bytes]:
    """The same headers, packed as they are stored; equal bytes are equal headers.

    Raises:
        UnknownResource: there is no such resource.
    """
    after = 0
    with archive.database.read() as tx:
        row = _row(tx, level, orthanc_id)
        chunk = header_rows.below(tx, level, row, after, limit=_HEADERS)
    while chunk:
        for after, _, packed in chunk:  # noqa: B007  # the last one is where the next chunk begins
            yield packed
        if len(chunk) < _HEADERS:
            return
        with archive.database.read() as tx:
            chunk = header_rows.below(tx, level, row, after, limit=_HEADERS)


def attachment(archive: Archive, level: Level, orthanc_id: OrthancId, name: str = "dicom") -> StoredAttachment:
    """One attachment, by name or number of its content type.

    Raises:
        UnknownResource: there is no such resource, or it has no such attachment.
        InexistentItem: no such name is configured.
    """
    number = DICOM if name == "dicom" else attachment_number(archive.settings, name)
    if number is None:
        raise InexistentItem
    with archive.database.read() as tx:
        row = attachment_rows.find(tx, level, orthanc_id, number)
    if row is None:
        raise UnknownResource
    return StoredAttachment(archive, level, orthanc_id, row)


def attachments(archive: Archive, level: Level, orthanc_id: OrthancId) -> dict[str, int]:
    """Names and numbers of the attachments of a resource, in order of numbers.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        rows = attachment_rows.of_row(tx, level, _row(tx, level, orthanc_id))
    return {attachment_name(archive.settings, row.content_type): row.content_type for row in rows}


def files_below(archive: Archive, level: Level, orthanc_id: OrthancId) -> Sequence[tuple[OrthancId, StoredAttachment]]:
    """The DICOM files of all instances of a resource, in order of arrival.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        rows = attachment_rows.files_below(tx, level, _row(tx, level, orthanc_id))
    return [(found, StoredAttachment(archive, Level.INSTANCE, found, row)) for found, row in rows]


def metadata(archive: Archive, level: Level, orthanc_id: OrthancId) -> dict[str, Metadata]:
    """All metadata of a resource by name, in order of numbers; nameless ones have their number for a name.

    Raises:
        UnknownResource: there is no such resource.
    """
    names = metadata_names(archive.settings)
    with archive.database.read() as tx:
        entries = metadata_rows.of_row(tx, level, _row(tx, level, orthanc_id))
    return {
        names.get(number, str(number)): Metadata(entry.value, entry.revision, number)
        for number, entry in entries.items()
    }


def _row(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int:
    row = resources.row_of(tx, level, orthanc_id)
    if row is None:
        raise UnknownResource
    return row
