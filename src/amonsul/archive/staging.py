"""Bytes of attachments on their way into the storage, compressed if the archive does that.

`stage` makes them durable under a new name; the caller commits the row that names them, then publishes or discards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from amonsul.archive.compression import compress, pieces
from amonsul.archive.context import Archive
from amonsul.archive.digest import DIGESTS
from amonsul.blobs.spool import Spooled
from amonsul.blobs.store import BlobId
from amonsul.database.attachments import UNCOMPRESSED, ZLIB_WITH_SIZE
from amonsul.database.storing import NewAttachment

_NO_LIMIT: Final = 1 << 62


def stage(archive: Archive, spooled: Spooled, content_type: int, *, compressed: bool | None = None) -> NewAttachment:
    """Bring bytes into the storage. What is in memory stays there for the caller, a file is taken over.

    Args:
        archive: where.
        spooled: the content.
        content_type: number of the attachment.
        compressed: None for what the archive does with all.

    Raises:
        StorageFull, CannotStore: nothing was stored.
    """
    settings = archive.settings
    size = spooled.size
    digest = DIGESTS.begin(spooled.view()) if settings.store_md5 else str
    try:
        if settings.compression if compressed is None else compressed:
            spool = archive.blobs.spool(_NO_LIMIT)
            packed = compress(spool, size, pieces(spooled.view()), with_md5=settings.store_md5)
            blob = archive.blobs.stage(packed.spooled)
        else:
            packed = None
            blob = archive.blobs.stage(spooled)
    finally:
        md5 = digest()
    if packed is None:
        return NewAttachment(content_type, blob, size, md5, size, md5, UNCOMPRESSED)
    return NewAttachment(content_type, blob, size, md5, packed.size, packed.md5, ZLIB_WITH_SIZE)


def publish(archive: Archive, staged: Iterable[NewAttachment]) -> None:
    """Settle what a committed row names."""
    for one in staged:
        archive.blobs.publish(BlobId(one.uuid))


def discard(archive: Archive, staged: Iterable[NewAttachment]) -> None:
    """Remove what no row names."""
    for one in staged:
        archive.blobs.discard(BlobId(one.uuid))
