"""What the housekeeper asks: what is stored in another form than the present settings ask for, a series at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from amonsul.database import headers
from amonsul.database.engine import Transaction
from amonsul.database.reconstruction import write_sequences
from amonsul.database.resources import TABLES, lineage
from amonsul.database.storing import MainTagValues, write_main_tags
from amonsul.dicom.levels import Level, OrthancId


class Series(NamedTuple):
    """A series to be looked at; `last_store` is the number of the change that the last store into it ended with."""

    row: int
    orthanc_id: OrthancId
    last_store: int


def series_after(tx: Transaction, row: int) -> Series | None:
    """The next series in order of arrival."""
    found = tx.one(
        "SELECT id, orthanc_id, last_store FROM series WHERE id > :after ORDER BY id LIMIT 1",
        after=row,
    )
    return None if found is None else Series(found[0], OrthancId(found[1]), found[2])


def stale(
    tx: Transaction, series: Series, signatures: Mapping[Level, str], after: int, limit: int
) -> list[tuple[int, bytes]]:
    """Instances of a series, after a row, that have to be read because other main tags are kept of them or above them.

    Args:
        tx: the transaction.
        series: whose instances.
        signatures: of the main tags in force, by the levels that count.
        after: the row; 0 to begin with.
        limit: of instances.

    Returns:
        Their rows and packed headers; of what is above them, the first instance speaks.
    """
    rows: list[int] = []
    if tx.one("SELECT 1 FROM series WHERE id = :row", row=series.row) is None:
        return []
    if Level.INSTANCE in signatures:
        found = tx.all(
            "SELECT i.id FROM instances i JOIN signatures s ON s.id = i.signature_row WHERE i.series_row = :series "
            "AND i.id > :after AND s.signature <> :signature ORDER BY i.id LIMIT :limit",
            series=series.row,
            after=after,
            signature=signatures[Level.INSTANCE],
            limit=limit,
        )
        rows = [row[0] for row in found]
    if after == 0 and _outdated(tx, Level.SERIES, series.row, signatures):
        first = tx.one("SELECT MIN(id) FROM instances WHERE series_row = :series", series=series.row)
        if first is not None and first[0] is not None and first[0] not in rows:
            rows.insert(0, first[0])
    return sorted(headers.first_below(tx, Level.INSTANCE, rows).items()) if rows else []


def _outdated(tx: Transaction, level: Level, row: int, signatures: Mapping[Level, str]) -> list[tuple[Level, int]]:
    """Those of a resource and its ancestors of which other main tags are kept, with their rows."""
    found = []
    for each, each_row in zip(Level, lineage(tx, level, row), strict=False):
        if each not in signatures:
            continue
        kept = tx.one(
            f"SELECT s.signature FROM {TABLES[each]} r JOIN signatures s ON s.id = r.signature_row WHERE r.id = :row",
            row=each_row,
        )
        if kept != (signatures[each],):
            found.append((each, each_row))
    return found


def refresh(tx: Transaction, instance_row: int, main_tags: Mapping[Level, MainTagValues]) -> None:
    """Write the main tags of an instance, and of its ancestors, where other ones are kept; harmless if it is gone."""
    is_there = "SELECT 1 FROM instances i JOIN series s ON s.id = i.series_row WHERE i.id = :row"
    if tx.one(is_there, row=instance_row) is None:
        return
    signatures = {level: values.signature for level, values in main_tags.items()}
    for level, row in _outdated(tx, Level.INSTANCE, instance_row, signatures):
        write_main_tags(tx, level, row, main_tags[level])
        if level is Level.INSTANCE:
            write_sequences(tx, row, main_tags[level].sequences)


def in_another_form(
    tx: Transaction, series: Series, compressions: Collection[int], transfer_syntax_uid: str, after: int, limit: int
) -> list[tuple[int, OrthancId]]:
    """Instances of a series, after a row, whose file is compressed otherwise or has another transfer syntax.

    Args:
        tx: the transaction.
        series: whose instances.
        compressions: that are right.
        transfer_syntax_uid: that is right; empty if all are.
        after: the row; 0 to begin with.
        limit: of instances.
    """
    rows = tx.all(
        "SELECT i.id, i.orthanc_id FROM instances i JOIN attachments a ON a.level = 3 AND a.resource_row = i.id "
        "AND a.content_type = 1 WHERE i.series_row = :series AND i.id > :after "
        f"AND (NOT {tx.dialect.is_number_in('a.compression', 'compressions')} "
        "OR (:uid <> '' AND i.transfer_syntax_uid <> :uid)) ORDER BY i.id LIMIT :limit",
        series=series.row,
        after=after,
        compressions=tx.dialect.numbers(compressions),
        uid=transfer_syntax_uid,
        limit=limit,
    )
    return [(row[0], OrthancId(row[1])) for row in rows]
