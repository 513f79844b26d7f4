"""Data sets as the REST API prints them: full, short and simplified.

Every value is one text, values of a multi-valued attribute separated by backslashes, or null: binary, empty numbers,
and text beyond a length. Sequences are lists of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from amonsul.dicom import vrs
from amonsul.dicom.dictionary import STANDARD, UNKNOWN_NAME, Dictionary, Entry
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, format_tag, items_of, numbers_of

MAX_LENGTH = 256
"""In bytes of UTF-8; longer text is printed as null, of type TooLong."""


def text_of(element: Element) -> str | None:
    """The value of an element as one text, None if it has none (sequences, bulk, empty numbers)."""
    vr, value = element
    if isinstance(value, str):
        return None if vr == "AT" and not value else value
    if vr in vrs.INTEGERS:
        return "\\".join(map(str, numbers_of(element))) or None
    if vr in vrs.REALS:
        return "\\".join([format(number, ".17g") for number in numbers_of(element)]) or None
    return None


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
        max_length: in bytes of UTF-8, 0 for no limit.
        ignore_length: tags printed whatever their length, at any depth.
    """
    name_of = _namer(data_set, dictionary)
    found: dict[str, object] = {}
    for tag, element in data_set.items():
        name, creator = name_of(tag)
        shown: dict[str, object] = {"Name": name}
        value = element.value
        if element.vr == "SQ" and isinstance(value, list):
            shown["Type"] = "Sequence"
            shown["Value"] = [full(item, dictionary, max_length, ignore_length) for item in items_of(element)]
        else:
            if creator is not None:
                shown["PrivateCreator"] = creator
            text = text_of(element)
            if text is not None and (tag in ignore_length or is_short(text, max_length)):
                shown["Type"] = "String"
            else:
                too_long = text is not None or (isinstance(value, Bulk) and element.vr in _PRINTABLE and tag < _PIXELS)
                shown["Type"] = "TooLong" if too_long else "Null"
                text = None
            shown["Value"] = text
        found[_label(tag)] = shown
    return found


def short(
    data_set: DataSet,
    dictionary: Dictionary = STANDARD,
    max_length: int = MAX_LENGTH,
    ignore_length: Collection[int] = (),
) -> dict[str, object]:
    """`/tags?short`: `{"0010,0010": "…"}`."""
    return {
        _label(tag): _plain(tag, element, short, dictionary, max_length, ignore_length)
        for tag, element in data_set.items()
    }


def simplified(
    data_set: DataSet,
    dictionary: Dictionary = STANDARD,
    max_length: int = MAX_LENGTH,
    ignore_length: Collection[int] = (),
) -> dict[str, object]:
    """`/simplified-tags`: `{"PatientName": "…"}`; attributes of the same name overwrite each other in order of tag."""
    name_of = _namer(data_set, dictionary)
    return {
        name_of(tag)[0]: _plain(tag, element, simplified, dictionary, max_length, ignore_length)
        for tag, element in data_set.items()
    }


def shared(data_sets: Iterable[DataSet]) -> DataSet:
    """`/shared-tags`: the elements that have the same text in all data sets; sequences and nulls never count."""
    remaining: dict[Tag, Element] | None = None
    for data_set in data_sets:
        if remaining is None:
            remaining = {tag: element for tag, element in data_set.items() if text_of(element) is not None}
        else:
            remaining = {tag: element for tag, element in remaining.items() if data_set.get(tag) == element}
    return remaining or {}


_PIXELS = 0x7FE00000
_PRINTABLE = vrs.TEXT | frozenset(vrs.NUMBERS)

_Form = Callable[[DataSet, Dictionary, int, Collection[int]], dict[str, object]]


def _plain(
    tag: Tag, element: Element, form: _Form, dictionary: Dictionary, max_length: int, ignore_length: Collection[int]
) -> object:
    vr, value = element
    if type(value) is str and 0 < len(value) <= max_length and value.isascii():
        return value
    if vr == "SQ":
        return [form(item, dictionary, max_length, ignore_length) for item in items_of(element)]
    text = text_of(element)
    return text if text is not None and (tag in ignore_length or is_short(text, max_length)) else None


def _items(element: Element) -> list[DataSet]:
    return [item for item in element.value if isinstance(item, Mapping)] if isinstance(element.value, list) else []


def is_short(text: str, max_length: int) -> bool:
    """Whether a text has at most so many bytes in UTF-8; 0 for no limit."""
    if not max_length or len(text) * 4 <= max_length:
        return True
    return len(text if text.isascii() else text.encode()) <= max_length


_labels: dict[int, str] = {}


def _label(tag: int) -> str:
    """`format_tag`, remembered for the tags that come up again and again."""
    label = _labels.get(tag)
    if label is None:
        label = format_tag(tag)
        if len(_labels) < 10_000:
            _labels[tag] = label
    return label


def _namer(data_set: DataSet, dictionary: Dictionary) -> Callable[[Tag], tuple[str, str | None]]:
    """What gives the name and the private creator of each tag of a data set."""
    public = dictionary.names
    blocks: dict[int, tuple[str | None, Mapping[int, Entry]]] = {}

    def name_of(tag: Tag) -> tuple[str, str | None]:
        name = public.get(tag)
        if name is not None:
            return name, None
        if not tag & 0x10000 or not tag & 0xFF00:
            return dictionary.keyword(tag), None
        block = tag >> 8
        found = blocks.get(block)
        if found is None:
            creator = private_creator(tag, data_set)
            found = blocks[block] = creator, dictionary.private_entries(creator) if creator else {}
        entry = found[1].get(tag & 0xFFFF00FF)
        return UNKNOWN_NAME if entry is None else entry.keyword, found[0]

    return name_of


def private_creator(tag: int, data_set: DataSet) -> str | None:
    """Who reserved the block that a private attribute of the data set is in (PS3.5 §7.8.1); None if nobody."""
    element = data_set.get(Tag(tag & 0xFFFF0000 | tag >> 8 & 0xFF)) if tag & 0x10000 and tag & 0xFF00 else None
    return element.value.strip(" ") or None if element is not None and isinstance(element.value, str) else None
