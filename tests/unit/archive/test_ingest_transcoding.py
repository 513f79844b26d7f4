"""What comes in gets the transfer syntax that the operator wants, or stays as it is."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest

from amonsul.archive.ingest_transcoding import IngestTranscoding
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.imaging.codecs import LocalCodecs
from tests.integration.rest.dicom_files import dicom_file

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"


def syntax_of(spooled: Spooled) -> str:
    return str(pydicom.dcmread(io.BytesIO(bytes(spooled.view()))).file_meta.TransferSyntaxUID)


def transcoding(
    folder: Path, wanted: str, of_uncompressed: bool = True, of_compressed: bool = True
) -> IngestTranscoding:
    spool = FilesystemBlobs(folder, sync=False).spool
    return IngestTranscoding(wanted, LocalCodecs(), spool, of_uncompressed, of_compressed)


@pytest.mark.parametrize("wanted", [RLE, IMPLICIT])
def test_pixels_get_another_transfer_syntax(tmp_path: Path, wanted: str) -> None:
    file = dicom_file(pixels=16)

    result = transcoding(tmp_path, wanted)(Spooled.of(file))

    assert syntax_of(result) == wanted
    made = pydicom.dcmread(io.BytesIO(bytes(result.view())))
    original = pydicom.dcmread(io.BytesIO(file))
    assert made.SOPInstanceUID == original.SOPInstanceUID
    assert (made.pixel_array == original.pixel_array).all()


def test_what_is_compressed_stays_if_it_is_not_to_be_touched(tmp_path: Path) -> None:
    compressed = transcoding(tmp_path, RLE)(Spooled.of(dicom_file(pixels=16)))

    assert transcoding(tmp_path, EXPLICIT, of_compressed=False)(compressed) is compressed
    assert syntax_of(transcoding(tmp_path, EXPLICIT)(compressed)) == EXPLICIT


def test_what_is_not_compressed_stays_if_it_is_not_to_be_touched(tmp_path: Path) -> None:
    file = Spooled.of(dicom_file(pixels=16))

    assert transcoding(tmp_path, RLE, of_uncompressed=False)(file) is file


@pytest.mark.parametrize("file", [b"", b"not DICOM", dicom_file()[:400]], ids=["empty", "something else", "cut"])
def test_what_cannot_be_read_is_left_to_whoever_refuses_it(tmp_path: Path, file: bytes) -> None:
    spooled = Spooled.of(file)

    assert transcoding(tmp_path, RLE)(spooled) is spooled


def test_the_same_transfer_syntax_is_the_same_file(tmp_path: Path) -> None:
    file = Spooled.of(dicom_file(pixels=16))

    assert transcoding(tmp_path, EXPLICIT)(file) is file
