"""Small DICOM files made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.99"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def dicom_file(
    patient: int = 1,
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    pixels: int = 4,
    attributes: Mapping[str, object] | None = None,
) -> bytes:
    """A CT image; its UIDs are a function of the numbers, `attributes` are set by keyword, None removes."""
    study_uid = f"{ROOT}.{patient}.{study}"
    uid = f"{study_uid}.{series}.{instance}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(f"{ROOT}.0")
    data_set = Dataset()
    data_set.file_meta = meta
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CT_IMAGE_STORAGE,
        "SOPInstanceUID": uid,
        "PatientID": f"P{patient}",
        "PatientName": f"Doe^Jane{patient}",
        "PatientBirthDate": "19700101",
        "StudyInstanceUID": study_uid,
        "StudyDate": f"2024010{study}",
        "StudyDescription": "Müller",
        "AccessionNumber": f"A{patient}{study}",
        "SeriesInstanceUID": f"{study_uid}.{series}",
        "SeriesNumber": str(series),
        "Modality": "CT",
        "InstanceNumber": str(instance),
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "ImagePositionPatient": ["0", "0", str(instance * 2.5)],
        "KVP": "120",
    } | dict(attributes or {})
    for keyword, value in values.items():
        if value is not None:
            setattr(data_set, keyword, value)
    data_set.Rows = data_set.Columns = pixels
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.BitsAllocated = data_set.BitsStored = 16
    data_set.HighBit = 15
    data_set.PixelRepresentation = 0
    data_set.PixelData = bytes(range(256)) * (pixels * pixels * 2 // 256) + bytes(pixels * pixels * 2 % 256)
    buffer = io.BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def zip_of(members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()
