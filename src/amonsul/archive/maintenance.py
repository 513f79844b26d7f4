"""What is done at start, so that a crash leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim_all
from amonsul.blobs.store import BlobId
from amonsul.database import attachments


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` had to do."""

    discarded: int
    """Blobs whose row was never committed."""
    reclaimed: int
    """Blobs whose row was deleted before."""


def recover(archive: Archive) -> Recovered:
    """Finish or undo what earlier runs left in the middle. Call before the doors open; never scans the storage."""

    def known(blobs: Sequence[BlobId]) -> set[BlobId]:
        with archive.database.read() as tx:
            return {BlobId(blob) for blob in attachments.known(tx, blobs)}

    discarded = archive.blobs.recover(known)
    return Recovered(discarded=discarded, reclaimed=reclaim_all(archive))
