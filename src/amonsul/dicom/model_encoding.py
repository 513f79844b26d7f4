"""Data sets of the DICOM JSON Model as bytes, in Explicit VR Little Endian (PS3.18 §F.2, PS3.5 §7.1.2, §A.2).

The model comes from outside: every value is checked for its VR, nothing is guessed but what the Standard leaves open.
Text is written in UTF-8 where it is more than ASCII, and the data set says so. Values that lie elsewhere are asked for
by their URI and go out in pieces, so that pixels are never in memory.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from amonsul.dicom import vrs
from amonsul.errors import BadFileFormat

MAX_DEPTH = 64
MAX_NATIVE = 0xFFFFFFFE

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_ITEM = b"\xfe\xff\x00\xe0"
_SPECIFIC_CHARACTER_SET = "00080005"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_SPACE_PADDED = vrs.TEXT - {"UI"}

Model = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A value that is not in the model.

    Attributes:
        length: in bytes; None for encapsulated pixel data, of which the pieces are items with their delimiter.
        pieces: its bytes.
    """

    length: int | None
    pieces: Callable[[], Iterable[bytes | memoryview]]


Resolve = Callable[[str, str], Elsewhere]
"""Finds a value by tag and URI; raises BadFileFormat if there is none."""


def encode_model(model: Model, resolve: Resolve) -> Iterator[bytes | memoryview]:
    """The data set in pieces; group 0002 and group lengths are left out.

    Raises:
        BadFileFormat: something in the model is no attribute, or no value of its VR.
    """
    if not _is_ascii(model, 0):
        model = {**model, _SPECIFIC_CHARACTER_SET: {"vr": "CS", "Value": ["ISO_IR 192"]}}
    return _data_set(model, resolve, 0)


def _is_ascii(value: object, depth: int) -> bool:
    if depth > 4 * MAX_DEPTH:
        raise BadFileFormat("sequences are nested too deep")
    match value:
        case str():
            return value.isascii()
        case Mapping():
            return all(_is_ascii(one, depth + 1) for one in value.values())
        case list():
            return all(_is_ascii(one, depth + 1) for one in value)
    return True


def _data_set(model: Model, resolve: Resolve, depth: int) -> Iterator[bytes | memoryview]:
    if depth > MAX_DEPTH:
        raise BadFileFormat("sequences are nested too deep")
    tags = {}
    for name, attribute in model.items():
        if not isinstance(name, str) or _TAG.fullmatch(name) is None or not isinstance(attribute, Mapping):
            raise BadFileFormat(f"no attribute of the DICOM JSON Model: {str(name)[:32]!r}")
        tag = int(name, 16)
        if tag in tags:
            raise BadFileFormat(f"attribute {name} is given twice")
        tags[tag] = attribute
    for tag in sorted(tags):
        if tag >> 16 != 2 and tag & 0xFFFF:
            yield from _attribute(tag, tags[tag], resolve, depth)


def _attribute(tag: int, attribute: Mapping[str, object], resolve: Resolve, depth: int) -> Iterator[bytes | memoryview]:
    vr = attribute.get("vr")
    if not isinstance(vr, str) or vr not in vrs.ALL:
        raise BadFileFormat(f"attribute {tag:08X} has no VR")
    if "BulkDataURI" in attribute:
        uri = attribute["BulkDataURI"]
        if not isinstance(uri, str):
            raise BadFileFormat(f"attribute {tag:08X} has no URI for its bulk data")
        found = resolve(f"{tag:08X}", uri)
        if found.length is None:
            yield _head(tag, "OB", None)
            yield from found.pieces()
            return
        yield _head(tag, vr, found.length + (found.length & 1))
        yield from found.pieces()
        yield b"\0" * (found.length & 1)
        return
    if "InlineBinary" in attribute:
        value = _base64(tag, attribute["InlineBinary"])
    else:
        values = attribute.get("Value", [])
        if not isinstance(values, list):
            raise BadFileFormat(f"the values of attribute {tag:08X} are no array")
        try:
            value = _sequence(values, resolve, depth) if vr == "SQ" else _value(vr, values)
        except (ValueError, TypeError, OverflowError, struct.error):
            raise BadFileFormat(f"attribute {tag:08X} has a value that is none of VR {vr}") from None
    if len(value) & 1:
        value += b" " if vr in _SPACE_PADDED else b"\0"
    yield _head(tag, vr, len(value))
    yield value


def _head(tag: int, vr: str, length: int | None) -> bytes:
    name = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    if vr in vrs.LONG_LENGTH:
        if length is not None and length > MAX_NATIVE:
            raise BadFileFormat(f"attribute {tag:08X} is too long")
        return name + struct.pack("<HI", 0, 0xFFFFFFFF if length is None else length)
    if length is None or length > 0xFFFE:
        raise BadFileFormat(f"attribute {tag:08X} is too long")
    return name + struct.pack("<H", length)


def _sequence(values: Sequence[object], resolve: Resolve, depth: int) -> bytes:
    items = []
    for item in values:
        if item is None:
            item = {}
        if not isinstance(item, Mapping):
            raise ValueError
        data = b"".join(_data_set(item, resolve, depth + 1))
        items.append(_ITEM + struct.pack("<I", len(data)) + data)
    return b"".join(items)


def _value(vr: str, values: Sequence[object]) -> bytes:
    if vr in vrs.NUMBERS:
        code = vrs.NUMBERS[vr]
        return b"".join(struct.pack(f"<{code}", _number(vr, value)) for value in values)
    if vr == "AT":
        return b"".join(struct.pack("<HH", *_tag(value)) for value in values)
    if vr in vrs.BINARY:
        if values:
            raise ValueError
        return b""
    if vr in vrs.SINGLE_VALUED_TEXT and len(values) > 1:
        raise ValueError
    return "\\".join(_person_name(value) if vr == "PN" else _text(vr, value) for value in values).encode()


def _number(vr: str, value: object) -> int | float:
    if isinstance(value, bool) or value is None:
        raise ValueError
    if isinstance(value, str):
        value = int(value[:24]) if vr in vrs.INTEGERS else float(value[:64])
    if vr in vrs.INTEGERS:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise ValueError
        return value
    if not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _tag(value: object) -> tuple[int, int]:
    if not isinstance(value, str) or _TAG.fullmatch(value) is None:
        raise ValueError
    return int(value[:4], 16), int(value[4:], 16)


def _text(vr: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float) and vr in ("IS", "DS"):
        if not math.isfinite(value):
            raise ValueError
        text = str(value)
        return text if len(text) <= 16 else f"{value:.10g}"[:16]
    if not isinstance(value, str):
        raise ValueError
    if "\0" in value or ("\\" in value and vr not in vrs.SINGLE_VALUED_TEXT):
        raise ValueError
    if vr in vrs.DEFAULT_REPERTOIRE and not value.isascii():
        raise ValueError
    return value


def _person_name(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _text("PN", value)
    if not isinstance(value, Mapping) or not set(value) <= set(_GROUPS):
        raise ValueError
    groups = [_text("PN", value.get(name)) for name in _GROUPS]
    if any("=" in group for group in groups):
        raise ValueError
    return "=".join(groups).rstrip("=")


def _base64(tag: int, text: object) -> bytes:
    if not isinstance(text, str):
        raise BadFileFormat(f"attribute {tag:08X} has no base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadFileFormat(f"attribute {tag:08X} has no base64") from None
