"""Looking resources up: one by its identifier, pages of a listing, the answers to a query.

Whatever the number of resources, each of these asks the database a small fixed number of questions: the rows carry
their aggregates, and children, labels, metadata and ancestors of a whole page are fetched together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from amonsul.archive.context import Archive, StorageAccess
from amonsul.archive.names import metadata_names, metadata_numbers
from amonsul.database import Transaction, residual, resources, search, sight, tag_indexes
from amonsul.database.columns import COLUMNS, fold
from amonsul.database.resources import Content, Resource
from amonsul.dicom import json_tags
from amonsul.dicom.elements import Element, Tag
from amonsul.dicom.header import Header
from amonsul.dicom.identifiers import PATIENT_ID
from amonsul.dicom.keys import find_private
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.query import Query, View
from amonsul.errors import UnknownResource

__all__ = [
    "Content",
    "RequestedValue",
    "Resource",
    "ancestor",
    "by_uids",
    "count",
    "descendant_ids",
    "descendants",
    "elements",
    "find",
    "find_ids",
    "get",
    "instances_seen",
    "is_counted",
    "iterate",
    "level_of",
    "list_ids",
    "list_resources",
    "lookup",
    "requested_tags",
    "slices_of",
    "stored_headers",
]

RequestedValue = str | list[dict[str, object]]
"""Text, or the items of a sequence in the simplified form."""

_NOBODY: Mapping[Tag, str] = MappingProxyType({})
_FIRST_PAGE = 16
_MAX_PAGE = 512


def get(archive: Archive, level: Level, orthanc_id: OrthancId, content: Content = Content.EXPANDED) -> Resource:
    """One resource.

    Raises:
        UnknownResource: there is none of this level with this identifier.
    """
    names = _names(archive, content)
    with archive.database.read() as tx:
        found = resources.one(tx, level, orthanc_id, content, names)
    if found is None:
        raise UnknownResource
    return found


def by_uids(archive: Archive, uids: Sequence[str], limit: int, content: Content = Content.EXPANDED) -> list[Resource]:
    """The resources that have a UID, `limit` of them; several if patients share a study.

    Args:
        archive: where.
        uids: of a study, of a series in it, of an instance in that; the last one is that of what is looked for.
        limit: how many at most.
        content: to fetch.
    """
    names = _names(archive, content)
    with archive.database.read() as tx:
        return resources.by_uids(tx, uids, content, names, limit)


def list_ids(archive: Archive, level: Level, since: int = 0, limit: int = 0) -> list[OrthancId]:
    """Identifiers in order of arrival, skipping `since`; `limit` 0 means all."""
    with archive.database.read() as tx:
        return resources.page_of_ids(tx, level, since, limit)


def list_resources(
    archive: Archive, level: Level, since: int = 0, limit: int = 0, content: Content = Content.EXPANDED
) -> list[Resource]:
    """The same as resources."""
    names = _names(archive, content)
    with archive.database.read() as tx:
        return resources.page(tx, level, since, limit, content, names)


def find(archive: Archive, query: Query, content: Content = Content.EXPANDED) -> list[Resource]:
    """The resources that answer a query, in its order, its page of them."""
    names = _names(archive, content)
    with archive.database.read() as tx:
        rows = [row for row, _ in _page(archive, tx, query)]
        return resources.by_rows(tx, query.level, rows, content, names) if rows else []


def find_ids(archive: Archive, query: Query) -> list[OrthancId]:
    """Only their identifiers."""
    with archive.database.read() as tx:
        return [orthanc_id for _, orthanc_id in _page(archive, tx, query)]


def instances_seen(archive: Archive, level: Level, orthanc_id: OrthancId, view: View | None) -> list[OrthancId]:
    """Identifiers of the instances that go with a resource, in order of arrival: all of them unless there is a view.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        row = _row(tx, level, orthanc_id)
        if view is None or view.is_whole:
            return resources.descendant_ids(tx, level, row, Level.INSTANCE)
        return [seen.orthanc_id for seen in sight.below(tx, level, [row], view)]


