"""Bytes on their way in: collected in memory while small, in a file of the storage area beyond that.

Every door (DIMSE, HTTP, import) writes what it receives into a `Spool`, so that no instance has to fit in memory
and the file of a large one is already on the file system that will keep it. A spool ends as a `Spooled`, which the
blob store takes over or which is discarded; a crash leaves its file in the folder of incoming files, which
the store empties when it opens.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

from amonsul.errors import PayloadTooLarge, StorageFull


class Spooled:
    """Complete bytes that belong to nobody yet: `discard` them or hand them to `BlobStore.stage`.

    Attributes:
        size: in bytes.
        path: the file that holds them, or None while they are in memory.
    """

    def __init__(self, data: bytes | bytearray | None, path: Path | None, size: int) -> None:
        self._data = data
        self._map: mmap.mmap | None = None
        self.path = path
        self.size = size

    @classmethod
    def of(cls, data: bytes) -> Spooled:
        """Wrap bytes that are in memory already."""
        return cls(data, None, len(data))

    def view(self) -> memoryview:
        """All the bytes; a file is mapped, not read."""
        if self._data is not None:
            return memoryview(self._data)
        if self.size == 0:
            return memoryview(b"")
        if self._map is None:
            assert self.path is not None
            with open(self.path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def take_file(self) -> Path | None:
        """Hand the file over: it is the caller's from now on. None if the bytes are in memory."""
        path, self.path = self.path, None
        return path

    def discard(self) -> None:
        """Forget the bytes and remove the file, if it was not taken."""
        self._data = None
        self._map = None  # closed with the last view on it
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


class Spool:
    """Collects chunks; single writer.

    Args:
        new_file: makes the path of a file in the folder of incoming files.
        memory_limit: bytes kept in memory before a file is opened.
        size_limit: bytes after which `write` refuses.
    """

    def __init__(self, new_file: Callable[[], Path], memory_limit: int = 8 << 20, size_limit: int = 8 << 30) -> None:
        self._new_file = new_file
        self._memory_limit = memory_limit
        self._size_limit = size_limit
        self._buffer = bytearray()
        self._file: int | None = None
        self._path: Path | None = None
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            PayloadTooLarge: more than `size_limit` bytes.
            StorageFull: the disk is full.
        """
        self.size += len(chunk)
        if self.size > self._size_limit:
            raise PayloadTooLarge(f"more than {self._size_limit} bytes")
        if self._file is None and self.size <= self._memory_limit:
            self._buffer += chunk
            return
        try:
            if self._file is None:
                self._path = self._new_file()
                self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                _write_all(self._file, self._buffer)
                self._buffer = bytearray()
            _write_all(self._file, chunk)
        except OSError as error:
            raise StorageFull(f"cannot write an incoming file: {error.strerror}") from error

    @property
    def in_memory(self) -> int:
        """Bytes that are kept in memory."""
        return len(self._buffer)

    def fits_in_memory(self, size: int) -> bool:
        """Whether `size` bytes more can be written without touching the file system."""
        return self._file is None and self.size + size <= self._memory_limit

    def spill(self) -> None:
        """Move what is in memory to a file, and everything to come."""
        self._memory_limit = -1
        self.size -= len(held := self._buffer)
        self._buffer = bytearray()
        self.write(held)

    def finish(self) -> Spooled:
        """Close the spool; its bytes are now a `Spooled`."""
        if self._file is None:
            return Spooled(self._buffer, None, self.size)
        os.close(self._file)
        self._file = None
        path, self._path = self._path, None
        return Spooled(None, path, self.size)

    def discard(self) -> None:
        """Drop what was written; harmless after `finish`."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        self._buffer = bytearray()


def _write_all(file: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
