"""Data sets into bytes (PS3.5 §7, PS3.10 §7.1), quickly where nothing has changed.

An element that was read in the same encoding and never decoded is copied; pydicom writes the others. The result is a
list of parts: the bytes of pixel data are among them as they are, not copied into one buffer.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from operator import itemgetter
from typing import cast

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_data_element
from pydicom.multival import MultiValue

from amonsul.dicom import charsets, uids, vrs
from amonsul.dicom.editing import MAX_DEPTH, set_element, specific_character_set
from amonsul.errors import BadFileFormat, BadRequest

_UNDEFINED = 0xFFFFFFFF
_GROUP_LENGTH, _VERSION = 0x00020000, 0x00020001
_SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_SEQUENCE_END_BIG = struct.pack(">HHI", 0xFFFE, 0xE0DD, 0)


def encode_file(data_set: Dataset) -> list[bytes]:
    """A whole file, in the transfer syntax that its file meta information names, in parts.

    Raises:
        BadRequest: there is no such, or it is not the one that encapsulated pixel data needs.
        BadFileFormat: something in the data set cannot be written.
    """
    meta = getattr(data_set, "file_meta", None)
    if meta is None or not meta.get("TransferSyntaxUID"):
        raise BadRequest("a data set without transfer syntax cannot be written")
    preamble = getattr(data_set, "preamble", None) or bytes(128)
    body = encode_data_set(data_set, str(meta.TransferSyntaxUID))
    return [preamble[:128].ljust(128, b"\0"), b"DICM", *_file_meta(meta), *body]


def _file_meta(meta: FileMetaDataset) -> list[bytes]:
    """Group 0002 with its length and version (PS3.10 §7.1)."""
    set_element(meta, _VERSION, "OB", b"\0\1")
    meta.pop(_GROUP_LENGTH, None)
    parts = encode_data_set(meta, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    return [struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, sum(map(len, parts))), *parts]


def encode_data_set(data_set: Dataset, transfer_syntax_uid: str) -> list[bytes]:
    """A data set without file meta information, in parts.

    Raises:
        BadFileFormat: something in it cannot be written.
    """
    syntax = uids.transfer_syntax(transfer_syntax_uid)
    writer = _Writer(syntax.is_implicit, not syntax.is_big_endian)
    try:
        parts = writer.data_set(data_set, "", 0)
    except (ValueError, TypeError, AttributeError, KeyError, OSError, NotImplementedError, struct.error) as error:
        raise BadFileFormat(f"cannot write the data set: {type(error).__name__}") from error
    if not syntax.is_deflated:
        return parts
    deflater = zlib.compressobj(wbits=-15)
    deflated = [deflater.compress(part) for part in parts]
    deflated.append(deflater.flush())
    return [*deflated, b"\0"] if sum(map(len, deflated)) & 1 else deflated


_by_tag = itemgetter(0)


class _Writer:
    def __init__(self, is_implicit: bool, is_little_endian: bool) -> None:
        self._is_implicit = is_implicit
        self._is_little_endian = is_little_endian
        order = "<" if is_little_endian else ">"
        self._tag = struct.Struct(f"{order}HH")
        self._implicit = struct.Struct(f"{order}HHI")
        self._short = struct.Struct(f"{order}HH2sH")
        self._long = struct.Struct(f"{order}HH2sHI")
        self._end = _SEQUENCE_END if is_little_endian else _SEQUENCE_END_BIG

    def data_set(self, data_set: Dataset, parent_charset: str, depth: int) -> list[bytes]:
        if depth > MAX_DEPTH:
            raise BadFileFormat(f"sequences nested deeper than {MAX_DEPTH} levels")
        charset = specific_character_set(data_set) or parent_charset
        parts: list[bytes] = []
        for tag, raw in sorted(((int(raw.tag), raw) for raw in data_set.values()), key=_by_tag):
            if tag & 0xFFFF == 0 and tag >> 16 > 6:  # group lengths are retired, and would be wrong
                continue
            if isinstance(raw, RawDataElement) and self._can_copy(raw):
                self._copy(tag, raw, parts)
                continue
            element = data_set[tag]
            if element.VR == "SQ":
                self._sequence(element, charset, depth, parts)
            else:
                self._encode(data_set, element, charset, parts)
        return parts

    def _can_copy(self, element: RawDataElement) -> bool:
        return (
            element.is_implicit_VR == self._is_implicit
            and element.is_little_endian == self._is_little_endian
            and element.value is not None
        )

    def _copy(self, tag: int, element: RawDataElement, parts: list[bytes]) -> None:
        value = element.value or b""
        is_undefined = element.length == _UNDEFINED
        self._head(tag, element.VR, _UNDEFINED if is_undefined else len(value), parts)
        parts.append(value)
        if is_undefined:
            parts.append(self._end)

    def _head(self, tag: int, vr: str | None, length: int, parts: list[bytes]) -> None:
        if self._is_implicit:
            parts.append(self._implicit.pack(tag >> 16, tag & 0xFFFF, length))
        elif vr in vrs.LONG_LENGTH:
            parts.append(self._long.pack(tag >> 16, tag & 0xFFFF, vr.encode(), 0, length))
        elif length > 0xFFFE:  # PS3.5 §6.2.2: what does not fit is written as unknown
            parts.append(self._long.pack(tag >> 16, tag & 0xFFFF, b"UN", 0, length))
        else:
            parts.append(self._short.pack(tag >> 16, tag & 0xFFFF, (vr or "UN").encode(), length))

    def _sequence(self, element: DataElement, charset: str, depth: int, parts: list[bytes]) -> None:
        content: list[bytes] = []
        for item in element.value:
            item_parts = self.data_set(item, charset, depth + 1)
            content.append(self._implicit.pack(0xFFFE, 0xE000, sum(map(len, item_parts))))
            content.extend(item_parts)
        # Without a VR in the file, its undefined length is all that shows that a private element is a sequence.
        is_undefined = element.is_undefined_length
        self._head(element.tag, "SQ", _UNDEFINED if is_undefined else sum(map(len, content)), parts)
        parts.extend(content)
        if is_undefined:
            parts.append(self._end)

    def _encode(self, data_set: Dataset, element: DataElement, charset: str, parts: list[bytes]) -> None:
        if len(element.VR) != 2:
            corrected = correct_ambiguous_vr_element(element, data_set, self._is_little_endian)
            if isinstance(corrected, DataElement):
                element = corrected
        if isinstance(element.value, bytes | memoryview) and element.VR in vrs.BINARY:
            value = cast(bytes, element.value)  # a view is joined and written as well
            is_odd = len(value) & 1
            is_undefined = element.is_undefined_length
            self._head(element.tag, element.VR, _UNDEFINED if is_undefined else len(value) + is_odd, parts)
            parts.append(value)
            if is_odd:
                parts.append(b"\0")
            if is_undefined:
                parts.append(self._end)
            return
        text = _plain_text(element)
        if text is not None:
            data = charsets.encode(text, charset or "ISO_IR 6", element.VR == "PN")
            if len(data) & 1:
                data += b"\0" if element.VR == "UI" else b" "
            self._head(element.tag, element.VR, len(data), parts)
            parts.append(data)
            return
        buffer = BytesIO()
        target = DicomIO(buffer)
        target.is_implicit_VR = self._is_implicit
        target.is_little_endian = self._is_little_endian
        write_data_element(target, element, convert_encodings(charset.split("\\") if charset else None))
        parts.append(buffer.getvalue())


def _plain_text(element: DataElement) -> str | None:
    """The text of an element whose value is text or nothing; None for others."""
    value = element.value
    if value is None or value == "":
        return ""
    if element.VR not in vrs.TEXT or element.VR in ("DS", "IS"):
        return None
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join("" if part is None else str(part) for part in value)
    return str(value)
