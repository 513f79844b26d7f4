"""Putting an instance into the index: its rows, its ancestors where they are new, their aggregates, the changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from amonsul.database import changes, metadata, tag_indexes
from amonsul.database.columns import search_values
from amonsul.database.encoding import decode_list, encode_list, encode_tags
from amonsul.database.engine import SqlValue, Transaction
from amonsul.database.removing import evict
from amonsul.database.resources import TABLES, lineage
from amonsul.database.tag_indexes import Anchor
from amonsul.dicom.elements import DataSet, Element, Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.main_tags import MainTags


@dataclass(frozen=True, slots=True)
class MainTagValues:
    """Main tags of one level of an instance, and the signature of the set they belong to.

    `sequences` are those that have no text, as JSON; empty if there are none.
    """

    tags: Mapping[Tag, str]
    signature: str
    sequences: str = ""


def main_tag_values(main_tags: MainTags, level: Level, data_set: DataSet) -> MainTagValues:
    """What a data set says of one level."""
    return MainTagValues(
        main_tags.extract(level, data_set), main_tags.signature(level), main_tags.sequences(level, data_set)
    )


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """A blob that is staged. `md5` is empty if it was not computed; `compression` 1 is none."""

    content_type: int
    uuid: str
    size: int
    md5: str
    compressed_size: int
    compressed_md5: str
    compression: int = 1


@dataclass(frozen=True, slots=True)
class NewInstance:
    """All that the index keeps of an instance.

    Attributes:
        identifiers: of the instance and its ancestors, by level.
        main_tags: gives the main tags of a level; asked only for what is new.
        element: gives any attribute; asked for those that have an index of their own.
        metadata: core entries by number, as JSON.
        expected_number_of_instances: of the series, if the headers tell; used when the series is new.
        file: the DICOM file.
        more_files: other attachments that come with it.
    """

    identifiers: tuple[OrthancId, OrthancId, OrthancId, OrthancId]
    main_tags: Callable[[Level], MainTagValues]
    element: Callable[[Tag], Element | None]
    sop_class_uid: str
    transfer_syntax_uid: str
    index_in_series: int | None
    expected_number_of_instances: int | None
    remote_aet: str
    metadata: str
    header: bytes
    file: NewAttachment
    more_files: Sequence[NewAttachment] = ()


_FIND_SERIES = (
    "SELECT se.id, st.id, p.id, se.sop_classes, se.expected_number_of_instances FROM series se "
    "JOIN studies st ON st.id = se.study_row "
    "JOIN patients p ON p.id = st.patient_row WHERE se.orthanc_id = :orthanc_id"
)
_FIND_STUDY = (
    "SELECT st.id, p.id FROM studies st JOIN patients p ON p.id = st.patient_row WHERE st.orthanc_id = :orthanc_id"
)
_INSERT_INSTANCE = (
    "INSERT INTO instances (orthanc_id, series_row, tags, signature_row, metadata, index_in_series, "
    "transfer_syntax_uid, sop_class_uid, sop_instance_uid, instance_number) VALUES (:orthanc_id, :series_row, :tags, "
    ":signature_row, :metadata, :index_in_series, :transfer_syntax_uid, :sop_class_uid, :sop_instance_uid, "
    ":instance_number) ON CONFLICT (orthanc_id) DO NOTHING RETURNING id"
)
_ADD = (
    "last_update = :now, is_stable = 0, last_store = :change, number_of_instances = number_of_instances + 1, "
    "disk_size = disk_size + :disk, uncompressed_size = uncompressed_size + :size, "
    "dicom_disk_size = dicom_disk_size + :dicom_disk, dicom_uncompressed_size = dicom_uncompressed_size + :dicom_size"
)
_GROW_SERIES = f"UPDATE series SET {_ADD} WHERE id = :row"
_GROW_STUDY = f"UPDATE studies SET {_ADD}, number_of_series = number_of_series + :series WHERE id = :row"
_GROW_PATIENT = (
    f"UPDATE patients SET {_ADD}, number_of_series = number_of_series + :series, "
    "number_of_studies = number_of_studies + :studies, recycling_order = :change WHERE id = :row"
)
_GROW_STATISTICS = (
    "UPDATE statistics SET patients = patients + :patients, studies = studies + :studies, series = series + :series, "
    "instances = instances + 1, disk_size = disk_size + :disk, uncompressed_size = uncompressed_size + :size, "
    "last_change = last_change + :changes WHERE id = 1 RETURNING last_change, indexed_tags"
)


def find_instance(tx: Transaction, orthanc_id: OrthancId) -> tuple[int, str, int, str] | None:
    """Row, blob, uncompressed size and MD5 of the file of an instance, if it is there."""
    row = tx.one(
        "SELECT i.id, a.uuid, a.size, a.md5 FROM instances i JOIN series se ON se.id = i.series_row LEFT JOIN "
        "attachments a ON a.level = 3 AND "
        "a.resource_row = i.id AND a.content_type = 1 WHERE i.orthanc_id = :orthanc_id",
        orthanc_id=orthanc_id,
    )
    return (row[0], row[1] or "", row[2] or 0, row[3] or "") if row else None


def insert_instance(tx: Transaction, new: NewInstance, now: str) -> Sequence[Level]:
    """Insert an instance that is not there; answer the levels at which something is new, from the instance up."""
    patient_id, study_id, series_id, instance_id = new.identifiers
    appeared = [Level.INSTANCE]
    found = tx.one(_FIND_SERIES, orthanc_id=series_id)
    if found is not None:
        series_row, study_row, patient_row, sop_classes, expected = found
    else:
        sop_classes, expected = "", new.expected_number_of_instances
        appeared.append(Level.SERIES)
        found = tx.one(_FIND_STUDY, orthanc_id=study_id)
        if found is not None:
            study_row, patient_row = found
        else:
            appeared.append(Level.STUDY)
            row = tx.one("SELECT id FROM patients WHERE orthanc_id = :orthanc_id", orthanc_id=patient_id)
            if row is not None:
                patient_row = row[0]
            else:
                appeared.append(Level.PATIENT)
                patient_row = _insert_resource(tx, Level.PATIENT, patient_id, new, now, recycling_order=0)
            study_row = _insert_resource(tx, Level.STUDY, study_id, new, now, patient_row=patient_row)
        series_row = _insert_resource(
            tx,
            Level.SERIES,
            series_id,
            new,
            now,
            study_row=study_row,
            remote_aet=new.remote_aet,
            expected_number_of_instances=new.expected_number_of_instances,
        )
        _add_modality(tx, study_row, new.main_tags(Level.SERIES).tags.get(_MODALITY, ""))
    if new.sop_class_uid and new.sop_class_uid not in decode_list(sop_classes):
        _add_sop_class(tx, study_row, series_row, sop_classes, new.sop_class_uid)

    main_tags = new.main_tags(Level.INSTANCE)
    searched = search_values(Level.INSTANCE, main_tags.tags)
    values: dict[str, SqlValue] = {
        "orthanc_id": instance_id,
        "series_row": series_row,
        "tags": encode_tags(main_tags.tags),
        "signature_row": signature_row(tx, main_tags.signature),
        "metadata": new.metadata,
        "index_in_series": new.index_in_series,
        "transfer_syntax_uid": new.transfer_syntax_uid,
        "sop_class_uid": new.sop_class_uid,
        "sop_instance_uid": searched["sop_instance_uid"] or "",
        "instance_number": searched["instance_number"],
    }
    inserted = tx.one(_INSERT_INSTANCE, **values)
    if inserted is None:
        evict(tx, instance_id)
        inserted = tx.one(_INSERT_INSTANCE, **values)
    assert inserted is not None
    instance_row: int = inserted[0]
    tx.run(
        "INSERT INTO headers (instance_row, header) VALUES (:row, :header)",
        row=instance_row,
        header=new.header,
    )
    insert_attachment(tx, Level.INSTANCE, instance_row, new.file)
    for file in new.more_files:
        insert_attachment(tx, Level.INSTANCE, instance_row, file)

    disk = new.file.compressed_size + sum(file.compressed_size for file in new.more_files)
    size = new.file.size + sum(file.size for file in new.more_files)
    weight: dict[str, SqlValue] = {
        "disk": disk,
        "size": size,
        "dicom_disk": new.file.compressed_size,
        "dicom_size": new.file.size,
    }
    series, studies, patients = (int(level in appeared) for level in (Level.SERIES, Level.STUDY, Level.PATIENT))
    counted = tx.one(
        _GROW_STATISTICS,
        patients=patients,
        studies=studies,
        series=series,
        disk=disk,
        size=size,
        changes=len(appeared),
    )
    assert counted is not None
    last_change: int = counted[0]
    if counted[1]:
        _enter_values(tx, new, tag_indexes.parse(counted[1]), study_row, patient_row if patients else None)
    tx.run(_GROW_SERIES, row=series_row, now=now, change=last_change, **weight)
    tx.run(_GROW_STUDY, row=study_row, now=now, change=last_change, series=series, **weight)
    tx.run(
        _GROW_PATIENT,
        row=patient_row,
        now=now,
        change=last_change,
        series=series,
        studies=studies,
        **weight,
    )
    rows = (patient_row, study_row, series_row, instance_row)
    sequence = last_change - len(appeared)
    for level in appeared:
        sequence += 1
        changes.insert(tx, sequence, changes.NEW_RESOURCE[level], level, rows[level], new.identifiers[level], now)
    if expected is not None and is_complete(tx, series_row, expected):
        changes.append(tx, "CompletedSeries", Level.SERIES, series_row, series_id, now)
    return appeared


def _enter_values(
    tx: Transaction, new: NewInstance, tags: Sequence[Tag], study_row: int, new_patient_row: int | None
) -> None:
    """Enter what an instance says into the indexes of single attributes."""
    values = {tag: tag_indexes.of_element(new.element(tag)) for tag in tags}
    tag_indexes.enter(tx, Anchor(Level.STUDY, study_row), values)
    if new_patient_row is not None:
        main_tags = new.main_tags(Level.PATIENT).tags
        tag_indexes.enter(tx, Anchor(Level.PATIENT, new_patient_row), tag_indexes.of_main_tags(tags, main_tags))


def is_complete(tx: Transaction, series_row: int, expected: int) -> bool:
    """Whether a series has just the instances that its headers promise."""
    row = tx.one("SELECT number_of_instances FROM series WHERE id = :row", row=series_row)
    if row != (expected,):
        return False
    row = tx.one(
        "SELECT COUNT(*), COUNT(index_in_series), COUNT(DISTINCT index_in_series), MIN(index_in_series), "
        "MAX(index_in_series) FROM instances WHERE series_row = :row",
        row=series_row,
    )
    return row == (expected, expected, expected, 1, expected)


def insert_attachment(tx: Transaction, level: Level, row: int, new: NewAttachment, revision: int = 0) -> None:
    """Insert an attachment; the aggregates are the caller's."""
    tx.run(
        "INSERT INTO attachments (level, resource_row, content_type, uuid, size, md5, compressed_size, "
        "compressed_md5, compression, revision) VALUES (:level, :row, :content_type, :uuid, :size, :md5, "
        ":compressed_size, :compressed_md5, :compression, :revision)",
        level=int(level),
        row=row,
        content_type=new.content_type,
        uuid=new.uuid,
        size=new.size,
        md5=new.md5,
        compressed_size=new.compressed_size,
        compressed_md5=new.compressed_md5,
        compression=new.compression,
        revision=revision,
    )


