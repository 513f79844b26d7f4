"""Reading what is stored: headers, files and other attachments, metadata.

A header comes from the index and opens no file. The bytes of an attachment come from the blob store; when the blob
vanished between the two (an overwrite meanwhile), the index is asked again, so that a reader gets the old or the new
bytes and never an error in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from amonsul.archive.context import Archive
from amonsul.blobs.store import BlobId
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level, OrthancId


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
        "compressed_md5",
        "compressed_size",
        "compression",
        "content_type",
        "md5",
        "revision",
        "size",
        "uuid",
    )

    content_type: int
    uuid: BlobId
    size: int
    md5: str
    compressed_size: int
    compressed_md5: str
    compression: int
    revision: int

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of the uncompressed attachment.

        Raises:
            InexistentFile: the storage lost it.
        """
        raise NotImplementedError

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The same in pieces of bounded size; the blob is opened before this returns."""
        raise NotImplementedError

    def read_compressed(self) -> bytes:
        """The bytes as they lie in the storage."""
        raise NotImplementedError

    def path(self) -> Path | None:
        """The file with the uncompressed bytes, where there is one (for `sendfile`)."""
        raise NotImplementedError

    def verify(self) -> bool | None:
        """Whether the bytes match the MD5; None if none was computed."""
        raise NotImplementedError


def header(archive: Archive, instance_id: OrthancId) -> Header:
    """The header of an instance.

    Raises:
        UnknownResource: there is no such instance.
    """
    raise NotImplementedError


def headers_below(archive: Archive, level: Level, orthanc_id: OrthancId) -> Iterator[tuple[OrthancId, Header]]:
    """Headers of all instances of a resource, in order of arrival; memory stays bounded.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError


def attachment(archive: Archive, level: Level, orthanc_id: OrthancId, name: str = "dicom") -> StoredAttachment:
    """One attachment, by name or number of its content type.

    Raises:
        UnknownResource: there is no such resource.
        InexistentItem: it has no such attachment, or no such name is configured.
    """
    raise NotImplementedError


def attachments(archive: Archive, level: Level, orthanc_id: OrthancId) -> dict[str, int]:
    """Names and numbers of the attachments of a resource, in order of numbers.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError


def files_below(archive: Archive, level: Level, orthanc_id: OrthancId) -> Sequence[tuple[OrthancId, StoredAttachment]]:
    """The DICOM files of all instances of a resource, in order of arrival.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError


def metadata(archive: Archive, level: Level, orthanc_id: OrthancId) -> dict[str, Metadata]:
    """All metadata of a resource by name, in order of numbers; nameless ones have their number for a name.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError
