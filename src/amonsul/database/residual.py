"""The part of a search that looks at candidates one by one, and values of any attribute for resources.

An attribute is sought among the main tags of the resource and its ancestors, then among what the index counts, then in
the stored header of the resource's first instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from amonsul.database import headers, sight
from amonsul.database.engine import Transaction
from amonsul.database.resources import Content, Resource, by_rows
from amonsul.database.search import (
    COMPUTED,
    INSTANCE_AVAILABILITY,
    MODALITIES_IN_STUDY,
    SOP_CLASSES_IN_STUDY,
    Search,
    candidates,
)
from amonsul.dicom.elements import Element, Tag
from amonsul.dicom.header import Header, decode_header
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import matches
from amonsul.dicom.query import MetadataConstraint, View


def values_in(resource: Resource) -> dict[Tag, str]:
    """Main tags of a resource fetched with PARENT_TAGS, its ancestors' and what is counted for it."""
    values = {
        **resource.patient_main_tags,
        **resource.study_main_tags,
        **resource.series_main_tags,
        **resource.main_tags,
    }
    for tag, value in counted(resource):
        values[Tag(tag)] = value
    return values


def counted(resource: Resource) -> Iterator[tuple[int, str]]:
    """The computed attributes of a resource."""
    yield INSTANCE_AVAILABILITY, "ONLINE"
    for tag, (level, column) in COMPUTED.items():
        if level is not resource.level:
            continue
        if tag == MODALITIES_IN_STUDY:
            yield tag, "\\".join(resource.modalities)
        elif tag == SOP_CLASSES_IN_STUDY:
            yield tag, "\\".join(resource.sop_classes)
        else:
            yield tag, str(getattr(resource, column))


class HeaderLookup:
    """Headers of the first instances of some resources of one level, fetched together when first needed."""

    def __init__(self, tx: Transaction, level: Level, rows: Sequence[int], view: View | None = None) -> None:
        self._tx = tx
        self._view = view
        self._level = level
        self._rows = rows
        self._packed: Mapping[int, bytes] | None = None
        self._last: tuple[int, Header | None] = (0, None)

    def header(self, row: int) -> Header | None:
        """The header for a resource."""
        if self._packed is None:
            self._packed = self._fetch()
        if self._last[0] != row:
            packed = self._packed.get(row)
            self._last = (row, None if packed is None else decode_header(packed))
        return self._last[1]

    def _fetch(self) -> Mapping[int, bytes]:
        if self._view is None or self._level is Level.INSTANCE:
            return headers.first_below(self._tx, self._level, self._rows)
        first = sight.first_below(self._tx, self._level, self._rows, self._view)
        packed = headers.first_below(self._tx, Level.INSTANCE, list(first.values()))
        return {row: packed[instance] for row, instance in first.items() if instance in packed}

    def element(self, row: int, tag: Tag) -> Element | None:
        """One attribute of it."""
        header = self.header(row)
        return None if header is None else header.element(tag)


def is_indexed(tag: Tag, main_levels: Mapping[Tag, Level], signatures: Mapping[int, str], resource: Resource) -> bool:
    """Whether the absence of a tag among the main tags of a resource tells that the data set lacks it."""
    level = main_levels.get(tag)
    if level is None:
        return False
    if level is not resource.level:
        return level < resource.level  # ancestors are taken at their word
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}" in signatures.get(resource.signature_row, "")


def matching(
    tx: Transaction,
    search: Search,
    main_levels: Mapping[Tag, Level],
    metadata_numbers: Mapping[str, int],
    metadata_names: Mapping[int, str],
) -> Iterator[Resource]:
    """The answers of a search in order, without its page; fetched with PARENT_TAGS."""
    content = Content.PARENT_TAGS
    if search.residual_metadata:
        content |= Content.METADATA
    signatures: dict[int, str] = dict(tx.all("SELECT id, signature FROM signatures"))
    metadata = [
        (metadata_names.get(metadata_numbers[wanted.name], wanted.name), wanted) for wanted in search.residual_metadata
    ]
    for rows in candidates(tx, search, main_levels, metadata_numbers):
        lookup = HeaderLookup(tx, search.query.level, rows, search.query.view)
        for resource in _fetched(tx, search, rows, content, metadata_names):
            if _has_metadata(resource, metadata) and _satisfies(resource, search, main_levels, signatures, lookup):
                yield resource


def among(
    tx: Transaction, search: Search, rows: Sequence[int], main_levels: Mapping[Tag, Level], names: Mapping[int, str]
) -> list[Resource]:
    """Those of some rows that satisfy the constraints on attributes of a search; fetched with PARENT_TAGS."""
    resources = _fetched(tx, search, rows, Content.PARENT_TAGS, names)
    if search.is_decided:
        return resources
    signatures: dict[int, str] = dict(tx.all("SELECT id, signature FROM signatures"))
    lookup = HeaderLookup(tx, search.query.level, rows, search.query.view)
    return [found for found in resources if _satisfies(found, search, main_levels, signatures, lookup)]


def _fetched(
    tx: Transaction, search: Search, rows: Sequence[int], content: Content, names: Mapping[int, str]
) -> list[Resource]:
    """Resources by their rows; where what is counted below them matters, as the view of the query has it."""
    query = search.query
    resources = by_rows(tx, query.level, rows, content, names)
    if query.view is not None and any(
        tag in COMPUTED for tag in (*query.requested_tags, *(constraint.tag for constraint in query.constraints))
    ):
        return sight.counted(tx, resources, query.view)
    return resources


def _has_metadata(resource: Resource, metadata: Sequence[tuple[str, MetadataConstraint]]) -> bool:
    for name, wanted in metadata:
        value = resource.metadata.get(name)
        if value is None or not matches(wanted.match, value, wanted.case_sensitive):
            return False
    return True


def _satisfies(
    resource: Resource,
    search: Search,
    main_levels: Mapping[Tag, Level],
    signatures: Mapping[int, str],
    lookup: HeaderLookup,
) -> bool:
    if not search.residual:
        return True
    values = values_in(resource)
    if search.query.view is not None and resource.level is Level.PATIENT:
        values[Tag(MODALITIES_IN_STUDY)] = "\\".join(resource.modalities)
        values[Tag(SOP_CLASSES_IN_STUDY)] = "\\".join(resource.sop_classes)
    for constraint in search.residual:
        text = values.get(constraint.tag)
        if text is None and not is_indexed(constraint.tag, main_levels, signatures, resource):
            element = lookup.element(resource.row, constraint.tag)
            text = None if element is None else text_of(element)
        if text is None:
            if constraint.mandatory:
                return False
        elif not matches(constraint.match, text, constraint.case_sensitive):
            return False
    return True