_MODALITY = Tag(0x00080060)


def _insert_resource(
    tx: Transaction, level: Level, orthanc_id: OrthancId, new: NewInstance, now: str, **more: SqlValue
) -> int:
    main_tags = new.main_tags(level)
    values: dict[str, SqlValue] = {
        "orthanc_id": orthanc_id,
        "tags": encode_tags(main_tags.tags),
        "signature_row": signature_row(tx, main_tags.signature),
        "last_update": now,
        **more,
        **search_values(level, main_tags.tags),
    }
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    row = tx.insert(f"INSERT INTO {TABLES[level]} ({names}) VALUES ({places}) RETURNING id", **values)
    if main_tags.sequences:
        metadata.put(tx, level, row, metadata.MAIN_DICOM_SEQUENCES, main_tags.sequences.encode(), 0)
    return row


def write_main_tags(tx: Transaction, level: Level, row: int, main_tags: MainTagValues) -> None:
    """Put other main tags in place of those of a resource."""
    values: dict[str, SqlValue] = {
        "tags": encode_tags(main_tags.tags),
        "signature_row": signature_row(tx, main_tags.signature),
        **search_values(level, main_tags.tags),
    }
    if level is Level.INSTANCE:
        values["sop_instance_uid"] = values["sop_instance_uid"] or ""
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    tx.run(f"UPDATE {TABLES[level]} SET {assignments} WHERE id = :row", row=row, **values)
    if level is not Level.INSTANCE:
        if main_tags.sequences:
            metadata.put(tx, level, row, metadata.MAIN_DICOM_SEQUENCES, main_tags.sequences.encode(), 0)
        else:
            metadata.discard(tx, level, row, metadata.MAIN_DICOM_SEQUENCES)
    indexed = tag_indexes.declared(tx)
    if indexed:
        anchor = Level.PATIENT if level is Level.PATIENT else Level.STUDY
        where = Anchor(anchor, lineage(tx, level, row)[anchor])
        tag_indexes.enter(tx, where, tag_indexes.of_main_tags(indexed, main_tags.tags))


