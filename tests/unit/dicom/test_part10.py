"""The front of a file, as pydicom reads it."""

from __future__ import annotations

import io

import pydicom
import pytest

from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, data_set_of, file_head
from amonsul.dicom.uids import is_valid
from amonsul.errors import BadFileFormat


@pytest.mark.parametrize("ae_title", ["SCANNER", "ODD"])
@pytest.mark.parametrize("sop_instance_uid", ["1.2.3", "1.2.34"])
def test_pydicom_reads_the_front_of_a_file(sop_instance_uid: str, ae_title: str) -> None:
    head = file_head("1.2.840.10008.5.1.4.1.1.2", sop_instance_uid, "1.2.840.10008.1.2.4.90", ae_title)
    data_set = pydicom.dcmread(io.BytesIO(head))
    meta = data_set.file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert meta.MediaStorageSOPInstanceUID == sop_instance_uid
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.SourceApplicationEntityTitle == ae_title
    assert data_set.preamble == bytes(128)


def test_without_a_source_there_is_no_source() -> None:
    meta = pydicom.dcmread(io.BytesIO(file_head("1.2", "1.2.3", "1.2.840.10008.1.2"))).file_meta
    assert "SourceApplicationEntityTitle" not in meta


def test_our_names_fit() -> None:
    assert is_valid(IMPLEMENTATION_CLASS_UID)
    assert 1 <= len(IMPLEMENTATION_VERSION_NAME) <= 16


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 132, 1000])
@pytest.mark.parametrize("preamble", [True, False])
def test_what_follows_the_front_is_found_in_pieces_of_any_size(size: int, preamble: bool) -> None:
    head = file_head("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "SCANNER")
    data_set = b"\x08\0\x05\0CS\x0a\0ISO_IR 100" * 20
    file = (head if preamble else head[132:]) + data_set
    assert b"".join(bytes(piece) for piece in data_set_of(pieces(file, size))) == data_set


def test_a_data_set_without_a_front_is_given_whole() -> None:
    data_set = b"\x08\0\x05\0CS\x0a\0ISO_IR 100" * 20
    assert b"".join(bytes(piece) for piece in data_set_of(pieces(data_set, 50))) == data_set


def test_a_front_without_end_is_refused() -> None:
    endless = bytes(128) + b"DICM" + b"\x02\0\x01\0OB\0\0\xff\xff\xff\x7f" + bytes(3 << 20)
    with pytest.raises(BadFileFormat):
        list(data_set_of(pieces(endless, 1 << 16)))
