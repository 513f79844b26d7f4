"""The front of a file, as pydicom reads it."""

from __future__ import annotations

import io

import pydicom
import pytest

from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, file_head
from amonsul.dicom.uids import is_valid


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
