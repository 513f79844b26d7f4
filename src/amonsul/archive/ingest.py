"""How an instance comes in, whatever the door: scan, filter, stage the bytes, commit the rows, publish the bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.archive.origin import Origin
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import OrthancId


class IngestStatus(enum.Enum):
    """The `Status` of the answer to an upload."""

    SUCCESS = "Success"
    ALREADY_STORED = "AlreadyStored"
    FILTERED_OUT = "FilteredOut"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one instance.

    `refusal` is the DIMSE status asked for by a filter; it is 0 unless the status is FILTERED_OUT.
    """

    status: IngestStatus
    patient_id: OrthancId
    study_id: OrthancId
    series_id: OrthancId
    instance_id: OrthancId
    sop_class_uid: str
    sop_instance_uid: str
    refusal: int = 0


def ingest(archive: Archive, spooled: Spooled, origin: Origin) -> Ingested:
    """Store one instance; when this returns with SUCCESS it is durable. Takes `spooled` over, whatever happens.

    Raises:
        BadFileFormat: not DICOM, or broken.
        MissingIdentifier: without one of the UIDs that identify it.
        StorageFull, CannotStore, Unavailable: nothing was stored.
    """
    raise NotImplementedError
