"""Taking a resource out of the index, with all below it and the ancestors that it leaves empty.

Blobs of what goes are written down as tombstones in the same transaction: they are deleted after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amonsul.database import condemned, tag_indexes
from amonsul.database.encoding import decode_list, encode_list
from amonsul.database.engine import SqlValue, Transaction
from amonsul.database.resources import TABLES, descendant_rows, lineage
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal came to.

    Attributes:
        ancestor: level and identifier of the nearest ancestor that is still there, None if all went.
        blobs: those that have tombstones now; after a large removal, the rest follows with `remove_piece`.
    """

    ancestor: tuple[Level, OrthancId] | None
    blobs: list[str]


@dataclass(slots=True)
class _Loss:
    """What the ancestors of removed resources lose."""

    studies: int = 0
    series: int = 0
    instances: int = 0
    disk: int = 0
    size: int = 0
    dicom_disk: int = 0
    dicom_size: int = 0

    def params(self) -> dict[str, SqlValue]:
        return {
            "instances": self.instances,
            "disk": self.disk,
            "size": self.size,
            "dicom_disk": self.dicom_disk,
            "dicom_size": self.dicom_size,
        }


AT_ONCE: Final = 1000
"""Removals of more instances are done a piece at a time."""

_SHRINK = (
    "last_update = :now, number_of_instances = number_of_instances - :instances, "
    "disk_size = disk_size - :disk, uncompressed_size = uncompressed_size - :size, "
    "dicom_disk_size = dicom_disk_size - :dicom_disk, dicom_uncompressed_size = dicom_uncompressed_size - :dicom_size"
)
_COUNTS = (
    "1, number_of_studies, number_of_series, number_of_instances",
    "0, 1, number_of_series, number_of_instances",
    "0, 0, 1, number_of_instances",
)


def remove(tx: Transaction, level: Level, row: int, now: str, *, keeps_ancestors: bool = False) -> Removed:
    """Remove the resource in a row, and the ancestors of which it is all that there is.

    With `keeps_ancestors` these stay, for something that comes in its place in the same transaction.
    """
    ancestry = lineage(tx, level, row)
    top = level
    while not keeps_ancestors and top > Level.PATIENT and _child_count(tx, Level(top - 1), ancestry[top - 1]) == 1:
        top = Level(top - 1)
    loss, patients = _loss(tx, top, ancestry[top])
    is_large = loss.instances > AT_ONCE and top is not Level.INSTANCE
    rows: dict[Level, list[int]] = {top: [ancestry[top]]}
    for lower in list(Level)[top + 1 : Level.INSTANCE if is_large else None]:
        rows[lower] = descendant_rows(tx, top, ancestry[top], lower)
    if is_large:
        condemned.condemn(tx, rows[Level.SERIES])
        if tx.one("SELECT 1 FROM labels WHERE level = 3 LIMIT 1") is not None:
            _strip_labels(tx, rows[Level.SERIES])
    blobs = _bury(tx, rows)
    for lower, gone in rows.items():
        tx.run(
            f"DELETE FROM {TABLES[lower]} WHERE {tx.dialect.is_number_in('id', 'rows')}",
            rows=tx.dialect.numbers(gone),
        )
    tx.run(
        "UPDATE statistics SET patients = patients - :patients, studies = studies - :studies, "
        "series = series - :series, instances = instances - :instances, disk_size = disk_size - :disk, "
        "uncompressed_size = uncompressed_size - :size WHERE id = 1",
        patients=patients,
        studies=loss.studies,
        series=loss.series,
        instances=loss.instances,
        disk=loss.disk,
        size=loss.size,
    )
    if top is Level.PATIENT:
        return Removed(None, blobs)
    _shrink(tx, top, ancestry, loss, now)
    remaining = Level(top - 1)
    row_of_remaining = tx.one(f"SELECT orthanc_id FROM {TABLES[remaining]} WHERE id = :row", row=ancestry[remaining])
    assert row_of_remaining is not None
    return Removed((remaining, row_of_remaining[0]), blobs)


def _child_count(tx: Transaction, level: Level, row: int) -> int:
    column = ("number_of_studies", "number_of_series", "number_of_instances")[level]
    found = tx.one(f"SELECT {column} FROM {TABLES[level]} WHERE id = :row", row=row)
    assert found is not None
    return int(found[0])


def _loss(tx: Transaction, level: Level, row: int) -> tuple[_Loss, int]:
    """What goes with a resource, and how many patients."""
    if level is Level.INSTANCE:
        found = tx.one(
            "SELECT CAST(COALESCE(SUM(compressed_size), 0) AS BIGINT), CAST(COALESCE(SUM(size), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN content_type = 1 THEN compressed_size END), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN content_type = 1 THEN size END), 0) AS BIGINT) "
            "FROM attachments WHERE level = 3 AND resource_row = :row",
            row=row,
        )
        assert found is not None
        return _Loss(0, 0, 1, *found), 0
    found = tx.one(
        f"SELECT {_COUNTS[level]}, disk_size, uncompressed_size, dicom_disk_size, dicom_uncompressed_size "
        f"FROM {TABLES[level]} WHERE id = :row",
        row=row,
    )
    assert found is not None
    return _Loss(*found[1:]), found[0]


