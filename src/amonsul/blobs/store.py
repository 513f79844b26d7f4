"""Where bytes lie: the interface that every blob store keeps.

A blob is written once, under an identifier that the server made, and never changed. Bringing it in takes two steps
around the commit of the row that names it, so that a crash leaves neither a row without bytes nor bytes without row:

    staged = store.stage(spooled)      # durable, findable by `recover`, invisible otherwise
    ... commit the row ...
    store.publish(staged)              # or store.discard(staged) if the commit failed

On the way out the row goes first, with a tombstone in the same transaction; then `delete`, then the tombstone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NewType, Protocol, runtime_checkable

from amonsul.blobs.spool import Spool, Spooled

BlobId = NewType("BlobId", str)
"""A UUID made by the server; the only thing a path is ever made from."""


@runtime_checkable
class InFile(Protocol):
    """Chunks that come from an open file of their own, for those who can do better with that."""

    def __iter__(self) -> Iterator[bytes]:
        """The chunks."""
        ...

    def fileno(self) -> int:
        """The number of the file, which stays open until the last chunk was asked for."""
        ...


class BlobStore(Protocol):
    """A place for blobs. All methods may be called from any thread."""

    def spool(self, size_limit: int = 8 << 30) -> Spool:
        """A new spool whose file, if it needs one, `stage` can take over without copying."""
        ...

    def stage(self, spooled: Spooled) -> BlobId:
        """Make the bytes durable under a new identifier; takes `spooled` over.

        Raises:
            StorageFull: no room (ENOSPC, EDQUOT). Nothing is left behind.
            CannotStore: the write or its sync failed; a failed sync is never retried. Nothing is left behind.
        """
        ...

    def publish(self, blob: BlobId) -> None:
        """Settle a staged blob whose row is committed. Safe to lose in a crash: `recover` repeats it."""
        ...

    def discard(self, blob: BlobId) -> None:
        """Remove a staged blob whose row was not committed."""
        ...

    def delete(self, blob: BlobId) -> None:
        """Remove a blob; harmless if it is gone already."""
        ...

    def size(self, blob: BlobId) -> int:
        """Bytes of a blob. Raises InexistentFile if it is not there."""
        ...

    def read(self, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a blob, whole by default. Raises InexistentFile if it is not there."""
        ...

    def chunks(self, blob: BlobId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The same in pieces of bounded size. The blob is opened at once: a delete meanwhile does not cut it short.

        A store of files gives `InFile` for a whole blob.
        """
        ...

    def path(self, blob: BlobId) -> Path | None:
        """The file of a blob, where the store has files."""
        ...

    def recover(self, known: Callable[[Sequence[BlobId]], set[BlobId]]) -> int:
        """At start: publish what earlier runs staged and `known` finds a row for, discard the rest; count those.

        Looks only at what is staged, never at the whole store, and leaves alone what a living process is staging.
        """
        ...

    def scan(self) -> Iterator[tuple[BlobId, int]]:
        """Every published blob with its size in bytes, in order of identifiers, for `amonsul fsck`."""
        ...

    def close(self) -> None:
        """Let go of the place. Nobody may be using it any more."""
        ...
