"""Short ways to put instances in."""

from __future__ import annotations

from typing import Any

from amonsul.archive.context import Archive
from amonsul.archive.ingest import Ingested, ingest
from amonsul.archive.origin import Origin, RestOrigin
from amonsul.blobs.spool import Spooled
from tests.contract.dicom_files import instance_file

REST = RestOrigin("192.0.2.1", "alice")


def store(archive: Archive, data: bytes, origin: Origin = REST) -> Ingested:
    """Ingest a file."""
    return ingest(archive, Spooled.of(data), origin)


def store_instance(
    archive: Archive, patient: int = 1, study: int = 1, series: int = 1, instance: int = 1, **more: Any
) -> Ingested:
    """Ingest an instance whose identity is a function of the numbers."""
    return store(archive, instance_file(patient, study, series, instance, **more))
