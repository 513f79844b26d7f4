"""Values of attributes as JSON bodies give them, and the elements made of them.

A value is text (several values separated by backslashes, a number written out, a data URI for a binary VR), null for
an empty one, or a list of objects for a sequence. It is parsed once; the element depends on the data set it goes
into: its character set, its pixel representation, who reserved the block of a private attribute.
"""

from __future__ import annotations

import enum
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from amonsul.dicom import charsets, vrs
from amonsul.dicom.data_uri import is_data_uri, parse_data_uri
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import (
    SPECIFIC_CHARACTER_SET,
    private_creator_of,
    sequence_items,
    set_element,
    specific_character_set,
    text_of,
    vr_of,
)
from amonsul.dicom.elements import Tag, format_tag, parse_hex_tag
from amonsul.errors import BadFileFormat, BadParameterType, BadRequest, ParameterOutOfRange

PIXEL_DATA = 0x7FE00010
PIXEL_REPRESENTATION = 0x00280103
UTF_8 = "ISO_IR 192"

MAX_DEPTH = 32
MAX_ATTRIBUTES = 100_000


class Unencodable(enum.Enum):
    """What to do with characters that the character set of the data set does not have."""

    DROP = "drop"
    """Leave them out, as the reference does."""
    SWITCH = "switch"
    """Write the whole data set in UTF-8."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text, as given."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a sequence."""

    items: tuple[tuple[tuple[Tag, Value], ...], ...]


Value = Text | Items


def parse_value(tag: Tag, value: object, dictionary: Dictionary = STANDARD, private_creator: str = "") -> Value:
    """Read a JSON value for an attribute.

    Raises:
        BadParameterType: a number, a boolean or an object; a list where the attribute is no sequence; an item that is
            no object.
        UnknownDicomTag: an attribute in an item is unknown.
        BadRequest: too much in one value.
    """
    return _Parser(dictionary, private_creator).value(tag, value, 0)


class _Parser:
    def __init__(self, dictionary: Dictionary, private_creator: str) -> None:
        self._dictionary = dictionary
        self._private_creator = private_creator
        self._left = MAX_ATTRIBUTES

    def value(self, tag: Tag, value: object, depth: int) -> Value:
        if isinstance(value, str):
            return Text(value)
        if value is None:
            return Text("")
        if isinstance(value, list) and self._may_be_sequence(tag):
            if depth >= MAX_DEPTH:
                raise BadRequest(f"sequences nested deeper than {MAX_DEPTH} levels")
            return Items(tuple(self._item(tag, item, depth) for item in value))
        raise BadParameterType(f"Bad Parameter type for tag {format_tag(tag)}")

    def _may_be_sequence(self, tag: Tag) -> bool:
        entry = self._dictionary.entry(tag, self._private_creator or None)
        return entry is None or entry.vr == "SQ"

    def _item(self, tag: Tag, item: object, depth: int) -> tuple[tuple[Tag, Value], ...]:
        if not isinstance(item, Mapping):
            raise BadParameterType(f"Bad Parameter type for tag {format_tag(tag)}")
        self._left -= 1 + len(item)
        if self._left < 0:
            raise BadRequest(f"more than {MAX_ATTRIBUTES} attributes in a sequence")
        attributes = []
        for name, value in item.items():
            child = self._dictionary.tag(name)
            attributes.append((child, self.value(child, value, depth + 1)))
        return tuple(attributes)


