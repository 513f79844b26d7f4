"""Attachments: which blob holds what of which resource; and the tombstones of blobs that nobody names any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from amonsul.database.engine import Row, SqlValue, Transaction
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, TABLES, descent, row_of_sql
from amonsul.database.storing import NewAttachment, insert_attachment
from amonsul.dicom.levels import Level, OrthancId

DICOM, DICOM_AS_JSON, DICOM_UNTIL_PIXEL_DATA = 1, 2, 3
"""Content types of what the server keeps of an instance: its file, a summary, and what comes before its pixels."""

UNCOMPRESSED, ZLIB_WITH_SIZE = 1, 2
"""Values of `compression`."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment; `md5` and `compressed_md5` are empty if they were not computed."""

    content_type: int
    uuid: str
    size: int
    md5: str
    compressed_size: int
    compressed_md5: str
    compression: int
    revision: int


_COLUMNS = "content_type, uuid, size, md5, compressed_size, compressed_md5, compression, revision"


def columns_of(alias: str) -> str:
    """The columns of a table with this alias, for an `Attachment`."""
    return ", ".join(f"{alias}.{column}" for column in _COLUMNS.split(", "))


def _attachment(row: Row) -> Attachment:
    return Attachment(*row)


def find(tx: Transaction, level: Level, orthanc_id: OrthancId, content_type: int) -> Attachment | None:
    """One attachment of a resource."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM attachments WHERE level = :level AND content_type = :content_type AND "
        f"resource_row = ({row_of_sql(level)})",
        level=int(level),
        content_type=content_type,
        orthanc_id=orthanc_id,
    )
    return _attachment(row) if row else None


def of_row(tx: Transaction, level: Level, row: int) -> list[Attachment]:
    """The attachments of a resource, in order of content types."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM attachments WHERE level = :level AND resource_row = :row ORDER BY content_type",
        level=int(level),
        row=row,
    )
    return [_attachment(found) for found in rows]


def files_below(tx: Transaction, level: Level, row: int) -> list[tuple[OrthancId, Attachment]]:
    """The DICOM files of the instances of a resource, in order of arrival."""
    if level is Level.INSTANCE:
        tables, where = "instances i", "i.id = :row"
    else:
        tables, _ = descent(level, Level.INSTANCE)
        where = f"{ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]} = :row"
    rows = tx.all(
        f"SELECT i.orthanc_id, {columns_of('a')} FROM {tables} "
        "JOIN attachments a ON a.level = 3 AND a.resource_row = i.id "
        f"AND a.content_type = 1 WHERE {where} ORDER BY i.id",
        row=row,
    )
    return [(found[0], _attachment(found[1:])) for found in rows]


def put(tx: Transaction, level: Level, row: int, new: NewAttachment, revision: int) -> None:
    """Set an attachment, in place of the one of its content type; keeps the aggregates."""
    discard(tx, level, row, new.content_type)
    insert_attachment(tx, level, row, new, revision)
    _weigh(tx, level, row, new.content_type, new.compressed_size, new.size)


def discard(tx: Transaction, level: Level, row: int, content_type: int) -> str | None:
    """Remove an attachment, with a tombstone; keeps the aggregates. Answers the blob, None if there was none."""
    found = tx.one(
        "DELETE FROM attachments WHERE level = :level AND resource_row = :row AND content_type = :content_type "
        "RETURNING uuid, compressed_size, size",
        level=int(level),
        row=row,
        content_type=content_type,
    )
    if found is None:
        return None
    uuid, disk, size = found
    bury(tx, [uuid])
    _weigh(tx, level, row, content_type, -disk, -size)
    return str(uuid)


def _weigh(tx: Transaction, level: Level, row: int, content_type: int, disk: int, size: int) -> None:
    """Add to the sizes of a resource and of its ancestors."""
    params: dict[str, SqlValue] = {"disk": disk, "size": size}
    tx.run(
        "UPDATE statistics SET disk_size = disk_size + :disk, uncompressed_size = uncompressed_size + :size "
        "WHERE id = 1",
        **params,
    )
    change = "disk_size = disk_size + :disk, uncompressed_size = uncompressed_size + :size"
    if content_type == DICOM:
        change += (
            ", dicom_disk_size = dicom_disk_size + :disk, dicom_uncompressed_size = dicom_uncompressed_size + :size"
        )
    while True:
        if level is not Level.INSTANCE:
            tx.run(f"UPDATE {TABLES[level]} SET {change} WHERE id = :row", row=row, **params)
        parent = level.parent
        if parent is None:
            return
        found = tx.one(f"SELECT {PARENT_COLUMNS[level]} FROM {TABLES[level]} WHERE id = :row", row=row)
        assert found is not None
        level, row = parent, found[0]


def bury(tx: Transaction, blobs: Iterable[str]) -> None:
    """Write tombstones."""
    tx.run_many("INSERT INTO tombstones (uuid) VALUES (:uuid)", [{"uuid": blob} for blob in blobs])


def tombstones(tx: Transaction, limit: int) -> list[str]:
    """Some blobs to be deleted."""
    return [row[0] for row in tx.all("SELECT uuid FROM tombstones ORDER BY uuid LIMIT :limit", limit=limit)]


def forget_tombstones(tx: Transaction, blobs: Sequence[str]) -> None:
    """Remove the tombstones of blobs that are deleted."""
    tx.run(f"DELETE FROM tombstones WHERE {tx.dialect.is_text_in('uuid', 'blobs')}", blobs=tx.dialect.texts(blobs))


def known(tx: Transaction, blobs: Sequence[str]) -> set[str]:
    """Those of some blobs that a row names, of an attachment or of what a job made."""
    condition = tx.dialect.is_text_in("uuid", "blobs")
    rows = tx.all(
        f"SELECT uuid FROM attachments WHERE {condition} UNION ALL SELECT uuid FROM job_outputs WHERE {condition}",
        blobs=tx.dialect.texts(blobs),
    )
    return {row[0] for row in rows}


def all_blobs(tx: Transaction, after: str, limit: int) -> list[tuple[str, int, str, Level, int, int]]:
    """Attachments in order of blobs, after one: blob, size and MD5 in the storage, level, row, content type."""
    rows = tx.all(
        "SELECT uuid, compressed_size, compressed_md5, level, resource_row, content_type FROM attachments "
        "WHERE uuid > :after ORDER BY uuid LIMIT :limit",
        after=after,
        limit=limit,
    )
    return [(row[0], row[1], row[2], Level(row[3]), row[4], row[5]) for row in rows]


def every_blob(tx: Transaction) -> Iterator[tuple[str, int, str, Level, int, int]]:
    """All attachments in order of blobs, as `all_blobs`."""
    after = ""
    while chunk := all_blobs(tx, after, 5000):
        yield from chunk
        after = chunk[-1][0]
