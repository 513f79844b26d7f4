"""Resources as values, and the questions about one of them or about a page of them.

A page takes one statement for the rows with what is joined to them, and one more for each kind of content asked for,
whatever its length.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from amonsul.database import condemned
from amonsul.database.encoding import decode_list, decode_tags
from amonsul.database.engine import Row, SqlValue, Transaction
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId

TABLES = ("patients", "studies", "series", "instances")
"""By level."""

ALIASES = ("p", "st", "se", "i")
"""Short names of the tables in joins, by level."""

PARENT_COLUMNS = ("", "patient_row", "study_row", "series_row")
"""Columns that name the row of the parent, by level."""


class Content(enum.Flag):
    """What to fetch of each resource beside its own row."""

    NOTHING = 0
    CHILDREN = enum.auto()
    """`children`: the identifiers one level below."""
    LABELS = enum.auto()
    METADATA = enum.auto()
    ATTACHMENTS = enum.auto()
    """`attachments`: the numbers of the content types."""
    PARENT_TAGS = enum.auto()
    """`patient_main_tags`, `study_main_tags`, `series_main_tags` of the ancestors."""
    EXPANDED = CHILDREN | LABELS
    """What the `expand` of a listing shows; the main tags of the patient of a study are always there."""
    ALL = CHILDREN | LABELS | METADATA | ATTACHMENTS | PARENT_TAGS


_NOTHING: Mapping[str, str] = {}
_NO_TAGS: Mapping[Tag, str] = {}


class Resource(NamedTuple):
    """One patient, study, series or instance as the index knows it.

    A named tuple, as it is made a fifth as dear as a frozen dataclass, and pages of them are made all day.

    Attributes:
        main_tags: main DICOM tags of its own level; a tag that the data set lacks is absent.
        parent: identifier one level above; None for a patient.
        patient_id, study_id, series_id: identifiers of the ancestors (PARENT_TAGS).
        children: identifiers one level below, in order of arrival (CHILDREN).
        last_update: `YYYYMMDDTHHMMSS`, UTC; empty for an instance.
        is_protected: of a patient: kept from recycling.
        labels: sorted (LABELS).
        metadata: by name, in order of their numbers, as text (METADATA); for revisions and bytes ask `read.metadata`.
        attachments: numbers of content types (ATTACHMENTS).
        patient_main_tags: of the ancestor; always for a study, else with PARENT_TAGS.
        study_main_tags, series_main_tags: of the ancestors (PARENT_TAGS).
        file_size, file_uuid: of the DICOM file of an instance; `file_size` is the uncompressed one.
        index_in_series: of an instance, if its headers tell.
        expected_number_of_instances: of a series, if its headers tell.
        status: of a series: `Unknown`, `Complete`, `Missing` or `Inconsistent`; None elsewhere.
        transfer_syntax_uid: of an instance.
        sop_class_uid: of an instance.
        number_of_studies, number_of_series, number_of_instances: below it; 0 where it does not apply.
        disk_size, uncompressed_size: bytes of all attachments of the resource and of what is below it; 0 for an
            instance.
        dicom_disk_size, dicom_uncompressed_size: of the DICOM files alone.
        modalities, sop_classes: those of a study, sorted; `sop_classes` also of a series.
        row, signature_row: numbers of rows, for more questions to the index.
        modified_from, anonymized_from: the resource that it was made from, if it was.
    """

    level: Level
    orthanc_id: OrthancId
    main_tags: Mapping[Tag, str]
    parent: OrthancId | None = None
    patient_id: OrthancId | None = None
    study_id: OrthancId | None = None
    series_id: OrthancId | None = None
    children: Sequence[OrthancId] = ()
    last_update: str = ""
    is_stable: bool = False
    is_protected: bool = False
    labels: Sequence[str] = ()
    metadata: Mapping[str, str] = _NOTHING
    attachments: Sequence[int] = ()
    patient_main_tags: Mapping[Tag, str] = _NO_TAGS
    study_main_tags: Mapping[Tag, str] = _NO_TAGS
    series_main_tags: Mapping[Tag, str] = _NO_TAGS
    file_size: int = 0
    file_uuid: str = ""
    index_in_series: int | None = None
    expected_number_of_instances: int | None = None
    status: str | None = None
    transfer_syntax_uid: str = ""
    sop_class_uid: str = ""
    number_of_studies: int = 0
    number_of_series: int = 0
    number_of_instances: int = 0
    disk_size: int = 0
    uncompressed_size: int = 0
    dicom_disk_size: int = 0
    dicom_uncompressed_size: int = 0
    modalities: Sequence[str] = ()
    sop_classes: Sequence[str] = ()
    row: int = 0
    signature_row: int = 0
    modified_from: str | None = None
    anonymized_from: str | None = None


_SIZES = "{0}.disk_size, {0}.uncompressed_size, {0}.dicom_disk_size, {0}.dicom_uncompressed_size"
_COLUMNS = (
    "p.id, p.orthanc_id, p.tags, p.signature_row, p.last_update, p.is_stable, p.is_protected, p.number_of_studies, "
    "p.number_of_series, p.number_of_instances, " + _SIZES.format("p"),
    "st.id, st.orthanc_id, st.tags, st.signature_row, st.last_update, st.is_stable, st.number_of_series, "
    "st.number_of_instances, " + _SIZES.format("st") + ", st.modalities_in_study, st.sop_classes_in_study, "
    "p.orthanc_id, p.tags",
    "se.id, se.orthanc_id, se.tags, se.signature_row, se.last_update, se.is_stable, se.number_of_instances, "
    + _SIZES.format("se")
    + ", se.sop_classes, se.expected_number_of_instances, se.remote_aet, st.orthanc_id",
    "i.id, i.orthanc_id, i.tags, i.signature_row, i.metadata, i.index_in_series, i.transfer_syntax_uid, "
    "i.sop_class_uid, se.orthanc_id, a.size, a.uuid",
)
_ANCESTRY = (
    "",
    "",
    ", st.tags, p.orthanc_id, p.tags",
    ", se.tags, st.orthanc_id, st.tags, p.orthanc_id, p.tags",
)
_JOIN_P = " JOIN patients p ON p.id = st.patient_row"
_JOIN_ST = " JOIN studies st ON st.id = se.study_row"
_JOIN_SE = " JOIN series se ON se.id = i.series_row"
_JOIN_FILE = " LEFT JOIN attachments a ON a.level = 3 AND a.resource_row = i.id AND a.content_type = 1"
_FROM = (
    "patients p",
    "studies st" + _JOIN_P,
    "series se" + _JOIN_ST,
    "instances i" + _JOIN_SE + _JOIN_FILE,
)
_FROM_WITH_ANCESTRY = (
    _FROM[0],
    _FROM[1],
    _FROM[2] + _JOIN_P,
    _FROM[3] + _JOIN_ST + _JOIN_P,
)
_ORIGINS = tuple(
    "".join(
        f", (SELECT m.value FROM metadata m WHERE m.level = {level} AND m.resource_row = {ALIASES[level]}.id "
        f"AND m.number = {number})"
        for number in (5, 6)
    )
    for level in Level
)
"""ModifiedFrom and AnonymizedFrom; always the last two columns."""
_SELECT = tuple(f"SELECT {_COLUMNS[level]}{_ORIGINS[level]} FROM {_FROM[level]} " for level in Level)
_SELECT_WITH_ANCESTRY = tuple(
    f"SELECT {_COLUMNS[level]}{_ANCESTRY[level]}{_ORIGINS[level]} FROM {_FROM_WITH_ANCESTRY[level]} " for level in Level
)
_ONE = tuple(f"WHERE {ALIASES[level]}.orthanc_id = :orthanc_id" for level in Level)
_CHILDREN = tuple(
    f"SELECT orthanc_id FROM {TABLES[level + 1]} WHERE {PARENT_COLUMNS[level + 1]} = :row ORDER BY id"
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
)
_ROW_OF = tuple(
    f"SELECT id FROM {TABLES[level]} WHERE orthanc_id = :orthanc_id"
    + (f" AND {condemned.LIVE.format('instances')}" if level is Level.INSTANCE else "")
    for level in Level
)


def fetch(
    tx: Transaction, level: Level, where: str, content: Content, names: Mapping[int, str], /, **params: SqlValue
) -> list[Resource]:
    """The resources of a level under a condition, with an order and a page if it gives them.

    Args:
        tx: the transaction.
        level: of the resources.
        where: what follows FROM and its joins; tables have the names of ALIASES.
        content: what to fetch beside the rows.
        names: of metadata, by number; nameless ones get their number for a name.
        params: of `where`.
    """
    ancestry = Content.PARENT_TAGS in content
    rows = tx.all((_SELECT_WITH_ANCESTRY if ancestry else _SELECT)[level] + where, **params)
    if not rows:
        return []
    ids = [row[0] for row in rows]
    extras = _Extras(tx, level, ids, rows, content, names)
    build = _BUILDERS[level]
    return [build(row, extras) for row in rows]


def one(
    tx: Transaction, level: Level, orthanc_id: OrthancId, content: Content, names: Mapping[int, str]
) -> Resource | None:
    """One resource."""
    found = fetch(tx, level, _ONE[level], content, names, orthanc_id=orthanc_id)
    return found[0] if found else None


_UID_COLUMNS = ("", "study_instance_uid", "series_instance_uid", "sop_instance_uid")


def by_uids(
    tx: Transaction, uids: Sequence[str], content: Content, names: Mapping[int, str], limit: int
) -> list[Resource]:
    """The resources with a UID, of the level of the last one of `uids`, below those with the others.

    Args:
        tx: the transaction.
        uids: of a study, of a series in it, of an instance in that; the first one may be alone.
        content: what to fetch beside the rows.
        names: of metadata, by number.
        limit: how many at most; there are several if patients share a study.
    """
    level = Level(len(uids))
    alias = ALIASES[level]
    conditions = [f"{alias}.{_UID_COLUMNS[level]} = :uid{int(level)}"]
    if level > Level.STUDY:
        above = f"SELECT study.id FROM studies study WHERE study.{_UID_COLUMNS[Level.STUDY]} = :uid1"
        conditions.append(f"se.study_row IN ({above})")
    if level is Level.INSTANCE:
        conditions.append(f"{tx.dialect.unindexed(f'se.{_UID_COLUMNS[Level.SERIES]}')} = :uid2")
        if live := condemned.hidden(tx, alias):
            conditions.append(live)
    where = f"WHERE {' AND '.join(conditions)} ORDER BY {alias}.id LIMIT :limit"
    params: dict[str, SqlValue] = {f"uid{number}": uid for number, uid in enumerate(uids, 1)}
    return fetch(tx, level, where, content, names, limit=limit, **params)


def by_rows(
    tx: Transaction, level: Level, rows: Sequence[int], content: Content, names: Mapping[int, str]
) -> list[Resource]:
    """The resources of some rows, in the same order; those that are gone are left out."""
    condition = tx.dialect.is_number_in(f"{ALIASES[level]}.id", "rows")
    found = fetch(tx, level, f"WHERE {condition}", content, names, rows=tx.dialect.numbers(rows))
    place = {resource.row: resource for resource in found}
    return [place[row] for row in rows if row in place]


def page(
    tx: Transaction, level: Level, since: int, limit: int, content: Content, names: Mapping[int, str]
) -> list[Resource]:
    """Resources in order of arrival; `limit` 0 means all."""
    alias = ALIASES[level]
    if since == 0:
        where = f"ORDER BY {alias}.id LIMIT :limit"
        return fetch(tx, level, where, content, names, limit=limit or _ALL)
    # The offset is counted on the narrowest index, not on the rows.
    where = (
        f"WHERE {alias}.id IN (SELECT id FROM {TABLES[level]}{_live(tx, level)} ORDER BY id LIMIT :limit OFFSET "
        ":since) "
        f"ORDER BY {alias}.id"
    )
    return fetch(tx, level, where, content, names, limit=limit or _ALL, since=since)


def page_of_ids(tx: Transaction, level: Level, since: int, limit: int) -> list[OrthancId]:
    """Their identifiers alone."""
    return [orthanc_id for _, orthanc_id in page_of_rows(tx, level, since, limit)]


def page_of_rows(tx: Transaction, level: Level, since: int, limit: int) -> list[tuple[int, OrthancId]]:
    """Their rows and identifiers."""
    table, live = TABLES[level], _live(tx, level)
    if since == 0:
        rows = tx.all(f"SELECT id, orthanc_id FROM {table}{live} ORDER BY id LIMIT :limit", limit=limit or _ALL)
    else:
        rows = tx.all(
            f"SELECT id, orthanc_id FROM {table} WHERE id IN (SELECT id FROM {table}{live} ORDER BY id LIMIT :limit "
            "OFFSET :since) ORDER BY id",
            limit=limit or _ALL,
            since=since,
        )
    return [(row[0], row[1]) for row in rows]


def row_of_sql(level: Level) -> str:
    """The statement that gives the row of `:orthanc_id`, to stand in another."""
    return _ROW_OF[level]


def row_of(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int | None:
    """The number of the row of a resource."""
    row = tx.one(_ROW_OF[level], orthanc_id=orthanc_id)
    return row[0] if row else None


def _live(tx: Transaction, level: Level) -> str:
    """The WHERE of a listing that leaves out instances left behind by a large removal."""
    condition = condemned.hidden(tx, "instances") if level is Level.INSTANCE else ""
    return f" WHERE {condition}" if condition else ""


def level_of(tx: Transaction, orthanc_id: OrthancId) -> Level | None:
    """The level of the resource with an identifier."""
    row = tx.one(
        " UNION ALL ".join(f"SELECT {level} FROM ({_ROW_OF[level]}) AS level_{level:d}" for level in Level),
        orthanc_id=orthanc_id,
    )
    return Level(row[0]) if row else None


def descendant_ids(tx: Transaction, level: Level, row: int, wanted: Level) -> list[OrthancId]:
    """Identifiers of a lower level below a row, in order of arrival."""
    joins, alias = descent(level, wanted)
    rows = tx.all(
        f"SELECT {alias}.orthanc_id FROM {joins} WHERE {ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]} = :row "
        f"ORDER BY {alias}.id",
        row=row,
    )
    return [found[0] for found in rows]


def descendant_rows(tx: Transaction, level: Level, row: int, wanted: Level) -> list[int]:
    """Rows of a lower level below a row, in order of arrival."""
    joins, alias = descent(level, wanted)
    rows = tx.all(
        f"SELECT {alias}.id FROM {joins} WHERE {ALIASES[level + 1]}.{PARENT_COLUMNS[level + 1]} = :row "
        f"ORDER BY {alias}.id",
        row=row,
    )
    return [found[0] for found in rows]


def descent(level: Level, wanted: Level) -> tuple[str, str]:
    """The joins that lead from just below one level to a lower one, and the alias at their end."""
    joins = f"{TABLES[level + 1]} {ALIASES[level + 1]}"
    for step in range(level + 2, wanted + 1):
        joins += (
            f" JOIN {TABLES[step]} {ALIASES[step]} ON {ALIASES[step]}.{PARENT_COLUMNS[step]} = {ALIASES[step - 1]}.id"
        )
    return joins, ALIASES[wanted]


def ancestor_id(tx: Transaction, level: Level, orthanc_id: OrthancId, wanted: Level) -> OrthancId | None:
    """Identifier of the ancestor of a resource."""
    joins = f"{TABLES[level]} {ALIASES[level]}"
    for step in range(level, wanted, -1):
        joins += (
            f" JOIN {TABLES[step - 1]} {ALIASES[step - 1]} "
            f"ON {ALIASES[step - 1]}.id = {ALIASES[step]}.{PARENT_COLUMNS[step]}"
        )
    row = tx.one(
        f"SELECT {ALIASES[wanted]}.orthanc_id FROM {joins} WHERE {ALIASES[level]}.orthanc_id = :orthanc_id",
        orthanc_id=orthanc_id,
    )
    return row[0] if row else None


def lineage(tx: Transaction, level: Level, row: int) -> list[int]:
    """Rows of the ancestors and of the resource itself, by level."""
    rows = [row]
    for step in range(level, Level.PATIENT, -1):
        parent = tx.one(f"SELECT {PARENT_COLUMNS[step]} FROM {TABLES[step]} WHERE id = :row", row=rows[0])
        assert parent is not None
        rows.insert(0, parent[0])
    return rows


def lookup(tx: Transaction, patient_id: str, uid: str) -> list[tuple[Level, OrthancId]]:
    """Resources that have the Patient ID (folded) or UID."""
    columns = ("patient_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid")
    found: list[tuple[Level, OrthancId]] = []
    for level, column in zip(Level, columns, strict=True):
        value = patient_id if level is Level.PATIENT else uid
        live = f" AND {condemned.LIVE.format('instances')}" if level is Level.INSTANCE else ""
        rows = tx.all(f"SELECT orthanc_id FROM {TABLES[level]} WHERE {column} = :value{live} ORDER BY id", value=value)
        found += [(level, row[0]) for row in rows]
    return found


def set_protection(tx: Transaction, row: int, is_protected: bool) -> None:
    """Keep a patient from recycling; one let go is the last in line."""
    tx.run(
        "UPDATE patients SET is_protected = :is_protected, recycling_order = CASE WHEN :is_protected = 0 THEN "
        "(SELECT MAX(recycling_order) + 1 FROM patients) ELSE recycling_order END "
        "WHERE id = :row AND is_protected <> :is_protected",
        row=row,
        is_protected=int(is_protected),
    )


_ALL = (1 << 62) - 1


class _Extras:
    """What was asked for beside the rows, by row."""

    __slots__ = ("ancestry", "attachments", "children", "labels", "metadata", "status")

    def __init__(
        self,
        tx: Transaction,
        level: Level,
        ids: list[int],
        rows: Sequence[Row],
        content: Content,
        names: Mapping[int, str],
    ) -> None:
        self.ancestry = Content.PARENT_TAGS in content
        self.children = _children(tx, level, ids) if Content.CHILDREN in content and level < Level.INSTANCE else {}
        self.labels = _labels(tx, level, ids) if Content.LABELS in content else {}
        self.attachments = _attachments(tx, level, ids) if Content.ATTACHMENTS in content else {}
        self.metadata = _metadata(tx, level, rows, names) if Content.METADATA in content else {}
        self.status = _status(tx, rows) if level is Level.SERIES else {}


def _children(tx: Transaction, level: Level, ids: list[int]) -> Mapping[int, list[OrthancId]]:
    if len(ids) == 1:
        return {ids[0]: [row[0] for row in tx.all(_CHILDREN[level], row=ids[0])]}
    column = PARENT_COLUMNS[level + 1]
    found: dict[int, list[OrthancId]] = defaultdict(list)
    for row, orthanc_id in tx.all(
        f"SELECT {column}, orthanc_id FROM {TABLES[level + 1]} WHERE {tx.dialect.is_number_in(column, 'rows')} "
        f"ORDER BY {column}, id",
        rows=tx.dialect.numbers(ids),
    ):
        found[row].append(orthanc_id)
    return found


def _labels(tx: Transaction, level: Level, ids: list[int]) -> Mapping[int, list[str]]:
    if len(ids) == 1:
        rows = tx.all(
            "SELECT label FROM labels WHERE level = :level AND resource_row = :row ORDER BY label",
            level=int(level),
            row=ids[0],
        )
        return {ids[0]: [row[0] for row in rows]}
    found: dict[int, list[str]] = defaultdict(list)
    for row, label in tx.all(
        f"SELECT resource_row, label FROM labels WHERE level = :level AND "
        f"{tx.dialect.is_number_in('resource_row', 'rows')} ORDER BY label",
        level=int(level),
        rows=tx.dialect.numbers(ids),
    ):
        found[row].append(label)
    return found


def _attachments(tx: Transaction, level: Level, ids: list[int]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for row, content_type in tx.all(
        f"SELECT resource_row, content_type FROM attachments WHERE level = :level AND "
        f"{tx.dialect.is_number_in('resource_row', 'rows')} ORDER BY content_type",
        level=int(level),
        rows=tx.dialect.numbers(ids),
    ):
        found[row].append(content_type)
    return found


def _metadata(
    tx: Transaction, level: Level, rows: Sequence[Row], names: Mapping[int, str]
) -> Mapping[int, dict[str, str]]:
    signatures: dict[int, str] = dict(tx.all("SELECT id, signature FROM signatures"))
    numbered: dict[int, dict[int, str]] = {}
    for row in rows:
        match level:
            case Level.INSTANCE:
                entries = core_of_instance(row[4], row[5], row[6], row[7])
            case Level.SERIES:
                entries = core_of_series(row[4], row[13], row[12])
            case _:
                entries = {7: row[4]}
        entries[15] = signatures[row[3]]
        numbered[row[0]] = entries
    for resource_row, number, value in tx.all(
        f"SELECT resource_row, number, value FROM metadata WHERE level = :level AND "
        f"{tx.dialect.is_number_in('resource_row', 'rows')}",
        level=int(level),
        rows=tx.dialect.numbers(numbered),
    ):
        numbered[resource_row][number] = bytes(value).decode("utf-8", "replace")
    return {
        row: {names.get(number, str(number)): entries[number] for number in sorted(entries)}
        for row, entries in numbered.items()
    }


def core_of_instance(
    metadata: str, index_in_series: int | None, transfer_syntax_uid: str, sop_class_uid: str
) -> dict[int, str]:
    """Core metadata of an instance by number, without MainDicomTagsSignature."""
    entries = {int(number): value for number, value in orjson.loads(metadata).items()}
    if index_in_series is not None:
        entries[1] = str(index_in_series)
    entries[9] = transfer_syntax_uid
    entries[10] = sop_class_uid
    return entries


def core_of_series(last_update: str, remote_aet: str, expected_number_of_instances: int | None) -> dict[int, str]:
    """Core metadata of a series by number, without MainDicomTagsSignature."""
    entries = {3: remote_aet, 7: last_update}
    if expected_number_of_instances is not None:
        entries[4] = str(expected_number_of_instances)
    return entries


def _status(tx: Transaction, rows: Sequence[Row]) -> Mapping[int, str]:
    """Of the series that say how many instances they expect; the others are Unknown."""
    expected = {row[0]: row[12] for row in rows if row[12] is not None}
    if not expected:
        return {}
    found: dict[int, str] = {}
    for row, indexed, distinct, low, high in tx.all(
        "SELECT series_row, COUNT(index_in_series), COUNT(DISTINCT index_in_series), MIN(index_in_series), "
        f"MAX(index_in_series) FROM instances WHERE {tx.dialect.is_number_in('series_row', 'rows')} "
        "GROUP BY series_row",
        rows=tx.dialect.numbers(expected),
    ):
        if indexed and (low < 1 or high > expected[row] or distinct < indexed):
            found[row] = "Inconsistent"
        else:
            found[row] = "Complete" if distinct == expected[row] else "Missing"
    return found


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode("utf-8", "replace")


def _patient(row: Row, extras: _Extras) -> Resource:
    return Resource(
        level=Level.PATIENT,
        orthanc_id=row[1],
        main_tags=decode_tags(row[2]),
        children=extras.children.get(row[0], []),
        last_update=row[4],
        is_stable=bool(row[5]),
        is_protected=bool(row[6]),
        labels=extras.labels.get(row[0], []),
        metadata=extras.metadata.get(row[0], _NOTHING),
        attachments=extras.attachments.get(row[0], []),
        number_of_studies=row[7],
        number_of_series=row[8],
        number_of_instances=row[9],
        disk_size=row[10],
        uncompressed_size=row[11],
        dicom_disk_size=row[12],
        dicom_uncompressed_size=row[13],
        row=row[0],
        signature_row=row[3],
        modified_from=_text(row[-2]),
        anonymized_from=_text(row[-1]),
    )


def _study(row: Row, extras: _Extras) -> Resource:
    return Resource(
        level=Level.STUDY,
        orthanc_id=row[1],
        main_tags=decode_tags(row[2]),
        parent=row[14],
        patient_id=row[14],
        children=extras.children.get(row[0], []),
        last_update=row[4],
        is_stable=bool(row[5]),
        labels=extras.labels.get(row[0], []),
        metadata=extras.metadata.get(row[0], _NOTHING),
        attachments=extras.attachments.get(row[0], []),
        patient_main_tags=decode_tags(row[15]),
        number_of_series=row[6],
        number_of_instances=row[7],
        disk_size=row[8],
        uncompressed_size=row[9],
        dicom_disk_size=row[10],
        dicom_uncompressed_size=row[11],
        modalities=decode_list(row[12]),
        sop_classes=decode_list(row[13]),
        row=row[0],
        signature_row=row[3],
        modified_from=_text(row[-2]),
        anonymized_from=_text(row[-1]),
    )


def _series(row: Row, extras: _Extras) -> Resource:
    return Resource(
        level=Level.SERIES,
        orthanc_id=row[1],
        main_tags=decode_tags(row[2]),
        parent=row[14],
        patient_id=row[16] if extras.ancestry else None,
        study_id=row[14],
        children=extras.children.get(row[0], []),
        last_update=row[4],
        is_stable=bool(row[5]),
        labels=extras.labels.get(row[0], []),
        metadata=extras.metadata.get(row[0], _NOTHING),
        attachments=extras.attachments.get(row[0], []),
        patient_main_tags=decode_tags(row[17]) if extras.ancestry else _NO_TAGS,
        study_main_tags=decode_tags(row[15]) if extras.ancestry else _NO_TAGS,
        expected_number_of_instances=row[12],
        status=extras.status.get(row[0], "Unknown"),
        number_of_instances=row[6],
        disk_size=row[7],
        uncompressed_size=row[8],
        dicom_disk_size=row[9],
        dicom_uncompressed_size=row[10],
        sop_classes=decode_list(row[11]),
        row=row[0],
        signature_row=row[3],
        modified_from=_text(row[-2]),
        anonymized_from=_text(row[-1]),
    )


def _instance(row: Row, extras: _Extras) -> Resource:
    return Resource(
        level=Level.INSTANCE,
        orthanc_id=row[1],
        main_tags=decode_tags(row[2]),
        parent=row[8],
        patient_id=row[14] if extras.ancestry else None,
        study_id=row[12] if extras.ancestry else None,
        series_id=row[8],
        labels=extras.labels.get(row[0], []),
        metadata=extras.metadata.get(row[0], _NOTHING),
        attachments=extras.attachments.get(row[0], []),
        patient_main_tags=decode_tags(row[15]) if extras.ancestry else _NO_TAGS,
        study_main_tags=decode_tags(row[13]) if extras.ancestry else _NO_TAGS,
        series_main_tags=decode_tags(row[11]) if extras.ancestry else _NO_TAGS,
        file_size=row[9] or 0,
        file_uuid=row[10] or "",
        index_in_series=row[5],
        transfer_syntax_uid=row[6],
        sop_class_uid=row[7],
        row=row[0],
        signature_row=row[3],
        modified_from=_text(row[-2]),
        anonymized_from=_text(row[-1]),
    )


_BUILDERS = (_patient, _study, _series, _instance)