@dataclass(frozen=True, slots=True)
class Encoder:
    """How values become elements.

    Attributes:
        dictionary: for the VRs.
        private_creator: for private attributes; empty: whoever reserved the block.
        interpret_binary: decode data URIs given for binary VRs; otherwise they are text like other text.
        unencodable: what to do with characters out of the character set.
        default_charset: for a data set that names none, once it gets text beyond ASCII.
    """

    dictionary: Dictionary = STANDARD
    private_creator: str = ""
    interpret_binary: bool = True
    unencodable: Unencodable = Unencodable.DROP
    default_charset: str = "ISO_IR 100"

    def put(self, data_set: Dataset, tag: int, value: Value, root: Dataset | None = None) -> None:
        """Set an attribute of a data set.

        Args:
            data_set: to change, the outermost or an item.
            tag: of the attribute.
            value: for it.
            root: the outermost data set, if `data_set` is an item: it has the character set.

        Raises:
            BadFileFormat: the value is not possible for the VR.
            BadRequest: native pixel data for a data set whose pixel data is encapsulated.
            ParameterOutOfRange: an unknown character set.
        """
        root = data_set if root is None else root
        if tag & 0x10000 and self.private_creator and tag & 0xFF00:
            _reserve(data_set, tag, self.private_creator)
        vr = self._vr(data_set, tag, value, root)
        if tag == SPECIFIC_CHARACTER_SET and data_set is root:
            _relabel(data_set, value)
        elif isinstance(value, Items) or vr == "SQ":
            set_element(data_set, tag, "SQ", self._sequence(tag, value, root))
        else:
            set_element(data_set, tag, vr, self._simple(tag, vr, value.text, root))

    def _vr(self, data_set: Dataset, tag: int, value: Value, root: Dataset) -> str:
        creator = self.private_creator or private_creator_of(data_set, tag)
        entry = self.dictionary.entry(tag, creator)
        if entry is None:
            return "UN"
        if len(entry.vr) == 2:
            return entry.vr
        if tag == PIXEL_DATA and _is_encapsulated(root):
            raise BadRequest("native pixel data cannot replace encapsulated pixel data")
        is_binary = isinstance(value, Text) and self.interpret_binary and is_data_uri(value.text)
        if "OW" in entry.vr and ("OB" in entry.vr or is_binary):
            return "OW"
        return "SS" if "SS" in entry.vr and _is_signed(data_set, root) else "US"

    def _sequence(self, tag: int, value: Value, root: Dataset) -> ItemSequence:
        if isinstance(value, Text):
            if value.text:
                raise _out_of_range(tag)
            return ItemSequence()
        items = []
        for attributes in value.items:
            item = Dataset()
            for child, child_value in attributes:
                self.put(item, child, child_value, root)
            items.append(item)
        return ItemSequence(items)

    def _simple(self, tag: int, vr: str, text: str, root: Dataset) -> object:
        if vr in vrs.BINARY or vr in ("OD", "OF"):
            return self._binary(text, root)
        if vr in vrs.NUMBERS:
            return self._numbers(tag, vr, text)
        if vr == "AT":
            return _tags(tag, text)
        if len(text) > 0xFFFE and vr not in vrs.LONG_LENGTH:
            raise _out_of_range(tag)
        if vr in vrs.CHARSET_TEXT:
            text = self._fitting(text, vr, root)
            if vr not in vrs.LONG_LENGTH and len(text.encode("utf-8")) > 0xFFFE:
                raise _out_of_range(tag)
        elif not text.isascii():
            raise _out_of_range(tag)
        if vr in ("DS", "IS"):
            _check_number_strings(tag, vr, text)
        return text if vr in vrs.SINGLE_VALUED_TEXT or "\\" not in text else text.split("\\")

    def _binary(self, text: str, root: Dataset) -> bytes:
        if self.interpret_binary and is_data_uri(text):
            data = parse_data_uri(text).data
        else:
            data = charsets.encode(text, specific_character_set(root))
        return data + b"\0" if len(data) & 1 else data

    def _numbers(self, tag: int, vr: str, text: str) -> object:
        if not text.strip():
            return None
        parts = text.split("\\")
        entry = self.dictionary.entry(tag)
        if len(parts) > 1 and entry is not None and entry.vm == "1":
            raise _out_of_range(tag)
        try:
            numbers = [int(part) if vr in vrs.INTEGERS else float(part) for part in parts]
            for number in numbers:
                if not math.isfinite(number):
                    raise ValueError
                struct.pack(f"<{vrs.NUMBERS[vr]}", number)
        except (ValueError, OverflowError, struct.error):
            raise _out_of_range(tag) from None
        return numbers if len(numbers) > 1 else numbers[0]

    def _fitting(self, text: str, vr: str, root: Dataset) -> str:
        """The text without what the character set of the data set does not have, or after changing that."""
        if text.isascii():
            return text
        charset = specific_character_set(root)
        if not charset:
            charset = self.default_charset
            set_element(root, SPECIFIC_CHARACTER_SET, "CS", charset.split("\\"))
        encoded = charsets.encode(text, charset, vr == "PN")
        fitting = charsets.decoder(charset, "ISO_IR 6").decode(encoded, vr == "PN")
        if fitting == text:
            return text
        if self.unencodable is Unencodable.SWITCH:
            switch_to_utf_8(root)
            return text
        return fitting.rstrip(" ")


