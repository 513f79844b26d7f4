"""Importing a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amonsul.archive import statistics
from amonsul.archive.context import Archive
from amonsul.archive.folder_import import ImportProgress, import_folder
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.database import SqliteSettings, open_database
from tests.contract.dicom_files import instance_file


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    database = open_database(SqliteSettings(tmp_path / "index.db", synchronous=False))
    blobs = FilesystemBlobs(tmp_path / "storage", sync=False)
    yield Archive(database, blobs)
    blobs.close()
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """120 instances in three folders, one of them twice, one too large for memory, and what is not DICOM."""
    root = tmp_path / "images"
    for number in range(120):
        place = root / f"folder {number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.dcm").write_bytes(instance_file(number % 4, instance=number))
    (root / "twice").write_bytes(instance_file(0, instance=0))
    (root / "large").write_bytes(instance_file(9, pixels=bytes(33 << 20)))
    (root / "notes.txt").write_text("not DICOM")
    (root / "empty").write_bytes(b"")
    (root / "nameless").write_bytes(instance_file(StudyInstanceUID=""))
    (root / "broken link").symlink_to(root / "nowhere")
    return root


@pytest.mark.parametrize("threads", [1, 4])
def test_every_file_is_tried_and_counted(archive: Archive, folder: Path, threads: int) -> None:
    reports: list[ImportProgress] = []
    failures: list[tuple[Path, str]] = []
    done = import_folder(
        archive,
        folder,
        threads=threads,
        progress=reports.append,
        failed=lambda path, reason: failures.append((path, reason)),
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert done == ImportProgress(125, 121, 1, 0, 2, 1, size)
    assert reports[-1] == done
    assert [report.files for report in reports[:-1]] == [50, 100]
    assert [path.name for path, _ in failures] == ["nameless"]
    assert "StudyInstanceUID" in failures[0][1]
    assert statistics.system(archive).instances == 121
    assert list((folder.parent / "storage").rglob("spool*")) == []


def test_an_interrupted_import_goes_on_where_it_was(archive: Archive, folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    class Stopped(Exception):
        pass

    def stop(progress: ImportProgress) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        import_folder(archive, folder, threads=3, progress=stop, journal=journal)
    first = statistics.system(archive).instances
    assert 0 < first < 121
    with open(journal, "a") as file:
        file.write("cut of")  # the line that a crash cut off
    done = import_folder(archive, folder, threads=3, journal=journal)
    assert done.files == 125
    assert done.stored == 121 - first
    assert done.already_stored <= 4
    again = import_folder(archive, folder, journal=journal)
    assert (again.files, again.stored, again.already_stored, again.failed) == (125, 0, 0, 1)


def test_the_folder_is_left_as_it_was(archive: Archive, folder: Path) -> None:
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    import_folder(archive, folder)
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
