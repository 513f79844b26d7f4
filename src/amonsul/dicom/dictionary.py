"""Names, VRs and multiplicities of attributes (PS3.6 §6, §7, §8), public, repeating and private.

The tables are generated (`tools/make_tables.py`) and loaded on first use. A dictionary is a value: options that add
entries make another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from amonsul.dicom.elements import Tag

UNKNOWN_NAME = "Unknown Tag & Data"
"""Printed for an attribute that no dictionary knows."""


class Entry(NamedTuple):
    """One attribute."""

    keyword: str
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

    def entry(self, tag: int, private_creator: str | None = None) -> Entry | None:
        """What is known of an attribute; None if nothing."""
        raise NotImplementedError

    def keyword(self, tag: int, private_creator: str | None = None) -> str:
        """Name in the REST API, `Unknown Tag & Data` if there is none."""
        raise NotImplementedError

    def vr(self, tag: int, private_creator: str | None = None) -> str:
        """VR for an implicit transfer syntax, `UN` if unknown; where the table allows two, the first."""
        raise NotImplementedError

    def tag(self, name: str) -> Tag:
        """Read a keyword, `0010,0010`, `0010-0010` or `00100010`.

        Raises:
            UnknownDicomTag: none of these.
        """
        raise NotImplementedError

    def extended(self, additions: Iterable[Addition]) -> Dictionary:
        """The same with more entries; an addition wins over what was there."""
        raise NotImplementedError


STANDARD = Dictionary()


def parse_dictionary_option(option: Mapping[str, object]) -> list[Addition]:
    """Read the `Dictionary` option: `{"0009,01": ["LO", "GoldenText", 1, 1, "GOLDEN MAKER"]}`.

    The list is VR, name and, optionally, minimum and maximum multiplicity (0: unbounded) and private creator.

    Raises:
        ParameterOutOfRange: an entry is malformed; the details name it.
    """
    raise NotImplementedError


def read_external_dictionary(path: Path) -> list[Addition]:
    """Read a dictionary in DCMTK's text format, as the `ExternalDictionaries` option names them.

    Raises:
        InexistentFile: there is no such file.
        BadFileFormat: a line is malformed; the details give its number.
    """
    raise NotImplementedError
