"""Names, VRs and multiplicities of attributes (PS3.6 §6, §7, §8), public, repeating and private.

The tables are generated (`tools/make_tables.py`) and loaded on first use, a private creator at a time. A dictionary
is a value: options that add entries make another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from amonsul.dicom import vrs
from amonsul.dicom.elements import Tag, parse_hex_tag
from amonsul.errors import BadFileFormat, InexistentFile, ParameterOutOfRange, UnknownDicomTag

UNKNOWN_NAME = "Unknown Tag & Data"
"""Printed for an attribute that no dictionary knows."""


class Entry(NamedTuple):
    """One attribute."""

    keyword: str
    """As the REST API prints it: the keyword of PS3.6, after `RETIRED_` if it has long been retired."""
    name: str
    vr: str
    """As in PS3.6; `US or SS` and the like are given as in the table."""
    vm: str
    retired: bool = False


class Addition(NamedTuple):
    """One entry to add: of the `Dictionary` option or of an external dictionary."""

    tag: int
    """For a private attribute, with the block byte zero: (0009,xx01) is 0x00090001."""
    private_creator: str
    """Empty for a public attribute."""
    entry: Entry


class Dictionary:
    """An immutable dictionary; see `STANDARD`."""

    __slots__ = ("_by_keyword", "_creators", "_has_private", "_parent", "_private", "_public", "names")

    def __init__(
        self, parent: Dictionary | None = None, additions: Iterable[Addition] = (), has_private: bool = True
    ) -> None:
        self._parent = parent
        self._has_private = has_private
        self._public: dict[int, Entry | None] = {}
        self._by_keyword: dict[str, Tag] = {}
        self._private: dict[str, dict[int, Entry]] = {}
        self._creators: dict[str, Mapping[int, Entry]] = {}
        self.names: dict[int, str] = {}
        """Keywords of public attributes that were asked for, by tag: for loops that cannot afford a call."""
        for tag, creator, entry in additions:
            if creator:
                self._private.setdefault(creator, {})[tag & 0xFFFF00FF] = entry
            else:
                self._public[tag] = entry
            self._by_keyword[entry.keyword] = Tag(tag)

    def entry(self, tag: int, private_creator: str | None = None) -> Entry | None:
        """What is known of an attribute; None if nothing."""
        if tag & 0x10000 and private_creator and tag & 0xFF00:
            return self.private_entries(private_creator).get(tag & 0xFFFF00FF)
        try:
            return self._public[tag]
        except KeyError:
            found = self._parent.entry(tag) if self._parent is not None else _standard_entry(tag)
            if found is not None:  # what is not known is not remembered: it comes from outside and has no end
                self._public[tag] = found
            return found

    def private_entries(self, private_creator: str) -> Mapping[int, Entry]:
        """What is known of one creator, by tag with the block byte zero; empty if nothing."""
        try:
            return self._creators[private_creator]
        except KeyError:
            inherited: Mapping[int, Entry] = {}
            if self._parent is not None:
                inherited = self._parent.private_entries(private_creator)
            elif self._has_private:
                inherited = _standard_private(private_creator)
            added = self._private.get(private_creator)
            entries = {**inherited, **added} if added else inherited
            if entries:
                self._creators[private_creator] = entries
            return entries

    def keyword(self, tag: int, private_creator: str | None = None) -> str:
        """Name in the REST API, `Unknown Tag & Data` if there is none."""
        found = self.entry(tag, private_creator)
        if found is None:
            return UNKNOWN_NAME
        if not private_creator:
            self.names[tag] = found.keyword
        return found.keyword

    def vr(self, tag: int, private_creator: str | None = None) -> str:
        """VR for an implicit transfer syntax, `UN` if unknown; where the table allows two, the first."""
        found = self.entry(tag, private_creator)
        return found.vr[:2] if found is not None else "UN"

    def tag(self, name: str) -> Tag:
        """Read a keyword, `0010,0010`, `0010-0010` or `00100010`.

        An added private attribute, of which only the data set knows the block, comes with the block byte zero.

        Raises:
            UnknownDicomTag: none of these.
        """
        found = self._by_keyword.get(name)
        if found is None and self._parent is not None:
            return self._parent.tag(name)
        if found is None:
            found = _standard_keywords().get(name) or parse_hex_tag(name)
        if found is None:
            raise UnknownDicomTag(f"Unknown DICOM tag: {name[:64]}")
        return found

    def extended(self, additions: Iterable[Addition]) -> Dictionary:
        """The same with more entries; an addition wins over what was there."""
        return Dictionary(self, additions)


STANDARD = Dictionary()
"""All that the tables have."""

PUBLIC = Dictionary(has_private=False)
"""Without the private attributes, as `LoadPrivateDictionary: false` asks for."""


def _lines(table: str) -> list[list[str]]:
    text = files("amonsul.dicom").joinpath("tables", table).read_text("utf-8")
    return [line.split("\t") for line in text.splitlines()]


def _entry(vr: str, vm: str, keyword: str, name: str, flag: str) -> Entry:
    return Entry(f"RETIRED_{keyword}" if flag == "R" else keyword, name, vr, vm, bool(flag))


@cache
def _standard_public() -> dict[int, Entry]:
    return {int(tag, 16): _entry(*rest) for tag, *rest in _lines("attributes.tsv")}


@cache
def _standard_repeating() -> list[tuple[int, int, Entry]]:
    """Mask, value under the mask, entry."""
    found = []
    for pattern, *rest in _lines("repeating.tsv"):
        mask = int("".join("0" if digit == "x" else "f" for digit in pattern), 16)
        found.append((mask, int(pattern.replace("x", "0"), 16), _entry(*rest)))
    return found


@cache
def _private_tables() -> dict[str, str]:
    """The lines of each creator, unparsed."""
    text = files("amonsul.dicom").joinpath("tables", "private.tsv").read_text("utf-8")
    creators = {}
    for part in text.split("=", 1)[1].split("\n="):
        creator, _, lines = part.partition("\n")
        creators[creator] = lines
    return creators


@cache
def _standard_keywords() -> dict[str, Tag]:
    found = {}
    for tag, entry in _standard_public().items():
        found[entry.keyword] = found[entry.keyword.removeprefix("RETIRED_")] = Tag(tag)
    for _, tag, entry in _standard_repeating():  # of a repeating group, the first
        found.setdefault(entry.keyword, Tag(tag))
        found.setdefault(entry.keyword.removeprefix("RETIRED_"), Tag(tag))
    return found


_GROUP_LENGTH = Entry("GenericGroupLength", "Group Length", "UL", "1", True)
_PRIVATE_GROUP_LENGTH = Entry("PrivateGroupLength", "Group Length", "UL", "1", True)
_PRIVATE_CREATOR = Entry("PrivateCreator", "Private Creator", "LO", "1")


def _standard_entry(tag: int) -> Entry | None:
    found = _standard_public().get(tag)
    if found is not None:
        return found
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1:  # PS3.5 §7.8
        if group > 8 and element == 0:
            return _PRIVATE_GROUP_LENGTH
        return _PRIVATE_CREATOR if group > 8 and 0x10 <= element <= 0xFF else None
    if element == 0:  # PS3.5 §7.2
        return _GROUP_LENGTH
    for mask, value, entry in _standard_repeating():
        if tag & mask == value:
            return entry
    return None


def _standard_private(creator: str) -> Mapping[int, Entry]:
    lines = _private_tables().get(creator)
    if lines is None:
        return {}
    found = {}
    for line in lines.splitlines():
        group, element, vr, vm, keyword, name = line.split("\t")
        found[int(group, 16) << 16 | int(element, 16)] = Entry(keyword or UNKNOWN_NAME, name, vr, vm)
    return found


def parse_dictionary_option(option: Mapping[str, object]) -> list[Addition]:
    """Read the `Dictionary` option: `{"0009,01": ["LO", "GoldenText", 1, 1, "GOLDEN MAKER"]}`.

    The list is VR, name and, optionally, minimum and maximum multiplicity (0: unbounded) and private creator.

    Raises:
        ParameterOutOfRange: an entry is malformed; the details name it.
    """
    additions = []
    for key, value in option.items():
        digits = re.fullmatch(r"([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{2}|[0-9a-fA-F]{4})", key)
        if digits is None:
            raise ParameterOutOfRange(f'Dictionary: "{key}" is not a tag')
        if not isinstance(value, list) or not 2 <= len(value) <= 5 or not all(isinstance(x, str) for x in value[:2]):
            raise ParameterOutOfRange(f'Dictionary: "{key}" must be a list of VR, name, two numbers, private creator')
        vr, name, low, high, creator = value + [1, 1, ""][len(value) - 2 :]
        if vr not in vrs.ALL:
            raise ParameterOutOfRange(f'Dictionary: "{key}" has the unknown VR "{vr}"')
        if not (type(low) is int and type(high) is int and low >= 0 and (high == 0 or high >= low)):
            raise ParameterOutOfRange(f'Dictionary: "{key}" has a bad multiplicity')
        if not isinstance(creator, str):
            raise ParameterOutOfRange(f'Dictionary: "{key}" has a private creator that is not a text')
        tag = int(digits[1], 16) << 16 | int(digits[2], 16)
        additions.append(Addition(tag, creator.strip(" "), Entry(name, name, vr, _multiplicity(low, high))))
    return additions


def _multiplicity(low: int, high: int) -> str:
    if high == 0:
        return f"{low}-n"
    return str(low) if low == high else f"{low}-{high}"


_EXTERNAL_LINE = re.compile(
    r"\(\s*(?P<group>[0-9a-fA-F]{4})(?P<groups>-[oue]-[0-9a-fA-F]{4}|-[0-9a-fA-F]{4})?\s*,"
    r'\s*(?:"(?P<creator>[^"]*)"\s*,)?'
    r"\s*(?P<element>[0-9a-fA-F]{2,4})(?P<elements>-[oue]-[0-9a-fA-F]{2,4}|-[0-9a-fA-F]{2,4})?\s*\)"
    r"\s+(?P<vr>\S+)\s+(?P<name>\S+)(?:\s+(?P<vm>\S+))?"
)
_EXTERNAL_VRS = {"ox": "OW", "xs": "US", "lt": "OW", "up": "UL", "na": "UN", "px": "OW", "??": "UN"}


def read_external_dictionary(path: Path) -> list[Addition]:
    """Read a dictionary in DCMTK's text format, as the `ExternalDictionaries` option names them.

    Entries for ranges of groups or elements are passed over, except repeating groups (`60xx`), which PS3.6 has too.

    Raises:
        InexistentFile: there is no such file.
        BadFileFormat: a line is malformed; the details give its number.
    """
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise InexistentFile(f"cannot read the dictionary {path}: {error.strerror}") from error
    additions = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _EXTERNAL_LINE.match(line)
        if parts is None:
            raise BadFileFormat(f"{path}: line {number} is not an entry of a dictionary")
        if parts["groups"] or parts["elements"]:
            continue
        vr = _EXTERNAL_VRS.get(parts["vr"], parts["vr"])
        tag = int(parts["group"], 16) << 16 | int(parts["element"], 16)
        creator = (parts["creator"] or "").strip(" ")
        if vr in vrs.ALL:
            additions.append(
                Addition(
                    tag & 0xFFFF00FF if creator else tag,
                    creator,
                    Entry(parts["name"], parts["name"], vr, parts["vm"] or "1"),
                )
            )
    return additions