def iterate(archive: Archive, query: Query) -> Iterator[list[Resource]]:
    """All answers to a query in order of arrival, a page at a time, with PARENT_TAGS; the first page is a small one.

    Every page is a transaction of its own, so whoever takes the answers slowly holds up nobody. Order, page and
    metadata of the query play no part.
    """
    after, size = 0, _FIRST_PAGE
    while True:
        with archive.database.read() as tx:
            prepared = _prepare(archive, tx, query)
            rows = search.rows_after(tx, prepared, after, size)
            found = residual.among(tx, prepared, rows, _main_levels(archive), {}) if rows else []
        if found:
            yield found
        if len(rows) < size:
            return
        after, size = rows[-1], min(size * 4, _MAX_PAGE)


def count(archive: Archive, query: Query) -> int:
    """How many resources answer a query; `since` and `limit` play no part."""
    with archive.database.read() as tx:
        prepared = _prepare(archive, tx, query)
        if prepared.is_decided:
            return search.count(tx, prepared)
        return sum(1 for _ in _matching(archive, tx, prepared))


def is_counted(tag: Tag) -> bool:
    """Whether the index computes an attribute, as ModalitiesInStudy and those that count."""
    return tag in search.COMPUTED


def level_of(archive: Archive, orthanc_id: OrthancId) -> Level | None:
    """The level of a resource of which only the identifier is known."""
    with archive.database.read() as tx:
        return resources.level_of(tx, orthanc_id)


