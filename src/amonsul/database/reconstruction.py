"""Writing anew what the index holds of the attributes of stored instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from amonsul.database import metadata, tag_indexes
from amonsul.database.attachments import DICOM_AS_JSON, discard
from amonsul.database.engine import Transaction
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, TABLES, descent, lineage
from amonsul.database.storing import MainTagValues, write_main_tags
from amonsul.database.tag_indexes import Anchor
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class Described:
    """What the file of an instance says, of the instance and of its ancestors.

    Attributes:
        identifiers: by level.
        main_tags: by level.
        packed: the header as it is kept.
    """

    identifiers: Sequence[OrthancId]
    main_tags: Sequence[MainTagValues]
    index_in_series: int | None
    header: Header
    packed: bytes


def instance_page(tx: Transaction, after: int, limit: int) -> list[tuple[int, OrthancId]]:
    """Rows and identifiers of instances in order of arrival, after a row."""
    rows = tx.all(
        "SELECT i.id, i.orthanc_id FROM instances i JOIN series se ON se.id = i.series_row "
        "WHERE i.id > :after ORDER BY i.id LIMIT :limit",
        after=after,
        limit=limit,
    )
    return [(row[0], OrthancId(row[1])) for row in rows]


def instance_page_below(tx: Transaction, level: Level, row: int, after: int, limit: int) -> list[tuple[int, OrthancId]]:
    """The same of the instances of a resource."""
    if level is Level.INSTANCE:
        tables, where = "instances i", "i.id = :row"
    else:
        tables, _ = descent(level, Level.INSTANCE)
        where = f"{ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]} = :row"
    rows = tx.all(
        f"SELECT i.id, i.orthanc_id FROM {tables} WHERE {where} AND i.id > :after ORDER BY i.id LIMIT :limit",
        row=row,
        after=after,
        limit=limit,
    )
    return [(found[0], OrthancId(found[1])) for found in rows]


def count_below(tx: Transaction, level: Level, row: int) -> int:
    """How many instances a resource has."""
    if level is Level.INSTANCE:
        return 1
    found = tx.one(f"SELECT number_of_instances FROM {TABLES[level]} WHERE id = :row", row=row)
    return 0 if found is None else int(found[0])


def rewrite(tx: Transaction, described: Described, top: Level | None, only: Level | None) -> None:
    """Write the rows of an instance and of its ancestors; harmless if it is gone.

    The first instance of a resource speaks for it.

    Args:
        tx: the transaction.
        described: what the file says.
        top: level of the resource whose instances are written anew: this one and those above follow the first instance
            below it. None if all instances are written.
        only: the one level to be written, None for all.
    """
    found = tx.one(
        "SELECT id FROM instances WHERE orthanc_id = :orthanc_id",
        orthanc_id=described.identifiers[Level.INSTANCE],
    )
    if found is None:
        return
    rows = lineage(tx, Level.INSTANCE, found[0])
    levels = [only] if only is not None else _levels(tx, rows, Level.PATIENT if top is None else top)
    for level in levels:
        write_main_tags(tx, level, rows[level], described.main_tags[level])
    if Level.INSTANCE in levels:
        tx.run(
            "UPDATE instances SET index_in_series = :index_in_series WHERE id = :row",
            row=rows[Level.INSTANCE],
            index_in_series=described.index_in_series,
        )
        write_header(tx, rows[Level.INSTANCE], described.header, described.packed)
        write_sequences(tx, rows[Level.INSTANCE], described.main_tags[Level.INSTANCE].sequences)


def _levels(tx: Transaction, rows: Sequence[int], top: Level) -> list[Level]:
    """The levels at which the instance in the last of some rows is the first one."""
    levels = [Level.INSTANCE]
    for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
        if level >= top and not _is_first(tx, level, rows[level], rows[Level.INSTANCE]):
            break
        levels.append(level)
    return levels


def _is_first(tx: Transaction, level: Level, row: int, instance_row: int) -> bool:
    tables, _ = descent(level, Level.INSTANCE)
    column = f"{ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]}"
    earlier = tx.one(
        f"SELECT 1 FROM {tables} WHERE {column} = :row AND i.id < :instance LIMIT 1", row=row, instance=instance_row
    )
    return earlier is None


def write_header(tx: Transaction, row: int, header: Header, packed: bytes) -> None:
    """Put what another file of an instance says in place of what the last one said."""
    entries = _entries(tx, row)
    for number in (metadata.PIXEL_DATA_OFFSET, metadata.PIXEL_DATA_VR):
        entries.pop(str(number), None)
    _put_entries(tx, row, {**entries, **metadata.of_pixels(header)})
    tx.run("UPDATE instances SET transfer_syntax_uid = :uid WHERE id = :row", row=row, uid=header.transfer_syntax_uid)
    tx.run("UPDATE headers SET header = :header WHERE instance_row = :row", row=row, header=packed)
    indexed = tag_indexes.declared(tx)
    if indexed:
        study_row = lineage(tx, Level.INSTANCE, row)[Level.STUDY]
        values = {tag: tag_indexes.of_element(header.element(tag)) for tag in indexed}
        tag_indexes.enter(tx, Anchor(Level.STUDY, study_row), values)


def write_sequences(tx: Transaction, row: int, sequences: str) -> None:
    """Put other sequences in place of those among the main tags of an instance."""
    entries = _entries(tx, row)
    key = str(metadata.MAIN_DICOM_SEQUENCES)
    if entries.get(key, "") != sequences:
        entries.pop(key, None)
        _put_entries(tx, row, {**entries, key: sequences} if sequences else entries)


def _entries(tx: Transaction, row: int) -> dict[str, str]:
    found = tx.one("SELECT metadata FROM instances WHERE id = :row", row=row)
    assert found is not None
    entries: dict[str, str] = orjson.loads(found[0])
    return entries


def _put_entries(tx: Transaction, row: int, entries: Mapping[str, str]) -> None:
    tx.run(
        "UPDATE instances SET metadata = :metadata WHERE id = :row", row=row, metadata=orjson.dumps(entries).decode()
    )


def discard_summaries(tx: Transaction, limit: int) -> list[str]:
    """Remove some attachments of the type dicom-as-json; answers their blobs."""
    rows = tx.all(
        "SELECT resource_row FROM attachments WHERE level = 3 AND content_type = :content_type LIMIT :limit",
        content_type=DICOM_AS_JSON,
        limit=limit,
    )
    gone = [discard(tx, Level.INSTANCE, row[0], DICOM_AS_JSON) for row in rows]
    return [blob for blob in gone if blob is not None]
