"""Keys of a query: what an Identifier asks for and what must hold (PS3.4 §C.2.2, §C.4.1.1.3, §K.4.1.1.3).

The keys come as a data set from outside and leave as values; a sequence holds the keys of its one item. What the
index cannot decide (sequences, private attributes, date and time taken together, worklist files) is decided here,
attribute by attribute, with the matches of `dicom.matching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from amonsul.dicom import vrs
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, items_of
from amonsul.dicom.json_tags import private_creator, text_of
from amonsul.dicom.matching import Match, Range, Universal, matches, parse_match
from amonsul.errors import BadFileFormat

SPECIFIC_CHARACTER_SET: Final = Tag(0x00080005)
QUERY_RETRIEVE_LEVEL: Final = Tag(0x00080052)

_ABOUT_THE_QUERY: Final = frozenset((SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL))
_MAX_RAW_KEY: Final = 1024

DATES_WITH_TIMES: Final[Mapping[int, int]] = {
    0x00080020: 0x00080030,  # Study
    0x00080021: 0x00080031,  # Series
    0x00080022: 0x00080032,  # Acquisition
    0x00080023: 0x00080033,  # Content
    0x00400002: 0x00400003,  # Scheduled Procedure Step Start
    0x00400244: 0x00400245,  # Performed Procedure Step Start
}
"""Attributes that together are a moment."""

_LAST_TIME: Final = "235959.999999"


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute that is asked for.

    Attributes:
        vr: what the answer is written in, unless the value found has another one.
        match: what its value must satisfy; Universal asks for the value only, as a sequence does.
        items: the keys within a sequence; empty if the whole sequence is asked for.
        creator: of a private attribute, if the query names it.
    """

    tag: Tag
    vr: str
    match: Match = field(default_factory=Universal)
    items: tuple[Key, ...] = ()
    creator: str | None = None

    @property
    def is_private_creator(self) -> bool:
        """Whether it reserves a block of private attributes (PS3.5 §7.8.1)."""
        return bool(self.tag >> 16 & 1) and 0x10 <= self.tag & 0xFFFF <= 0xFF

    @property
    def restricts(self) -> bool:
        """Whether something must hold."""
        return not isinstance(self.match, Universal) or any(key.restricts for key in self.items)


def parse_keys(identifier: DataSet, dictionary: Dictionary, data: memoryview | bytes = b"") -> tuple[Key, ...]:
    """Read the keys of an Identifier; group lengths and what describes the query itself are no keys.

    Args:
        identifier: as scanned.
        dictionary: for the VRs of attributes that come without a known one.
        data: the bytes that were scanned, for keys of unknown VR.

    Raises:
        ParameterOutOfRange: a key is malformed for its VR.
        BadFileFormat: a key is too long.
    """
    return tuple(_parse(identifier, dictionary, data))


def _parse(identifier: DataSet, dictionary: Dictionary, data: memoryview | bytes) -> Iterator[Key]:
    for tag, element in identifier.items():
        if tag & 0xFFFF == 0 or tag in _ABOUT_THE_QUERY:
            continue
        creator = private_creator(tag, identifier)
        vr = element.vr if element.vr != "UN" else dictionary.vr(tag, creator)
        if element.vr == "SQ":
            items = items_of(element)
            if isinstance(element.value, Bulk) and element.value.length:
                raise BadFileFormat("A sequence of keys is too long")
            yield Key(tag, "SQ", items=parse_keys(items[0], dictionary, data) if items else (), creator=creator)
            continue
        key = Key(tag, vr, creator=creator)
        yield key if key.is_private_creator else replace(key, match=parse_match(vr, _text(element, data)))


def _text(element: Element, data: memoryview | bytes) -> str:
    value = element.value
    if isinstance(value, Bulk):
        if value.length == 0 or element.vr != "UN":  # binary values are not matched
            return ""
        if value.length > _MAX_RAW_KEY:
            raise BadFileFormat("A key is too long")
        return bytes(data[value.offset : value.offset + value.length]).decode("latin-1")
    return text_of(element) or ""


