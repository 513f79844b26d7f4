"""Counting anew what the rows say they hold, for `amonsul fsck`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amonsul.database import condemned
from amonsul.database.encoding import decode_list, encode_list
from amonsul.database.engine import SqlValue, Transaction
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, TABLES
from amonsul.database.schema import SIZES
from amonsul.dicom.levels import Level

_NUMBERS = ("number_of_studies", "number_of_series", "number_of_instances")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class WrongAggregate:
    """A column of a resource that does not say what is there."""

    level: Level
    row: int
    orthanc_id: str
    column: str
    stored: SqlValue
    counted: SqlValue


def wrong_aggregates(tx: Transaction) -> Iterator[WrongAggregate]:
    """All columns of patients, studies and series that differ from what is counted now."""
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        after = 0
        while True:
            rows = tx.all(
                f"SELECT id, orthanc_id FROM {TABLES[level]} WHERE id > :after ORDER BY id LIMIT {_CHUNK}", after=after
            )
            if not rows:
                break
            after = rows[-1][0]
            names: dict[int, str] = dict(rows)
            counted = _counted(tx, level, list(names))
            stored = _stored(tx, level, list(names))
            for row, values in stored.items():
                for column, value in values.items():
                    found = counted[row][column]
                    if found != value:
                        yield WrongAggregate(level, row, str(names[row]), column, value, found)


def correct(tx: Transaction, wrong: WrongAggregate) -> None:
    """Write what was counted."""
    tx.run(
        f"UPDATE {TABLES[wrong.level]} SET {wrong.column} = :value WHERE id = :row", value=wrong.counted, row=wrong.row
    )


def wrong_statistics(tx: Transaction) -> dict[str, tuple[int, int]]:
    """Counters of the whole index that differ from what is counted now: stored and counted."""
    instances = attachments = ""
    if live := condemned.hidden(tx, "i"):  # what a large removal left behind counts no more
        instances = f" i WHERE {live}"
        attachments = (
            f" WHERE level < 3 OR EXISTS (SELECT 1 FROM instances i WHERE i.id = attachments.resource_row AND {live})"
        )
    found = tx.one(
        "SELECT (SELECT COUNT(*) FROM patients), (SELECT COUNT(*) FROM studies), (SELECT COUNT(*) FROM series), "
        f"(SELECT COUNT(*) FROM instances{instances}), "
        f"(SELECT CAST(COALESCE(SUM(compressed_size), 0) AS BIGINT) FROM attachments{attachments}), "
        f"(SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM attachments{attachments})"
    )
    names = ("patients", "studies", "series", "instances", "disk_size", "uncompressed_size")
    stored = tx.one(f"SELECT {', '.join(names)} FROM statistics")
    assert found is not None
    assert stored is not None
    return {
        name: (there, counted) for name, there, counted in zip(names, stored, found, strict=True) if there != counted
    }


def correct_statistics(tx: Transaction, wrong: dict[str, tuple[int, int]]) -> None:
    """Write what was counted."""
    for name, (_, counted) in wrong.items():
        tx.run(f"UPDATE statistics SET {name} = :value", value=counted)


def instances_without_file(tx: Transaction) -> list[tuple[int, str]]:
    """Rows and identifiers of instances that have no DICOM file."""
    rows = tx.all(
        "SELECT i.id, i.orthanc_id FROM instances i JOIN series se ON se.id = i.series_row LEFT JOIN "
        "attachments a ON a.level = 3 AND "
        "a.resource_row = i.id AND a.content_type = 1 WHERE a.uuid IS NULL ORDER BY i.id"
    )
    return [(row[0], row[1]) for row in rows]


def childless(tx: Transaction) -> list[tuple[Level, int, str]]:
    """Patients, studies and series with nothing below them."""
    found: list[tuple[Level, int, str]] = []
    for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
        child = Level(level + 1)
        rows = tx.all(
            f"SELECT r.id, r.orthanc_id FROM {TABLES[level]} r WHERE NOT EXISTS (SELECT 1 FROM {TABLES[child]} c "
            f"WHERE c.{PARENT_COLUMNS[child]} = r.id) ORDER BY r.id"
        )
        found += [(level, row[0], row[1]) for row in rows]
    return found


def blobs_named_otherwise(tx: Transaction) -> set[str]:
    """Blobs that are no attachments: outputs of jobs, and those with tombstones, which are about to go."""
    return {row[0] for row in tx.all("SELECT uuid FROM job_outputs UNION ALL SELECT uuid FROM tombstones")}


def identifier_of(tx: Transaction, level: Level, row: int) -> str | None:
    """The identifier of the resource in a row."""
    found = tx.one(f"SELECT orthanc_id FROM {TABLES[level]} WHERE id = :row", row=row)
    return found[0] if found else None


def count_resources(tx: Transaction) -> int:
    """How many resources of all levels there are."""
    return sum(int((tx.one(f"SELECT COUNT(*) FROM {table}") or (0,))[0]) for table in TABLES)


def _columns(level: Level) -> list[str]:
    columns = [*_NUMBERS[level:], *SIZES]
    if level is Level.STUDY:
        columns += ["modalities_in_study", "sop_classes_in_study"]
    if level is Level.SERIES:
        columns.append("sop_classes")
    return columns


def _stored(tx: Transaction, level: Level, rows: list[int]) -> dict[int, dict[str, SqlValue]]:
    columns = _columns(level)
    found = tx.all(
        f"SELECT id, {', '.join(columns)} FROM {TABLES[level]} WHERE {tx.dialect.is_number_in('id', 'rows')}",
        rows=tx.dialect.numbers(rows),
    )
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in found}


def _counted(tx: Transaction, level: Level, rows: list[int]) -> dict[int, dict[str, SqlValue]]:
    """What is below some resources, by column."""
    numbers = tx.dialect.numbers(rows)
    counted: dict[int, dict[str, SqlValue]] = {row: dict.fromkeys(_columns(level), 0) for row in rows}
    sizes = {row: [0, 0, 0, 0] for row in rows}
    for step in range(level, Level.INSTANCE + 1):
        lower = Level(step)
        tables = f"{TABLES[level]} {ALIASES[level]}"
        for below in range(level + 1, lower + 1):
            tables += f" JOIN {TABLES[below]} {ALIASES[below]} ON {ALIASES[below]}.{PARENT_COLUMNS[below]} = "
            tables += f"{ALIASES[below - 1]}.id"
        top, bottom = f"{ALIASES[level]}.id", f"{ALIASES[lower]}.id"
        condition = tx.dialect.is_number_in(top, "rows")
        if lower is not level:
            for row, number in tx.all(
                f"SELECT {top}, COUNT(*) FROM {tables} WHERE {condition} GROUP BY {top}", rows=numbers
            ):
                counted[row][_NUMBERS[lower - 1]] = number
        for row, *found in tx.all(
            f"SELECT {top}, CAST(SUM(a.compressed_size) AS BIGINT), CAST(SUM(a.size) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN a.content_type = 1 THEN a.compressed_size END), 0) AS BIGINT), "
            "CAST(COALESCE(SUM(CASE WHEN a.content_type = 1 THEN a.size END), 0) AS BIGINT) "
            f"FROM {tables} JOIN attachments a ON a.level = {step} AND a.resource_row = {bottom} "
            f"WHERE {condition} GROUP BY {top}",
            rows=numbers,
        ):
            sizes[row] = [one + other for one, other in zip(sizes[row], found, strict=True)]
    for row in rows:
        counted[row] |= dict(zip(SIZES, sizes[row], strict=True))
    if level is Level.SERIES:
        _count_lists(tx, "i.series_row", "instances i", "'', i.sop_class_uid", counted, ("", "sop_classes"), numbers)
    if level is Level.STUDY:
        modality = tx.dialect.json_text("se.tags", "00080060")
        _count_lists(
            tx,
            "se.study_row",
            "series se JOIN instances i ON i.series_row = se.id",
            f"{modality}, i.sop_class_uid",
            counted,
            ("modalities_in_study", "sop_classes_in_study"),
            numbers,
        )
    return counted


def _count_lists(
    tx: Transaction,
    column: str,
    tables: str,
    values: str,
    counted: dict[int, dict[str, SqlValue]],
    names: tuple[str, str],
    numbers: str,
) -> None:
    """Collect distinct values of two columns below each row."""
    found: dict[int, tuple[set[str], set[str]]] = {row: (set(), set()) for row in counted}
    for row, one, other in tx.all(
        f"SELECT DISTINCT {column}, {values} FROM {tables} WHERE {tx.dialect.is_number_in(column, 'rows')}",
        rows=numbers,
    ):
        found[row][0].update(decode_list(encode_list([one or ""])))
        found[row][1].add(other or "")
    for row, collected in found.items():
        for name, items in zip(names, collected, strict=True):
            if name:
                counted[row][name] = encode_list(items - {""})
