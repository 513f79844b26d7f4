"""What a view of the archive lets through (`dicom.query.View`), asked of the index.

The rule is applied here, to labels as they are read; which resources a search finds at its own level `search` decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from amonsul.database import condemned
from amonsul.database.encoding import decode_tags
from amonsul.database.engine import Transaction
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, TABLES, Resource
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.query import View

_MODALITY = Tag(0x00080060)
_NONE: Collection[str] = ()


class Seen(NamedTuple):
    """An instance below one of the resources that were asked about, and the rows of its path."""

    resource_row: int
    path: tuple[int, int, int, int]
    orthanc_id: OrthancId
    sop_class_uid: str

    @property
    def instance_row(self) -> int:
        """Its own row."""
        return self.path[Level.INSTANCE]


def below(tx: Transaction, level: Level, rows: Sequence[int], view: View) -> list[Seen]:
    """The instances that go with resources of a level, in order of arrival."""
    found = _all_below(tx, level, rows)
    for step in range(level + 1, Level.INSTANCE + 1):
        labels = _labels(tx, Level(step), {seen.path[step] for seen in found})
        hidden = {row for row, own in labels.items() if view.hides(own)}
        if hidden:
            found = [seen for seen in found if seen.path[step] not in hidden]
    return found


def first_below(tx: Transaction, level: Level, rows: Sequence[int], view: View) -> dict[int, int]:
    """The row of the first instance that goes with each resource, by row of the resource."""
    first: dict[int, int] = {}
    for seen in below(tx, level, rows, view):
        first.setdefault(seen.resource_row, seen.instance_row)
    return first


def admitted(tx: Transaction, instance_rows: Sequence[int], view: View) -> set[int]:
    """Those of some instances that can be reached in any way."""
    found = _all_below(tx, Level.INSTANCE, instance_rows)
    labels = [_labels(tx, level, {seen.path[level] for seen in found}) for level in Level]
    return {
        seen.instance_row
        for seen in found
        if view.admits([labels[level].get(seen.path[level], _NONE) for level in Level])
    }


def counted(tx: Transaction, resources: Sequence[Resource], view: View) -> list[Resource]:
    """Resources of one level with what is counted below them as the view has it."""
    if not resources or resources[0].level is Level.INSTANCE:
        return list(resources)
    level = resources[0].level
    by_resource: dict[int, list[Seen]] = defaultdict(list)
    for seen in below(tx, level, [resource.row for resource in resources], view):
        by_resource[seen.resource_row].append(seen)
    modalities = _modalities(tx, {seen.path[Level.SERIES] for each in by_resource.values() for seen in each})
    return list(_counted(resources, by_resource, modalities))


def _counted(
    resources: Sequence[Resource], by_resource: Mapping[int, Sequence[Seen]], modalities: Mapping[int, str]
) -> Iterator[Resource]:
    for resource in resources:
        found = by_resource.get(resource.row, ())
        series = {seen.path[Level.SERIES] for seen in found}
        yield resource._replace(
            number_of_studies=len({seen.path[Level.STUDY] for seen in found}),
            number_of_series=len(series),
            number_of_instances=len(found),
            modalities=sorted({modalities[row] for row in series} - {""}),
            sop_classes=sorted({seen.sop_class_uid for seen in found} - {""}),
        )


def _all_below(tx: Transaction, level: Level, rows: Sequence[int]) -> list[Seen]:
    dialect = tx.dialect
    tables = f"{TABLES[level]} {ALIASES[level]}"
    for step in range(level + 1, Level.INSTANCE + 1):
        tables += f" {dialect.ordered_join} {TABLES[step]} {ALIASES[step]} ON {_on(step)}"
    for step in range(level, Level.PATIENT, -1):
        tables += f" {dialect.ordered_join} {TABLES[step - 1]} {ALIASES[step - 1]} ON {_on(step)}"
    live = condemned.hidden(tx, "i")
    condition = dialect.is_number_in(f"{ALIASES[level]}.id", "rows") + (f" AND {live}" if live else "")
    found = tx.all(
        f"SELECT {ALIASES[level]}.id, p.id, st.id, se.id, i.id, i.orthanc_id, i.sop_class_uid FROM {tables} "
        f"WHERE {condition} ORDER BY i.id",
        rows=dialect.numbers(rows),
    )
    return [Seen(row[0], (row[1], row[2], row[3], row[4]), row[5], row[6]) for row in found]


def _on(step: int) -> str:
    return f"{ALIASES[step]}.{PARENT_COLUMNS[step]} = {ALIASES[step - 1]}.id"


def _labels(tx: Transaction, level: Level, rows: Collection[int]) -> dict[int, set[str]]:
    """The labels of those of some resources that have any."""
    labels: dict[int, set[str]] = defaultdict(set)
    condition = tx.dialect.is_number_in("resource_row", "rows")
    for row, label in tx.all(
        f"SELECT resource_row, label FROM labels WHERE level = {int(level)} AND {condition}",
        rows=tx.dialect.numbers(rows),
    ):
        labels[row].add(label)
    return labels


def _modalities(tx: Transaction, series_rows: Collection[int]) -> dict[int, str]:
    found = tx.all(
        f"SELECT id, tags FROM series WHERE {tx.dialect.is_number_in('id', 'rows')}",
        rows=tx.dialect.numbers(series_rows),
    )
    return {row[0]: decode_tags(row[1]).get(_MODALITY, "") for row in found}
