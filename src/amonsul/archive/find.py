"""Looking resources up: one by its identifier, pages of a listing, the answers to a query.

Whatever the number of resources, each of these asks the database a small fixed number of questions: the rows carry
their aggregates, and children, labels, metadata and ancestors of a whole page are fetched together.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from amonsul.archive.context import Archive
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.query import Query


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
    EXPANDED = CHILDREN | LABELS | PARENT_TAGS
    """What the `expand` of a listing shows."""
    ALL = CHILDREN | LABELS | METADATA | ATTACHMENTS | PARENT_TAGS


@dataclass(frozen=True, slots=True)
class Resource:
    """One patient, study, series or instance as the index knows it.

    Attributes:
        main_tags: main DICOM tags of its own level; a tag that the data set lacks is absent.
        parent: identifier one level above; None for a patient.
        patient_id, study_id, series_id: identifiers of the ancestors; None at and below their own level.
        children: identifiers one level below, in order of arrival (CHILDREN).
        last_update: `YYYYMMDDTHHMMSS`, UTC; empty for an instance.
        is_protected: of a patient: kept from recycling.
        labels: sorted (LABELS).
        metadata: by name, core entries first, text (METADATA); for revisions and bytes ask `read.metadata`.
        attachments: numbers of content types (ATTACHMENTS).
        patient_main_tags, study_main_tags, series_main_tags: of the ancestors, where there are (PARENT_TAGS).
        file_size, file_uuid: of the DICOM file of an instance; `file_size` is the uncompressed one.
        index_in_series: of an instance, if its headers tell.
        expected_number_of_instances: of a series, if its headers tell.
        status: of a series: `Unknown`, `Complete`, `Missing` or `Inconsistent`; None elsewhere.
        transfer_syntax_uid, sop_class_uid: of an instance.
        number_of_studies, number_of_series, number_of_instances: below; 0 where it does not apply.
        disk_size, uncompressed_size: bytes of all attachments of the resource and of what is below it.
        modalities, sop_classes: those of a study or patient, sorted.
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
    metadata: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[int] = ()
    patient_main_tags: Mapping[Tag, str] = field(default_factory=dict)
    study_main_tags: Mapping[Tag, str] = field(default_factory=dict)
    series_main_tags: Mapping[Tag, str] = field(default_factory=dict)
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
    modalities: Sequence[str] = ()
    sop_classes: Sequence[str] = ()


RequestedValue = str | list[dict[str, object]]
"""Text, or the items of a sequence in the simplified form."""


def get(archive: Archive, level: Level, orthanc_id: OrthancId, content: Content = Content.EXPANDED) -> Resource:
    """One resource.

    Raises:
        UnknownResource: there is none of this level with this identifier.
    """
    raise NotImplementedError


def list_ids(archive: Archive, level: Level, since: int = 0, limit: int = 0) -> list[OrthancId]:
    """Identifiers in order of arrival, skipping `since`; `limit` 0 means all."""
    raise NotImplementedError


def list_resources(
    archive: Archive, level: Level, since: int = 0, limit: int = 0, content: Content = Content.EXPANDED
) -> list[Resource]:
    """The same as resources."""
    raise NotImplementedError


def find(archive: Archive, query: Query, content: Content = Content.EXPANDED) -> list[Resource]:
    """The resources that answer a query, in its order, its page of them.

    Raises:
        BadRequest: the query contradicts itself.
    """
    raise NotImplementedError


def find_ids(archive: Archive, query: Query) -> list[OrthancId]:
    """Only their identifiers."""
    raise NotImplementedError


def count(archive: Archive, query: Query) -> int:
    """How many resources answer a query; `since` and `limit` play no part."""
    raise NotImplementedError


def level_of(archive: Archive, orthanc_id: OrthancId) -> Level | None:
    """The level of a resource of which only the identifier is known."""
    raise NotImplementedError


def descendant_ids(archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level) -> list[OrthancId]:
    """Identifiers of the resources of a lower level below one resource.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError


def descendants(
    archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level, content: Content = Content.EXPANDED
) -> list[Resource]:
    """The same as resources."""
    raise NotImplementedError


def ancestor(
    archive: Archive, level: Level, orthanc_id: OrthancId, wanted: Level, content: Content = Content.EXPANDED
) -> Resource:
    """The resource of a higher level to which one belongs.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError


def lookup(archive: Archive, identifier: str) -> list[tuple[Level, OrthancId]]:
    """Resources whose Patient ID, Study, Series or SOP Instance UID is `identifier`; patients first."""
    raise NotImplementedError


def requested_tags(
    archive: Archive, resources: Sequence[Resource], tags: Sequence[Tag]
) -> list[Mapping[Tag, RequestedValue]]:
    """Values of `tags` for each resource: own and ancestors' main tags, computed tags, else from a stored header.

    Tags that a resource does not have are absent.
    """
    raise NotImplementedError


def slices_of(archive: Archive, series_id: OrthancId) -> list[tuple[OrthancId, Mapping[Tag, str], int]]:
    """Instances of a series in their order: identifier, main tags, number of frames (for `ordered-slices`)."""
    raise NotImplementedError


SeriesStatus = Literal["Unknown", "Complete", "Missing", "Inconsistent"]
