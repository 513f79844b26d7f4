"""How much there is. Answers come from counters that every write keeps; nothing is counted here."""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """Of the whole archive; sizes in bytes."""

    patients: int
    studies: int
    series: int
    instances: int
    disk_size: int
    uncompressed_size: int


@dataclass(frozen=True, slots=True)
class ResourceStatistics:
    """Of one resource and what is below it; sizes in bytes, `dicom_` counts the DICOM files alone."""

    level: Level
    studies: int
    series: int
    instances: int
    disk_size: int
    uncompressed_size: int
    dicom_disk_size: int
    dicom_uncompressed_size: int


def system(archive: Archive) -> SystemStatistics:
    """Statistics of the whole archive."""
    raise NotImplementedError


def of_resource(archive: Archive, level: Level, orthanc_id: OrthancId) -> ResourceStatistics:
    """Statistics of one resource.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError
