"""Making instances out of JSON: `/tools/create-dicom`.

A body gives attributes and, if wanted, a content: an image, a document, a 3D model, or a list of them for a series.
It is parsed once into a `Creation`; `create` makes the data sets, one after the other. Under a parent, the modules of
the patient, the study and the series are inherited. Decoding images is done by a function that the caller gives.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, NamedTuple, TypeAlias

import numpy
import numpy.typing
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID

from amonsul import __version__
from amonsul.dicom import charsets
from amonsul.dicom.data_uri import is_data_uri, parse_data_uri
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import SPECIFIC_CHARACTER_SET, copy_element, remove, set_element, text_of
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    boolean,
    stamp,
)
from amonsul.dicom.modules import MODULES
from amonsul.dicom.tag_values import PIXEL_DATA, Encoder, Text, Unencodable, Value, identifier_name, parse_value
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, is_valid
from amonsul.errors import BadFileFormat, BadRequest, NotImplementedHere

GENERIC_FILE_SOP_CLASS: Final = "1.2.276.0.7230010.3.1.0.1"
"""In the file meta information where the request names no SOP class; DCMTK's, which readers know."""

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"

ENCAPSULATED_DOCUMENT: Final = Tag(0x00420011)
MODALITY: Final = Tag(0x00080060)

MAX_CONTENTS: Final = 10_000
"""Instances in one series."""


class OnlyTextValues(BadRequest):
    """A body of the old form, attributes at its root, has something else than text."""

    orthanc_status: ClassVar[int] = 2019
    message: ClassVar[str] = "Only string values are supported when creating DICOM instances"


class OverridesParent(BadRequest):
    """An attribute that the parent has, or a UID that only `Force` may choose."""

    orthanc_status: ClassVar[int] = 2020
    message: ClassVar[str] = "Trying to override a value inherited from a parent module"


class PixelDataAsTag(BadRequest):
    """Pixel data among the attributes."""

    orthanc_status: ClassVar[int] = 2021
    message: ClassVar[str] = 'Use "Content" to inject an image into a new DICOM instance'


class NoPayload(BadRequest):
    """An item of a series without content."""

    orthanc_status: ClassVar[int] = 2022
    message: ClassVar[str] = "No payload is present for one instance in the series"


class NotADataUri(BadRequest):
    """A content that is no text."""

    orthanc_status: ClassVar[int] = 2023
    message: ClassVar[str] = "The payload of the DICOM instance must be specified according to Data URI scheme"


class UnknownParent(BadRequest):
    """There is no such parent; for the caller, who looks it up."""

    orthanc_status: ClassVar[int] = 2024
    message: ClassVar[str] = "Trying to attach a new DICOM instance to an inexistent resource"


class ParentIsInstance(BadRequest):
    """The parent is an instance; for the caller, who looks it up."""

    orthanc_status: ClassVar[int] = 2025
    message: ClassVar[str] = "Trying to attach a new DICOM instance to an instance (must be a series, study or patient)"


class UnsupportedContent(NotImplementedHere):
    """A content of a MIME type that no SOP class is for."""

    http_status: ClassVar[int] = 500


