"""What the table of options is made of: options, sections of options, and the areas they are shown in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amonsul.config.kinds import Json, Kind


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: as it stands in a configuration file.
        kind: what its value may be.
        default: value without mention in any file; None where absence has a meaning of its own, told by `help`.
        help: what it does, for the person who runs the server.
        served: whether this server acts on it yet. Known options that are not are told once at start, if set.
        example: a value to show where there is no default.
    """

    name: str
    kind: Kind
    default: Json
    help: str
    served: bool = True
    example: Json = None


@dataclass(frozen=True, slots=True)
class Section:
    """Options that stand together in an object of the file."""

    name: str
    help: str
    entries: tuple[Option | Section, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """A chapter of the table, for the reader; it does not show in the names of the options."""

    title: str
    entries: tuple[Option | Section, ...]


def walk(entries: tuple[Option | Section, ...], prefix: str = "") -> Iterator[tuple[str, Option]]:
    """Every option below `entries` with its path, e.g. `DicomWeb.Root`."""
    for entry in entries:
        if isinstance(entry, Section):
            yield from walk(entry.entries, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, entry
