"""What is read quickly is what pydicom reads; what is unusual is left to it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from amonsul.dicom.editing import peek
from amonsul.dicom.encoding import encode_file
from amonsul.dicom.quick_reader import read_quickly

from .builders import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, instance, refer_to, stored

FOLDER = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix == ".dcm")


def assert_equal(quick: Dataset, reference: Dataset) -> None:
    assert list(quick.keys()) == list(reference.keys())
    for tag in list(reference.keys()):
        expected, found = peek(reference, tag), peek(quick, tag)
        if isinstance(expected, RawDataElement) and isinstance(found, RawDataElement):
            assert (found.VR, found.length, bytes(found.value or b"")) == (
                expected.VR,
                expected.length,
                bytes(expected.value or b""),
            )
        else:
            assert quick[tag] == reference[tag]
            assert quick[tag].is_undefined_length == reference[tag].is_undefined_length
    assert quick.file_meta == reference.file_meta
    assert quick.preamble == reference.preamble


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_read_as_pydicom_reads_it_or_left_to_it(path: Path) -> None:
    data = path.read_bytes()
    quick = read_quickly(data)
    if quick is not None:
        reference = pydicom.dcmread(BytesIO(data))
        assert_equal(quick, reference)
        assert b"".join(encode_file(quick)) == b"".join(encode_file(reference))


def test_most_files_are_read_quickly() -> None:
    quick = sum(read_quickly(path.read_bytes()) is not None for path in FILES)
    assert quick > len(FILES) * 0.75


def nested() -> Dataset:
    data_set = instance()
    refer_to(data_set, instance(2), instance(3))
    for element in data_set:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    return data_set


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_sequences_of_undefined_length(syntax: str) -> None:
    data = stored(nested(), syntax)
    quick = read_quickly(data)
    assert quick is not None
    assert_equal(quick, pydicom.dcmread(BytesIO(data)))


@pytest.mark.parametrize("syntax", [BIG_ENDIAN, DEFLATED])
def test_other_encodings_are_left_to_pydicom(syntax: str) -> None:
    assert read_quickly(stored(instance(), syntax)) is None


def test_elements_out_of_order_are_left_to_pydicom() -> None:
    head, tail = stored(instance()).split(b"\x10\x00\x10\x00PN")
    assert read_quickly(head + tail[-40:]) is None


def test_long_pixel_data_is_not_copied_and_can_be_decoded_and_written() -> None:
    data_set = instance()
    data_set.PixelData = bytes(range(256)) * 512
    data = stored(data_set)
    quick = read_quickly(data)
    assert quick is not None
    raw = peek(quick, 0x7FE00010)
    assert raw is not None
    assert isinstance(raw.value, memoryview)
    quick.decode()
    assert b"".join(encode_file(quick)).endswith(data_set.PixelData)


@given(st.integers(0, 5000), st.integers(0, 255), st.integers(0, 3000))
def test_broken_files_are_read_alike_or_left_to_pydicom(at: int, value: int, cut: int) -> None:
    data = bytearray(stored(nested()))
    data[at % len(data)] = value
    broken = bytes(data[: len(data) - cut % 200])
    quick = read_quickly(broken)
    if quick is not None:
        try:
            reference = pydicom.dcmread(BytesIO(broken))
        except Exception:  # pydicom says no in many ways; then the scanner did so before it, when the file came in
            return
        assert list(quick.keys()) == list(reference.keys())