def _bury(tx: Transaction, rows: dict[Level, list[int]]) -> list[str]:
    """Remove what hangs on resources; write tombstones for their blobs."""
    blobs: list[str] = []
    for level, gone in rows.items():
        params: dict[str, SqlValue] = {"level": int(level), "rows": tx.dialect.numbers(gone)}
        condition = f"level = :level AND {tx.dialect.is_number_in('resource_row', 'rows')}"
        blobs += [found[0] for found in tx.all(f"SELECT uuid FROM attachments WHERE {condition}", **params)]
        for table in ("attachments", "metadata", "labels", "changes"):
            tx.run(f"DELETE FROM {table} WHERE {condition}", **params)
        if level <= Level.STUDY:
            tag_indexes.forget(tx, level, gone)
    if instances := rows.get(Level.INSTANCE):
        tx.run(
            f"DELETE FROM headers WHERE {tx.dialect.is_number_in('instance_row', 'rows')}",
            rows=tx.dialect.numbers(instances),
        )
    tx.run_many("INSERT INTO tombstones (uuid) VALUES (:uuid)", [{"uuid": blob} for blob in blobs])
    return blobs


def _strip_labels(tx: Transaction, series_rows: list[int]) -> None:
    """Take the labels from instances that are left behind: they show in the list of all labels."""
    of_series = tx.dialect.is_number_in("series_row", "rows")
    tx.run(
        f"DELETE FROM labels WHERE level = 3 AND resource_row IN (SELECT id FROM instances WHERE {of_series})",
        rows=tx.dialect.numbers(series_rows),
    )


def remove_piece(tx: Transaction) -> list[str] | None:
    """Remove some instances that a large removal left behind; answers their blobs, None if there is nothing left."""
    rows = condemned.next_piece(tx)
    if not rows:
        return None
    return _remove_rows(tx, rows)


def evict(tx: Transaction, instance_id: OrthancId) -> list[str]:
    """Remove what a large removal left behind of an instance that is stored again."""
    rows = tx.all(
        f"SELECT id FROM instances WHERE orthanc_id = :orthanc_id AND NOT {condemned.LIVE.format('instances')}",
        orthanc_id=instance_id,
    )
    return _remove_rows(tx, [row[0] for row in rows]) if rows else []


def _remove_rows(tx: Transaction, rows: list[int]) -> list[str]:
    blobs = _bury(tx, {Level.INSTANCE: rows})
    tx.run(f"DELETE FROM instances WHERE {tx.dialect.is_number_in('id', 'rows')}", rows=tx.dialect.numbers(rows))
    return blobs


def _shrink(tx: Transaction, top: Level, ancestry: list[int], loss: _Loss, now: str) -> None:
    """Subtract from the remaining ancestors of what was removed at level `top`."""
    if top > Level.SERIES:
        tx.run(f"UPDATE series SET {_SHRINK} WHERE id = :row", row=ancestry[Level.SERIES], now=now, **loss.params())
        _recollect_sop_classes(tx, ancestry[Level.SERIES])
    if top > Level.STUDY:
        tx.run(
            f"UPDATE studies SET {_SHRINK}, number_of_series = number_of_series - :series WHERE id = :row",
            row=ancestry[Level.STUDY],
            now=now,
            series=loss.series,
            **loss.params(),
        )
        _recollect_study(tx, ancestry[Level.STUDY])
    tx.run(
        f"UPDATE patients SET {_SHRINK}, number_of_series = number_of_series - :series, "
        "number_of_studies = number_of_studies - :studies WHERE id = :row",
        row=ancestry[Level.PATIENT],
        now=now,
        series=loss.series,
        studies=loss.studies,
        **loss.params(),
    )


def _recollect_sop_classes(tx: Transaction, series_row: int) -> None:
    row = tx.one("SELECT sop_classes FROM series WHERE id = :row", row=series_row)
    assert row is not None
    if len(decode_list(row[0])) < 2:
        return  # whatever went had the same one as what remains
    rows = tx.all("SELECT DISTINCT sop_class_uid FROM instances WHERE series_row = :row", row=series_row)
    tx.run(
        "UPDATE series SET sop_classes = :sop_classes WHERE id = :row",
        row=series_row,
        sop_classes=encode_list(found[0] for found in rows if found[0]),
    )


def _recollect_study(tx: Transaction, study_row: int) -> None:
    row = tx.one("SELECT modalities_in_study, sop_classes_in_study FROM studies WHERE id = :row", row=study_row)
    assert row is not None
    if len(decode_list(row[0])) < 2 and len(decode_list(row[1])) < 2:
        return
    modalities: set[str] = set()
    sop_classes: set[str] = set()
    modality_text = tx.dialect.json_text("tags", "00080060")
    for modality, classes in tx.all(
        f"SELECT DISTINCT {modality_text}, sop_classes FROM series WHERE study_row = :row", row=study_row
    ):
        modalities.add(modality or "")
        sop_classes.update(decode_list(classes))
    tx.run(
        "UPDATE studies SET modalities_in_study = :modalities, sop_classes_in_study = :sop_classes WHERE id = :row",
        row=study_row,
        modalities=encode_list(modalities - {""}),
        sop_classes=encode_list(sop_classes),
    )
