"""The one query value: what C-FIND, QIDO-RS and `/tools/find` ask and the index answers."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
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


@dataclass(frozen=True, slots=True)
class View:
    """What one of several tenants of an archive sees of it, by labels. This is the rule, and the only place of it.

    A search finds what its own labels permit, at the level of the search. What is below a resource that was found goes
    with it, but for what has labels of its own that do not permit it, and all below that: it is another tenant's.
    Whatever has no labels belongs to what is above it.

    Attributes:
        labels: those of the tenant.
        constraint: how they must relate to those of a resource, as in a `Query`.
        is_whole: nothing below a resource that was found is another tenant's.
    """

    labels: tuple[str, ...] = ()
    constraint: LabelsConstraint = LabelsConstraint.ALL
    is_whole: bool = False

    def permits(self, labels: Collection[str]) -> bool:
        """Whether a resource with these labels is found."""
        match self.constraint:
            case LabelsConstraint.ALL:
                return all(label in labels for label in self.labels)
            case LabelsConstraint.ANY:
                return not self.labels or any(label in labels for label in self.labels)
            case LabelsConstraint.NONE:
                return not any(label in labels for label in self.labels) if self.labels else not labels

    def hides(self, labels: Collection[str]) -> bool:
        """Whether a resource with these labels stays behind when what is above it goes."""
        return not self.is_whole and bool(labels) and not self.permits(labels)

    def admits(self, path: Collection[Collection[str]]) -> bool:
        """Whether a resource can be reached at all.

        Args:
            path: the labels of its ancestors from the patient down, then its own.
        """
        is_reached = False
        for labels in path:
            is_reached = self.permits(labels) or (is_reached and not self.hides(labels))
        return is_reached


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
        view: of whom asks; None sees everything.
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
    view: View | None = None
