"""Small DICOM files, made by hand so that a test can have thousands (PS3.10 §7.1, Explicit VR Little Endian)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.elements import Tag
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_LONG_VRS = frozenset({"OB", "OW", "UT", "UN", "SQ", "UC", "UR"})


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One data element; the value is padded to an even length."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in _LONG_VRS:
        return head + struct.pack("<xxI", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def dicom_file(attributes: Mapping[str, str | int | None], pixels: bytes = b"") -> bytes:
    """A file with some attributes by keyword, in UTF-8; numbers are for US; None leaves one out."""
    values = {"SpecificCharacterSet": "ISO_IR 192", "SOPClassUID": CT_IMAGE_STORAGE, **attributes}
    data_set = []
    for keyword, value in values.items():
        if value is None:
            continue
        tag = STANDARD.tag(keyword)
        vr = STANDARD.vr(tag)
        data_set.append((tag, vr, value.encode() if isinstance(value, str) else struct.pack("<H", value)))
    if pixels:
        data_set.append((Tag(0x7FE00010), "OW", pixels))
    data_set.sort()
    meta = element(0x00020010, "UI", EXPLICIT_VR_LITTLE_ENDIAN.encode())
    meta = element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta
    return bytes(128) + b"DICM" + meta + b"".join(element(*item) for item in data_set)


def instance_file(
    patient: int = 1,
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    *,
    pixels: bytes = b"",
    **more: str | int | None,
) -> bytes:
    """An instance whose identity is a function of the numbers."""
    attributes: dict[str, str | int | None] = {
        "PatientID": f"PID{patient}",
        "PatientName": f"Patient^Number{patient:04}",
        "StudyInstanceUID": f"1.2.3.{patient}.{study}",
        "StudyDate": f"2024{1 + study % 12:02}{1 + patient % 28:02}",
        "StudyDescription": f"Study {study}",
        "AccessionNumber": f"ACC{patient}-{study}",
        "SeriesInstanceUID": f"1.2.3.{patient}.{study}.{series}",
        "SeriesNumber": str(series),
        "SeriesDescription": f"Series {series}",
        "Modality": "CT",
        "SOPInstanceUID": f"1.2.3.{patient}.{study}.{series}.{instance}",
        "InstanceNumber": str(instance),
    }
    return dicom_file({**attributes, **more}, pixels)