def signature_row(tx: Transaction, signature: str) -> int:
    """The row of a set of main tags."""
    row = tx.one("SELECT id FROM signatures WHERE signature = :signature", signature=signature)
    if row is not None:
        return int(row[0])
    return tx.insert("INSERT INTO signatures (signature) VALUES (:signature) RETURNING id", signature=signature)


def _add_modality(tx: Transaction, study_row: int, modality: str) -> None:
    row = tx.one("SELECT modalities_in_study FROM studies WHERE id = :row", row=study_row)
    assert row is not None
    modalities = decode_list(row[0])
    if modality and modality not in modalities:
        tx.run(
            "UPDATE studies SET modalities_in_study = :modalities WHERE id = :row",
            row=study_row,
            modalities=encode_list([*modalities, modality]),
        )


def _add_sop_class(tx: Transaction, study_row: int, series_row: int, sop_classes: str, sop_class_uid: str) -> None:
    tx.run(
        "UPDATE series SET sop_classes = :sop_classes WHERE id = :row",
        row=series_row,
        sop_classes=encode_list([*decode_list(sop_classes), sop_class_uid]),
    )
    row = tx.one("SELECT sop_classes_in_study FROM studies WHERE id = :row", row=study_row)
    assert row is not None
    of_study = decode_list(row[0])
    if sop_class_uid not in of_study:
        tx.run(
            "UPDATE studies SET sop_classes_in_study = :sop_classes WHERE id = :row",
            row=study_row,
            sop_classes=encode_list([*of_study, sop_class_uid]),
        )