def switch_to_utf_8(data_set: Dataset) -> None:
    """Write the text of a whole data set, items included, in UTF-8."""
    if specific_character_set(data_set) == UTF_8:
        return
    _decode(data_set, specific_character_set(data_set))
    set_element(data_set, SPECIFIC_CHARACTER_SET, "CS", UTF_8)


def _decode(data_set: Dataset, charset: str) -> None:
    """Make elements of text hold text instead of bytes, in a data set and its items, which lose their own terms."""
    own = specific_character_set(data_set) or charset
    decoder = charsets.decoder(own)
    for tag in list(data_set.keys()):
        element = data_set.get_item(tag)
        vr = vr_of(data_set, tag)
        items = sequence_items(data_set, tag) if vr == "SQ" else None
        if items is not None:
            for item in items:
                _decode(item, own)
                item.pop(SPECIFIC_CHARACTER_SET, None)
        elif vr in vrs.CHARSET_TEXT and element is not None and isinstance(element.value, bytes):
            text = decoder.decode(element.value, vr == "PN").rstrip(" \0")
            set_element(data_set, tag, vr, text if vr in vrs.SINGLE_VALUED_TEXT else text.split("\\"))


def _relabel(data_set: Dataset, value: Value) -> None:
    """Change the character set, and nothing else: what was there is from now on read in the new one.

    That is how a data set is repaired that was labelled wrongly.
    """
    terms = value.text if isinstance(value, Text) else ""
    if not charsets.is_known(terms):
        raise ParameterOutOfRange("Unknown specific character set")
    set_element(data_set, SPECIFIC_CHARACTER_SET, "CS", terms.split("\\"))
    implicit, little_endian = data_set.original_encoding
    data_set.set_original_encoding(implicit, little_endian, convert_encodings(terms.split("\\")))


def _reserve(data_set: Dataset, tag: int, creator: str) -> None:
    """Reserve the block of a private element, if nobody has (PS3.5 §7.8.1)."""
    block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
    if not text_of(data_set, block):
        set_element(data_set, block, "LO", creator)


def _is_encapsulated(data_set: Dataset) -> bool:
    meta = getattr(data_set, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    return bool(syntax is not None and syntax.is_transfer_syntax and syntax.is_encapsulated)


def _is_signed(data_set: Dataset, root: Dataset) -> bool:
    for candidate in (data_set, root):
        element = candidate.get(PIXEL_REPRESENTATION)
        if element is not None:
            return bool(element.value == 1)
    return False


def _tags(tag: int, text: str) -> object:
    if not text.strip():
        return None
    parts = []
    for part in text.split("\\"):
        parsed = parse_hex_tag(part.strip())
        if parsed is None:
            raise _out_of_range(tag)
        parts.append(int(parsed))
    return parts if len(parts) > 1 else parts[0]


_DECIMAL = re.compile(r" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *")
_INTEGER = re.compile(r" *[+-]?\d{1,11} *")


def _check_number_strings(tag: int, vr: str, text: str) -> None:
    pattern = _DECIMAL if vr == "DS" else _INTEGER
    if any(part.strip() and pattern.fullmatch(part) is None for part in text.split("\\")):
        raise _out_of_range(tag)


def _out_of_range(tag: int) -> BadFileFormat:
    return BadFileFormat(f"While creating a DICOM instance, tag ({format_tag(tag)}) has an out-of-range value")


def identifier_name(dictionary: Dictionary, tag: int) -> str:
    """Keyword of a tag for messages; hexadecimal if it has none."""
    entry = dictionary.entry(tag)
    return entry.keyword if entry is not None else format_tag(tag)
