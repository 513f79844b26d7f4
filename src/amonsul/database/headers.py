"""The packed headers of instances."""

from __future__ import annotations

from collections.abc import Sequence

from amonsul.database.engine import Transaction
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, descent
from amonsul.dicom.levels import Level, OrthancId


def of_instance(tx: Transaction, orthanc_id: OrthancId) -> bytes | None:
    """The header of one instance."""
    row = tx.one(
        "SELECT h.header FROM instances i JOIN series se ON se.id = i.series_row JOIN headers h ON "
        "h.instance_row = i.id "
        "WHERE i.orthanc_id = :orthanc_id",
        orthanc_id=orthanc_id,
    )
    return bytes(row[0]) if row else None


def below(tx: Transaction, level: Level, row: int, after: int, limit: int) -> list[tuple[int, OrthancId, bytes]]:
    """Headers of the instances of a resource in order of arrival: row, identifier, header."""
    if level is Level.INSTANCE:
        tables, where = "instances i", "i.id = :row"
    else:
        tables, _ = descent(level, Level.INSTANCE)
        where = f"{ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]} = :row"
    rows = tx.all(
        f"SELECT i.id, i.orthanc_id, h.header FROM {tables} JOIN headers h ON h.instance_row = i.id "
        f"WHERE {where} AND i.id > :after ORDER BY i.id LIMIT :limit",
        row=row,
        after=after,
        limit=limit,
    )
    return [(found[0], found[1], bytes(found[2])) for found in rows]


def first_below(tx: Transaction, level: Level, rows: Sequence[int]) -> dict[int, bytes]:
    """The header of the first instance of each resource, by row of the resource."""
    if level is Level.INSTANCE:
        found = tx.all(
            f"SELECT instance_row, header FROM headers WHERE {tx.dialect.is_number_in('instance_row', 'rows')}",
            rows=tx.dialect.numbers(rows),
        )
        return {row[0]: bytes(row[1]) for row in found}
    tables, _ = descent(level, Level.INSTANCE)
    column = f"{ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]}"
    found = tx.all(
        f"SELECT first.resource_row, h.header FROM (SELECT {column} AS resource_row, MIN(i.id) AS instance_row "
        f"FROM {tables} WHERE {tx.dialect.is_number_in(column, 'rows')} GROUP BY {column}) first "
        f"JOIN headers h ON h.instance_row = first.instance_row",
        rows=tx.dialect.numbers(rows),
    )
    return {row[0]: bytes(row[1]) for row in found}
