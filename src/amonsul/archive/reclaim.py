"""Deleting the blobs that no row names any more.

Whoever removes rows leaves tombstones in the same transaction, then calls this. Blobs go first, then their tombstones;
repeating any part of it is harmless, so what a crash leaves undone is done at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from amonsul.archive.context import Archive
from amonsul.blobs.crash import crash_point
from amonsul.blobs.store import BlobId
from amonsul.database import attachments
from amonsul.errors import AmonsulError

logger = logging.getLogger(__name__)

_CHUNK = 500


def reclaim(archive: Archive, blobs: Sequence[str]) -> None:
    """Delete some blobs that have tombstones. A failure is left for the next start: the deletion itself is done."""
    try:
        for at in range(0, len(blobs), _CHUNK):
            _delete(archive, blobs[at : at + _CHUNK])
    except AmonsulError as error:
        logger.warning("deleted files are still in the storage: %s", error)


def reclaim_all(archive: Archive) -> int:
    """Delete all blobs that have tombstones; count them."""
    count = 0
    while True:
        with archive.database.read() as tx:
            blobs = attachments.tombstones(tx, _CHUNK)
        if not blobs:
            return count
        _delete(archive, blobs)
        count += len(blobs)


def _delete(archive: Archive, blobs: Sequence[str]) -> None:
    for blob in blobs:
        archive.blobs.delete(BlobId(blob))
        crash_point("reclaim.deleted")
    archive.database.write(lambda tx: attachments.forget_tombstones(tx, blobs))
    crash_point("reclaim.forgotten")