@dataclass(frozen=True, slots=True)
class Content:
    """What an instance is made of.

    Attributes:
        mime_type: in lower case.
        data: the file.
        tags: attributes of this instance alone.
    """

    mime_type: str
    data: bytes = field(repr=False)
    tags: tuple[tuple[Tag, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Creation:
    """A request to create instances.

    Attributes:
        tags: attributes of all instances.
        contents: none for one instance without content.
        is_series: whether a list of contents was given: the answer is then about the series.
        parent: what to inherit from.
        force: whether UIDs and inherited attributes may be chosen.
        private_creator: of private attributes.
        interpret_binary: whether data URIs for binary attributes are decoded.
        encapsulate: whether a JPEG image stays as it is.
        is_old_form: attributes were at the root of the body: no dates are made up, and pixel data is an attribute.
    """

    tags: tuple[tuple[Tag, Value], ...] = ()
    contents: tuple[Content, ...] = ()
    is_series: bool = False
    parent: OrthancId | None = None
    force: bool = False
    private_creator: str = ""
    interpret_binary: bool = True
    encapsulate: bool = False
    is_old_form: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """What to inherit from: level of the resource and any instance in it."""

    level: Level
    data_set: Dataset


Image: TypeAlias = numpy.typing.NDArray[numpy.uint8] | numpy.typing.NDArray[numpy.uint16]
"""Rows × columns, or rows × columns × samples (2 and 4: with alpha, which is dropped)."""

DecodeImage = Callable[[bytes, str], Image]
"""Decodes the bytes of an image of a MIME type; raises BadFileFormat."""


# Requests


def parse_creation(body: object, dictionary: Dictionary = STANDARD) -> Creation:
    """Read the body of `/tools/create-dicom`.

    Raises:
        BadRequest: no JSON object (malformed JSON is the same to clients), a field of a wrong type, or one of the
            errors of this module.
        BadFileFormat: a content that is no data URI.
        BadParameterType: a value of a wrong type.
        UnknownDicomTag: an attribute is unknown.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must contain a JSON object")
    if "Tags" not in body:
        return _parse_old_form(body, dictionary)
    private_creator = body.get("PrivateCreator", "")
    if not isinstance(private_creator, str):
        raise BadRequest("PrivateCreator must be a string")
    parent = body.get("Parent")
    if parent is not None and not isinstance(parent, str):
        raise UnknownParent
    force = boolean(body, "Force")
    interpret_binary = boolean(body, "InterpretBinaryTags", True)
    tags = _parse_tags(body["Tags"], dictionary, private_creator)
    _check_tags(tags, force, dictionary)
    contents: tuple[Content, ...] = ()
    content = body.get("Content")
    if isinstance(content, list):
        contents = tuple(_parse_item(item, dictionary, private_creator, force) for item in content[: MAX_CONTENTS + 1])
        if len(contents) > MAX_CONTENTS:
            raise BadRequest(f"more than {MAX_CONTENTS} items in Content")
    elif "Content" in body:
        contents = (_parse_content(content),)
    return Creation(
        tags=tags,
        contents=contents,
        is_series=isinstance(content, list) and bool(content),
        parent=None if parent is None else OrthancId(parent),
        force=force,
        private_creator=private_creator,
        interpret_binary=interpret_binary,
        encapsulate=boolean(body, "Encapsulate"),
    )


def _parse_old_form(body: Mapping[str, object], dictionary: Dictionary) -> Creation:
    if not all(isinstance(value, str) for value in body.values()):
        raise OnlyTextValues
    tags = _parse_tags(body, dictionary, "")
    images = [value for tag, value in tags if tag == PIXEL_DATA and isinstance(value, Text)]
    return Creation(
        tags=tuple((tag, value) for tag, value in tags if tag != PIXEL_DATA),
        contents=tuple(_parse_content(value.text) for value in images[:1]),
        force=True,
        is_old_form=True,
    )


def _parse_tags(value: object, dictionary: Dictionary, private_creator: str) -> tuple[tuple[Tag, Value], ...]:
    if not isinstance(value, Mapping):
        raise BadRequest("Tags must be an object")
    tags = []
    for name, json_value in value.items():
        tag = dictionary.tag(name)
        tags.append((tag, parse_value(tag, json_value, dictionary, private_creator)))
    return tuple(tags)


def _check_tags(tags: tuple[tuple[Tag, Value], ...], force: bool, dictionary: Dictionary) -> None:
    for tag, value in tags:
        if tag == PIXEL_DATA:
            raise PixelDataAsTag
        if tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID):
            if not force:
                raise OverridesParent(identifier_name(dictionary, tag))
            if not isinstance(value, Text) or not is_valid(value.text):
                raise BadRequest(f"{identifier_name(dictionary, tag)} must be a UID")


def _parse_item(item: object, dictionary: Dictionary, private_creator: str, force: bool) -> Content:
    if isinstance(item, str):
        return _parse_content(item)
    if not isinstance(item, Mapping) or "Content" not in item:
        raise NoPayload
    content = _parse_content(item["Content"])
    tags = _parse_tags(item.get("Tags", {}), dictionary, private_creator)
    _check_tags(tags, force, dictionary)
    return Content(content.mime_type, content.data, tags)


def _parse_content(value: object) -> Content:
    if not isinstance(value, str):
        raise NotADataUri
    uri = parse_data_uri(value)
    if uri.mime_type not in _KINDS:
        raise UnsupportedContent(f"Unsupported MIME type for the content of a new DICOM file: {uri.mime_type[:64]}")
    return Content(uri.mime_type, uri.data)


# Data sets


def create(
    creation: Creation,
    parent: Parent | None,
    decode_image: DecodeImage,
    new_uid: Callable[[], str],
    new_patient_id: Callable[[], str],
    now: datetime,
    encoder: Encoder | None = None,
) -> Iterator[Dataset]:
    """Make the instances, each with file meta information.

    Args:
        creation: the request.
        parent: that of the request, looked up.
        decode_image: for images.
        new_uid: makes UIDs.
        new_patient_id: makes a Patient ID where neither request nor parent has one.
        now: local time, for dates that are not given.
        encoder: of the values; its private creator and interpretation of binary values are those of the request.

    Raises:
        BadFileFormat: a value is not possible for its VR, or a content is not what its MIME type says.
        OverridesParent: an attribute that the parent has.
        ParameterOutOfRange: an unknown character set.
    """
    base = encoder or Encoder()
    encoder = Encoder(
        base.dictionary, creation.private_creator, creation.interpret_binary, base.unencodable, base.default_charset
    )
    study_uid, series_uid = new_uid(), new_uid()
    patient_id = new_patient_id()
    contents: tuple[Content | None, ...] = creation.contents or (None,)
    for index, content in enumerate(contents, 1):
        data_set = _empty(encoder.default_charset)
        inherited = _inherit(data_set, parent, encoder.unencodable) if parent is not None else frozenset()
        own = () if content is None else content.tags
        # An attribute of one instance wins over that of all.
        given = dict((*creation.tags, *own))
        if not creation.force:
            _check_inherited(given, inherited, data_set, encoder.dictionary)
        if creation.is_series:
            _number(data_set, index, len(contents))
        for tag in sorted(given):
            group, element = tag >> 16, tag & 0xFFFF
            if group not in (0, 2) and element != 0:
                _put(encoder, data_set, tag, given[tag])
        _set_missing(data_set, STUDY_INSTANCE_UID, "UI", study_uid)
        _set_missing(data_set, SERIES_INSTANCE_UID, "UI", series_uid)
        _set_missing(data_set, SOP_INSTANCE_UID, "UI", new_uid())
        if PATIENT_ID not in data_set:
            set_element(data_set, PATIENT_ID, "LO", patient_id)
        if not creation.is_old_form:
            _date(data_set, now)
        if content is not None:
            _KINDS[content.mime_type](data_set, content, creation, decode_image, new_uid)
        stamp(data_set)
        yield data_set


def _empty(charset: str) -> Dataset:
    data_set = Dataset()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(GENERIC_FILE_SOP_CLASS)
    meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
    data_set.file_meta = meta
    set_element(data_set, SPECIFIC_CHARACTER_SET, "CS", charset.split("\\"))
    return data_set


def _inherit(data_set: Dataset, parent: Parent, unencodable: Unencodable) -> frozenset[Tag]:
    """Copy what a parent has, with its character set; answers the attributes that are the parent's."""
    inherited: frozenset[Tag] = frozenset()
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        if level <= parent.level:
            inherited |= MODULES[level]
    remove(data_set, SPECIFIC_CHARACTER_SET)
    copy_element(parent.data_set, data_set, SPECIFIC_CHARACTER_SET)
    if not charsets.is_known(text_of(data_set, SPECIFIC_CHARACTER_SET)):
        default = "ISO_IR 100" if unencodable is Unencodable.DROP else "ISO_IR 192"
        set_element(data_set, SPECIFIC_CHARACTER_SET, "CS", default)
    for tag in sorted(inherited):
        copy_element(parent.data_set, data_set, tag)
    return inherited


def _check_inherited(
    given: Mapping[Tag, Value], inherited: frozenset[Tag], data_set: Dataset, dictionary: Dictionary
) -> None:
    for tag in given:
        if tag in inherited and tag in data_set:
            raise OverridesParent(identifier_name(dictionary, tag))


def _put(encoder: Encoder, data_set: Dataset, tag: Tag, value: Value) -> None:
    if (
        tag == ENCAPSULATED_DOCUMENT
        and encoder.interpret_binary
        and isinstance(value, Text)
        and is_data_uri(value.text)
        and parse_data_uri(value.text).mime_type == "application/octet-stream"
    ):
        # Clients of the REST API know that a document without a type becomes raw pixel data.
        tag = Tag(PIXEL_DATA)
    encoder.put(data_set, tag, value)


def _set_missing(data_set: Dataset, tag: int, vr: str, value: object) -> None:
    if not text_of(data_set, tag):
        set_element(data_set, tag, vr, UID(value) if vr == "UI" and isinstance(value, str) else value)


# Instance creation, study, series, acquisition and content
_DATES: Final = (0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023)
_TIMES: Final = (0x00080013, 0x00080030, 0x00080031, 0x00080032, 0x00080033)


def _date(data_set: Dataset, now: datetime) -> None:
    for tag in _DATES:
        if tag not in data_set:
            set_element(data_set, tag, "DA", now.strftime("%Y%m%d"))
    for tag in _TIMES:
        if tag not in data_set:
            set_element(data_set, tag, "TM", now.strftime("%H%M%S.%f"))


def _number(data_set: Dataset, index: int, count: int) -> None:
    set_element(data_set, 0x00200013, "IS", str(index))  # InstanceNumber
    set_element(data_set, 0x00200105, "IS", str(count))  # NumberOfTemporalPositions
    set_element(data_set, 0x00201002, "IS", str(count))  # ImagesInAcquisition
    set_element(data_set, 0x00541330, "US", min(index, 0xFFFF))  # ImageIndex


# Contents


def _put_image(
    data_set: Dataset, content: Content, creation: Creation, decode_image: DecodeImage, _new_uid: Callable[[], str]
) -> None:
    image = decode_image(content.data, content.mime_type)
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[:, :, :-1]
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.dtype not in (numpy.uint8, numpy.uint16) or image.ndim not in (2, 3) or image.size == 0:
        raise BadFileFormat("an image of a kind that cannot be in a DICOM file")
    rows, columns = image.shape[:2]
    samples = image.shape[2] if image.ndim == 3 else 1
    if samples not in (1, 3) or max(rows, columns) > 0xFFFF:
        raise BadFileFormat("an image of a kind that cannot be in a DICOM file")
    bits = image.dtype.itemsize * 8
    data_set.SamplesPerPixel = samples
    data_set.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        data_set.PlanarConfiguration = 0
    data_set.Rows, data_set.Columns = rows, columns
    data_set.BitsAllocated = data_set.BitsStored = bits
    data_set.HighBit = bits - 1
    data_set.PixelRepresentation = 0
    if creation.encapsulate and content.mime_type == "image/jpeg" and bits == 8:
        _encapsulate_jpeg(data_set, content.data, samples, rows * columns * samples)
        return
    pixels = numpy.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<")).tobytes()
    set_element(data_set, PIXEL_DATA, "OW", pixels + b"\0" if len(pixels) & 1 else pixels)


def _encapsulate_jpeg(data_set: Dataset, jpeg: bytes, samples: int, native_size: int) -> None:
    frame = _baseline_frame(jpeg)
    if frame is None or len(frame.sampling) != samples:
        raise BadFileFormat("only a baseline JPEG image can be encapsulated as it is")
    if samples == 3 and not frame.is_rgb:
        subsampled = frame.sampling[0] != frame.sampling[1]
        data_set.PhotometricInterpretation = "YBR_FULL_422" if subsampled else "YBR_FULL"
    data_set.LossyImageCompression = "01"
    data_set.LossyImageCompressionRatio = f"{native_size / len(jpeg):.4g}"
    data_set.LossyImageCompressionMethod = "ISO_10918_1"
    data_set.file_meta.TransferSyntaxUID = UID(JPEG_BASELINE)
    set_element(data_set, PIXEL_DATA, "OB", encapsulate([jpeg]))
    data_set[PIXEL_DATA].is_undefined_length = True


class _BaselineFrame(NamedTuple):
    """What the header of a baseline JPEG frame of 8 bits says.

    Attributes:
        sampling: factors of each component.
        is_rgb: the components are no luminance and chrominance, as JFIF and Adobe's segments tell, or else their names.
    """

    sampling: tuple[int, ...]
    is_rgb: bool


def _baseline_frame(jpeg: bytes) -> _BaselineFrame | None:
    """The first frame of an image; None if it is not baseline with 8 bits (ISO/IEC 10918-1 §B.2.2)."""
    position, is_rgb = 2, None
    while jpeg[:2] == b"\xff\xd8" and position + 4 <= len(jpeg):
        if jpeg[position] != 0xFF:
            return None
        marker = jpeg[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", jpeg, position + 2)
        body = jpeg[position + 4 : position + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker != 0xC0 or len(body) < 6 or body[0] != 8 or len(body) != 6 + 3 * body[5]:
                return None
            return _BaselineFrame(tuple(body[7::3]), body[6::3] == b"RGB" if is_rgb is None else is_rgb)
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            is_rgb = body[11] == 0
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and is_rgb is None:
            is_rgb = False
        position += 2 + length
    return None


def _put_raw_pixels(
    data_set: Dataset, content: Content, _creation: Creation, _decode_image: DecodeImage, _new_uid: Callable[[], str]
) -> None:
    """Bytes without a format: the request describes them."""
    data = content.data
    set_element(data_set, PIXEL_DATA, "OW", data + b"\0" if len(data) & 1 else data)


def _put_pdf(
    data_set: Dataset, content: Content, _creation: Creation, _decode_image: DecodeImage, _new_uid: Callable[[], str]
) -> None:
    """PS3.3 §A.45.1."""
    if b"%PDF-" not in content.data[:1024]:
        raise BadFileFormat("Not a PDF file")
    set_element(data_set, SOP_CLASS_UID, "UI", UID("1.2.840.10008.5.1.4.1.1.104.1"))
    data_set.ConversionType = "WSD"
    _set_missing(data_set, MODALITY, "CS", "OT")
    _put_document(data_set, content)


def _put_document(data_set: Dataset, content: Content) -> None:
    data_set.MIMETypeOfEncapsulatedDocument = content.mime_type
    data = content.data
    set_element(data_set, ENCAPSULATED_DOCUMENT, "OB", data + b"\0" if len(data) & 1 else data)


_MODEL_CLASSES: Final = {
    "model/stl": "1.2.840.10008.5.1.4.1.1.104.3",
    "model/obj": "1.2.840.10008.5.1.4.1.1.104.4",
    "model/mtl": "1.2.840.10008.5.1.4.1.1.104.5",
}


def _put_model(
    data_set: Dataset, content: Content, _creation: Creation, _decode_image: DecodeImage, new_uid: Callable[[], str]
) -> None:
    """PS3.3 §A.85.1 to §A.85.3, with what the modules require."""
    _check_model(content)
    set_element(data_set, SOP_CLASS_UID, "UI", UID(_MODEL_CLASSES[content.mime_type]))
    _set_missing(data_set, MODALITY, "CS", "M3D")
    _put_document(data_set, content)
    data_set.EncapsulatedDocumentLength = len(content.data)
    defaults: Mapping[str, object] = {
        "InstanceNumber": "1",
        "BurnedInAnnotation": "NO",
        "DocumentTitle": "",
        "ConceptNameCodeSequence": ItemSequence(),
        "AcquisitionDateTime": "",
        "Manufacturer": "Amonsul",
        "ManufacturerModelName": "Amonsul",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": __version__,
    }
    if content.mime_type != "model/mtl":
        defaults = {
            **defaults,
            "FrameOfReferenceUID": new_uid(),
            "PositionReferenceIndicator": "",
            "MeasurementUnitsCodeSequence": ItemSequence([_millimetre()]),
        }
    for keyword, value in defaults.items():
        if keyword not in data_set:
            setattr(data_set, keyword, value)


def _millimetre() -> Dataset:
    item = Dataset()
    item.CodeValue = "mm"
    item.CodingSchemeDesignator = "UCUM"
    item.CodeMeaning = "mm"
    return item


def _check_model(content: Content) -> None:
    data = content.data
    if content.mime_type == "model/stl":
        is_text = data[:1024].lstrip().startswith(b"solid") and b"facet" in data
        is_binary = len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]
        if not is_text and not is_binary:
            raise BadFileFormat("Not an STL file")
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadFileFormat("an OBJ or MTL file is text") from None
    keywords = ("v ", "f ", "o ", "g ") if content.mime_type == "model/obj" else ("newmtl ",)
    if not any(line.lstrip().startswith(keywords) for line in text.splitlines()):
        raise BadFileFormat(f"Not a file of type {content.mime_type}")


_KINDS: Final[Mapping[str, Callable[[Dataset, Content, Creation, DecodeImage, Callable[[], str]], None]]] = {
    "image/png": _put_image,
    "image/jpeg": _put_image,
    "application/octet-stream": _put_raw_pixels,
    "application/pdf": _put_pdf,
    "model/stl": _put_model,
    "model/obj": _put_model,
    "model/mtl": _put_model,
}
