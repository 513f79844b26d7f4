"""Attribute matching (PS3.4 §C.2.2.2): keys into matches, matches against values.

The one place that knows what a key means. C-FIND, QIDO-RS and `/tools/find` parse with `parse_match`; the index
translates the match to SQL and, where it has no column, calls `matches`; both compare folded text if the search
ignores case.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Universal:
    """Everything matches, also an absent attribute (§C.2.2.2.3)."""


@dataclass(frozen=True, slots=True)
class SingleValue:
    """The value, or one of the values of the attribute, is equal to `value` (§C.2.2.2.1)."""

    value: str


@dataclass(frozen=True, slots=True)
class WildCard:
    """`*` stands for any characters, `?` for one (§C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """Between two bounds in the order of text, both included (§C.2.2.2.5); an open side is None.

    The bounds are written so that comparing text is right: a time `11` as upper bound is `115959.999999`.
    """

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class ListOf:
    """Equal to one of the values: list of UID matching (§C.2.2.2.2), and lists of other VRs in the REST API."""

    values: tuple[str, ...]


Match = Universal | SingleValue | WildCard | Range | ListOf


def parse_match(vr: str, key: str) -> Match:
    """Read one matching key of an Identifier.

    Raises:
        BadRequest: the key is malformed for its VR, e.g. a DA range with three dates.
    """
    raise NotImplementedError


def matches(match: Match, value: str | None, case_sensitive: bool = True) -> bool:
    """Whether a value (several are separated by backslashes; None: absent) satisfies a match.

    Linear in the length of value and pattern.
    """
    raise NotImplementedError


def normalize(text: str) -> str:
    """Fold text for searches that ignore case and accents: upper case, without combining marks."""
    raise NotImplementedError
