"""Images made for one test, and ways to look at them with other programs."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from amonsul.dicom.header import Header
from amonsul.dicom.part10 import file_head
from amonsul.dicom.scanner import scan
from amonsul.imaging.frames import Frames

Array = NDArray[Any]

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
SOP_INSTANCE_UID = "1.2.3.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def packaged(name: str) -> bytes:
    """A file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path).read_bytes()


def image(
    samples: Array | None = None,
    transfer_syntax_uid: str = EXPLICIT,
    pixel_data_vr: str | None = None,
    **attributes: Any,
) -> bytes:
    """A file with such samples, (frames,) rows, columns (, 3); attributes win over what follows from the samples."""
    data_set = Dataset()
    data_set.SOPClassUID = SECONDARY_CAPTURE
    data_set.SOPInstanceUID = SOP_INSTANCE_UID
    data_set.PatientID = "IMAGING"
    data_set.StudyInstanceUID = "1.2.3"
    data_set.SeriesInstanceUID = "1.2.3.1"
    if samples is not None:
        is_colour = samples.shape[-1] == 3 and samples.ndim > 2
        shape = samples.shape[:-1] if is_colour else samples.shape
        data_set.Rows, data_set.Columns = shape[-2:]
        if len(shape) == 3:
            data_set.NumberOfFrames = shape[0]
        data_set.SamplesPerPixel = 3 if is_colour else 1
        data_set.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
        if is_colour:
            data_set.PlanarConfiguration = 0
        data_set.BitsAllocated = data_set.BitsStored = samples.dtype.itemsize * 8
        data_set.HighBit = data_set.BitsStored - 1
        data_set.PixelRepresentation = 1 if samples.dtype.kind == "i" else 0
        native = samples.astype(samples.dtype.newbyteorder(">" if transfer_syntax_uid == BIG_ENDIAN else "<")).tobytes()
        vr = pixel_data_vr or ("OB" if samples.dtype.itemsize == 1 else "OW")
        data_set.add_new(0x7FE00010, vr, native + b"\0" * (len(native) % 2))
    for name, value in attributes.items():
        setattr(data_set, name, value)
    if "PixelData" in data_set and transfer_syntax_uid not in NATIVE:
        data_set["PixelData"].VR = "OB"
        data_set["PixelData"].is_undefined_length = True
    return file_of(data_set, transfer_syntax_uid)


def file_of(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """A file in any transfer syntax, also in one that pydicom does not know."""
    target = DicomBytesIO()
    target.is_implicit_VR = transfer_syntax_uid == IMPLICIT
    target.is_little_endian = transfer_syntax_uid != BIG_ENDIAN
    write_dataset(target, data_set)
    body = target.getvalue()
    if transfer_syntax_uid == DEFLATED:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = deflate.compress(body) + deflate.flush()
        body += b"\0" * (len(body) % 2)
    return file_head(str(data_set.SOPClassUID), str(data_set.SOPInstanceUID), transfer_syntax_uid) + body


def item(data: bytes) -> bytes:
    """One item of encapsulated pixel data."""
    return b"\xfe\xff\x00\xe0" + len(data).to_bytes(4, "little") + data


def scanned(data: bytes) -> Header:
    return scan(data)


def frames_of(data: bytes) -> Frames:
    return Frames(data, scan(data))


def through(program: str, data: bytes, folder: Path, *options: str) -> bytes:
    """What a program of DCMTK makes of a file."""
    assert shutil.which(program), f"DCMTK's {program} is not installed"
    source, target = folder / "source.dcm", folder / "target.dcm"
    source.write_bytes(data)
    done = subprocess.run([program, *options, source, target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target.read_bytes()


def landscape(rows: int, columns: int, bits: int, is_signed: bool = False, samples_per_pixel: int = 1) -> Array:
    """Smooth values with some noise over the whole range of so many bits, always the same."""
    noise = numpy.random.default_rng(rows * columns + bits)
    y, x = numpy.mgrid[0:rows, 0:columns]
    high = (1 << bits) - 1
    values = (numpy.sin(x / 9) + numpy.cos(y / 7) + 2) / 4 * high + noise.normal(0, max(1, high / 100), (rows, columns))
    whole = numpy.clip(numpy.rint(values), 0, high).astype(numpy.int64)
    if samples_per_pixel == 3:
        whole = numpy.stack([whole, whole[::-1], high - whole], axis=-1)
    if is_signed:
        whole -= 1 << (bits - 1)
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    samples: Array = whole.astype(f"{'i' if is_signed else 'u'}{size}")
    return samples
