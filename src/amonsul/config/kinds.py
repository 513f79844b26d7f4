"""What a value of the configuration may be: the kinds that the table of options is written with.

Each kind checks one JSON value and says, in words for people, what it wants. A check never changes a value: what an
option means (seconds, megabytes, a path) is settled where the settings of a part are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeAlias

from amonsul.errors import AmonsulError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value as JSON knows it."""


_NO_MAXIMUM: Final = 2**31 - 1


class ConfigurationError(AmonsulError):
    """A configuration that cannot be used; `details` says where and why."""


class WrongValue(Exception):
    """A value of the wrong kind.

    Attributes:
        place: path of the value below the option, e.g. `.x[2]`.
        wanted: what it should have been.
        value: what came.
    """

    def __init__(self, place: str, wanted: str, value: Json) -> None:
        super().__init__(place)
        self.place = place
        self.wanted = wanted
        self.value = value


class Kind(Protocol):
    """One kind of value.

    Attributes:
        shape: the JSON type of its values, by which Either tells kinds apart; `object` if they have several.
    """

    shape: ClassVar[type]

    def check(self, value: Json, place: str) -> None:
        """Raise WrongValue unless `value` is of this kind; `place` is its path."""
        ...

    def describe(self) -> str:
        """What is wanted, to be read after "wanted"."""
        ...


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    shape: ClassVar[type] = bool

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, bool):
            raise WrongValue(place, self.describe(), value)

    def describe(self) -> str:
        """See Kind."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds."""

    shape: ClassVar[type] = int

    minimum: int = 0
    maximum: int = _NO_MAXIMUM

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise WrongValue(place, self.describe(), value)

    def describe(self) -> str:
        """See Kind."""
        if self.maximum >= _NO_MAXIMUM:
            return f"a whole number, {self.minimum} or more"
        return f"a whole number from {self.minimum} to {self.maximum}"


@dataclass(frozen=True, slots=True)
class Text:
    """A string, whose whole must match `pattern` if there is one."""

    shape: ClassVar[type] = str

    pattern: str = ""
    wanted: str = "a string"

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, str) or (self.pattern and not re.fullmatch(self.pattern, value)):
            raise WrongValue(place, self.describe(), value)

    def describe(self) -> str:
        """See Kind."""
        return self.wanted


@dataclass(frozen=True, slots=True)
class Choice:
    """One string of a few."""

    shape: ClassVar[type] = str

    values: tuple[str, ...]

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, str) or value not in self.values:
            raise WrongValue(place, self.describe(), value)

    def describe(self) -> str:
        """See Kind."""
        return "one of " + ", ".join(f'"{value}"' for value in self.values)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of values of one kind; a single value may stand for a list of one if `or_single`."""

    shape: ClassVar[type] = list

    item: Kind
    or_single: bool = False

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, list):
            if self.or_single:
                self.item.check(value, place)
                return
            raise WrongValue(place, self.describe(), value)
        for number, item in enumerate(value):
            self.item.check(item, f"{place}[{number}]")

    def describe(self) -> str:
        """See Kind."""
        return f"a list, each item {self.item.describe()}"


@dataclass(frozen=True, slots=True)
class Row:
    """A list whose places have kinds of their own, the last ones optional."""

    shape: ClassVar[type] = list

    items: tuple[Kind, ...]
    required: int

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, list) or not self.required <= len(value) <= len(self.items):
            raise WrongValue(place, self.describe(), value)
        for number, (kind, item) in enumerate(zip(self.items, value, strict=False)):
            kind.check(item, f"{place}[{number}]")

    def describe(self) -> str:
        """See Kind."""
        few = str(self.required) if self.required == len(self.items) else f"{self.required} to {len(self.items)}"
        return f"a list of {few} items"


@dataclass(frozen=True, slots=True)
class Named:
    """An object with names of the user's choice, each value of one kind."""

    shape: ClassVar[type] = dict

    value: Kind
    pattern: str = ""
    wanted_name: str = "a name"

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, dict):
            raise WrongValue(place, self.describe(), value)
        for name, item in value.items():
            if self.pattern and not re.fullmatch(self.pattern, name):
                raise WrongValue(f"{place}.{name}", self.wanted_name, name)
            self.value.check(item, f"{place}.{name}")

    def describe(self) -> str:
        """See Kind."""
        return f"an object, each value {self.value.describe()}"


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with fields that are known.

    Attributes:
        others_allowed: other fields pass.
        others_told: if they pass, the operator is told, see `strays`.
    """

    shape: ClassVar[type] = dict

    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    others_allowed: bool = False
    others_told: bool = False

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        if not isinstance(value, dict):
            raise WrongValue(place, self.describe(), value)
        for name in self.required:
            if name not in value:
                raise WrongValue(place, f"an object with the field {name}", value)
        for name, item in value.items():
            kind = self.fields.get(name)
            if kind is not None:
                kind.check(item, f"{place}.{name}")
            elif not self.others_allowed:
                raise WrongValue(f"{place}.{name}", "a field among " + ", ".join(self.fields), name)

    def describe(self) -> str:
        """See Kind."""
        return "an object with the fields " + ", ".join(self.fields)


@dataclass(frozen=True, slots=True)
class Either:
    """A value of any of several kinds."""

    shape: ClassVar[type] = object
    kinds: tuple[Kind, ...]

    def check(self, value: Json, place: str) -> None:
        """See Kind."""
        meant = [kind for kind in self.kinds if kind.shape is type(value)]
        if len(meant) == 1:  # its complaint is the more useful one
            meant[0].check(value, place)
            return
        for kind in self.kinds:
            try:
                kind.check(value, place)
            except WrongValue:
                continue
            return
        raise WrongValue(place, self.describe(), value)

    def describe(self) -> str:
        """See Kind."""
        return ", or ".join(kind.describe() for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value: the options of a part that this server does not have."""

    shape: ClassVar[type] = object

    def check(self, value: Json, place: str) -> None:
        """See Kind."""

    def describe(self) -> str:
        """See Kind."""
        return "anything"


def strays(kind: Kind, value: Json, place: str) -> Iterator[tuple[str, str, Fields]]:
    """Fields that nobody reads in a value of a kind: where, under which name, and which ones there could be."""
    match kind:
        case Named() if isinstance(value, dict):
            for name, item in value.items():
                yield from strays(kind.value, item, f"{place}.{name}")
        case Either():
            for each in kind.kinds:
                if each.shape is type(value):
                    yield from strays(each, value, place)
        case Fields(others_told=True) if isinstance(value, dict):
            yield from ((place, name, kind) for name in value if name not in kind.fields)


FLAG: Final = Flag()
NUMBER: Final = Number()
TEXT: Final = Text()
TEXTS: Final = Listing(TEXT)
PORT: Final = Number(1, 65535)
AE_TITLE: Final = Text(
    r" *(?=[\x21-\x7e])[\x20-\x5b\x5d-\x7e]{1,16} *", "an AE title of 1 to 16 characters (PS3.5 §6.2), no backslash"
)


def one_of(values: Iterable[str]) -> Choice:
    """A Choice among `values`."""
    return Choice(tuple(values))
