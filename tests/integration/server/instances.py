"""Small instances for the tests: a Part 10 file in Explicit VR Little Endian, of any size, with given identifiers."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7"
TRANSFER_SYNTAX_UID = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance. `version` changes its bytes and not its identity."""

    number: int
    series: int = 1
    study: int = 1
    patient: int = 1
    version: int = 0
    size: int = 8192

    @property
    def study_instance_uid(self) -> str:
        """(0020,000D)."""
        return f"2.25.77.{self.patient}.{self.study}"

    @property
    def series_instance_uid(self) -> str:
        """(0020,000E)."""
        return f"{self.study_instance_uid}.{self.series}"

    @property
    def sop_instance_uid(self) -> str:
        """(0008,0018)."""
        return f"{self.series_instance_uid}.{self.number}"

    @property
    def patient_id(self) -> str:
        """(0010,0020)."""
        return f"P{self.patient}"

    @property
    def orthanc_id(self) -> str:
        """Identifier in the REST API."""
        parts = (self.patient_id, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        digest = hashlib.sha1("|".join(parts).encode()).hexdigest()
        return "-".join(digest[start : start + 8] for start in range(0, 40, 8))

    def data_set(self) -> bytes:
        """The data set, without pixels but with a block of bytes that fills it up."""
        seed = hashlib.sha256(f"{self.sop_instance_uid}/{self.version}".encode()).digest()
        filling = (seed * (self.size // len(seed) + 1))[: self.size // 2 * 2]
        return b"".join(
            (
                element(0x0008, 0x0016, "UI", SOP_CLASS_UID),
                element(0x0008, 0x0018, "UI", self.sop_instance_uid),
                element(0x0008, 0x0020, "DA", "20240501"),
                element(0x0008, 0x0060, "CS", "OT"),
                element(0x0010, 0x0010, "PN", "CANARY^PATIENT"),
                element(0x0010, 0x0020, "LO", self.patient_id),
                element(0x0020, 0x000D, "UI", self.study_instance_uid),
                element(0x0020, 0x000E, "UI", self.series_instance_uid),
                element(0x0020, 0x0013, "IS", str(self.number)),
                element(0x0042, 0x0011, "OB", filling),
            )
        )

    def file(self) -> bytes:
        """The Part 10 file (PS3.10 §7.1)."""
        meta = b"".join(
            (
                element(0x0002, 0x0001, "OB", b"\0\1"),
                element(0x0002, 0x0002, "UI", SOP_CLASS_UID),
                element(0x0002, 0x0003, "UI", self.sop_instance_uid),
                element(0x0002, 0x0010, "UI", TRANSFER_SYNTAX_UID),
                element(0x0002, 0x0012, "UI", "2.25.77"),
            )
        )
        return (
            b"\0" * 128 + b"DICM" + element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta))) + meta + self.data_set()
        )


def element(group: int, number: int, vr: str, value: str | bytes) -> bytes:
    """One element in Explicit VR Little Endian (PS3.5 §7.1.2)."""
    data = value if isinstance(value, bytes) else value.encode("ascii")
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    if vr in ("OB", "OW", "UN", "SQ"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(data)) + data
    return struct.pack("<HH2sH", group, number, vr.encode(), len(data)) + data
