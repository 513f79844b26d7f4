"""Blobs in memory: for tests."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from amonsul.blobs.ids import new_blob_id
from amonsul.blobs.spool import Spool, Spooled
from amonsul.blobs.store import BlobId
from amonsul.errors import InexistentFile

_CHUNK = 256 << 10


class MemoryBlobs:
    """Keeps blobs in a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._staged: dict[BlobId, bytes] = {}
        self._published: dict[BlobId, bytes] = {}

    def spool(self, size_limit: int = 8 << 30) -> Spool:
        """See BlobStore."""
        return Spool(_new_file, size_limit=size_limit)

    def stage(self, spooled: Spooled) -> BlobId:
        """See BlobStore."""
        data = bytes(spooled.view())
        spooled.discard()
        blob = new_blob_id()
        with self._lock:
            self._staged[blob] = data
        return blob

    def publish(self, blob: BlobId) -> None:
        """See BlobStore."""
        with self._lock:
            if blob in self._staged:
                self._published[blob] = self._staged.pop(blob)

    def discard(self, blob: BlobId) -> None:
        """See BlobStore."""
        with self._lock:
            self._staged.pop(blob, None)

    def delete(self, blob: BlobId) -> None:
        """See BlobStore."""
        with self._lock:
            self._published.pop(blob, None)
            self._staged.pop(blob, None)

    def size(self, blob: BlobId) -> int:
        """See BlobStore."""
        return len(self._get(blob))

    def read(self, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """See BlobStore."""
        return self._get(blob)[start:end]

    def chunks(self, blob: BlobId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See BlobStore."""
        data = self._get(blob)[start:end]
        return (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))

    def path(self, blob: BlobId) -> Path | None:  # noqa: ARG002
        """See BlobStore."""
        return None

    def recover(self, known: Callable[[Sequence[BlobId]], set[BlobId]]) -> int:
        """See BlobStore."""
        with self._lock:
            staged = list(self._staged)
            named = known(staged) if staged else set()
            for blob in staged:
                data = self._staged.pop(blob)
                if blob in named:
                    self._published[blob] = data
        return len(staged) - len(named)

    def scan(self) -> Iterator[tuple[BlobId, int]]:
        """See BlobStore."""
        with self._lock:
            found = [(blob, len(data)) for blob, data in self._published.items()]
        return iter(sorted(found))

    def close(self) -> None:
        """Nothing to close."""

    def _get(self, blob: BlobId) -> bytes:
        with self._lock:
            data = self._published.get(blob)
            if data is None:
                data = self._staged.get(blob)
        if data is None:
            raise InexistentFile(f"blob {blob} is not in the storage")
        return data


def _new_file() -> Path:
    number, name = tempfile.mkstemp(prefix="amonsul-")
    os.close(number)
    os.unlink(name)
    return Path(name)
