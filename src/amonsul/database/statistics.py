"""The counters of the whole index and of single resources."""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.database.engine import Transaction
from amonsul.database.resources import TABLES
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


_COUNTS = (
    "number_of_studies, number_of_series, number_of_instances",
    "1, number_of_series, number_of_instances",
    "1, 1, number_of_instances",
)


def system(tx: Transaction) -> SystemStatistics:
    """Of the whole index."""
    row = tx.one("SELECT patients, studies, series, instances, disk_size, uncompressed_size FROM statistics")
    assert row is not None
    return SystemStatistics(*row)


def of_resource(tx: Transaction, level: Level, orthanc_id: OrthancId) -> ResourceStatistics | None:
    """Of one resource."""
    if level is Level.INSTANCE:
        row = tx.one(
            "SELECT i.id, CAST(COALESCE(SUM(a.compressed_size), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(a.size), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN a.content_type = 1 THEN a.compressed_size END), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN a.content_type = 1 THEN a.size END), 0) AS BIGINT) FROM instances i "
            "JOIN series se ON se.id = i.series_row LEFT JOIN attachments a ON a.level = 3 AND a.resource_row "
            "= i.id WHERE i.orthanc_id = :orthanc_id "
            "GROUP BY i.id",
            orthanc_id=orthanc_id,
        )
        return ResourceStatistics(level, 1, 1, 1, *row[1:]) if row else None
    row = tx.one(
        f"SELECT {_COUNTS[level]}, disk_size, uncompressed_size, dicom_disk_size, dicom_uncompressed_size "
        f"FROM {TABLES[level]} WHERE orthanc_id = :orthanc_id",
        orthanc_id=orthanc_id,
    )
    return ResourceStatistics(level, *row) if row else None
