"""Reading single attributes of a data set, forgiving about types and strict about values.

Files in the field hold numbers as text, text as numbers and elements with the wrong VR. Whoever asks here states what
is wanted and gets it, or None: a missing, empty or nonsensical value looks the same.
"""

from __future__ import annotations

import math
from typing import cast

from amonsul.dicom.elements import DataSet, Tag


def text(data_set: DataSet, tag: int) -> str:
    """The first value of a text attribute, without padding; empty if there is none."""
    element = data_set.get(Tag(tag))
    if element is None or not isinstance(element.value, str):
        return ""
    return element.value.split("\\", 1)[0].strip(" \0")


def numbers(data_set: DataSet, tag: int) -> list[float]:
    """All values of a numeric attribute, as far as they are finite numbers."""
    element = data_set.get(Tag(tag))
    if element is None:
        return []
    value = element.value
    if isinstance(value, str):
        found = []
        for part in value.split("\\")[:65536]:
            try:
                number = float(part[:64])
            except ValueError:
                break
            if not math.isfinite(number):
                break
            found.append(number)
        return found
    if isinstance(value, list) and value and isinstance(value[0], (int, float)):
        return [float(number) for number in cast("list[float]", value) if math.isfinite(number)]
    return []


def number(data_set: DataSet, tag: int) -> float | None:
    """The first value of a numeric attribute."""
    found = numbers(data_set, tag)
    return found[0] if found else None


def integer(data_set: DataSet, tag: int) -> int | None:
    """The first value of a numeric attribute, if it is whole."""
    element = data_set.get(Tag(tag))
    if element is None:
        return None
    value = element.value
    if isinstance(value, list) and value and isinstance(value[0], int):
        return value[0]
    found = number(data_set, tag)
    return int(found) if found is not None and found == int(found) else None


def items(data_set: DataSet, tag: int) -> list[DataSet]:
    """The items of a sequence."""
    element = data_set.get(Tag(tag))
    if element is None or element.vr != "SQ" or not isinstance(element.value, list):
        return []
    return cast("list[DataSet]", element.value)