def find_private(data_set: DataSet, tag: Tag, creator: str) -> Element | None:
    """A private attribute of a creator, whichever block the data set reserves for it."""
    group, offset = tag & 0xFFFF0000, tag & 0xFF
    for block in range(0x10, 0x100):
        reserved = data_set.get(Tag(group | block))
        if reserved is not None and isinstance(reserved.value, str) and reserved.value.strip() == creator.strip():
            return data_set.get(Tag(group | block << 8 | offset))
    return None


def element_for(key: Key, data_set: DataSet) -> Element | None:
    """The attribute that a key asks for."""
    return data_set.get(key.tag) if key.creator is None else find_private(data_set, key.tag, key.creator)


def satisfies(keys: Iterable[Key], data_set: DataSet, *, case_sensitive_pn: bool, combines: bool = False) -> bool:
    """Whether a data set matches all keys; one item of a sequence must match its keys (PS3.4 §C.2.2.2.6).

    Args:
        keys: those of one level of nesting.
        data_set: what to look at.
        case_sensitive_pn: whether case matters in person names; elsewhere it does.
        combines: ranges of a date and its time are one range of moments (PS3.4 §C.2.2.2.5.4, §K.6.1.2.2).
    """
    wanted = tuple(keys)
    moments, together = split_moments(wanted) if combines else (wanted, ())
    for key in moments:
        if not key.restricts:
            continue
        element = element_for(key, data_set)
        if key.vr == "SQ":
            items = items_of(element) if element is not None else []
            if not any(
                satisfies(key.items, item, case_sensitive_pn=case_sensitive_pn, combines=combines) for item in items
            ):
                return False
        elif not matches(
            key.match,
            None if element is None else text_of(element),
            case_sensitive_pn or key.vr != "PN",
        ):
            return False
    return all(
        moment.contains(_plain(data_set, moment.date_tag), _plain(data_set, moment.time_tag)) for moment in together
    )


def _plain(data_set: DataSet, tag: Tag) -> str:
    element = data_set.get(tag)
    return (text_of(element) or "") if element is not None else ""


@dataclass(frozen=True, slots=True)
class MomentRange:
    """A range of dates and one of times taken together: from a time of the first day to a time of the last one."""

    date_tag: Tag
    time_tag: Tag
    low: str | None
    high: str | None

    def contains(self, date: str, time: str) -> bool:
        """Whether a date with a time is within; without a date it is not."""
        if not date:
            return False
        moment = date.replace(".", "") + time.replace(":", "")
        return (self.low is None or self.low <= moment) and (self.high is None or moment <= self.high)


def split_moments(keys: Sequence[Key]) -> tuple[tuple[Key, ...], tuple[MomentRange, ...]]:
    """The keys, with ranges of a date and its time taken out and put together."""
    by_tag = {int(key.tag): key for key in keys if isinstance(key.match, Range)}
    together = []
    taken = set()
    for date_tag, time_tag in DATES_WITH_TIMES.items():
        date, time = by_tag.get(date_tag), by_tag.get(time_tag)
        if date is None or time is None:
            continue
        assert isinstance(date.match, Range)
        assert isinstance(time.match, Range)
        low = None if date.match.low is None else date.match.low + (time.match.low or "")
        high = None if date.match.high is None else date.match.high + (time.match.high or _LAST_TIME)
        together.append(MomentRange(date.tag, time.tag, low, high))
        taken |= {date_tag, time_tag}
    return tuple(key for key in keys if key.tag not in taken), tuple(together)


def answer(keys: Iterable[Key], data_set: DataSet) -> dict[Tag, Element]:
    """What of a data set the keys ask for, item by item; attributes that it lacks are left out."""
    found: dict[Tag, Element] = {}
    for key in keys:
        element = element_for(key, data_set)
        if element is None:
            continue
        if key.vr == "SQ" and key.items and element.vr == "SQ":
            items: list[DataSet] = [answer(key.items, item) for item in items_of(element)]
            element = Element("SQ", items)
        found[key.tag] = element
    return found


def value_of(key: Key, value: str | Element | None) -> Element:
    """What to answer for a key: the value found, empty if there is none."""
    if isinstance(value, Element):
        return value
    vr = key.vr
    if value is None or vr in vrs.BINARY:
        return Element(vr, [] if vr == "SQ" or vr in vrs.NUMBERS else "" if vr not in vrs.BINARY else Bulk(0, 0))
    return Element(vr, value)
