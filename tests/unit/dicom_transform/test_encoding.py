"""Data sets into bytes."""

from __future__ import annotations

import warnings
from io import BytesIO

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID

from amonsul.dicom.encoding import encode_data_set, encode_file
from amonsul.errors import BadFileFormat, BadRequest

from .builders import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, instance, read, stored

FILES = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "ExplVR_BigEnd.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "test-SR.dcm",
    "UN_sequence.dcm",
    "DICOMDIR",
]


def _read_test_file(name: str) -> Dataset:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(path)
    if "TransferSyntaxUID" not in data_set.file_meta:
        data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    for tag in [tag for tag in list(data_set.keys()) if tag.element == 0]:
        del data_set[tag]
    return data_set


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("is_decoded", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_written_with_all_that_was_read(name: str, is_decoded: bool) -> None:
    data_set = _read_test_file(name)
    if is_decoded:
        assert list(data_set.iterall())
    written = read(b"".join(encode_file(data_set)))
    assert written.to_json_dict() == _read_test_file(name).to_json_dict()
    assert written.file_meta.TransferSyntaxUID == data_set.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("target", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("source", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_native_transfer_syntaxes_are_written_into_each_other(source: str, target: str) -> None:
    original = instance()
    item = Dataset()
    item.CodeMeaning = "Tête"
    original.AnatomicRegionSequence = [item]
    written = read(stored(read(stored(original, source)), target))
    assert written.file_meta.TransferSyntaxUID == target
    del original.PixelData, written.PixelData  # words, whose bytes are swapped by whoever transcodes
    assert written.to_json_dict() == original.to_json_dict()


def test_bytes_that_are_wrong_for_their_vr_survive() -> None:
    data_set = instance()
    data_set.SliceThickness = "1.5"
    broken = stored(data_set).replace(b"1.5 ", b"1,5 ")
    assert b"".join(encode_file(read(broken))) == broken


def test_the_bytes_of_pixel_data_are_a_part_of_their_own() -> None:
    data_set = read(stored(instance()))
    pixels = data_set.get_item(0x7FE00010)
    assert pixels is not None
    assert any(part is pixels.value for part in encode_file(data_set))


def test_odd_values_are_padded_and_long_ones_become_unknown() -> None:
    data_set = Dataset()
    data_set.PatientName = "Odd"
    data_set.SOPInstanceUID = UID("1.2")
    data_set.add_new(0x00091001, "LO", ["x" * 60] * 1200)
    written = b"".join(encode_data_set(data_set, EXPLICIT))
    assert b"PN\x04\x00Odd " in written
    assert b"UI\x04\x001.2\0" in written
    assert b"\x09\x00\x01\x10UN\0\0" in written


def test_a_file_needs_a_transfer_syntax() -> None:
    data_set = Dataset()
    with pytest.raises(BadRequest):
        encode_file(data_set)


def test_what_cannot_be_written_is_a_bad_file() -> None:
    data_set = instance()
    data_set.Rows = 1
    data_set[0x00280010]._value = "not a number"
    with pytest.raises(BadFileFormat):
        encode_file(data_set)


def test_endless_nesting_is_refused() -> None:
    data_set = instance()
    inner = data_set
    for _ in range(100):
        item = Dataset()
        inner.AnatomicRegionSequence = [item]
        inner = item
    with pytest.raises(BadFileFormat):
        encode_file(data_set)


def test_pydicom_reads_the_file_meta_information() -> None:
    written = pydicom.dcmread(BytesIO(stored(instance())), stop_before_pixels=True)
    assert written.file_meta.FileMetaInformationGroupLength > 0
    assert written.file_meta.FileMetaInformationVersion == b"\0\1"


def test_a_private_sequence_stays_one_without_vr() -> None:
    """In an implicit transfer syntax only its undefined length tells what it is."""
    path = get_testdata_file("nested_priv_SQ.dcm")
    assert isinstance(path, str)
    original = pydicom.dcmread(path)
    assert original[0x00010001].VR == "SQ"
    assert read(b"".join(encode_file(original)))[0x00010001].VR == "SQ"
