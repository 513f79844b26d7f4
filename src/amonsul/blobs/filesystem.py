"""Blobs as files of one folder tree.

    ROOT/incoming/<run>/      what a running process is bringing in: spools, and staged files under their identifier
    ROOT/blobs/<6>/<2>/<id>   what is stored, in folders named after the first digits of the identifier

Identifiers grow with time, so neighbours share a folder. `stage` leaves a file that is on the disk, with its name, in
the incoming folder of this process; `publish` renames it into place. Each process holds a lock on its incoming folder:
folders whose lock is free were left by a crash, and are all that `recover` looks at. A file moves in one direction
only, so who misses it in its place looks in the incoming folders and then in its place again.

A failed write or sync removes the file and fails the store: after a failed sync nobody knows what is on the disk, so
it is never tried again on the same file.

Files that several callers bring at once are staged in a convoy: all are written, then all are synced. A file system
with a journal then writes its journal once for all of them. Names are on the disk before they are needed: a stock of
empty files waits in the incoming folder, made many at a time, so that a store waits for its bytes alone
(`docs/decisions/storing-an-instance.md`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from amonsul import measures
from amonsul.blobs.crash import crash_point
from amonsul.blobs.ids import is_blob_id, new_blob_id
from amonsul.blobs.spool import Spool, Spooled
from amonsul.blobs.store import BlobId
from amonsul.convoy import Convoy, Passenger
from amonsul.errors import AmonsulError, CannotStore, InexistentFile, StorageFull

logger = logging.getLogger(__name__)

_CHUNK = 256 << 10
_LOCK_NAME = ".lock"
_SYNC_FILE_RANGE_WRITE = 2
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """A call of Linux that starts writing to the disk without waiting; only a help, so its outcome does not matter."""
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], int] = function
    return found


_sync_file_range = _find_sync_file_range()


class FilesystemBlobs:
    """A folder of blobs.

    Args:
        root: made if it is not there.
        sync: wait for the disk; without it a crash of the machine may lose blobs (option `SyncStorageArea`).
        names_ahead: how many empty files wait for the next blobs, while there are any.
    """

    def __init__(self, root: Path, sync: bool = True, names_ahead: int = 64) -> None:
        self._root = os.fspath(root.absolute())
        self._sync = sync
        self._convoy: Convoy[_Staging] = Convoy(self._stage_batch, limit=32)
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
            self._stock = _Stock(self._incoming, self._folder, names_ahead) if sync and names_ahead else None
            for folder in (self._incoming, self._incoming_root, self._root):
                _sync_folder(folder)
        except OSError as error:
            raise CannotStore(f"cannot use the storage folder {self._root}: {error.strerror}") from error

    def close(self) -> None:
        """Give the incoming folder up; what is staged in it waits for `recover`."""
        if self._stock is not None:
            self._stock.close()
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
        staging = _Staging(spooled, self._incoming)
        size = spooled.size
        try:
            self._convoy.join(staging)
        finally:
            spooled.discard()
        if isinstance(staging.error, OSError):
            raise refusal(staging.error) from staging.error
        if staging.error is not None:
            raise staging.error
        measures.WRITTEN_BYTES.inc(size)
        return staging.blob

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
            measures.READ_BYTES.inc(len(data))
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

    def _stage_batch(self, batch: Sequence[_Staging]) -> None:
        try:
            for staging in batch:
                staging.write(self._stock)
            if self._sync:
                self._sync_batch(batch)
        except BaseException as error:  # each caller gets it: none may believe that its bytes are safe
            for staging in batch:
                staging.error = staging.error or error
        for staging in batch:
            staging.end()

    def _sync_batch(self, batch: Sequence[_Staging]) -> None:
        if len(batch) > 1:
            for staging in batch:
                staging.start_writing_back()
        for staging in batch:
            staging.sync()
        if any(staging.has_new_name and staging.error is None for staging in batch):
            os.fsync(self._folder)
        crash_point("stage.folder_synced")

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
                discarded += not _is_stock(name, path)
                _remove(path)
                crash_point("recover.discarded")
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


class _Stock:
    """Empty files in the incoming folder whose names are on the disk, each taken by the next blob that is staged.

    A thread of its own makes them, with one sync of the folder for all. `take` is called by one thread at a time.
    """

    def __init__(self, incoming: str, folder: int, size: int) -> None:
        self._incoming = incoming
        self._folder = folder
        self._size = size
        self._ready: deque[BlobId] = deque()
        self._is_low = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def take(self) -> BlobId | None:
        """The name of an empty file, if there is one now."""
        blob = self._ready.popleft() if self._ready else None
        if len(self._ready) < self._size // 2:
            self._is_low.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="blob-names", daemon=True)
                self._thread.start()
        return blob

    def close(self) -> None:
        """End the thread and remove what nobody took."""
        self._is_closed = True
        self._is_low.set()
        if self._thread is not None:
            self._thread.join()
        for blob in self._ready:
            _remove(f"{self._incoming}/{blob}")

    def fill(self) -> None:
        """Make what is missing. If that fails the next store makes its own name, and is told."""
        made: list[BlobId] = []
        try:
            for _ in range(self._size - len(self._ready)):
                blob = new_blob_id()
                os.close(os.open(f"{self._incoming}/{blob}", _NEW_FILE, 0o600))
                made.append(blob)
            crash_point("names.made")
            os.fsync(self._folder)
            crash_point("names.synced")
        except OSError:
            for blob in made:
                _remove(f"{self._incoming}/{blob}")
        else:
            self._ready.extend(made)

    def _work(self) -> None:
        while True:
            self._is_low.wait()
            self._is_low.clear()
            if self._is_closed:
                return
            self.fill()


def _is_stock(name: str, path: str) -> bool:
    return is_blob_id(name) and os.stat(path).st_size == 0


class _Staging(Passenger):
    """One file on its way to the disk.

    Attributes:
        blob: its name, once it is written.
        has_new_name: its name waits to be synced, too.
    """

    __slots__ = ("_incoming", "_number", "_path", "_spooled", "blob", "error", "has_new_name")

    def __init__(self, spooled: Spooled, incoming: str) -> None:
        super().__init__()
        self.blob = BlobId("")
        self.has_new_name = False
        self.error: BaseException | None = None
        self._spooled = spooled
        self._incoming = incoming
        self._path = ""
        self._number = -1

    def write(self, stock: _Stock | None) -> None:
        """Give the bytes to the operating system, under the name of the blob."""
        try:
            self._write(stock)
        except OSError as error:
            self.error = error

    def _write(self, stock: _Stock | None) -> None:
        taken = self._spooled.take_file()
        if taken is not None:
            self._name(new_blob_id(), is_new=True)
            try:
                os.rename(taken, self._path)
            except OSError:
                _remove(os.fspath(taken))
                raise
            self._number = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            blob = stock.take() if stock is not None else None
            self._name(blob or new_blob_id(), is_new=blob is None)
            flags = _NEW_FILE if blob is None else os.O_WRONLY | os.O_CLOEXEC
            self._number = os.open(self._path, flags, 0o600)
            crash_point("stage.created")
            data = self._spooled.view()
            while data:
                data = data[os.write(self._number, data) :]
        crash_point("stage.written")

    def _name(self, blob: BlobId, *, is_new: bool) -> None:
        self.blob = blob
        self.has_new_name = is_new
        self._path = f"{self._incoming}/{blob}"

    def start_writing_back(self) -> None:
        """Let the disk begin; the sync that follows then finds less to do."""
        if self.error is None and _sync_file_range is not None:
            _sync_file_range(self._number, 0, 0, _SYNC_FILE_RANGE_WRITE)

    def sync(self) -> None:
        """Wait until the bytes are on the disk."""
        if self.error is None:
            try:
                os.fdatasync(self._number)
                crash_point("stage.file_synced")
            except OSError as error:
                self.error = error

    def end(self) -> None:
        """Close the file; remove it if anything failed."""
        if self._number >= 0:
            try:
                os.close(self._number)
            except OSError as error:
                self.error = self.error or error
        if self.error is not None:
            _remove(self._path)


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
        measures.READ_BYTES.inc(len(data))
        return data

    def fileno(self) -> int:
        """See InFile."""
        return self._number

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
