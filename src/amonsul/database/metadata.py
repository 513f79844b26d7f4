"""Metadata of resources.

Core entries that are written once are columns of the row, or lie in the JSON of an instance; whatever is set later, by
users or by jobs, is in a table, with a revision.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from amonsul.database.engine import Transaction
from amonsul.database.resources import core_of_instance, core_of_series
from amonsul.dicom.header import Header
from amonsul.dicom.levels import Level
from amonsul.dicom.uids import transfer_syntax

CORE_NAMES: Final[dict[int, str]] = {
    1: "IndexInSeries",
    2: "ReceptionDate",
    3: "RemoteAET",
    4: "ExpectedNumberOfInstances",
    5: "ModifiedFrom",
    6: "AnonymizedFrom",
    7: "LastUpdate",
    8: "Origin",
    9: "TransferSyntax",
    10: "SopClassUid",
    11: "RemoteIP",
    12: "CalledAET",
    13: "HttpUsername",
    14: "PixelDataOffset",
    15: "MainDicomTagsSignature",
    16: "MainDicomSequences",
    17: "PixelDataVR",
}
"""Names of the entries that the server keeps itself."""

PIXEL_DATA_OFFSET, MAIN_DICOM_SEQUENCES, PIXEL_DATA_VR = 14, 16, 17

FIRST_USER_NUMBER: Final = 1024
LAST_USER_NUMBER: Final = 65535


def of_pixels(header: Header) -> dict[str, str]:
    """Core entries of an instance about its pixel data, by number.

    The VR is told where it is not the usual one: OB of what is encapsulated, OW otherwise.
    """
    if header.pixel_data_offset is None:
        return {}
    entries = {str(PIXEL_DATA_OFFSET): str(header.pixel_data_offset)}
    usual = "OB" if transfer_syntax(header.transfer_syntax_uid).is_encapsulated else "OW"
    if header.pixel_data_vr in ("OB", "OW", "UN") and header.pixel_data_vr != usual:
        entries[str(PIXEL_DATA_VR)] = header.pixel_data_vr
    return entries


class MetadataValue(NamedTuple):
    """An entry and how often it was changed."""

    value: bytes
    revision: int


def of_row(tx: Transaction, level: Level, row: int) -> dict[int, MetadataValue]:
    """All metadata of a resource, by number."""
    entries = {number: MetadataValue(text.encode(), 0) for number, text in _core(tx, level, row).items()}
    for number, value, revision in tx.all(
        "SELECT number, value, revision FROM metadata WHERE level = :level AND resource_row = :row",
        level=int(level),
        row=row,
    ):
        entries[number] = MetadataValue(bytes(value), revision)
    return dict(sorted(entries.items()))


def _core(tx: Transaction, level: Level, row: int) -> dict[int, str]:
    match level:
        case Level.INSTANCE:
            found = tx.one(
                "SELECT sg.signature, i.metadata, i.index_in_series, i.transfer_syntax_uid, i.sop_class_uid "
                "FROM instances i JOIN signatures sg ON sg.id = i.signature_row WHERE i.id = :row",
                row=row,
            )
            assert found is not None
            entries = core_of_instance(*found[1:])
        case Level.SERIES:
            found = tx.one(
                "SELECT sg.signature, se.last_update, se.remote_aet, se.expected_number_of_instances "
                "FROM series se JOIN signatures sg ON sg.id = se.signature_row WHERE se.id = :row",
                row=row,
            )
            assert found is not None
            entries = core_of_series(*found[1:])
        case Level.PATIENT | Level.STUDY:
            table = "patients" if level is Level.PATIENT else "studies"
            found = tx.one(
                f"SELECT sg.signature, r.last_update FROM {table} r JOIN signatures sg ON sg.id = r.signature_row "
                "WHERE r.id = :row",
                row=row,
            )
            assert found is not None
            entries = {7: found[1]}
    entries[15] = found[0]
    return entries


def get(tx: Transaction, level: Level, row: int, number: int) -> MetadataValue | None:
    """An entry of the table."""
    found = tx.one(
        "SELECT value, revision FROM metadata WHERE level = :level AND resource_row = :row AND number = :number",
        level=int(level),
        row=row,
        number=number,
    )
    return MetadataValue(bytes(found[0]), found[1]) if found else None


def put(tx: Transaction, level: Level, row: int, number: int, value: bytes, revision: int) -> None:
    """Set an entry of the table."""
    tx.run(
        "INSERT INTO metadata (level, resource_row, number, value, revision) "
        "VALUES (:level, :row, :number, :value, :revision) ON CONFLICT (level, resource_row, number) "
        "DO UPDATE SET value = excluded.value, revision = excluded.revision",
        level=int(level),
        row=row,
        number=number,
        value=value,
        revision=revision,
    )


def discard(tx: Transaction, level: Level, row: int, number: int) -> None:
    """Remove an entry of the table."""
    tx.run(
        "DELETE FROM metadata WHERE level = :level AND resource_row = :row AND number = :number",
        level=int(level),
        row=row,
        number=number,
    )
