"""Importing a folder: every file in it through `ingest`, by several threads, so that they share commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amonsul.archive.context import Archive


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands; counts are of files."""

    files: int
    stored: int
    already_stored: int
    filtered_out: int
    not_dicom: int
    failed: int
    bytes_read: int


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
        progress: called now and then, and at the end.
        failed: called with each file that could not be stored and the reason.
        journal: a file that remembers which files are done, so that an interrupted import goes on where it was.
    """
    raise NotImplementedError


__all__: Sequence[str] = ("ImportProgress", "import_folder")
