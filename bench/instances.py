"""Synthetic CT instances, made fast: the loads must cost the machine less than the servers they measure.

An instance is its numbers (patient, study, series, instance); the identifiers are a function of them. The header has
about 95 elements, some private, in Explicit VR Little Endian, 4 KB in all; the pixel data, if any, is one shared block.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_ROOT = "2.25.1702"
_LONG = frozenset({"OB", "OW", "SQ", "UN", "UT"})


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance by its numbers."""

    patient: int
    study: int
    series: int
    instance: int

    @property
    def patient_id(self) -> str:
        """PatientID."""
        return f"BENCH{self.patient:07d}"

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return f"{_ROOT}.{self.patient}.{self.study}"

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return f"{self.study_uid}.{self.series}"

    @property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID."""
        return f"{self.series_uid}.{self.instance}"

    @property
    def series_id(self) -> str:
        """Identifier of the series in the REST API."""
        return _orthanc_id(self.patient_id, self.study_uid, self.series_uid)

    @property
    def instance_id(self) -> str:
        """Identifier of the instance in the REST API."""
        return _orthanc_id(self.patient_id, self.study_uid, self.series_uid, self.sop_instance_uid)


def collection(patients: int, studies: int, series: int, instances: int, first_patient: int = 1) -> Iterator[Instance]:
    """All instances of so many patients with so many studies each, and so on."""
    for patient in range(first_patient, first_patient + patients):
        for study in range(1, studies + 1):
            for number in range(1, series + 1):
                for instance in range(1, instances + 1):
                    yield Instance(patient, study, number, instance)


def file_header(instance: Instance) -> bytes:
    """Preamble and file meta information (PS3.10 §7.1)."""
    meta = b"".join(
        (
            _element(0x0002, 0x0001, "OB", b"\0\1"),
            _element(0x0002, 0x0002, "UI", SOP_CLASS_UID),
            _element(0x0002, 0x0003, "UI", instance.sop_instance_uid),
            _element(0x0002, 0x0010, "UI", EXPLICIT_VR_LITTLE_ENDIAN),
            _element(0x0002, 0x0012, "UI", _ROOT),
        )
    )
    return b"\0" * 128 + b"DICM" + _element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta))) + meta


def data_set(instance: Instance, rows: int, study_date: str = "") -> bytes:
    """The data set up to and with the header of the pixel data; `rows` 0 for none."""
    i = instance
    date = study_date or f"2024{i.patient % 12 + 1:02d}{i.study % 28 + 1:02d}"
    code = _element(0x0008, 0x0100, "SH", "113691") + _element(0x0008, 0x0102, "SH", "DCM")
    code += _element(0x0008, 0x0104, "LO", "IEC Body Dosimetry Phantom")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(code)) + code
    elements = [
        _element(0x0008, 0x0005, "CS", "ISO_IR 100"),
        _element(0x0008, 0x0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        _element(0x0008, 0x0016, "UI", SOP_CLASS_UID),
        _element(0x0008, 0x0018, "UI", i.sop_instance_uid),
        *(_element(0x0008, number, "DA", date) for number in (0x20, 0x21, 0x22, 0x23)),
        *(_element(0x0008, number, "TM", "101112") for number in (0x30, 0x31, 0x33)),
        _element(0x0008, 0x0050, "SH", f"A{i.patient:06d}{i.study:03d}"),
        _element(0x0008, 0x0060, "CS", "CT"),
        _element(0x0008, 0x0070, "LO", "ACME"),
        _element(0x0008, 0x0080, "LO", "General Hospital"),
        _element(0x0008, 0x0090, "PN", "REFERRING^DOCTOR"),
        _element(0x0008, 0x1010, "SH", "CT01"),
        _element(0x0008, 0x1030, "LO", f"STUDY {i.study}"),
        _element(0x0008, 0x103E, "LO", f"SERIES {i.series}"),
        _element(0x0008, 0x1090, "LO", "Super CT"),
        _element(0x0010, 0x0010, "PN", f"PATIENT^NUMBER{i.patient:05d}"),
        _element(0x0010, 0x0020, "LO", i.patient_id),
        _element(0x0010, 0x0030, "DA", "19700101"),
        _element(0x0010, 0x0040, "CS", "O"),
        _element(0x0010, 0x1010, "AS", "054Y"),
        _element(0x0018, 0x0015, "CS", "CHEST"),
        _element(0x0018, 0x0050, "DS", "1.25"),
        _element(0x0018, 0x0060, "DS", "120"),
        _element(0x0018, 0x1030, "LO", "CHEST ROUTINE"),
        _element(0x0018, 0x1100, "DS", "350"),
        _element(0x0018, 0x1150, "IS", "500"),
        _element(0x0018, 0x1151, "IS", "300"),
        _element(0x0018, 0x1152, "IS", "150"),
        _element(0x0018, 0x1210, "SH", "B30f"),
        _element(0x0018, 0x5100, "CS", "HFS"),
        _element(0x0018, 0x9346, "SQ", item),
        _element(0x0019, 0x0010, "LO", "ACME PRIVATE"),
        *(_element(0x0019, 0x1000 + k, "LO", f"private value {k}") for k in range(30)),
        _element(0x0020, 0x000D, "UI", i.study_uid),
        _element(0x0020, 0x000E, "UI", i.series_uid),
        _element(0x0020, 0x0010, "SH", str(i.study)),
        _element(0x0020, 0x0011, "IS", str(i.series)),
        _element(0x0020, 0x0012, "IS", "1"),
        _element(0x0020, 0x0013, "IS", str(i.instance)),
        _element(0x0020, 0x0032, "DS", f"-175\\-175\\{i.instance * 1.25 - 100}"),
        _element(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"),
        _element(0x0020, 0x0052, "UI", f"{i.study_uid}.9999"),
        _element(0x0020, 0x1041, "DS", str(i.instance * 1.25)),
        *(_element(0x0021, 0x0010 + block, "LO", f"ACME FILLER {block}") for block in range(10)),
        *(_element(0x0021, 0x1000 + k, "LO", "x" * 62) for k in range(20)),
    ]
    if rows:
        elements += [
            _element(0x0028, 0x0002, "US", struct.pack("<H", 1)),
            _element(0x0028, 0x0004, "CS", "MONOCHROME2"),
            _element(0x0028, 0x0010, "US", struct.pack("<H", rows)),
            _element(0x0028, 0x0011, "US", struct.pack("<H", rows)),
            _element(0x0028, 0x0030, "DS", "0.68\\0.68"),
            _element(0x0028, 0x0100, "US", struct.pack("<H", 16)),
            _element(0x0028, 0x0101, "US", struct.pack("<H", 12)),
            _element(0x0028, 0x0102, "US", struct.pack("<H", 11)),
            _element(0x0028, 0x0103, "US", struct.pack("<H", 0)),
            _element(0x0028, 0x1050, "DS", "40"),
            _element(0x0028, 0x1051, "DS", "400"),
            _element(0x0028, 0x1052, "DS", "-1024"),
            _element(0x0028, 0x1053, "DS", "1"),
            struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, rows * rows * 2),
        ]
    return b"".join(elements)


def pixels(rows: int) -> bytes:
    """The pixel data that all instances of this size share."""
    noise = random.Random(rows).randbytes(rows * rows * 2)
    return noise.translate(bytes(value & 0x0F for value in range(256)))


def _element(group: int, number: int, vr: str, value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode("latin-1")
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    if vr in _LONG:
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(data)) + data
    return struct.pack("<HH2sH", group, number, vr.encode(), len(data)) + data


def _orthanc_id(*identifiers: str) -> str:
    digest = hashlib.sha1("|".join(identifiers).encode()).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
