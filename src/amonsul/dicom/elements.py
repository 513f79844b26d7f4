"""Data elements as values: what the scanner yields, the header store keeps and every view is made from.

A data set is a mapping from tag to element in ascending order of tags. Text is decoded to Unicode once, here;
numbers are numbers; sequences are lists of data sets; long or binary values stay in the file and are named by
their place in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, NewType, TypeAlias, cast

Tag = NewType("Tag", int)
"""A tag as `group << 16 | element` (PS3.5 §7.1)."""


def parse_hex_tag(text: str) -> Tag | None:
    """Read `0010,0010`, `0010-0010`, `00100010` or `(0010,0010)`; None if `text` is not of these forms."""
    digits = text.strip("()").replace(",", "").replace("-", "") if len(text) <= 11 else ""
    if len(digits) != 8:
        return None
    try:
        return Tag(int(digits, 16))
    except ValueError:
        return None


def format_tag(tag: int, separator: str = ",") -> str:
    """Write a tag as the REST API does: `0010,0010`, in lower case."""
    return f"{tag >> 16:04x}{separator}{tag & 0xFFFF:04x}"


class Bulk(NamedTuple):
    """A value left in the file: binary, or longer than the scanner keeps."""

    offset: int
    """Of the first byte of the value, from the start of the file (in the inflated stream if deflated)."""
    length: int
    """In bytes; for encapsulated pixel data, of all items with their headers, without the delimiter."""


Value: TypeAlias = "str | list[int] | list[float] | list[DataSet] | Bulk"
"""Text VRs: one decoded string, values separated by backslashes, padding removed. US SS UL SL UV SV: list of int.
FL FD OF OD: list of float. AT: one string, `gggg,eeee` separated by backslashes. SQ: list of data sets. Others, and
whatever is longer than the scanner keeps: Bulk."""


class Element(NamedTuple):
    """One data element."""

    vr: str
    value: Value


DataSet: TypeAlias = Mapping[Tag, Element]


def items_of(element: Element) -> list[DataSet]:
    """The items of a sequence; none for other elements, and for a sequence too long to be kept."""
    # The VR says what a list holds, here and below; looking at each member would cost more than the rest.
    return cast("list[DataSet]", element.value) if element.vr == "SQ" and isinstance(element.value, list) else []


def numbers_of(element: Element) -> list[int | float]:
    """The values of a number; none for other elements, and for a list too long to be kept."""
    return cast("list[int | float]", element.value) if element.vr != "SQ" and isinstance(element.value, list) else []
