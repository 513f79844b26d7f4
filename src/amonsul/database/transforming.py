"""What jobs that make instances out of others ask of the index: where these are from, and what the results inherit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amonsul.database import labels, metadata, resources
from amonsul.database.engine import Transaction
from amonsul.database.resources import TABLES
from amonsul.database.storing import MainTagValues, write_main_tags
from amonsul.dicom.levels import Level, OrthancId

Ancestry = tuple[OrthancId, OrthancId, OrthancId, OrthancId]
"""Identifiers of a patient, a study, a series and an instance in it, by level."""


class Lineage(NamedTuple):
    """One instance with what it belongs to."""

    ancestry: Ancestry
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def lineages(tx: Transaction, instance_ids: Sequence[OrthancId]) -> list[Lineage]:
    """Those of the instances that exist, in no order."""
    rows = tx.all(
        "SELECT p.orthanc_id, st.orthanc_id, se.orthanc_id, i.orthanc_id, st.study_instance_uid, "
        "se.series_instance_uid, i.sop_instance_uid, i.transfer_syntax_uid FROM instances i "
        "JOIN series se ON se.id = i.series_row JOIN studies st ON st.id = se.study_row "
        f"JOIN patients p ON p.id = st.patient_row WHERE {tx.dialect.is_text_in('i.orthanc_id', 'ids')}",
        ids=tx.dialect.texts(instance_ids),
    )
    return [Lineage((row[0], row[1], row[2], row[3]), *row[4:]) for row in rows]


def files(tx: Transaction, instance_ids: Sequence[OrthancId]) -> dict[OrthancId, tuple[str, str]]:
    """Blob and MD5 (empty if it was not computed) of the DICOM file of those of the instances that exist."""
    rows = tx.all(
        "SELECT i.orthanc_id, a.uuid, a.md5 FROM instances i JOIN attachments a ON a.level = 3 AND "
        f"a.resource_row = i.id AND a.content_type = 1 WHERE {tx.dialect.is_text_in('i.orthanc_id', 'ids')}",
        ids=tx.dialect.texts(instance_ids),
    )
    return {row[0]: (row[1], row[2] or "") for row in rows}


def mark(tx: Transaction, level: Level, orthanc_id: OrthancId, number: int, source: OrthancId) -> None:
    """Note from what a resource was made, in the metadata with this number; harmless if it is gone."""
    row = resources.row_of(tx, level, orthanc_id)
    if row is not None:
        metadata.put(tx, level, row, number, source.encode(), 0)


def copy_labels(tx: Transaction, level: Level, source: OrthancId, target: OrthancId) -> None:
    """Give a resource the labels of another one; harmless if either is gone."""
    source_row, target_row = (resources.row_of(tx, level, orthanc_id) for orthanc_id in (source, target))
    if source_row is not None and target_row is not None:
        for label in labels.of_row(tx, level, source_row):
            labels.add(tx, level, target_row, label)


def number_of_instances(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int:
    """How many instances a patient, study or series has; 0 if it is gone."""
    row = tx.one(
        f"SELECT number_of_instances FROM {TABLES[level]} WHERE orthanc_id = :orthanc_id", orthanc_id=orthanc_id
    )
    return int(row[0]) if row is not None else 0


def set_main_tags(tx: Transaction, level: Level, orthanc_id: OrthancId, values: MainTagValues) -> None:
    """Put other main tags in place of those of a patient, study or series; harmless if it is gone."""
    row = resources.row_of(tx, level, orthanc_id)
    if row is not None:
        write_main_tags(tx, level, row, values)
