"""The one query value: what C-FIND, QIDO-RS and `/tools/find` ask and the index answers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import Match


@dataclass(frozen=True, slots=True)
class Constraint:
    """One attribute to match.

    Attributes:
        tag: at the level of the query or above, or computed (ModalitiesInStudy, NumberOf…), or any other.
        match: never Universal in a finished query.
        case_sensitive: compare as is; otherwise both sides folded by `normalize`.
        mandatory: an absent attribute does not match; otherwise it does.
    """

    tag: Tag
    match: Match
    case_sensitive: bool = True
    mandatory: bool = True


@dataclass(frozen=True, slots=True)
class MetadataConstraint:
    """A metadata, by name, to match."""

    name: str
    match: Match
    case_sensitive: bool = True


class LabelsConstraint(enum.Enum):
    """How the labels of the query relate to those of a resource."""

    ALL = "All"
    ANY = "Any"
    NONE = "None"


class Direction(enum.Enum):
    """Of an order."""

    ASCENDING = "ASC"
    DESCENDING = "DESC"


class Cast(enum.Enum):
    """What the values of a key of order are compared as."""

    TEXT = "STRING"
    INTEGER = "INT"
    REAL = "FLOAT"


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of the order: a DICOM tag, or a metadata by name."""

    key: Tag | str
    direction: Direction = Direction.ASCENDING
    cast: Cast = Cast.TEXT


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level; everything given must hold.

    Attributes:
        level: of the answers.
        constraints: on attributes.
        labels: and `labels_constraint`, how they must relate to those of the resource; without labels there is no
            constraint, but with NONE, which then asks for resources that have no label at all.
        metadata: constraints on metadata of the resource.
        order_by: keys in order; then, and without keys, in the order of arrival.
        since: answers to skip.
        limit: most answers, 0 for all.
        parents: the identifier of an ancestor at each level given (ParentPatient, ParentStudy, ParentSeries).
        requested_tags: to be filled in beside the main tags.
    """

    level: Level
    constraints: tuple[Constraint, ...] = ()
    labels: frozenset[str] = frozenset()
    labels_constraint: LabelsConstraint = LabelsConstraint.ALL
    metadata: tuple[MetadataConstraint, ...] = ()
    order_by: tuple[OrderKey, ...] = ()
    since: int = 0
    limit: int = 0
    parents: Mapping[Level, OrthancId] = field(default_factory=lambda: MappingProxyType({}))
    requested_tags: tuple[Tag, ...] = ()
