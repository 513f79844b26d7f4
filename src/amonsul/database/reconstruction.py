"""Writing anew what the index holds of the attributes of stored instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from amonsul.database.attachments import DICOM_AS_JSON, discard
from amonsul.database.columns import search_values
from amonsul.database.encoding import encode_tags
from amonsul.database.engine import SqlValue, Transaction
from amonsul.database.resources import TABLES, lineage
from amonsul.database.storing import MainTagValues, signature_row
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class Described:
    """What the file of an instance says, of the instance and of its ancestors.

    Attributes:
        identifiers: by level.
        main_tags: by level.
        pixel_data_offset: as text; None if there are no pixels.
        header: packed.
    """

    identifiers: Sequence[OrthancId]
    main_tags: Sequence[MainTagValues]
    index_in_series: int | None
    pixel_data_offset: str | None
    header: bytes


def instance_page(tx: Transaction, after: int, limit: int) -> list[tuple[int, OrthancId]]:
    """Rows and identifiers of instances in order of arrival, after a row."""
    rows = tx.all(
        "SELECT id, orthanc_id FROM instances WHERE id > :after ORDER BY id LIMIT :limit", after=after, limit=limit
    )
    return [(row[0], OrthancId(row[1])) for row in rows]


def rewrite(tx: Transaction, described: Described, levels: Sequence[Level]) -> bool:
    """Write the rows of an instance and of its ancestors at some levels; False if it is gone."""
    found = tx.one(
        "SELECT id, metadata FROM instances WHERE orthanc_id = :orthanc_id",
        orthanc_id=described.identifiers[Level.INSTANCE],
    )
    if found is None:
        return False
    row, metadata = found
    for level, ancestor in zip(Level, lineage(tx, Level.INSTANCE, row), strict=True):
        if level in levels:
            _rewrite_tags(tx, level, ancestor, described.main_tags[level])
    if Level.INSTANCE in levels:
        entries = orjson.loads(metadata)
        entries.pop("14", None)
        if described.pixel_data_offset is not None:
            entries["14"] = described.pixel_data_offset
        tx.run(
            "UPDATE instances SET metadata = :metadata, index_in_series = :index_in_series WHERE id = :row",
            row=row,
            metadata=orjson.dumps(entries).decode(),
            index_in_series=described.index_in_series,
        )
        tx.run("UPDATE headers SET header = :header WHERE instance_row = :row", row=row, header=described.header)
    return True


def _rewrite_tags(tx: Transaction, level: Level, row: int, main_tags: MainTagValues) -> None:
    values: dict[str, SqlValue] = {
        "tags": encode_tags(main_tags.tags),
        "signature_row": signature_row(tx, main_tags.signature),
        **search_values(level, main_tags.tags),
    }
    if level is Level.INSTANCE:
        values["sop_instance_uid"] = values["sop_instance_uid"] or ""
    settings = ", ".join(f"{name} = :{name}" for name in values)
    tx.run(f"UPDATE {TABLES[level]} SET {settings} WHERE id = :row", row=row, **values)


def discard_summaries(tx: Transaction, limit: int) -> list[str]:
    """Remove some attachments of the type dicom-as-json; answers their blobs."""
    rows = tx.all(
        "SELECT resource_row FROM attachments WHERE level = 3 AND content_type = :content_type LIMIT :limit",
        content_type=DICOM_AS_JSON,
        limit=limit,
    )
    gone = [discard(tx, Level.INSTANCE, row[0], DICOM_AS_JSON) for row in rows]
    return [blob for blob in gone if blob is not None]
