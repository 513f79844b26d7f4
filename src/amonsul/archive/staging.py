"""Bytes of attachments on their way into the storage, compressed if the archive does that.

`stage` makes them durable under a new name; the caller commits the row that names them, then publishes or discards.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from amonsul import mapped
from amonsul.archive.compression import PREFIX, compress, inflate
from amonsul.archive.context import Archive
from amonsul.archive.digest import DIGESTS
from amonsul.blobs.spool import Spooled
from amonsul.blobs.store import BlobId
from amonsul.database import CommitUncertain, Transaction
from amonsul.database.attachments import DICOM, DICOM_UNTIL_PIXEL_DATA, UNCOMPRESSED, ZLIB_WITH_SIZE
from amonsul.database.storing import NewAttachment
from amonsul.errors import CannotStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
            packed = compress(spool, size, mapped.pieces(spooled.view()), with_md5=settings.store_md5)
            blob = archive.blobs.stage(packed.spooled)
        else:
            packed = None
            blob = archive.blobs.stage(spooled)
    finally:
        md5 = digest()
    if packed is None:
        return NewAttachment(content_type, blob, size, md5, size, md5, UNCOMPRESSED)
    return NewAttachment(content_type, blob, size, md5, packed.size, packed.md5, ZLIB_WITH_SIZE)


def stage_instance(archive: Archive, spooled: Spooled, pixel_data_offset: int | None) -> list[NewAttachment]:
    """Bring an instance into the storage: the file first, and if files are compressed, what comes before its pixels.

    Out of a compressed file no part can be read alone, so its attributes lie beside it.

    Raises:
        StorageFull, CannotStore: nothing was stored.
    """
    files = [stage(archive, spooled, DICOM)]
    if archive.settings.compression and pixel_data_offset is not None and pixel_data_offset <= spooled.size:
        try:
            beginning = Spooled.of(bytes(spooled.view()[:pixel_data_offset]))
            files.append(stage(archive, beginning, DICOM_UNTIL_PIXEL_DATA))
        except BaseException:
            discard(archive, files)
            raise
    return files


def publish(archive: Archive, staged: Iterable[NewAttachment]) -> None:
    """Settle what a committed row names."""
    for one in staged:
        archive.blobs.publish(BlobId(one.uuid))


def discard(archive: Archive, staged: Iterable[NewAttachment]) -> None:
    """Remove what no row names."""
    for one in staged:
        archive.blobs.discard(BlobId(one.uuid))


def verify(archive: Archive, staged: NewAttachment, md5: str) -> None:
    """Read staged bytes back: they replace others, which are gone afterwards.

    Args:
        archive: where.
        staged: what was staged.
        md5: of the content.

    Raises:
        CannotStore: they are not this content.
    """
    digest = hashlib.md5(usedforsecurity=False)
    blob = BlobId(staged.uuid)
    if staged.compression == UNCOMPRESSED:
        content = archive.blobs.chunks(blob)
    else:
        content = inflate(archive.blobs.chunks(blob, PREFIX.size), staged.size)
    for piece in content:
        digest.update(piece)
    if digest.hexdigest() != md5:
        raise CannotStore(f"blob {staged.uuid} does not hold what was written to it")


def commit(
    archive: Archive,
    staged: Sequence[NewAttachment],
    work: Callable[[Transaction], T],
    publish_if: Callable[[T], bool] = lambda _: True,
) -> T:
    """Commit rows that name staged bytes, then publish these; discard them if the rows are not committed."""
    try:
        outcome = archive.write(work)
    except CommitUncertain:
        logger.error(
            "blobs %s wait for the next start: their commit may or may not have happened",
            ", ".join(one.uuid for one in staged),
        )
        raise
    except BaseException:
        discard(archive, staged)
        raise
    if publish_if(outcome):
        publish(archive, staged)
    else:
        discard(archive, staged)
    return outcome
