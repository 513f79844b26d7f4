"""Instances made out of JSON."""

from __future__ import annotations

import base64
import itertools
import struct
from datetime import datetime

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from amonsul.dicom.creation import (
    GENERIC_FILE_SOP_CLASS,
    Image,
    NoPayload,
    NotADataUri,
    OnlyTextValues,
    OverridesParent,
    Parent,
    PixelDataAsTag,
    UnknownParent,
    UnsupportedContent,
    create,
    parse_creation,
)
from amonsul.dicom.levels import Level
from amonsul.dicom.tag_values import Encoder, Unencodable
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    BadParameterType,
    BadRequest,
    ParameterOutOfRange,
    UnknownDicomTag,
)

from .builders import EXPLICIT, fresh, instance, read, stored

NOW = datetime(2024, 3, 15, 10, 11, 12, 345678)
GRAY = numpy.arange(30, dtype=numpy.uint8).reshape(5, 6)


def data_uri(mime_type: str, data: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


PNG = data_uri("image/png", b"png")
PDF = data_uri("application/pdf", b"%PDF-1.4\n")


def created(
    body: object, parent: Parent | None = None, image: Image = GRAY, encoder: Encoder | None = None
) -> list[Dataset]:
    """Parse, create, write, read."""
    numbers = itertools.count(1)
    data_sets = create(
        parse_creation(body),
        parent,
        lambda _data, _mime_type: image,
        lambda: f"2.25.{next(numbers)}",
        lambda: "new patient",
        NOW,
        encoder,
    )
    return [read(stored(data_set, data_set.file_meta.TransferSyntaxUID)) for data_set in data_sets]


def one(body: object, parent: Parent | None = None, image: Image = GRAY, encoder: Encoder | None = None) -> Dataset:
    (data_set,) = created(body, parent, image, encoder)
    return data_set


def keywords(data_set: Dataset) -> set[str]:
    return {element.keyword for element in data_set}


DATES = {
    f"{what}{kind}"
    for what in ("InstanceCreation", "Study", "Series", "Acquisition", "Content")
    for kind in ("Date", "Time")
}
ALWAYS = {"SpecificCharacterSet", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"} | DATES


# Requests


@pytest.mark.parametrize(
    ("body", "error", "orthanc_status"),
    [
        (None, BadRequest, 8),
        (12, BadRequest, 8),
        ("x", BadRequest, 8),
        ([], BadRequest, 8),
        ({"Tags": "x"}, BadRequest, 8),
        ({"Tags": {"Nope": "x"}}, UnknownDicomTag, 27),
        ({"Tags": {"AnatomicRegionSequence[0].CodeValue": "x"}}, UnknownDicomTag, 27),
        ({"Tags": {"InstanceNumber": 12}}, BadParameterType, 5),
        ({"Tags": {"ImageType": ["A", "B"]}}, BadParameterType, 5),
        ({"Tags": {"SOPInstanceUID": "1.2.3"}}, OverridesParent, 2020),
        ({"Tags": {"StudyInstanceUID": None}}, OverridesParent, 2020),
        ({"Tags": {"SOPInstanceUID": "nope"}, "Force": True}, BadRequest, 8),
        ({"Tags": {"PixelData": PNG}}, PixelDataAsTag, 2021),
        ({"Tags": {}, "Content": [{"Tags": {}}]}, NoPayload, 2022),
        ({"Tags": {}, "Content": [1]}, NoPayload, 2022),
        ({"Tags": {}, "Content": 1}, NotADataUri, 2023),
        ({"Tags": {}, "Content": None}, NotADataUri, 2023),
        ({"Tags": {}, "Content": {}}, NotADataUri, 2023),
        ({"Tags": {}, "Content": "hello"}, BadFileFormat, 15),
        ({"Tags": {}, "Content": ""}, BadFileFormat, 15),
        ({"Tags": {}, "Content": "data:image/png,x"}, BadFileFormat, 15),
        ({"Tags": {}, "Content": data_uri("image/gif", b"x")}, UnsupportedContent, 2),
        ({"Tags": {}, "Parent": 1}, UnknownParent, 2024),
        ({"Tags": {}, "Force": 1}, BadRequest, 8),
        ({"Tags": {}, "InterpretBinaryTags": 1}, BadRequest, 8),
        ({"Tags": {}, "Encapsulate": "x"}, BadRequest, 8),
        ({"Tags": {}, "PrivateCreator": 1}, BadRequest, 8),
        ({"Nope": {}}, OnlyTextValues, 2019),
        ({"PatientName": 1}, OnlyTextValues, 2019),
        ({"Parent": "x"}, UnknownDicomTag, 27),
    ],
)
def test_a_bad_body_is_refused(body: object, error: type[AmonsulError], orthanc_status: int) -> None:
    with pytest.raises(error) as caught:
        parse_creation(body)
    assert caught.value.orthanc_status == orthanc_status


def test_the_overriding_attribute_is_named() -> None:
    with pytest.raises(OverridesParent) as caught:
        parse_creation({"Tags": {"SOPInstanceUID": "1.2.3"}})
    assert caught.value.details == "SOPInstanceUID"


def test_a_list_of_contents_is_a_series_and_an_empty_one_is_not() -> None:
    assert parse_creation({"Tags": {}, "Content": [PNG]}).is_series
    assert not parse_creation({"Tags": {}, "Content": []}).is_series
    assert not parse_creation({"Tags": {}, "Content": PNG}).is_series
    assert parse_creation({"Tags": {}, "Parent": "a"}).parent == "a"


# Attributes


def test_what_is_not_given_is_made_up() -> None:
    data_set = one({"Tags": {"PatientName": "Hello^World"}})
    assert keywords(data_set) == ALWAYS | {"PatientName"}
    assert (data_set.PatientID, data_set.SpecificCharacterSet) == ("new patient", "ISO_IR 100")
    assert {data_set[name].value for name in DATES} == {"20240315", "101112.345678"}
    assert len({data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID}) == 3
    assert data_set.file_meta.MediaStorageSOPClassUID == GENERIC_FILE_SOP_CLASS
    assert data_set.file_meta.MediaStorageSOPInstanceUID == data_set.SOPInstanceUID
    assert data_set.file_meta.TransferSyntaxUID == EXPLICIT


def test_what_is_given_is_taken() -> None:
    tags = {
        "0010,0020": "C1",
        "00100010": "Hexa",
        "0008-0060": "CR",
        "StudyDate": "20200101",
        "ContentTime": None,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "AnatomicRegionSequence": [{"CodeValue": "A"}, {}],
        "TransferSyntaxUID": "1.2.840.10008.1.2.4.50",
    }
    data_set = one({"Tags": tags})
    assert (data_set.PatientID, data_set.PatientName, data_set.Modality) == ("C1", "Hexa", "CR")
    assert (data_set.StudyDate, data_set.StudyTime, data_set.ContentTime) == ("20200101", "101112.345678", "")
    assert data_set.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert data_set.file_meta.TransferSyntaxUID == EXPLICIT
    assert [item.get("CodeValue") for item in data_set.AnatomicRegionSequence] == ["A", None]


def test_uids_are_taken_with_force() -> None:
    uids = {"StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.1.1", "SOPInstanceUID": "1.2.3.1.1.1"}
    data_set = one({"Tags": uids, "Force": True})
    assert {name: data_set[name].value for name in uids} == uids


def test_text_is_written_in_the_character_set_that_is_given() -> None:
    assert one({"Tags": {"PatientName": "Éric^Ñandú"}}).PatientName == "Éric^Ñandú"
    utf8 = one({"Tags": {"PatientName": "Ωmega^日本", "SpecificCharacterSet": "ISO_IR 192"}})
    assert (utf8.PatientName, utf8.SpecificCharacterSet) == ("Ωmega^日本", "ISO_IR 192")
    latin = one({"Tags": {"PatientName": "日本", "SpecificCharacterSet": "ISO_IR 100"}})
    assert (latin.PatientName, latin.SpecificCharacterSet) == ("", "ISO_IR 100")
    switched = one({"Tags": {"PatientName": "日本"}}, encoder=Encoder(unencodable=Unencodable.SWITCH))
    assert (switched.PatientName, switched.SpecificCharacterSet) == ("日本", "ISO_IR 192")
    with pytest.raises(ParameterOutOfRange):
        one({"Tags": {"SpecificCharacterSet": "nope"}})


def test_private_attributes_and_binary_ones() -> None:
    tags = {"0009,1001": "x", "RedPaletteColorLookupTableData": "data:;base64,AQID", "PatientComments": PNG}
    data_set = one({"Tags": tags, "PrivateCreator": "ACME"})
    assert (data_set[0x00090010].value, data_set[0x00091001].value) == ("ACME", b"x\0")
    assert data_set.RedPaletteColorLookupTableData == b"\1\2\3\0"
    assert data_set.PatientComments == PNG
    raw = one({"Tags": {"EncapsulatedDocument": "data:;base64,AQID"}, "InterpretBinaryTags": False})
    assert raw.EncapsulatedDocument == b"data:;base64,AQID\0"


def test_a_document_without_type_among_the_attributes_becomes_raw_pixel_data() -> None:
    data_set = one({"Tags": {"EncapsulatedDocument": data_uri("application/octet-stream", b"\1\2\3")}})
    assert "EncapsulatedDocument" not in data_set
    assert data_set.PixelData == b"\1\2\3\0"


def test_the_old_form_has_attributes_at_the_root() -> None:
    data_set = one({"PatientName": "Old^Style", "SOPInstanceUID": "1.2.3"})
    assert (data_set.PatientName, data_set.SOPInstanceUID) == ("Old^Style", "1.2.3")
    assert not keywords(data_set) & DATES
    assert one({"PixelData": PNG}).Rows == 5


# Parents


def parent_instance() -> Dataset:
    data_set = instance()
    data_set.SeriesDescription, data_set.Manufacturer, data_set.PatientAge = "Native", "Maker", "050Y"
    data_set.BodyPartExamined, data_set.StudyID = "CHEST", "S1"
    return fresh(data_set)


OF_PATIENT = {"PatientName", "PatientSex", "PatientBirthDate"}
OF_STUDY = {"StudyDescription", "StudyID"}
OF_SERIES = {"SeriesDescription", "BodyPartExamined", "Modality"}


@pytest.mark.parametrize(
    ("level", "inherited"),
    [
        (Level.PATIENT, OF_PATIENT),
        (Level.STUDY, OF_PATIENT | OF_STUDY),
        (Level.SERIES, OF_PATIENT | OF_STUDY | OF_SERIES),
    ],
)
def test_a_child_inherits_the_modules_of_its_parent(level: Level, inherited: set[str]) -> None:
    original = parent_instance()
    data_set = one({"Tags": {"ImageComments": "child"}}, Parent(level, original))
    assert keywords(data_set) == ALWAYS | inherited | {"ImageComments"}
    for name in inherited:
        assert data_set[name].value == original[name].value
    assert data_set.PatientID == "P1"
    assert (data_set.StudyInstanceUID == original.StudyInstanceUID) is (level >= Level.STUDY)
    assert data_set.StudyDate == ("20240229" if level >= Level.STUDY else "20240315")
    assert (data_set.SeriesInstanceUID == original.SeriesInstanceUID) is (level >= Level.SERIES)
    assert data_set.SOPInstanceUID != original.SOPInstanceUID


def test_a_child_has_the_character_set_of_its_parent() -> None:
    original = parent_instance()
    original.SpecificCharacterSet = "ISO_IR 192"
    original.PatientName = "Müller^Jörg=山田^太郎"
    data_set = one({"Tags": {"SeriesDescription": "¡olé! Ω"}}, Parent(Level.STUDY, fresh(original)))
    assert data_set.SpecificCharacterSet == "ISO_IR 192"
    assert (data_set.PatientName, data_set.SeriesDescription) == ("Müller^Jörg=山田^太郎", "¡olé! Ω")


@pytest.mark.parametrize("name", ["PatientName", "PatientID", "StudyDescription"])
def test_a_child_does_not_override_its_parent_without_force(name: str) -> None:
    parent = Parent(Level.STUDY, parent_instance())
    with pytest.raises(OverridesParent) as caught:
        one({"Tags": {name: "Other"}}, parent)
    assert caught.value.details == name
    assert one({"Tags": {name: "Other"}, "Force": True}, parent)[name].value == "Other"
    assert one({"Tags": {"SeriesDescription": "Mine", "PatientAge": "001Y"}}, parent).SeriesDescription == "Mine"


# Images


RGB = numpy.arange(90, dtype=numpy.uint8).reshape(5, 6, 3)


@pytest.mark.parametrize(
    ("image", "samples", "photometric", "bits", "pixels"),
    [
        (GRAY, 1, "MONOCHROME2", 8, GRAY.tobytes()),
        (GRAY[:, :, None], 1, "MONOCHROME2", 8, GRAY.tobytes()),
        (numpy.dstack([GRAY, GRAY]), 1, "MONOCHROME2", 8, GRAY.tobytes()),
        (GRAY.astype(numpy.uint16) * 256, 1, "MONOCHROME2", 16, (GRAY.astype("<u2") * 256).tobytes()),
        (GRAY.astype(">u2") * 256, 1, "MONOCHROME2", 16, (GRAY.astype("<u2") * 256).tobytes()),
        (RGB, 3, "RGB", 8, RGB.tobytes()),
        (numpy.dstack([RGB, GRAY]), 3, "RGB", 8, RGB.tobytes()),
        (GRAY[:3, :3], 1, "MONOCHROME2", 8, GRAY[:3, :3].tobytes() + b"\0"),
    ],
)
def test_an_image_becomes_pixel_data(image: Image, samples: int, photometric: str, bits: int, pixels: bytes) -> None:
    data_set = one({"Tags": {}, "Content": PNG}, image=image)
    assert (data_set.Rows, data_set.Columns) == image.shape[:2]
    assert (data_set.SamplesPerPixel, data_set.PhotometricInterpretation) == (samples, photometric)
    assert (data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit) == (bits, bits, bits - 1)
    assert data_set.PixelRepresentation == 0
    assert ("PlanarConfiguration" in data_set) is (samples == 3)
    assert (data_set["PixelData"].VR, data_set.PixelData) == ("OW", pixels)
    assert "SOPClassUID" not in data_set


@pytest.mark.parametrize(
    "image",
    [
        GRAY.astype(numpy.float32),
        numpy.zeros((2, 2, 5), numpy.uint8),
        numpy.zeros((0, 2), numpy.uint8),
        numpy.zeros((1, 70_000), numpy.uint8),
        numpy.zeros((2, 2, 2, 2), numpy.uint8),
    ],
)
def test_an_impossible_image_is_refused(image: Image) -> None:
    with pytest.raises(BadFileFormat):
        one({"Tags": {}, "Content": PNG}, image=image)


def test_a_list_of_images_is_a_numbered_series() -> None:
    contents = [PNG, {"Content": PNG, "Tags": {"ImageComments": "second", "PatientID": "other"}}]
    first, second = created({"Tags": {"PatientID": "C10", "ImageComments": "all"}, "Content": contents})
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert [(d.InstanceNumber, d.ImageIndex, d.ImagesInAcquisition) for d in (first, second)] == [(1, 1, 2), (2, 2, 2)]
    assert [(d.PatientID, d.ImageComments) for d in (first, second)] == [("C10", "all"), ("other", "second")]


def jpeg(
    components: int = 3, marker: int = 0xC0, sampling: int = 0x22, ids: bytes = b"\1\2\3", segments: bytes = b""
) -> bytes:
    """The start of a JPEG file, up to its first frame."""
    frame = struct.pack(">BHHB", 8, 5, 6, components)
    frame += b"".join(bytes([ids[i], sampling if i == 0 else 0x11, 0]) for i in range(components))
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"1234"
    return (
        b"\xff\xd8"
        + segments
        + comment
        + b"\xff"
        + bytes([marker])
        + struct.pack(">H", 2 + len(frame))
        + frame
        + b"\xff\xd9"
    )


def test_a_jpeg_image_stays_as_it_is_if_wished() -> None:
    content = jpeg()
    body = {"Tags": {}, "Content": data_uri("image/jpeg", content), "Encapsulate": True}
    data_set = one(body, image=RGB)
    assert data_set.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert (data_set.PhotometricInterpretation, data_set.LossyImageCompression) == ("YBR_FULL_422", "01")
    assert content in data_set.PixelData
    gray = one({**body, "Content": data_uri("image/jpeg", jpeg(1, sampling=0x11))})
    assert gray.PhotometricInterpretation == "MONOCHROME2"
    full = one({**body, "Content": data_uri("image/jpeg", jpeg(sampling=0x11))}, image=RGB)
    assert full.PhotometricInterpretation == "YBR_FULL"
    assert one({**body, "Encapsulate": False}, image=RGB).file_meta.TransferSyntaxUID == EXPLICIT


JFIF = b"\xff\xe0\0\x10JFIF\0" + bytes(9)


def adobe(transform: int) -> bytes:
    return b"\xff\xee\0\x0eAdobe" + bytes(6) + bytes([transform])


@pytest.mark.parametrize(
    ("segments", "ids", "expected"),
    [
        (adobe(0), b"\1\2\3", "RGB"),
        (adobe(1), b"RGB", "YBR_FULL"),
        (JFIF + adobe(0), b"\1\2\3", "RGB"),
        (JFIF, b"RGB", "YBR_FULL"),
        (b"", b"RGB", "RGB"),
        (b"", b"\1\2\3", "YBR_FULL"),
    ],
)
def test_a_jpeg_image_in_rgb_is_told_from_one_with_chrominance(segments: bytes, ids: bytes, expected: str) -> None:
    content = jpeg(sampling=0x11, ids=ids, segments=segments)
    data_set = one({"Tags": {}, "Content": data_uri("image/jpeg", content), "Encapsulate": True}, image=RGB)
    assert data_set.PhotometricInterpretation == expected


@pytest.mark.parametrize("content", [jpeg(marker=0xC2), jpeg(1), b"\xff\xd8\xff", b"nope", b""])
def test_only_baseline_jpeg_of_the_same_samples_stays(content: bytes) -> None:
    with pytest.raises(BadFileFormat):
        one({"Tags": {}, "Content": data_uri("image/jpeg", content), "Encapsulate": True}, image=RGB)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_after_the_start_of_a_jpeg_are_read_or_refused(data: bytes) -> None:
    body = {"Tags": {}, "Content": data_uri("image/jpeg", b"\xff\xd8" + data), "Encapsulate": True}
    try:
        one(body)
    except BadFileFormat:
        return


def test_bytes_without_format_are_described_by_the_request() -> None:
    body = {"Tags": {"Rows": "1", "Columns": "3"}, "Content": data_uri("application/octet-stream", b"\1\2\3")}
    data_set = one(body)
    assert (data_set.Rows, data_set.PixelData) == (1, b"\1\2\3\0")


# Documents and models


def test_a_pdf_is_encapsulated() -> None:
    data_set = one({"Tags": {"PatientID": "C4", "Modality": "DOC"}, "Content": PDF})
    assert keywords(data_set) == ALWAYS | {
        "Modality",
        "SOPClassUID",
        "ConversionType",
        "EncapsulatedDocument",
        "MIMETypeOfEncapsulatedDocument",
    }
    assert data_set.SOPClassUID == data_set.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert (data_set.Modality, data_set.ConversionType) == ("DOC", "WSD")
    assert data_set.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert data_set.EncapsulatedDocument == b"%PDF-1.4\n\0"
    assert one({"Tags": {}, "Content": PDF}).Modality == "OT"


BINARY_STL = bytes(80) + struct.pack("<I", 1) + bytes(50)
TEXT_STL = b"solid x\nfacet normal 0 0 1\nendsolid x\n"


@pytest.mark.parametrize(
    ("mime_type", "data", "sop_class_uid"),
    [
        ("model/stl", BINARY_STL, "1.2.840.10008.5.1.4.1.1.104.3"),
        ("model/stl", TEXT_STL, "1.2.840.10008.5.1.4.1.1.104.3"),
        ("model/obj", b"# x\nv 0 0 0\nf 1 1 1\n", "1.2.840.10008.5.1.4.1.1.104.4"),
        ("model/mtl", b"newmtl red\nKd 1 0 0\n", "1.2.840.10008.5.1.4.1.1.104.5"),
    ],
)
def test_a_model_is_encapsulated_with_what_its_iod_requires(mime_type: str, data: bytes, sop_class_uid: str) -> None:
    data_set = one({"Tags": {"DocumentTitle": "Heart"}, "Content": data_uri(mime_type, data)})
    assert (data_set.SOPClassUID, data_set.Modality) == (sop_class_uid, "M3D")
    assert data_set.MIMETypeOfEncapsulatedDocument == mime_type
    assert data_set.EncapsulatedDocument[: data_set.EncapsulatedDocumentLength] == data
    assert data_set.DocumentTitle == "Heart"
    for required in ("InstanceNumber", "BurnedInAnnotation", "Manufacturer", "DeviceSerialNumber", "SoftwareVersions"):
        assert data_set[required].value
    has_geometry = mime_type != "model/mtl"
    for required in ("FrameOfReferenceUID", "MeasurementUnitsCodeSequence"):
        assert (required in data_set) is has_geometry


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("application/pdf", b"no PDF"),
        ("application/pdf", b""),
        ("model/stl", b"solid"),
        ("model/stl", BINARY_STL[:-1]),
        ("model/stl", b""),
        ("model/obj", b"\xff\xfe"),
        ("model/obj", b"nothing"),
        ("model/mtl", b"v 0 0 0"),
    ],
)
def test_a_content_that_is_not_what_it_says_is_refused(mime_type: str, data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        one({"Tags": {}, "Content": data_uri(mime_type, data)})
