"""Blobs as files of one folder tree.

    ROOT/incoming/<run>/      what a running process is bringing in: spools, and staged files under their identifier
    ROOT/blobs/<6>/<2>/<id>   what is stored, in folders named after the first digits of the identifier

Identifiers grow with time, so neighbours share a folder. `stage` leaves a file that is on the disk, with its name, in
the incoming folder of this process; `publish` renames it into place. Each process holds a lock on its incoming folder:
folders whose lock is free were left by a crash, and are all that `recover` looks at. A file moves in one direction
only, so who misses it in its place looks in the incoming folders and then in its place again.

A failed write or sync removes the file and fails the store: after a failed sync nobody knows what is on the disk, so
it is never tried again on the same file.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from amonsul.blobs.crash import crash_point
from amonsul.blobs.ids import is_blob_id, new_blob_id
from amonsul.blobs.spool import Spool, Spooled
from amonsul.blobs.store import BlobId
from amonsul.errors import AmonsulError, CannotStore, InexistentFile, StorageFull

logger = logging.getLogger(__name__)

_CHUNK = 256 << 10
_LOCK_NAME = ".lock"


class FilesystemBlobs:
    """A folder of blobs.

    Args:
        root: made if it is not there.
        sync: wait for the disk; without it a crash of the machine may lose blobs (option `SyncStorageArea`).
    """

    def __init__(self, root: Path, sync: bool = True) -> None:
        self._root = os.fspath(root.absolute())
        self._sync = sync
        self._incoming_root = os.path.join(self._root, "incoming")
        self._blobs = os.path.join(self._root, "blobs")
        self._folders: set[str] = set()  # those known to be there; only to save calls
        self._spool_numbers = iter(range(1 << 62))
        self._number_lock = threading.Lock()
        run = uuid.uuid4().hex
        self._incoming = os.path.join(self._incoming_root, run)
        try:
            os.makedirs(self._blobs, exist_ok=True)
            os.makedirs(self._incoming_root, exist_ok=True)
            with _Locked(os.path.join(self._incoming_root, _LOCK_NAME)):
                os.mkdir(self._incoming)
                self._lock = _open_locked(os.path.join(self._incoming, _LOCK_NAME))
            self._folder = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY)
            for folder in (self._incoming, self._incoming_root, self._root):
                _sync_folder(folder)
        except OSError as error:
            raise CannotStore(f"cannot use the storage folder {self._root}: {error.strerror}") from error

    def close(self) -> None:
        """Give the incoming folder up; what is staged in it waits for `recover`."""
        os.close(self._folder)
        os.close(self._lock)
        try:
            if os.listdir(self._incoming) == [_LOCK_NAME]:
                os.unlink(os.path.join(self._incoming, _LOCK_NAME))
                os.rmdir(self._incoming)
        except OSError:
            logger.warning("cannot remove the incoming folder %s", self._incoming)

    def spool(self, size_limit: int = 8 << 30) -> Spool:
        """See BlobStore."""
        return Spool(self._new_spool_file, size_limit=size_limit)

    def stage(self, spooled: Spooled) -> BlobId:
        """See BlobStore."""
        blob = new_blob_id()
        path = f"{self._incoming}/{blob}"
        try:
            taken = spooled.take_file()
            if taken is not None:
                self._stage_file(os.fspath(taken), path)
            else:
                self._stage_bytes(spooled.view(), path)
            if self._sync:
                os.fsync(self._folder)
                crash_point("stage.folder_synced")
        except OSError as error:
            _remove(path)
            raise refusal(error) from error
        finally:
            spooled.discard()
        return blob

    def publish(self, blob: BlobId) -> None:
        """See BlobStore."""
        crash_point("publish.before")
        self._move_in(f"{self._incoming}/{blob}", blob)
        crash_point("publish.after")

    def discard(self, blob: BlobId) -> None:
        """See BlobStore."""
        _remove(f"{self._incoming}/{blob}")

    def delete(self, blob: BlobId) -> None:
        """See BlobStore."""
        crash_point("delete.before")
        for path in self._places(blob):
            try:
                os.unlink(path)
                break
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise CannotStore(f"cannot delete blob {blob}: {error.strerror}") from error
        crash_point("delete.after")

    def size(self, blob: BlobId) -> int:
        """See BlobStore."""
        number = self._open(blob)
        try:
            return os.fstat(number).st_size
        finally:
            os.close(number)

    def read(self, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        """See BlobStore."""
        number = self._open(blob)
        try:
            size = os.fstat(number).st_size
            wanted = (size if end is None else min(end, size)) - start
            if wanted <= 0:
                return b""
            data = os.pread(number, wanted, start)
            while len(data) < wanted:  # Linux reads at most 2 GB at once
                more = os.pread(number, wanted - len(data), start + len(data))
                if not more:
                    break
                data += more
            return data
        except OSError as error:
            raise InexistentFile(f"cannot read blob {blob}: {error.strerror}") from error
        finally:
            os.close(number)

    def chunks(self, blob: BlobId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See BlobStore."""
        return _Chunks(self._open(blob), start, end)

    def path(self, blob: BlobId) -> Path | None:
        """See BlobStore."""
        for path in self._places(blob):
            if os.path.exists(path):
                return Path(path)
        raise InexistentFile(f"blob {blob} is not in the storage")

    def recover(self, known: Callable[[Sequence[BlobId]], set[BlobId]]) -> int:
        """See BlobStore."""
        discarded = 0
        with _Locked(os.path.join(self._incoming_root, _LOCK_NAME)):
            for run in os.listdir(self._incoming_root):
                folder = os.path.join(self._incoming_root, run)
                if folder == self._incoming or not os.path.isdir(folder):
                    continue
                try:
                    lock = _open_locked(os.path.join(folder, _LOCK_NAME), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # a living process works there
                try:
                    discarded += self._settle(folder, known)
                    os.unlink(os.path.join(folder, _LOCK_NAME))
                    os.rmdir(folder)
                finally:
                    os.close(lock)
        return discarded

    def scan(self) -> Iterator[tuple[BlobId, int]]:
        """See BlobStore."""
        for first in sorted(os.listdir(self._blobs)):
            for second in sorted(os.listdir(os.path.join(self._blobs, first))):
                with os.scandir(os.path.join(self._blobs, first, second)) as entries:
                    found = sorted((entry.name, entry.stat().st_size) for entry in entries if is_blob_id(entry.name))
                for name, size in found:
                    yield BlobId(name), size

    def _new_spool_file(self) -> Path:
        with self._number_lock:
            number = next(self._spool_numbers)
        return Path(self._incoming, f"spool-{number}")

    def _stage_bytes(self, data: memoryview, path: str) -> None:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            crash_point("stage.created")
            while data:
                data = data[os.write(number, data) :]
            crash_point("stage.written")
            if self._sync:
                os.fdatasync(number)
                crash_point("stage.file_synced")
        finally:
            os.close(number)

    def _stage_file(self, taken: str, path: str) -> None:
        try:
            os.rename(taken, path)
        except OSError:
            _remove(taken)
            raise
        crash_point("stage.written")
        if self._sync:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(number)
            finally:
                os.close(number)
            crash_point("stage.file_synced")

    def _settle(self, folder: str, known: Callable[[Sequence[BlobId]], set[BlobId]]) -> int:
        names = [name for name in os.listdir(folder) if name != _LOCK_NAME]
        staged = [BlobId(name) for name in names if is_blob_id(name)]
        named = known(staged) if staged else set()
        discarded = 0
        for name in names:
            path = f"{folder}/{name}"
            if name in named:
                self._move_in(path, BlobId(name))
                crash_point("recover.published")
            else:
                _remove(path)
                crash_point("recover.discarded")
                discarded += 1
        return discarded

    def _move_in(self, path: str, blob: BlobId) -> None:
        folder = f"{self._blobs}/{blob[:6]}/{blob[6:8]}"
        try:
            if folder not in self._folders:
                os.makedirs(folder, exist_ok=True)
                if len(self._folders) > 64:
                    self._folders.clear()
                self._folders.add(folder)
            os.rename(path, f"{folder}/{blob}")
        except FileNotFoundError:
            self._folders.discard(folder)
            if os.path.exists(path):  # somebody removed an empty folder
                os.makedirs(folder, exist_ok=True)
                os.rename(path, f"{folder}/{blob}")
        except OSError as error:
            # It stays readable where it is; the next start moves it.
            logger.error("cannot move blob %s into place: %s", blob, error.strerror)

    def _places(self, blob: BlobId) -> Iterator[str]:
        if not is_blob_id(blob):
            return
        place = f"{self._blobs}/{blob[:6]}/{blob[6:8]}/{blob}"
        yield place
        yield f"{self._incoming}/{blob}"
        for run in os.listdir(self._incoming_root):
            yield f"{self._incoming_root}/{run}/{blob}"
        yield place

    def _open(self, blob: BlobId) -> int:
        for path in self._places(blob):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise InexistentFile(f"cannot open blob {blob}: {error.strerror}") from error
        raise InexistentFile(f"blob {blob} is not in the storage")


class _Chunks:
    """Pieces of an open file; closes it at the end, or when dropped."""

    def __init__(self, number: int, start: int, end: int | None) -> None:
        self._number = number
        self._at = start
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._number < 0:
            raise StopIteration
        wanted = _CHUNK if self._end is None else min(_CHUNK, self._end - self._at)
        data = os.pread(self._number, wanted, self._at) if wanted > 0 else b""
        if not data:
            self.close()
            raise StopIteration
        self._at += len(data)
        return data

    def close(self) -> None:
        """Stop early."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def __del__(self) -> None:
        self.close()


class _Locked:
    """Holds the lock of a file while in the block."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._number = _open_locked(self._path)

    def __exit__(self, *_: object) -> None:
        os.close(self._number)


def _open_locked(path: str, flags: int = fcntl.LOCK_EX) -> int:
    number = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, flags)
    except BaseException:
        os.close(number)
        raise
    return number


def _sync_folder(path: str) -> None:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error("cannot remove %s: %s", path, error.strerror)


def refusal(error: OSError) -> AmonsulError:
    """What to raise when bytes cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("no room in the storage")
    return CannotStore(f"cannot write to the storage: {error.strerror}")
