"""The logs of changes and of exports.

Their numbers come from counters in `statistics`, raised by the transaction that writes the line, so they appear in the
order of commits. Lines of a resource go with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from amonsul.database import condemned
from amonsul.database.engine import Row, Transaction
from amonsul.dicom.levels import Level, OrthancId

CHANGE_TYPES: Final[dict[str, int]] = {
    "CompletedSeries": 1,
    "NewInstance": 2,
    "NewPatient": 3,
    "NewSeries": 4,
    "NewStudy": 5,
    "AnonymizedStudy": 6,
    "AnonymizedSeries": 7,
    "ModifiedStudy": 8,
    "ModifiedSeries": 9,
    "AnonymizedPatient": 10,
    "ModifiedPatient": 11,
    "StablePatient": 12,
    "StableStudy": 13,
    "StableSeries": 14,
    "UpdatedAttachment": 15,
    "UpdatedMetadata": 16,
    "Deleted": 4097,
    "NewChildInstance": 4098,
    "UpdatedPeers": 4099,
    "UpdatedModalities": 4100,
}
"""Names of changes and the numbers they are stored under."""

CHANGE_NAMES: Final[dict[int, str]] = {number: name for name, number in CHANGE_TYPES.items()}

NEW_RESOURCE: Final = (
    CHANGE_TYPES["NewPatient"],
    CHANGE_TYPES["NewStudy"],
    CHANGE_TYPES["NewSeries"],
    CHANGE_TYPES["NewInstance"],
)
"""By level."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log; `date` is `YYYYMMDDTHHMMSS`, UTC."""

    sequence: int
    change_type: str
    level: Level
    orthanc_id: OrthancId
    date: str


@dataclass(frozen=True, slots=True)
class Export:
    """One resource that was sent somewhere; identifiers below its level are empty."""

    sequence: int
    level: Level
    orthanc_id: OrthancId
    remote_modality: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    date: str


def insert(
    tx: Transaction, sequence: int, change_type: int, level: Level, row: int, orthanc_id: OrthancId, date: str
) -> None:
    """Write a line under a number that the caller took."""
    tx.run(
        "INSERT INTO changes (sequence, change_type, level, resource_row, orthanc_id, date) "
        "VALUES (:sequence, :change_type, :level, :row, :orthanc_id, :date)",
        sequence=sequence,
        change_type=change_type,
        level=int(level),
        row=row,
        orthanc_id=orthanc_id,
        date=date,
    )


def append(tx: Transaction, change_type: str, level: Level, row: int, orthanc_id: OrthancId, date: str) -> int:
    """Write a line under the next number."""
    sequence = tx.insert("UPDATE statistics SET last_change = last_change + 1 WHERE id = 1 RETURNING last_change")
    insert(tx, sequence, CHANGE_TYPES[change_type], level, row, orthanc_id, date)
    return sequence


def after(
    tx: Transaction, since: int, to: int | None, types: Collection[int], limit: int, *, newest: bool = False
) -> list[Change]:
    """Lines numbered above `since`, up to `to`, in order; with `newest` the last ones of them."""
    conditions = ["sequence > :since"]
    if to is not None:
        conditions.append("sequence <= :to")
    if types:
        conditions.append(tx.dialect.is_number_in("change_type", "types"))
    if live := condemned.hidden(tx, "i"):
        conditions.append(f"(level < 3 OR EXISTS (SELECT 1 FROM instances i WHERE i.id = resource_row AND {live}))")
    rows = tx.all(
        f"SELECT sequence, change_type, level, orthanc_id, date FROM changes WHERE {' AND '.join(conditions)} "
        f"ORDER BY sequence {'DESC' if newest else 'ASC'} LIMIT :limit",
        since=since,
        limit=limit,
        **({} if to is None else {"to": to}),
        **({"types": tx.dialect.numbers(types)} if types else {}),
    )
    if newest:
        rows.reverse()
    return [_change(row) for row in rows]


def last_number(tx: Transaction) -> int:
    """The highest number that was given, even if its line is gone."""
    row = tx.one("SELECT last_change FROM statistics WHERE id = 1")
    return row[0] if row else 0


def clear(tx: Transaction) -> None:
    """Forget all lines."""
    tx.run("DELETE FROM changes")


def _change(row: Row) -> Change:
    return Change(row[0], CHANGE_NAMES.get(row[1], str(row[1])), Level(row[2]), row[3], row[4])


def append_export(
    tx: Transaction,
    level: Level,
    orthanc_id: OrthancId,
    remote_modality: str,
    identifiers: tuple[str, str, str, str],
    date: str,
) -> int:
    """Write a line of the log of exports; `identifiers` are Patient ID and the three UIDs, empty where lower."""
    sequence = tx.insert("UPDATE statistics SET last_export = last_export + 1 WHERE id = 1 RETURNING last_export")
    patient_id, study_instance_uid, series_instance_uid, sop_instance_uid = identifiers
    tx.run(
        "INSERT INTO exports (sequence, level, orthanc_id, remote_modality, patient_id, study_instance_uid, "
        "series_instance_uid, sop_instance_uid, date) VALUES (:sequence, :level, :orthanc_id, :remote_modality, "
        ":patient_id, :study_instance_uid, :series_instance_uid, :sop_instance_uid, :date)",
        sequence=sequence,
        level=int(level),
        orthanc_id=orthanc_id,
        remote_modality=remote_modality,
        patient_id=patient_id,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        sop_instance_uid=sop_instance_uid,
        date=date,
    )
    return sequence


def exports_after(tx: Transaction, since: int, limit: int, *, newest: bool = False) -> list[Export]:
    """Lines of the log of exports numbered above `since`, in order; with `newest` the last ones."""
    rows = tx.all(
        "SELECT sequence, level, orthanc_id, remote_modality, patient_id, study_instance_uid, series_instance_uid, "
        f"sop_instance_uid, date FROM exports WHERE sequence > :since ORDER BY sequence {'DESC' if newest else 'ASC'} "
        "LIMIT :limit",
        since=since,
        limit=limit,
    )
    if newest:
        rows.reverse()
    return [Export(row[0], Level(row[1]), *row[2:]) for row in rows]


def last_export_number(tx: Transaction) -> int:
    """The number of the newest line of the log of exports; 0 if it is empty."""
    row = tx.one("SELECT MAX(sequence) FROM exports")
    return (row[0] if row else 0) or 0


def clear_exports(tx: Transaction) -> None:
    """Forget all exports."""
    tx.run("DELETE FROM exports")
