"""Data sets as the REST API prints them: full, short and simplified."""

from __future__ import annotations

from collections.abc import Collection

from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.elements import DataSet, Element

MAX_LENGTH = 256
"""Longer text is printed as null, of type TooLong."""


def text_of(element: Element) -> str | None:
    """The value of an element as one string, None if it has no textual form (sequences, bulk)."""
    raise NotImplementedError


def full(
    data_set: DataSet,
    dictionary: Dictionary = STANDARD,
    max_length: int = MAX_LENGTH,
    ignore_length: Collection[int] = (),
) -> dict[str, object]:
    """`/tags`: `{"0010,0010": {"Name": "PatientName", "Type": "String", "Value": "…"}}`.

    Args:
        data_set: of the instance, or its file_meta for `/header`.
        dictionary: for the names.
        max_length: in characters, 0 for no limit.
        ignore_length: tags printed whatever their length, at the top level.
    """
    raise NotImplementedError


def short(
    data_set: DataSet,
    dictionary: Dictionary = STANDARD,
    max_length: int = MAX_LENGTH,
    ignore_length: Collection[int] = (),
) -> dict[str, object]:
    """`/tags?short`: `{"0010,0010": "…"}`."""
    raise NotImplementedError


def simplified(
    data_set: DataSet,
    dictionary: Dictionary = STANDARD,
    max_length: int = MAX_LENGTH,
    ignore_length: Collection[int] = (),
) -> dict[str, object]:
    """`/simplified-tags`: `{"PatientName": "…"}`; attributes of the same name overwrite each other in order of tag."""
    raise NotImplementedError