def descendant_ids(archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level) -> list[OrthancId]:
    """Identifiers of the resources of a lower level below one resource, in order of arrival.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        return resources.descendant_ids(tx, level, _row(tx, level, orthanc_id), wanted)


def descendants(
    archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level, content: Content = Content.EXPANDED
) -> list[Resource]:
    """The same as resources.

    Raises:
        UnknownResource: there is no such resource.
    """
    names = _names(archive, content)
    with archive.database.read() as tx:
        rows = resources.descendant_rows(tx, level, _row(tx, level, orthanc_id), wanted)
        return resources.by_rows(tx, wanted, rows, content, names) if rows else []


def ancestor(
    archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level, content: Content = Content.EXPANDED
) -> Resource:
    """The resource of a higher level to which one belongs.

    Raises:
        UnknownResource: there is no such resource.
    """
    names = _names(archive, content)
    with archive.database.read() as tx:
        above = resources.ancestor_id(tx, level, orthanc_id, wanted)
        found = None if above is None else resources.one(tx, wanted, above, content, names)
    if found is None:
        raise UnknownResource
    return found


def lookup(archive: Archive, identifier: str) -> list[tuple[Level, OrthancId]]:
    """Resources whose Patient ID, Study, Series or SOP Instance UID is `identifier`; patients first."""
    if not identifier:
        return []
    with archive.database.read() as tx:
        return resources.lookup(tx, fold(COLUMNS[PATIENT_ID], identifier), identifier)


def requested_tags(
    archive: Archive, resources: Sequence[Resource], tags: Sequence[Tag]
) -> list[Mapping[Tag, RequestedValue]]:
    """Values of `tags` for each resource: own and ancestors' main tags, computed tags, else from a stored header.

    The resources must have been fetched with PARENT_TAGS, and be of one level. Tags that a resource does not have are
    absent.
    """
    return [
        {tag: shown for tag, value in values.items() if (shown := _shown(archive, tag, value)) is not None}
        for values in elements(archive, resources, tags)
    ]


def elements(
    archive: Archive,
    resources: Sequence[Resource],
    tags: Sequence[Tag],
    creators: Mapping[Tag, str] = _NOBODY,
    view: View | None = None,
) -> list[Mapping[Tag, str | Element]]:
    """The same as text, where the index knows it, or as the element of a stored header; sequences always so.

    Args:
        archive: where.
        resources: fetched with PARENT_TAGS, of one level.
        tags: the attributes wanted.
        creators: of private ones among them, which then are found in whatever block a header reserves for them.
        view: no header is looked at that it does not show.
    """
    if not resources:
        return []
    main_levels = _main_levels(archive)
    uses_headers = archive.settings.storage_access_on_find is not StorageAccess.NEVER
    with archive.database.read() as tx:
        signatures: dict[int, str] = dict(tx.all("SELECT id, signature FROM signatures"))
        headers = residual.HeaderLookup(tx, resources[0].level, [resource.row for resource in resources], view)
        answers: list[Mapping[Tag, str | Element]] = []
        for resource in resources:
            known = residual.values_in(resource)
            values: dict[Tag, str | Element] = {}
            for tag in tags:
                value: str | Element | None = known.get(tag)
                if value is None and uses_headers:
                    if tag in creators:
                        header = headers.header(resource.row)
                        value = find_private(header.data_set, tag, creators[tag]) if header is not None else None
                    elif archive.dictionary.vr(tag) == "SQ" or not residual.is_indexed(
                        tag, main_levels, signatures, resource
                    ):
                        value = headers.element(resource.row, tag)
                if value is not None:
                    values[tag] = value
            answers.append(values)
    return answers


def stored_headers(archive: Archive, resources: Sequence[Resource]) -> list[Header | None]:
    """The stored headers of resources of one level: of each its own, or that of its first instance."""
    if not resources:
        return []
    with archive.database.read() as tx:
        headers = residual.HeaderLookup(tx, resources[0].level, [resource.row for resource in resources])
        return [headers.header(resource.row) for resource in resources]


def _shown(archive: Archive, tag: Tag, value: str | Element) -> RequestedValue | None:
    if isinstance(value, str):
        return value
    if isinstance(value.value, list) and value.vr == "SQ":
        simplified = json_tags.simplified({tag: value}, archive.dictionary)
        (items,) = simplified.values()
        return items if isinstance(items, list) else None
    return json_tags.text_of(value)


def slices_of(archive: Archive, series_id: OrthancId) -> list[tuple[OrthancId, Mapping[Tag, str], int]]:
    """Instances of a series in order of arrival: identifier, main tags, number of frames (for `ordered-slices`).

    Raises:
        UnknownResource: there is no such series.
    """
    number_of_frames = Tag(0x00280008)
    found = []
    for instance in descendants(archive, Level.SERIES, series_id, Level.INSTANCE, Content.NOTHING):
        frames = instance.main_tags.get(number_of_frames, "").strip()
        found.append((instance.orthanc_id, instance.main_tags, int(frames) if frames.isdecimal() else 1))
    return found


def _page(archive: Archive, tx: Transaction, query: Query) -> Sequence[tuple[int, OrthancId]]:
    """Rows and identifiers of the answers."""
    prepared = _prepare(archive, tx, query)
    if prepared.is_decided:
        return search.page(tx, prepared, _main_levels(archive), _metadata_numbers(archive, query))
    matching = _matching(archive, tx, prepared)
    stop = query.since + query.limit if query.limit else None
    return [(resource.row, resource.orthanc_id) for resource in islice(matching, query.since, stop)]


def _prepare(archive: Archive, tx: Transaction, query: Query) -> search.Search:
    is_simple = all(constraint.tag in COLUMNS for constraint in query.constraints)
    states = {} if is_simple else tag_indexes.states(tx)
    prepared = search.prepare(
        query,
        tx.dialect,
        _main_levels(archive),
        _metadata_numbers(archive, query),
        headers=archive.settings.storage_access_on_find is StorageAccess.ALWAYS,
        indexed=[tag for tag, is_ready in states.items() if is_ready],
    )
    for tag in prepared.looked_for:
        if tag not in states:
            archive.asked.note(tag)
    return prepared


def _matching(archive: Archive, tx: Transaction, prepared: search.Search) -> Iterator[Resource]:
    return residual.matching(
        tx,
        prepared,
        _main_levels(archive),
        _metadata_numbers(archive, prepared.query),
        metadata_names(archive.settings),
    )


def _metadata_numbers(archive: Archive, query: Query) -> Mapping[str, int]:
    """Numbers of metadata by name, also of those that the query calls by their number."""
    names = [wanted.name for wanted in query.metadata] + [str(order.key) for order in query.order_by]
    return {**{name: int(name) for name in names if name.isdecimal()}, **metadata_numbers(archive.settings)}


def _main_levels(archive: Archive) -> Mapping[Tag, Level]:
    """The level of each main tag; one of several levels belongs to the highest."""
    return {tag: level for level in reversed(Level) for tag in archive.main_tags.tags(level)}


def _names(archive: Archive, content: Content) -> Mapping[int, str]:
    return metadata_names(archive.settings) if Content.METADATA in content else {}


def _row(tx: Transaction, level: Level, orthanc_id: OrthancId) -> int:
    row = resources.row_of(tx, level, orthanc_id)
    if row is None:
        raise UnknownResource
    return row
