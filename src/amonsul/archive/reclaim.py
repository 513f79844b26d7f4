"""Deleting the blobs that no row names any more.

Whoever removes rows leaves tombstones in the same transaction, then calls this. Blobs go first, then their tombstones;
repeating any part of it is harmless, so what a crash leaves undone is done at the next start. What large removals leave
behind goes piece by piece, by the upkeep of whatever process comes to it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from amonsul.archive.context import Archive
from amonsul.blobs.crash import crash_point
from amonsul.blobs.store import BlobId
from amonsul.database import attachments, condemned, removing
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


def remove_piece(archive: Archive) -> bool:
    """Go on with large removals, in the index and in the storage; answer whether there is more to do."""
    with archive.database.read() as tx:
        if not condemned.is_anything_left(tx):
            return False
    blobs = archive.database.write(removing.remove_piece)
    crash_point("reclaim.piece_removed")
    if blobs is None:
        return False
    reclaim(archive, blobs)
    return True


def sweep(archive: Archive) -> bool:
    """Delete blobs that have tombstones still, because of a failure; answer whether there may be more."""
    with archive.database.read() as tx:
        blobs = attachments.tombstones(tx, _CHUNK)
    if blobs:
        _delete(archive, blobs)
    return len(blobs) == _CHUNK


def _delete(archive: Archive, blobs: Sequence[str]) -> None:
    for blob in blobs:
        archive.blobs.delete(BlobId(blob))
        crash_point("reclaim.deleted")
    archive.database.write(lambda tx: attachments.forget_tombstones(tx, blobs))
    crash_point("reclaim.forgotten")
