"""Files around their pixels: taken apart, and put together in another transfer syntax.

The data set without its pixels is small and passes through pydicom; what was never decoded is copied as it is. Pixels
are no part of it, so that a file of any size takes as little memory as its header.
"""

from __future__ import annotations

from io import BytesIO
from typing import Literal, Protocol, TypeAlias

import numpy
from isal import isal_zlib
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from amonsul.dicom.encoding import encode_data_set
from amonsul.dicom.header import Header
from amonsul.dicom.part10 import file_head
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax
from amonsul.errors import BadFileFormat
from amonsul.imaging import attributes
from amonsul.imaging.encapsulation import SEQUENCE_DELIMITATION
from amonsul.imaging.pixel_format import pixel_data_element

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_SOURCE_APPLICATION_ENTITY_TITLE = 0x00020016
_DATA_SET_TRAILING_PADDING = 0xFFFCFFFC
_FIRST_PIXEL_DATA = 0x7FE00008
_PYDICOM_ERRORS = (ValueError, KeyError, AttributeError, TypeError, EOFError, NotImplementedError, OSError)
_WORDS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}

_Elements: TypeAlias = dict[BaseTag, DataElement | RawDataElement]


class Sink(Protocol):
    """Where a file goes: anything with a `write`."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


def read_without_pixels(data: memoryview, header: Header, source: TransferSyntax, target: TransferSyntax) -> Dataset:
    """The data set of a file (inflated, if it was deflated) without its pixels and without trailing padding.

    Raises:
        BadFileFormat: pydicom cannot read it.
    """
    start = data_set_start(data)
    parts = [data[start:]]
    found = pixel_data_element(header.data_set)
    if found is not None and header.pixel_data_offset is not None:
        end = found[1].offset + found[1].length
        if bytes(data[end : end + len(SEQUENCE_DELIMITATION)]) == SEQUENCE_DELIMITATION:
            end += len(SEQUENCE_DELIMITATION)
        parts = [data[start : header.pixel_data_offset], data[end:]]
    try:
        data_set = read_dataset(BytesIO(b"".join(parts)), source.is_implicit, not source.is_big_endian)
        data_set.pop(BaseTag(_DATA_SET_TRAILING_PADDING), None)
        if source.is_big_endian != target.is_big_endian:
            _swap_words(data_set)
    except _PYDICOM_ERRORS as error:
        raise BadFileFormat(f"The data set cannot be read: {type(error).__name__}") from error
    return data_set


def element_of(data_set: Dataset, tag: int) -> DataElement | None:
    """One element, decoded.

    Raises:
        BadFileFormat: pydicom cannot decode it.
    """
    try:
        return data_set.get(BaseTag(tag))
    except _PYDICOM_ERRORS as error:
        raise BadFileFormat(f"An element cannot be read: {type(error).__name__}") from error


def sop_instance_uid_of(data_set: Dataset) -> str:
    """Of a data set that may have none."""
    element = element_of(data_set, SOP_INSTANCE_UID)
    return str(element.value or "") if element is not None else ""


def head(header: Header, data_set: Dataset, target: TransferSyntax) -> bytes:
    """Preamble and file meta information for a data set made from a file.

    Raises:
        BadFileFormat: it is known by something else than a unique identifier.
    """
    meta = header.file_meta
    sop_class_uid = attributes.text(header.data_set, SOP_CLASS_UID) or attributes.text(
        meta, _MEDIA_STORAGE_SOP_CLASS_UID
    )
    source_ae_title = attributes.text(meta, _SOURCE_APPLICATION_ENTITY_TITLE)
    try:
        return file_head(sop_class_uid, sop_instance_uid_of(data_set), target.uid, source_ae_title)
    except UnicodeEncodeError as error:
        raise BadFileFormat("A unique identifier is none") from error


def around_pixels(data_set: Dataset, target: TransferSyntax) -> tuple[list[bytes], list[bytes]]:
    """The encoded data set before and after its pixels. Deflate is not for here: it goes over all of it (`Output`).

    Raises:
        BadFileFormat: it holds something that cannot be written.
    """
    halves: tuple[_Elements, _Elements] = ({}, {})
    try:
        for tag in list(data_set.keys()):
            halves[tag >= _FIRST_PIXEL_DATA][tag] = data_set.get_item(tag)  # any other way would decode all of them
    except _PYDICOM_ERRORS as error:
        raise BadFileFormat(f"The data set cannot be read: {type(error).__name__}") from error
    before, after = Dataset(halves[0]), Dataset(halves[1])
    transfer_syntax_uid = EXPLICIT_VR_LITTLE_ENDIAN if target.is_deflated else target.uid
    return encode_data_set(before, transfer_syntax_uid), encode_data_set(after, transfer_syntax_uid)


def element_head(target: TransferSyntax, tag: int, vr: str, length: int) -> bytes:
    """Tag, VR and length of an element with a VR of long length, as pixel data has (PS3.5 §7.1.2, §7.1.3)."""
    order: Literal["little", "big"] = "big" if target.is_big_endian else "little"
    name = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
    if target.is_implicit:
        return name + length.to_bytes(4, order)
    return name + vr.encode("ascii") + b"\0\0" + length.to_bytes(4, order)


class Output:
    """A sink behind a deflater, if the data set is to be deflated (PS3.5 §A.5)."""

    __slots__ = ("_deflate", "_deflated_bytes", "_sink")

    def __init__(self, sink: Sink, is_deflated: bool) -> None:
        self._sink = sink
        self._deflate = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15) if is_deflated else None
        self._deflated_bytes = 0

    def plain(self, data: bytes) -> None:
        """Bytes that are never deflated: the file meta information."""
        self._sink.write(data)

    def write(self, data: bytes | memoryview) -> None:
        self._pass_on(bytes(data) if self._deflate is None else self._deflate.compress(data))

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._deflate is not None:
            self._pass_on(self._deflate.flush())
            self._sink.write(b"\0" * (self._deflated_bytes & 1))

    def _pass_on(self, data: bytes) -> None:
        self._deflated_bytes += len(data)
        self._sink.write(data)


def data_set_start(data: memoryview) -> int:
    """Behind preamble and file meta information (PS3.10 §7.1), if there are any."""
    position = 132 if bytes(data[128:132]) == b"DICM" else 0
    while bytes(data[position : position + 2]) == b"\x02\x00":
        vr = bytes(data[position + 4 : position + 6])
        if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR"):
            position += 12 + int.from_bytes(data[position + 8 : position + 12], "little")
        else:
            position += 8 + int.from_bytes(data[position + 6 : position + 8], "little")
    return position


def swapped(chunk: memoryview, word_bytes: int) -> memoryview | bytes:
    """The other byte order; what is left behind the last whole word stays."""
    if word_bytes == 1:
        return chunk
    whole = len(chunk) - len(chunk) % word_bytes
    return numpy.frombuffer(chunk[:whole], f"u{word_bytes}").byteswap().tobytes() + bytes(chunk[whole:])


def _swap_words(data_set: Dataset) -> None:
    """Turn the bytes of all words: pydicom leaves them as they are when the byte order changes."""
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                _swap_words(item)
            continue
        size = 2 if "OW" in element.VR else _WORDS.get(element.VR)
        if size is not None and isinstance(element.value, bytes):
            element.value = bytes(swapped(memoryview(element.value), size))
