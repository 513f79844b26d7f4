"""Room for what comes in (options `MaximumStorageSize`, `MaximumPatientCount`, `MaximumStorageMode`).

It is made in the transaction that stores, so the limits hold at every commit, whoever stores at the same time. A
patient who makes room is the one who has been longest without a new instance, never a protected one, and never the one
who is being added to. What must be refused is refused before anything went.
"""

from __future__ import annotations

import logging

from amonsul.archive import clock
from amonsul.archive.context import ArchiveSettings, StorageMode
from amonsul.database import Transaction, recycling, removing
from amonsul.database.storing import NewInstance
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import StorageFull

logger = logging.getLogger(__name__)


def make_room_for_instance(tx: Transaction, settings: ArchiveSettings, new: NewInstance) -> list[str]:
    """Make room for an instance that is about to be inserted; answers the blobs that went.

    Raises:
        StorageFull: it does not fit, and nobody may go.
    """
    if not settings.maximum_patient_count and not settings.maximum_storage_size:
        return []
    size = sum(file.compressed_size for file in (new.file, *new.more_files))
    patient_id = new.identifiers[Level.PATIENT]
    is_new = bool(settings.maximum_patient_count) and not recycling.is_known(tx, patient_id)
    return _make_room(tx, settings, patient_id, size, int(is_new))


def make_room_for_attachment(tx: Transaction, settings: ArchiveSettings, patient_row: int, size: int) -> list[str]:
    """Make room for an attachment of a patient or of what is below; answers the blobs that went.

    Raises:
        StorageFull: it does not fit, and nobody may go.
    """
    if not settings.maximum_storage_size:
        return []
    return _make_room(tx, settings, recycling.identifier(tx, patient_row), size, 0)


def _make_room(tx: Transaction, settings: ArchiveSettings, kept: OrthancId, size: int, patients: int) -> list[str]:
    blobs: list[str] = []
    while True:
        used = recycling.usage(tx)
        too_large = settings.maximum_storage_size and used.disk_size + size > settings.maximum_storage_size
        too_many = patients and used.patients + patients > settings.maximum_patient_count
        if not too_large and not too_many:
            return blobs
        if settings.maximum_storage_mode is StorageMode.REJECT:
            raise StorageFull
        victim = recycling.next_patient(tx, kept)
        if victim is None:
            raise StorageFull("all patients that could make room are protected")
        row, orthanc_id = victim
        logger.info("patient %s makes room", orthanc_id)
        blobs += removing.remove(tx, Level.PATIENT, row, clock.now()).blobs
