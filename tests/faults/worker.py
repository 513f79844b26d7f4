"""A process that changes an archive and says so, until it ends or dies at a marked point.

Run as `python -m tests.faults.worker FOLDER CONNINFO-or-empty JOURNAL`. Each line of the journal is written before the
change begins (`begin …`) or after it was acknowledged (`done …`): a crash of the process loses no line.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from amonsul.archive import edit
from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.archive.maintenance import recover
from amonsul.archive.origin import InternalOrigin
from amonsul.archive.reclaim import remove_piece
from amonsul.blobs.spool import Spooled
from amonsul.database import condemned, removing
from amonsul.dicom.levels import Level, OrthancId
from tests.contract.dicom_files import instance_file
from tests.faults.places import Place

LARGE = bytes(9 << 20)  # beyond what a spool keeps in memory


class Journal:
    """What was begun and what is done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, *words: str) -> None:
        with open(self._path, "a") as file:
            file.write(" ".join(words) + "\n")


def store(archive: Archive, journal: Journal, patient: int, instance: int, version: str, pixels: bytes = b"") -> Any:
    """Ingest a version of an instance."""
    data = instance_file(patient, 1, 1, instance, pixels=pixels, StudyDescription=version)
    md5 = hashlib.md5(data).hexdigest()
    name = f"{patient}.{instance}"
    journal.say("begin", "store", name, md5)
    spool = archive.blobs.spool()
    spool.write(data)
    stored = ingest(archive, spool.finish(), InternalOrigin())
    journal.say("done", "store", name, md5, stored.instance_id)
    return stored


def delete(archive: Archive, journal: Journal, level: Level, orthanc_id: OrthancId, *names: str) -> None:
    """Delete a resource with these instances."""
    journal.say("begin", "delete", *names)
    edit.delete(archive, level, orthanc_id)
    journal.say("done", "delete", *names)


def run(archive: Archive, journal: Journal) -> None:
    """Pass through every marked point."""
    first = [store(archive, journal, 1, instance, "first") for instance in (1, 2, 3)]
    store(archive, journal, 2, 1, "large", LARGE)
    store(archive, journal, 1, 1, "second")
    delete(archive, journal, Level.INSTANCE, first[1].instance_id, "1.2")
    edit.set_attachment(archive, Level.STUDY, first[0].study_id, "1024", Spooled.of(b"notes"))
    edit.set_attachment(archive, Level.STUDY, first[0].study_id, "1024", Spooled.of(b"other notes"))
    edit.delete_attachment(archive, Level.STUDY, first[0].study_id, "1024")
    store(archive, journal, 1, 2, "third")
    delete(archive, journal, Level.PATIENT, first[0].patient_id, "1.1", "1.2", "1.3")
    large = [store(archive, journal, 3, instance, "many") for instance in (1, 2, 3, 4, 5)]
    removing.AT_ONCE, condemned.PIECE = 2, 2  # type: ignore[misc]
    delete(archive, journal, Level.PATIENT, large[0].patient_id, *(f"3.{instance}" for instance in (1, 2, 3, 4, 5)))
    while remove_piece(archive):
        pass
    store(archive, journal, 1, 3, "last")


def main() -> None:
    folder, conninfo, journal = sys.argv[1:]
    with Place(Path(folder), conninfo or None).archive() as archive:
        recover(archive)
        run(archive, Journal(Path(journal)))


if __name__ == "__main__":
    main()
