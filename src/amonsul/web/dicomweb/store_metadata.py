"""Metadata and bulk data of STOW-RS become DICOM files (PS3.18 §10.5.2, §8.7.3).

Metadata are kept in memory, within the bound of a JSON body; bulk data are spooled, each under the Content-Location of
its part, which is what the metadata call it by. Parts of one location are the frames of compressed pixels. The file is
written to a spool of its own and goes the way of every other file from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from amonsul.blobs.spool import Spool, Spooled
from amonsul.dicom.dicom_xml_reader import to_json
from amonsul.dicom.elements import DataSet, Element, Tag
from amonsul.dicom.model_encoding import Elsewhere, Model, encode_model
from amonsul.dicom.part10 import file_head
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, is_valid, transfer_syntax
from amonsul.errors import AmonsulError, BadFileFormat, PayloadTooLarge, UnsupportedMediaType
from amonsul.imaging.encapsulation import SEQUENCE_DELIMITATION, basic_offset_table, item_head, padded
from amonsul.imaging.syntaxes import (
    HTJ2K,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    JPEG_XL,
    RLE_LOSSLESS,
)
from amonsul.protocols.media_types import MediaType, parse
from amonsul.web.dicomweb.negotiation import DICOM_JSON, OCTET_STREAM
from amonsul.web.json_body import parse as parse_json

NewSpool = Callable[[int], Spool]

_MAX_BULK = 16 << 30
_PIECE = 1 << 20
_PIXEL_DATA = "7FE00010"
_DEFAULT_SYNTAXES = {
    "image/jpeg": JPEG_BASELINE,
    "image/dicom-rle": RLE_LOSSLESS,
    "image/jls": JPEG_LS_LOSSLESS,
    "image/jp2": JPEG_2000,
    "image/jphc": HTJ2K,
    "image/jxl": JPEG_XL,
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}


class Collected:
    """The parts of a request as they come.

    Args:
        new_spool: makes a spool with a bound in bytes.
        maximum: bytes of all metadata together.
        root: media type of the metadata.
    """

    def __init__(self, new_spool: NewSpool, maximum: int, root: str) -> None:
        self._new_spool = new_spool
        self._left = maximum
        self._root = root
        self._metadata = bytearray()
        self._spool: Spool | None = None
        self._location = ""
        self._kind = MediaType(OCTET_STREAM)
        self.models: list[Model] = []
        self.bulk: dict[str, list[tuple[MediaType, Spooled]]] = {}

    def begin(self, headers: Mapping[str, str]) -> None:
        """A part begins.

        Raises:
            UnsupportedMediaType: there was no part with metadata before.
        """
        self._kind = parse(headers.get("content-type", "")) or MediaType(OCTET_STREAM)
        self._metadata = bytearray()
        if self._kind.name == self._root:
            return
        if not self.models:
            raise UnsupportedMediaType(f"the first part must be {self._root}")
        self._location = headers.get("content-location", "")
        self._spool = self._new_spool(_MAX_BULK)

    def write(self, data: bytes) -> None:
        """Bytes of the part.

        Raises:
            PayloadTooLarge: too many metadata.
        """
        if self._spool is not None:
            self._spool.write(data)
            return
        self._left -= len(data)
        if self._left < 0:
            raise PayloadTooLarge("too many metadata in one request")
        self._metadata += data

    def end(self) -> None:
        """The part is complete.

        Raises:
            BadFileFormat: it holds no metadata.
        """
        if self._spool is not None:
            self.bulk.setdefault(self._location, []).append((self._kind, self._spool.finish()))
            self._spool = None
            return
        if self._root == DICOM_JSON:
            found = parse_json(bytes(self._metadata))
            for model in found if isinstance(found, list) else [found]:
                if not isinstance(model, Mapping):
                    raise BadFileFormat("metadata must be an array of data sets")
                self.models.append(model)
        else:
            self.models.append(to_json(bytes(self._metadata)))
        self._metadata = bytearray()

    def discard(self) -> None:
        """Forget everything."""
        if self._spool is not None:
            self._spool.discard()
        for parts in self.bulk.values():
            for _, spooled in parts:
                spooled.discard()


def files_of(collected: Collected, new_spool: NewSpool) -> Iterator[tuple[Model, Spooled | AmonsulError]]:
    """Each data set with its file, or why there is none."""
    for model in collected.models:
        spool = new_spool(_MAX_BULK)
        try:
            for piece in _file(model, collected.bulk):
                spool.write(piece)
            yield model, spool.finish()
        except BadFileFormat as error:
            yield model, error
        finally:
            spool.discard()


def identity(model: Model) -> DataSet:
    """What metadata that became no file say of themselves: SOP Class UID and SOP Instance UID, if they are some."""
    found = {tag: _text(model, f"{tag:08X}") for tag in (Tag(0x00080016), Tag(0x00080018))}
    return {tag: Element("UI", uid) for tag, uid in found.items() if is_valid(uid)}


def _file(model: Model, bulk: Mapping[str, list[tuple[MediaType, Spooled]]]) -> Iterator[bytes | memoryview]:
    uid = _transfer_syntax_of(model, bulk)

    def resolve(tag: str, uri: str) -> Elsewhere:
        parts = bulk.get(uri)
        if parts is None:
            raise BadFileFormat(f"there is no bulk data for attribute {tag}")
        if tag == _PIXEL_DATA and transfer_syntax(uid).is_encapsulated:
            return Elsewhere(None, lambda: _fragments([spooled for _, spooled in parts]))
        if len(parts) != 1:
            raise BadFileFormat(f"there are several bulk data for attribute {tag}")
        (_, spooled), *_ = parts
        return Elsewhere(spooled.size, lambda: _slices(spooled.view()))

    sop_class_uid, sop_instance_uid = _text(model, "00080016"), _text(model, "00080018")
    if not is_valid(sop_instance_uid) or (sop_class_uid and not is_valid(sop_class_uid)):
        raise BadFileFormat("metadata without SOP Instance UID")
    yield file_head(sop_class_uid, sop_instance_uid, uid)
    yield from encode_model(model, resolve)


def _transfer_syntax_of(model: Model, bulk: Mapping[str, list[tuple[MediaType, Spooled]]]) -> str:
    """What the pixels of a data set are written in, by the media type of their part."""
    pixels = model.get(_PIXEL_DATA)
    uri = pixels.get("BulkDataURI") if isinstance(pixels, Mapping) else None
    parts = bulk.get(uri) if isinstance(uri, str) else None
    if not parts:
        return EXPLICIT_VR_LITTLE_ENDIAN
    kind = parts[0][0]
    uid = kind.transfer_syntax or _text(model, "00020010") or _text(model, "00083002")
    if uid and is_valid(uid) and transfer_syntax(uid).is_encapsulated:
        return uid
    if kind.name != OCTET_STREAM and not uid:
        default = _DEFAULT_SYNTAXES.get(kind.name)
        if default is None:
            raise BadFileFormat(f"pixels cannot be {kind.name[:64]}")
        return default
    return EXPLICIT_VR_LITTLE_ENDIAN


def _fragments(frames: list[Spooled]) -> Iterable[bytes | memoryview]:
    """Encapsulated pixel data: a fragment for each frame."""
    lengths = [spooled.size for spooled in frames]
    yield basic_offset_table(lengths)
    for spooled in frames:
        yield item_head(padded(spooled.size))
        yield from _slices(spooled.view())
        yield b"\0" * (spooled.size & 1)
    yield SEQUENCE_DELIMITATION


def _slices(view: memoryview) -> Iterator[memoryview]:
    return (view[start : start + _PIECE] for start in range(0, len(view), _PIECE))


def _text(model: Model, tag: str) -> str:
    attribute = model.get(tag)
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""
