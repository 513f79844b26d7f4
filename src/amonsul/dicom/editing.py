"""Looking into pydicom data sets without decoding what is left alone.

A data set that was just read holds its elements as bytes; pydicom decodes an element when it is asked for, and keeps
it decoded. What is not to be changed must not be decoded: bytes that are wrong for their VR would not survive, and
each element costs ten times its copy. So everything here goes by `get_item`.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator, Sequence

import pydicom.config
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as ItemSequence
from pydicom.tag import BaseTag

from amonsul.dicom import charsets, vrs
from amonsul.dicom.dictionary import STANDARD
from amonsul.errors import BadFileFormat

# pydicom complains about odd values by quoting them in the log, and they may be a patient's. What goes in is checked
# where requests are read; what was there already stays as it is.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE

SPECIFIC_CHARACTER_SET = 0x00080005
_BYTES = vrs.BINARY | {"OD", "OF"}
MAX_DEPTH = 64
"""Sequences in each other; the archive takes in no more either."""


def peek(data_set: Dataset, tag: int) -> DataElement | RawDataElement | None:
    """An element as it is, decoded or not; None if absent."""
    key = BaseTag(tag)
    return data_set.get_item(key) if key in data_set else None


def vr_of(data_set: Dataset, tag: int) -> str:
    """VR of an element that is there; by the dictionary if the transfer syntax does not say."""
    element = peek(data_set, tag)
    vr = element.VR if element is not None else None
    if vr is None:
        return STANDARD.vr(tag, private_creator_of(data_set, tag))
    if vr == "UN" and not tag & 0x10000:
        return STANDARD.vr(tag)
    return str(vr)


def private_creator_of(data_set: Dataset, tag: int) -> str | None:
    """Who reserved the block of a private element (PS3.5 §7.8.1); None if public or nobody did."""
    if not tag & 0x10000 or tag & 0xFFFF < 0x1000:
        return None
    return text_of(data_set, tag & 0xFFFF0000 | tag >> 8 & 0xFF) or None


def sequence_items(data_set: Dataset, tag: int) -> Sequence[Dataset] | None:
    """The items of a sequence; None if there is no such element or it is none.

    Raises:
        BadFileFormat: the bytes of the sequence cannot be read.
    """
    key = BaseTag(tag)
    element = peek(data_set, tag)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        if vr_of(data_set, tag) != "SQ":
            return None
        try:
            element = data_set[key]
        except (ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError, struct.error) as error:
            raise BadFileFormat(f"cannot read the sequence {key}") from error
    return element.value if isinstance(element.value, ItemSequence) else None


def sequences(data_set: Dataset) -> Iterator[tuple[int, Sequence[Dataset]]]:
    """Tag and items of each sequence of a data set; it may be changed meanwhile.

    Raises:
        BadFileFormat: the bytes of a sequence cannot be read.
    """
    for element in list(data_set.values()):
        vr = element.VR
        if vr == "SQ" or vr is None or vr == "UN":
            items = sequence_items(data_set, element.tag)
            if items is not None:
                yield element.tag, items


def text_of(data_set: Dataset, tag: int) -> str:
    r"""A text element, its values joined by `\`, without padding; empty if absent or no text."""
    element = peek(data_set, tag)
    if element is None or element.value is None:
        return ""
    if isinstance(element, RawDataElement):
        charset = specific_character_set(data_set)
        return charsets.decoder(charset).decode(element.value, element.VR == "PN").strip(" \0")
    if isinstance(element.value, MultiValue | list | tuple):
        return "\\".join(map(str, element.value))
    return "" if isinstance(element.value, bytes) else str(element.value).strip(" \0")


def specific_character_set(data_set: Dataset) -> str:
    r"""The value of (0008,0005), its terms joined by `\`; empty if the data set has none of its own."""
    element = peek(data_set, SPECIFIC_CHARACTER_SET)
    if element is None or element.value is None:
        return ""
    if isinstance(element, RawDataElement):
        return element.value.decode("ascii", "replace").strip(" \0")
    return element.value if isinstance(element.value, str) else "\\".join(map(str, element.value))


def uids_of(data_set: Dataset, tag: int) -> list[str]:
    """The values of a UI element."""
    text = text_of(data_set, tag)
    return [uid.strip(" \0") for uid in text.split("\\")] if text else []


def set_element(data_set: Dataset, tag: int, vr: str, value: object) -> None:
    """Put a value in place of what was there, as it is: no check, no warning."""
    key = BaseTag(tag)
    data_set[key] = DataElement(key, vr, value, validation_mode=IGNORE)


def empty(data_set: Dataset, tag: int) -> None:
    """Leave of an element that is there nothing but its tag and VR."""
    element = peek(data_set, tag)
    vr = vr_of(data_set, tag)
    if isinstance(element, RawDataElement) and vr != "SQ":
        data_set[element.tag] = element._replace(length=0, value=b"")
    else:
        set_element(data_set, tag, vr, ItemSequence() if vr == "SQ" else b"" if vr in _BYTES else None)


def remove(data_set: Dataset, tag: int) -> None:
    """Take an element out, if it is there."""
    data_set.pop(tag if isinstance(tag, BaseTag) else BaseTag(tag), None)


def copy_element(source: Dataset, target: Dataset, tag: int) -> None:
    """Copy an element, decoded, so that it is written in the character set of the target."""
    key = BaseTag(tag)
    if key not in source:
        return
    element = source[key]
    value = element.value
    if element.VR == "SQ":
        value = copy.deepcopy(value)
        for item in value:
            item.decode()
    target[key] = DataElement(key, element.VR, value, validation_mode=IGNORE)
