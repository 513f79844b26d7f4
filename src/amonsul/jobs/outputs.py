"""Files that jobs made: found, read, and removed with all traces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from amonsul.archive.context import Archive
from amonsul.archive.reclaim import reclaim
from amonsul.blobs.store import BlobId, BlobStore
from amonsul.database import jobs
from amonsul.database.jobs import Output
from amonsul.errors import InexistentItem


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """A file that a job made, and the way to its bytes.

    Attributes:
        size: in bytes.
    """

    size: int
    media_type: str
    filename: str
    blob: BlobId
    blobs: BlobStore

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end)."""
        return self.blobs.read(self.blob, start, end)

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The same in pieces; the blob is opened before this returns."""
        return self.blobs.chunks(self.blob, start, end)


def find(archive: Archive, job_id: str, name: str) -> StoredOutput:
    """What a job made.

    Raises:
        InexistentItem: there is no such job, or it made no such thing.
    """
    with archive.database.read() as transaction:
        output: Output | None = jobs.find_output(transaction, job_id, name)
    if output is None:
        raise InexistentItem(f"Job has no such output: {name}")
    return StoredOutput(output.size, output.media_type, output.filename, BlobId(output.uuid), archive.blobs)


def delete(archive: Archive, job_id: str, name: str) -> None:
    """Remove what a job made.

    Raises:
        InexistentItem: there is no such job, or it made no such thing.
    """
    blob = archive.database.write(partial(jobs.delete_output, job_id=job_id, name=name))
    if blob is None:
        raise InexistentItem(f"Job has no such output: {name}")
    reclaim(archive, [blob])
