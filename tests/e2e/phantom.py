"""Images that look like something, so that a picture of a page tells whether a viewer shows the right ones.

A chest of ellipses with a nodule that comes and goes from slice to slice, and a clock whose hand turns from frame to
frame.
"""

from __future__ import annotations

import io
import math

import numpy
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

ROOT = "1.2.826.0.1.3680043.10.1234.8"
CT_STUDY, CLOCK_STUDY = f"{ROOT}.1", f"{ROOT}.2"
SLICES, FRAMES, SIZE = 16, 12, 256

_CT_IMAGE, _ULTRASOUND_MULTI_FRAME_IMAGE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.3.1"


def chest(transfer_syntax_uid: str = uid.ExplicitVRLittleEndian) -> list[bytes]:
    """The files of a CT series of `SLICES` slices, in Hounsfield units with an offset of 1024."""
    return [_slice(number, transfer_syntax_uid) for number in range(1, SLICES + 1)]


def clock(transfer_syntax_uid: str = uid.ExplicitVRLittleEndian) -> bytes:
    """The file of an ultrasound of `FRAMES` frames; the hand points to the top at first, and turns clockwise."""
    data_set = _data_set(CLOCK_STUDY, 1, _ULTRASOUND_MULTI_FRAME_IMAGE, "US")
    data_set.NumberOfFrames, data_set.FrameTime = FRAMES, "100"
    data_set.FrameIncrementPointer = 0x00181063
    _set_pixels(data_set, numpy.stack([_hand(frame / FRAMES) for frame in range(FRAMES)]))
    return _file(data_set, transfer_syntax_uid)


def _slice(number: int, transfer_syntax_uid: str) -> bytes:
    data_set = _data_set(CT_STUDY, number, _CT_IMAGE, "CT")
    data_set.ImagePositionPatient = [-160, -160, 5 * number]
    data_set.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data_set.PixelSpacing, data_set.SliceThickness = [1.25, 1.25], 5
    data_set.FrameOfReferenceUID = f"{CT_STUDY}.9"
    data_set.PatientPosition, data_set.BodyPartExamined = "HFS", "CHEST"
    data_set.WindowCenter, data_set.WindowWidth = 40, 400
    data_set.RescaleIntercept, data_set.RescaleSlope, data_set.RescaleType = -1024, 1, "HU"
    hounsfield = numpy.full((SIZE, SIZE), -1000.0)
    nodule = 16 * math.sin(math.pi * number / SLICES)
    for centre, radii, value in (
        ((128, 128), (80, 105), 40),
        ((118, 75), (48, 34), -800),
        ((118, 181), (48, 34), -800),
        ((185, 128), (16, 16), 700),
        ((118, 75), (nodule, nodule), 60),
    ):
        hounsfield[_ellipse(centre, radii)] = value
    noise = numpy.random.default_rng(number).normal(0, 8, hounsfield.shape)
    _set_pixels(data_set, (hounsfield + 1024 + noise).clip(0, 4095).astype(numpy.uint16))
    return _file(data_set, transfer_syntax_uid)


def _hand(turn: float) -> NDArray[numpy.uint8]:
    """A frame: a disc, and on it a spot that has made so much of a turn."""
    frame = numpy.zeros((SIZE, SIZE), numpy.uint8)
    frame[_ellipse((128, 128), (110, 110))] = 60
    angle = 2 * math.pi * turn
    frame[_ellipse((round(128 - 80 * math.cos(angle)), round(128 + 80 * math.sin(angle))), (18, 18))] = 255
    return frame


def _ellipse(centre: tuple[int, int], radii: tuple[float, float]) -> NDArray[numpy.bool_]:
    row, column = numpy.mgrid[0:SIZE, 0:SIZE]
    inside: NDArray[numpy.bool_] = (
        ((row - centre[0]) / max(radii[0], 1e-6)) ** 2 + ((column - centre[1]) / max(radii[1], 1e-6)) ** 2
    ) <= 1
    return inside


def _data_set(study_instance_uid: str, number: int, sop_class_uid: str, modality: str) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = sop_class_uid, f"{study_instance_uid}.1.{number}"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study_instance_uid, f"{study_instance_uid}.1"
    data_set.PatientName, data_set.PatientID, data_set.PatientBirthDate = f"Phantom^{modality}", f"P{modality}", ""
    data_set.PatientSex, data_set.StudyID, data_set.AccessionNumber = "O", "1", f"A{modality}"
    data_set.StudyDate, data_set.StudyTime, data_set.StudyDescription = "20240102", "101112", f"Phantom {modality}"
    data_set.Modality, data_set.SeriesNumber, data_set.SeriesDescription = modality, 1, f"Phantom {modality}"
    data_set.ReferringPhysicianName, data_set.InstanceNumber = "", number
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return data_set


def _set_pixels(data_set: Dataset, pixels: NDArray[numpy.uint8] | NDArray[numpy.uint16]) -> None:
    bits = 8 * pixels.dtype.itemsize
    data_set.Rows, data_set.Columns = pixels.shape[-2:]
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation, data_set.PixelRepresentation = 1, "MONOCHROME2", 0
    data_set.BitsAllocated, data_set.BitsStored = bits, min(bits, 12)
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    data_set["PixelData"].VR = "OB" if bits == 8 else "OW"


def _file(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if transfer_syntax_uid != uid.ExplicitVRLittleEndian:
        data_set.compress(transfer_syntax_uid, generate_instance_uid=False)
    written = io.BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue()
