"""Data sets in the DICOM JSON Model (PS3.18 §F.2)."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from itertools import compress
from operator import is_not

from amonsul.dicom import vrs
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, items_of, numbers_of

Path = tuple[str | int, ...]
"""Where an element is: `("00081140", 0, "00081150")`, tags and indices of items in turn."""


def to_json(
    data_set: DataSet,
    bulk_data_uri: Callable[[Path, Bulk], str | None],
    kept_bulk_data_uri: Callable[[Path], str | None] = lambda _: None,
) -> dict[str, object]:
    """`{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "…"}]}}`.

    Decimal strings stay strings, so that no digit is lost; integer strings become numbers if they are integers.

    Args:
        data_set: without file meta information; group lengths are left out.
        bulk_data_uri: makes the BulkDataURI of a value that is not inline (binary, or long), or None to write no value.
        kept_bulk_data_uri: the same for OD and OF, of which the values are at hand; None to write them as InlineBinary.
    """
    return _to_json(data_set, bulk_data_uri, kept_bulk_data_uri, ())


class Models:
    """The models of data sets that have elements in common, as those that a `HeaderReader` gives.

    What a data set shares with the one before it is written once and shared by their models, which are therefore to be
    read only.
    """

    def __init__(self) -> None:
        self._data_set: DataSet = {}
        self._model: dict[str, object] = {}
        self._located: set[Tag] = set()
        """Attributes that have a URI in them; it may be another one each time."""

    def of(
        self,
        data_set: DataSet,
        bulk_data_uri: Callable[[Path, Bulk], str | None],
        kept_bulk_data_uri: Callable[[Path], str | None] = lambda _: None,
    ) -> dict[str, object]:
        """The same as `to_json`."""

        def uri(path: Path, bulk: Bulk) -> str | None:
            self._located.add(Tag(int(str(path[0]), 16)))
            return bulk_data_uri(path, bulk)

        def kept_uri(path: Path) -> str | None:
            self._located.add(Tag(int(str(path[0]), 16)))
            return kept_bulk_data_uri(path)

        if [*data_set] == [*self._data_set]:
            is_changed = map(is_not, data_set.values(), self._data_set.values())
            changed = dict(compress(data_set.items(), is_changed))
            changed.update({tag: data_set[tag] for tag in self._located})
            model = self._model | _to_json(changed, uri, kept_uri, ())
        else:
            self._located.clear()
            model = _to_json(data_set, uri, kept_uri, ())
        self._data_set, self._model = data_set, model
        return model


def attribute(element: Element) -> dict[str, object]:
    """One attribute in the model: its VR and its values, if it has any; what is not inline has none."""
    (written,) = _to_json({Tag(0x00000001): element}, lambda _path, _bulk: None, lambda _path: None, ()).values()
    assert isinstance(written, dict)
    return written


def element_of_text(vr: str, text: str) -> Element:
    """An element of a value that is known as text, as the index keeps it; text that is no number becomes LO."""
    if vr not in vrs.NUMBERS:
        return Element(vr if vr in vrs.TEXT else "LO", text)
    kind = int if vr in vrs.INTEGERS else float
    try:
        return Element(vr, [kind(part) for part in text.split("\\")] if text else [])
    except ValueError:
        return Element("LO", text)


def _to_json(
    data_set: DataSet,
    bulk_data_uri: Callable[[Path, Bulk], str | None],
    kept_bulk_data_uri: Callable[[Path], str | None],
    path: Path,
) -> dict[str, object]:
    found: dict[str, object] = {}
    for tag, element in data_set.items():
        if not tag & 0xFFFF:
            continue
        name = _NAMES.get(tag) or _name(tag)
        vr, value = element
        if vr in _PLAIN and type(value) is str and "\\" not in value:  # most elements are of this kind
            text = value.strip(" ") if vr == "DS" else value.rstrip(" ")
            if text:
                found[name] = {"vr": vr, "Value": [text]}
                continue
        written: dict[str, object] = {"vr": vr}
        if isinstance(value, Bulk):
            uri = bulk_data_uri((*path, name), value) if value.length else None
            if uri is not None:
                written["BulkDataURI"] = uri
        elif vr in ("OD", "OF"):
            if value:
                uri = kept_bulk_data_uri((*path, name))
                written.update({"InlineBinary": _base64(element)} if uri is None else {"BulkDataURI": uri})
        else:
            if vr == "SQ":
                values: list[object] = [
                    _to_json(item, bulk_data_uri, kept_bulk_data_uri, (*path, name, index))
                    for index, item in enumerate(items_of(element))
                ]
            else:
                values = _values(element)
            if values:
                written["Value"] = values
        found[name] = written
    return found


_PLAIN = vrs.TEXT - vrs.SINGLE_VALUED_TEXT - {"IS", "PN"}
"""VRs of text that stays as it is."""

_NAMES: dict[int, str] = {}
_MAX_NAMES = 10_000


def _name(tag: int) -> str:
    """A tag as the model writes it; those that were written before are remembered, up to a number."""
    name = f"{tag:08X}"
    if len(_NAMES) < _MAX_NAMES:
        _NAMES[tag] = name
    return name


def _base64(element: Element) -> str:
    numbers = numbers_of(element)
    return base64.b64encode(struct.pack(f"<{len(numbers)}{vrs.REALS[element.vr]}", *numbers)).decode()


def _values(element: Element) -> list[object]:
    vr, value = element
    if not isinstance(value, str):
        return [number if math.isfinite(number) else None for number in numbers_of(element)]
    if not value:
        return []
    if vr in vrs.SINGLE_VALUED_TEXT:
        return [value]
    parts = value.split("\\")
    if vr == "PN":
        return [_person_name(part) for part in parts]
    if vr == "IS":
        return [_integer(part) for part in parts]
    if vr == "AT":
        return [part.replace(",", "").upper() for part in parts]
    return [part.strip(" ") if vr == "DS" else part.rstrip(" ") or None for part in parts]


_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def _person_name(text: str) -> object:
    groups = {name: part.rstrip(" ") for name, part in zip(_GROUPS, text.split("="), strict=False)}
    return {name: part for name, part in groups.items() if part} or None


def _integer(text: str) -> object:
    text = text.strip(" ")
    try:
        return int(text) if len(text) <= 12 else text
    except ValueError:
        return text or None
