"""Attribute matching (PS3.4 §C.2.2.2): keys into matches, matches against values.

The one place that knows what a key means. C-FIND, QIDO-RS and `/tools/find` parse with `parse_match`; the index
translates the match to SQL and, where it has no column, calls `matches`; both compare folded text if the search
ignores case. Whatever the key, matching takes time in proportion to the value times the key at worst, never more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from amonsul.dicom import vrs
from amonsul.dicom.phonetic import name_codes
from amonsul.errors import ParameterOutOfRange


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

    The bounds are written so that comparing text is right: `11` as upper bound of a time is `115959.999999`, `110000`
    as lower bound is `11`. An empty value is below every upper bound.
    """

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class ListOf:
    """Equal to one of the values: list of UID matching (§C.2.2.2.2), and lists of other VRs in the REST API."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phonetic:
    """A person name of which the components sound like these (fuzzy matching of PS3.18 §8.3.4.2).

    A component that is empty, or missing at the end, matches any.
    """

    codes: tuple[str, ...]


Match = Universal | SingleValue | WildCard | Range | ListOf | Phonetic

MAX_KEY_LENGTH = 1 << 20
"""Of a key in characters: room for a list of 16,000 UIDs."""
MAX_PATTERN_LENGTH = 10_240
"""Of a key with wildcards in characters: the longest LT."""

_NO_WILDCARDS = frozenset(("DA", "DT", "TM", "UI"))


def parse_match(vr: str, key: str) -> Match:
    """Read one matching key of an Identifier.

    Args:
        vr: of the attribute.
        key: its value, decoded; several values are separated by backslashes.

    Raises:
        ParameterOutOfRange: the key is malformed for its VR: a range with three dates, a wildcard in a UID.
    """
    if len(key) > MAX_KEY_LENGTH:
        raise ParameterOutOfRange(f"A key of {len(key)} characters is too long")
    key = key.rstrip(" \0")
    if vr in _NO_WILDCARDS:
        key = key.lstrip(" ")
    if not key:
        return Universal()
    has_wildcards = "*" in key or "?" in key
    if has_wildcards and vr in _NO_WILDCARDS:
        raise ParameterOutOfRange(f"Wildcards are not allowed in a key of VR {vr}")
    if not key.strip("*"):
        return Universal()
    if "\\" in key and vr not in vrs.SINGLE_VALUED_TEXT:
        return ListOf(
            tuple(dict.fromkeys(part.strip(" ") if vr == "UI" else part.rstrip(" ") for part in key.split("\\")))
        )
    if has_wildcards:
        if len(key) > MAX_PATTERN_LENGTH:
            raise ParameterOutOfRange(f"A key with wildcards of {len(key)} characters is too long")
        return WildCard(key)
    if vr in _RANGES and "-" in key:
        return _RANGES[vr](key)
    return SingleValue(key)


def matches(match: Match, value: str | None, case_sensitive: bool = True) -> bool:
    """Whether a value (several are separated by backslashes; None: absent) satisfies a match."""
    if value is None:
        return isinstance(match, Universal)
    if not case_sensitive:
        match, value = folded(match), normalize(value)
    values = value.split("\\") if "\\" in value else [value]
    match match:
        case Universal():
            return True
        case SingleValue(wanted):
            return wanted in values or wanted == value
        case ListOf(wanted_values):
            return any(one in wanted_values for one in values)
        case Range(low, high):
            return any((low is None or low <= one) and (high is None or one <= high) for one in map(undotted, values))
        case WildCard(pattern):
            satisfied = _pattern(pattern)
            return any(map(satisfied, values)) or (len(values) > 1 and satisfied(value))
        case Phonetic(codes):
            return any(_sounds_like(codes, group) for one in values for group in one.split("="))
        case _:
            assert_never(match)


def normalize(text: str) -> str:
    """Fold text for searches that ignore case: upper case, accents kept but written in one way (NFC)."""
    return text.upper() if text.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).upper())


@lru_cache(256)
def folded(match: Match) -> Match:
    """The match that gives, on values folded by `normalize`, what `match` gives when case is ignored."""
    match match:
        case SingleValue(value):
            return SingleValue(normalize(value))
        case WildCard(pattern):
            return WildCard(normalize(pattern))
        case ListOf(values):
            return ListOf(tuple(normalize(value) for value in values))
        case Universal() | Range() | Phonetic():
            return match
        case _:
            assert_never(match)


def _sounds_like(codes: tuple[str, ...], name: str) -> bool:
    found = name_codes(name)
    return len(found) >= len(codes) and all(
        not wanted or wanted == code for wanted, code in zip(codes, found, strict=False)
    )


def undotted(value: str) -> str:
    """A date or time without the separators of ACR-NEMA: `2004.01.19`, `07:27:30` (PS3.5 §6.2)."""
    if value[4:5] == "." and value[7:8] == ".":
        return value.replace(".", "")
    return value.replace(":", "") if value[2:3] == ":" else value


@lru_cache(256)
def _pattern(pattern: str) -> Callable[[str], bool]:
    """What tells whether a value has the form of a pattern.

    Between two stars the first place that fits is as good as any other, so nothing is ever tried again.
    """
    first, *rest = pattern.split("*")
    start, finders = _finder(first, anchored=True), [_finder(part) for part in rest[:-1] if part]
    last = rest[-1] if rest else None
    ending = _finder(last, anchored=True) if last else None
    if last is None:
        whole = _finder(pattern, anchored=True)
        return lambda value: whole(value, 0) == len(value)

    def satisfied(value: str) -> bool:
        pos = start(value, 0)
        for find in finders:
            if pos < 0:
                return False
            pos = find(value, pos)
        if pos < 0 or ending is None:
            return pos >= 0
        return len(value) - len(last) >= pos and ending(value, len(value) - len(last)) >= 0

    return satisfied


_Find = Callable[[str, int], int]


def _finder(part: str, anchored: bool = False) -> _Find:
    """What finds a part without stars in a value from a position on, or only there; answers where it ends, or -1."""
    length = len(part)
    if "?" not in part:
        if anchored:
            return lambda value, pos: pos + length if value.startswith(part, pos) else -1

        def find(value: str, pos: int) -> int:
            found = value.find(part, pos)
            return found + length if found >= 0 else -1

        return find
    compiled = re.compile(".".join(re.escape(piece) for piece in part.split("?")), re.DOTALL)
    look = compiled.match if anchored else compiled.search

    def find_with_gaps(value: str, pos: int) -> int:
        found = look(value, pos)
        return found.end() if found is not None else -1

    return find_with_gaps


_DATE = re.compile(r"\d{4}(\d{2}(\d{2})?)?")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_DATE_TIME = re.compile(r"(?P<local>\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?)(?P<offset>[+-]\d{4})?")
_LAST_TIME = "235959.999999"
_LAST_DATE_TIME = "99991231235959.999999"


def _date_range(key: str) -> Range:
    low, high = _bounds(key)
    for bound in (low, high):
        if bound and not _DATE.fullmatch(undotted(bound)):
            raise ParameterOutOfRange("A range of dates is malformed")
    return Range(undotted(low) or None, undotted(high) + _LAST_DATE_TIME[len(undotted(high)) : 8] if high else None)


def _time_range(key: str) -> Range:
    low, high = (undotted(bound) for bound in _bounds(key))
    for bound in (low, high):
        if bound and not _TIME.fullmatch(bound):
            raise ParameterOutOfRange("A range of times is malformed")
    if "." in low:
        low = low.rstrip("0").rstrip(".")
    while len(low) in (4, 6) and low.endswith("00"):  # a value may be less precise than the key
        low = low[:-2]
    return Range(low or None, high + _LAST_TIME[len(high) :] if high else None)


def _bounds(key: str) -> tuple[str, str]:
    low, dash, high = key.partition("-")
    low, high = low.strip(" "), high.strip(" ")
    if not dash or "-" in high or not (low or high):
        raise ParameterOutOfRange("A range needs one hyphen and one or two bounds")
    return low, high


def _date_time_range(key: str) -> Match:
    """A hyphen may also be the sign of an offset from UTC (§C.2.2.2.5.3), which is not compared."""
    if _is_date_time(key):
        return SingleValue(key)
    for place in (index for index, char in enumerate(key) if char == "-"):
        low, high = key[:place].strip(" "), key[place + 1 :].strip(" ")
        if (low or high) and (not low or _is_date_time(low)) and (not high or _is_date_time(high)):
            low, high = _local(low), _local(high)
            return Range(low or None, high + _LAST_DATE_TIME[len(high) :] if high else None)
    raise ParameterOutOfRange("A range of dates and times is malformed")


def _is_date_time(text: str) -> bool:
    parts = _DATE_TIME.fullmatch(text)
    return parts is not None and (parts["offset"] is None or -1200 <= int(parts["offset"]) <= 1400)


def _local(text: str) -> str:
    parts = _DATE_TIME.fullmatch(text)
    return parts["local"] if parts is not None else ""


_RANGES: dict[str, Callable[[str], Match]] = {"DA": _date_range, "DT": _date_time_range, "TM": _time_range}
