"""What becomes of each attribute in a de-identification (PS3.15 Annex E): profiles as data.

A profile maps tags to actions. Two kinds:

- An edition, named by the `DicomVersion` of requests, alone: what a table offers a choice for is removed or emptied,
  and what is to be replaced by a dummy is emptied too, as clients of the REST API know it.
- The Basic Profile with options (§E.3), even with none of them: to the letter of the Standard. Where the table offers
  a choice, the value is replaced, which conforms to every IOD.

The table is generated (`tools/make_confidentiality_table.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import orjson

from amonsul.dicom import vrs
from amonsul.dicom.dictionary import STANDARD
from amonsul.errors import BadRequest, ParameterOutOfRange

VERSIONS: Final = ("2008", "2017c", "2021b", "2023b")
CURRENT: Final = "2023b"


class Action(enum.Enum):
    """What to do with one attribute (PS3.15 Table E.1-1a)."""

    REMOVE = "X"
    CLEAR = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"
    """Items of a sequence are treated like any data set."""
    CLEAN = "C"
    """Take out of a text what may identify; items of a sequence are treated like any data set; of graphics, what is
    drawn by numbers or marks a region stays."""
    SHIFT = "shift"
    """Move a date."""


class Option(enum.Enum):
    """Options of the Basic Profile (PS3.15 §E.3); the value is the name in requests."""

    CLEAN_PIXEL_DATA = "CleanPixelData"
    CLEAN_VISUAL_FEATURES = "CleanRecognizableVisualFeatures"
    CLEAN_GRAPHICS = "CleanGraphics"
    CLEAN_STRUCTURED_CONTENT = "CleanStructuredContent"
    CLEAN_DESCRIPTORS = "CleanDescriptors"
    FULL_DATES = "RetainLongitudinalFullDates"
    MODIFIED_DATES = "RetainLongitudinalModifiedDates"
    PATIENT_CHARACTERISTICS = "RetainPatientCharacteristics"
    DEVICE_IDENTITY = "RetainDeviceIdentity"
    UIDS = "RetainUIDs"
    SAFE_PRIVATE = "RetainSafePrivate"
    INSTITUTION_IDENTITY = "RetainInstitutionIdentity"


_TEXT_VALUE = "0040a160"
"""Not in the table, which leaves it to the sequence that it is in (PS3.15 §E.3.4)."""

_GRAPHIC_TEXTS = ("00700006", "00700068", "00700208", "00700209")
"""Not in the table either: texts, layers and groups of graphic annotations (PS3.15 §E.3.3)."""

_NAMES_OF_GRAPHICS = ("60xx0022", "60xx1500")
"""Overlay Description and Label, which the table forgets."""

_CURVES, _OVERLAY_DATA = "50xxxxxx", "60xx3000"
_SOUNDS_OF_CURVES = "50xx20xx"
"""Audio of curves, which no program can clean."""


_NEVER_EMPTY = frozenset(("00081110",))
"""Sequences that may be removed or emptied, and are optional with one item or more in every composite IOD (PS3.3)."""


class Code(NamedTuple):
    """A coded entry of PS3.16 Annex D."""

    value: str
    meaning: str
    scheme: str = "DCM"


BASIC_PROFILE_CODE: Final = Code("113100", "Basic Application Confidentiality Profile")

OPTION_CODES: Final[Mapping[Option, Code]] = {  # PS3.16 CID 7050
    Option.CLEAN_PIXEL_DATA: Code("113101", "Clean Pixel Data Option"),
    Option.CLEAN_VISUAL_FEATURES: Code("113102", "Clean Recognizable Visual Features Option"),
    Option.CLEAN_GRAPHICS: Code("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: Code("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: Code("113105", "Clean Descriptors Option"),
    Option.FULL_DATES: Code("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    Option.MODIFIED_DATES: Code("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.PATIENT_CHARACTERISTICS: Code("113108", "Retain Patient Characteristics Option"),
    Option.DEVICE_IDENTITY: Code("113109", "Retain Device Identity Option"),
    Option.UIDS: Code("113110", "Retain UIDs Option"),
    Option.SAFE_PRIVATE: Code("113111", "Retain Safe Private Option"),
    Option.INSTITUTION_IDENTITY: Code("113112", "Retain Institution Identity Option"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """Actions for attributes, at any depth; what is not named stays.

    Attributes:
        version: edition of the Standard.
        options: None for an edition alone.
        actions: by tag.
        repeating: mask, value under the mask, action, of groups that repeat.
        cleans: whether any text is cleaned.
    """

    version: str
    options: frozenset[Option] | None
    actions: Mapping[int, Action] = field(repr=False)
    repeating: tuple[tuple[int, int, Action], ...] = field(repr=False)
    cleans: bool

    def action(self, tag: int) -> Action | None:
        """What to do with a public attribute; None if the profile does not name it."""
        found = self.actions.get(tag)
        if found is None and tag >> 24 in (0x50, 0x60):
            for mask, value, action in self.repeating:
                if tag & mask == value:
                    return action
        return found

    @property
    def codes(self) -> tuple[Code, ...]:
        """For the De-identification Method Code Sequence; none for an edition alone."""
        if self.options is None:
            return ()
        chosen = (code for option, code in OPTION_CODES.items() if option in self.options)
        return (BASIC_PROFILE_CODE, *chosen)

    @property
    def description(self) -> str:
        """For De-identification Method."""
        basic = "" if self.version == "2008" else " Basic Profile"
        return f"PS 3.15-{self.version} Table E.1-1{basic}"


def parse_version(name: str) -> str:
    """An edition that requests may name.

    Raises:
        ParameterOutOfRange: there is no such.
    """
    if name not in VERSIONS:
        raise ParameterOutOfRange(f"Unknown specific version of the DICOM standard: {name[:64]}")
    return name


def parse_options(names: Iterable[str]) -> frozenset[Option]:
    """Options by their names.

    Raises:
        ParameterOutOfRange: there is no such.
        BadRequest: two contradict each other.
    """
    options = set()
    for name in names:
        try:
            options.add(Option(name))
        except ValueError:
            known = ", ".join(option.value for option in Option)
            raise ParameterOutOfRange(f"Unknown de-identification option: {name[:64]}, known are {known}") from None
    if {Option.FULL_DATES, Option.MODIFIED_DATES} <= options:
        raise BadRequest("Dates can be retained in full or modified, not both")
    return frozenset(options)


def profile(version: str = CURRENT, options: frozenset[Option] | None = None) -> Profile:
    """A profile; with options only in the current edition."""
    return _cached_profile(version, options)


@cache  # bounded: four editions, and the sets of twelve options
def _cached_profile(version: str, options: frozenset[Option] | None) -> Profile:
    if options is not None:
        chosen = {pattern: _with_options(pattern, row, options) for pattern, row in _table().attributes.items()}
        if Option.CLEAN_STRUCTURED_CONTENT in options:
            chosen[_TEXT_VALUE] = Action.CLEAN
        cleans_graphics = Option.CLEAN_GRAPHICS in options
        chosen |= dict.fromkeys(_NAMES_OF_GRAPHICS, Action.CLEAN if cleans_graphics else Action.REMOVE)
        if cleans_graphics:
            chosen |= dict.fromkeys(_GRAPHIC_TEXTS, Action.CLEAN)
            chosen = {_SOUNDS_OF_CURVES: Action.REMOVE} | chosen
        return _profile(version, options, chosen)
    if version == CURRENT:
        return _profile(version, None, {pattern: _first(row.action) for pattern, row in _table().attributes.items()})
    return _profile(version, None, {tag: Action(letter) for tag, letter in _table().editions[version].items()})


def _profile(version: str, options: frozenset[Option] | None, actions: Mapping[str, Action]) -> Profile:
    plain = {int(pattern, 16): action for pattern, action in actions.items() if "x" not in pattern}
    repeating = []
    for pattern, action in actions.items():
        if "x" in pattern:
            mask = int("".join("0" if digit == "x" else "f" for digit in pattern), 16)
            repeating.append((mask, int(pattern.replace("x", "0"), 16), action))
    return Profile(version, options, plain, tuple(repeating), Action.CLEAN in plain.values())


def _first(letters: str) -> Action:
    """Of an edition alone. `X/Z/U*` is for sequences of references: their UIDs become new ones, the rest stays."""
    if letters.endswith("U*"):
        return Action.KEEP
    return Action.CLEAR if letters[0] == "D" else Action(letters[0])


def _with_options(pattern: str, row: _Row, options: frozenset[Option]) -> Action:
    _, letters, columns = row
    vr = STANDARD.vr(int(pattern.replace("x", "0"), 16))
    applying = {option: columns[option.value] for option in options if option.value in columns}
    # A date that stayed would tell by how much the others were moved: so moving wins over retaining the device.
    if Option.MODIFIED_DATES in applying and vr in ("DA", "DT"):
        return Action.SHIFT
    if Option.MODIFIED_DATES in applying and vr in ("TM", "SH"):
        return Action.KEEP
    applying.pop(Option.MODIFIED_DATES, None)
    if "K" in applying.values():
        return Action.KEEP
    if "C" in applying.values() and (
        pattern in (_CURVES, _OVERLAY_DATA) or vr in ("AE", "SQ") or vr in vrs.CHARSET_TEXT
    ):
        return Action.CLEAN
    if letters.endswith("U*"):
        return Action.KEEP
    if pattern in _NEVER_EMPTY:
        return Action.REMOVE
    action = Action(letters[-1])
    return Action.UID if action is Action.DUMMY and vr == "UI" else action  # one for all would join what is apart


class _Row(NamedTuple):
    name: str
    action: str
    options: dict[str, str]


class _Table(NamedTuple):
    attributes: dict[str, _Row]
    editions: dict[str, dict[str, str]]


@cache
def _table() -> _Table:
    content = orjson.loads(files("amonsul.dicom").joinpath("tables", "confidentiality.json").read_bytes())
    return _Table({tag: _Row(*row) for tag, row in content["attributes"].items()}, content["editions"])
