"""Importing a folder: every file in it through `ingest`, by several threads, so that they share commits.

A journal names the files that are done. It is written after they are durable, so an import that was cut off goes on
with a few files that are stored already, which does no harm.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from amonsul.archive.context import Archive
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.spool import Spooled
from amonsul.errors import AmonsulError, BadFileFormat, MissingIdentifier

_COPY_BYTES = 1 << 20
_IN_MEMORY_BYTES = 32 << 20
_REPORT_EVERY = 50


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands; counts are of files, `files` of those that were looked at or skipped."""

    files: int = 0
    stored: int = 0
    already_stored: int = 0
    filtered_out: int = 0
    not_dicom: int = 0
    failed: int = 0
    bytes_read: int = 0


def import_folder(
    archive: Archive,
    folder: Path,
    *,
    threads: int = 4,
    progress: Callable[[ImportProgress], None] | None = None,
    failed: Callable[[Path, str], None] | None = None,
    journal: Path | None = None,
) -> ImportProgress:
    """Import all files below `folder`, in order of names; what is stored already is skipped by `ingest`.

    Args:
        archive: where to.
        folder: is read, never changed.
        threads: files that are worked on at once.
        progress: called now and then, and at the end.
        failed: called with each file that could not be stored and the reason.
        journal: a file that remembers which files are done, so that an interrupted import goes on where it was.
    """
    work = _Import(archive, folder, progress, failed, journal)
    try:
        helpers = [threading.Thread(target=work.run, name=f"import-{number}") for number in range(1, threads)]
        for helper in helpers:
            helper.start()
        try:
            work.run()
        finally:
            work.stop()
            for helper in helpers:
                helper.join()
    finally:
        work.close()
    if work.error is not None:
        raise work.error
    if progress is not None:
        progress(work.progress)
    return work.progress


class _Import:
    """One import, shared by its threads."""

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        progress: Callable[[ImportProgress], None] | None,
        failed: Callable[[Path, str], None] | None,
        journal: Path | None,
    ) -> None:
        self.progress = ImportProgress()
        self.error: BaseException | None = None
        self._archive = archive
        self._folder = folder
        self._report = progress
        self._failed = failed
        self._lock = threading.Lock()
        self._stopped = False
        self._done: set[str] = set()
        self._journal = None
        if journal is not None:
            self._done = _read_journal(journal)
            self._journal = open(journal, "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        self._files = _files_below(folder)

    def run(self) -> None:
        """Work on files until there are none left."""
        while (file := self._next()) is not None:
            try:
                self._import(file)
            except BaseException as error:  # the first one ends the import and is raised by it
                with self._lock:
                    self.error = self.error or error
                self.stop()

    def stop(self) -> None:
        """Begin no more files."""
        self._stopped = True

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _next(self) -> Path | None:
        with self._lock:
            while not self._stopped and (file := next(self._files, None)) is not None:
                if os.path.relpath(file, self._folder) not in self._done:
                    return file
                self._count(files=1)
        return None

    def _import(self, file: Path) -> None:
        size = 0
        try:
            spooled = self._spooled(file)
            size = spooled.size
            status = ingest(self._archive, spooled, InternalOrigin()).status
        except MissingIdentifier as error:
            self._fail(file, str(error), size)
            return
        except BadFileFormat:
            self._finish(file, files=1, not_dicom=1, bytes_read=size)
            return
        except (AmonsulError, OSError) as error:
            self._fail(file, str(error), size)
            return
        match status:
            case IngestStatus.SUCCESS:
                self._finish(file, files=1, stored=1, bytes_read=size)
            case IngestStatus.ALREADY_STORED:
                self._finish(file, files=1, already_stored=1, bytes_read=size)
            case IngestStatus.FILTERED_OUT:
                self._finish(file, files=1, filtered_out=1, bytes_read=size)

    def _spooled(self, file: Path) -> Spooled:
        with open(file, "rb", buffering=0) as source:
            if os.fstat(source.fileno()).st_size <= _IN_MEMORY_BYTES:
                return Spooled.of(source.readall())
            spool = self._archive.blobs.spool(size_limit=1 << 62)
            try:
                while chunk := source.read(_COPY_BYTES):
                    spool.write(chunk)
                return spool.finish()
            except BaseException:
                spool.discard()
                raise

    def _fail(self, file: Path, reason: str, size: int) -> None:
        with self._lock:
            self._count(files=1, failed=1, bytes_read=size)
            if self._failed is not None:
                self._failed(file, reason)

    def _finish(self, file: Path, **counts: int) -> None:
        with self._lock:
            self._count(**counts)
            if self._journal is not None:
                name = os.path.relpath(file, self._folder)
                if "\n" not in name:
                    self._journal.write(f"{name}\n")

    def _count(self, **counts: int) -> None:
        progress = self.progress
        self.progress = replace(progress, **{name: getattr(progress, name) + count for name, count in counts.items()})
        if self.progress.files % _REPORT_EVERY == 0:
            if self._journal is not None:
                self._journal.flush()
            if self._report is not None:
                self._report(self.progress)


def _files_below(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            file = Path(path, name)
            if file.is_file():
                yield file


def _read_journal(journal: Path) -> set[str]:
    """The files that are done; cuts off a line that a crash left unfinished."""
    try:
        text = journal.read_bytes()
    except FileNotFoundError:
        return set()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(journal, len(whole))
    return set(whole.decode("utf-8", errors="surrogateescape").splitlines())
