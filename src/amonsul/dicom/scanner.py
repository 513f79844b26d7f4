"""From bytes to a header (PS3.5 §7, PS3.10 §7), with every claim of the bytes checked against the bytes.

The whole file comes in as a view (memory or mmap), values go out decoded; pixel data is walked, never copied. All
transfer syntaxes, files without preamble or without meta header, defined and undefined lengths, nested sequences
without recursion. Whatever cannot be read to its end is BadFileFormat, nothing else ever escapes.
"""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.elements import DataSet
from amonsul.dicom.header import Header

Scanned = Header


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How far the scanner goes.

    Attributes:
        max_depth: levels of nested sequences; one more is BadFileFormat.
        max_elements: data elements in the whole file; one more is BadFileFormat.
        max_value_bytes: a longer text or list of numbers becomes a Bulk.
        max_kept_bytes: once so many bytes of values are kept, those above 256 bytes become Bulks.
        max_inflated_bytes: of a deflated data set; one more is BadFileFormat.
    """

    max_depth: int = 64
    max_elements: int = 1_000_000
    max_value_bytes: int = 64 << 10
    max_kept_bytes: int = 16 << 20
    max_inflated_bytes: int = 512 << 20


DEFAULT_LIMITS = ScanLimits()


def scan(
    data: memoryview | bytes,
    limits: ScanLimits = DEFAULT_LIMITS,
    default_charset: str = "ISO_IR 100",
    dictionary: Dictionary = STANDARD,
) -> Scanned:
    """Read a DICOM file (PS3.10 §7.1), or one without preamble or meta header.

    Args:
        data: the whole file; a view on it may be dropped as soon as this returns.
        limits: what is refused.
        default_charset: a defined term (PS3.3 §C.12.1.1.2) for data sets without usable Specific Character Set.
        dictionary: VRs for implicit transfer syntaxes.

    Raises:
        BadFileFormat: not DICOM, truncated, contradictory or beyond a limit.
    """
    raise NotImplementedError


def scan_data_set(
    data: memoryview | bytes,
    transfer_syntax_uid: str,
    limits: ScanLimits = DEFAULT_LIMITS,
    default_charset: str = "ISO_IR 100",
    dictionary: Dictionary = STANDARD,
) -> DataSet:
    """Read a naked data set, e.g. the identifier of a C-FIND.

    Raises:
        BadFileFormat: as `scan`.
    """
    raise NotImplementedError


def inflated(data: memoryview | bytes, limits: ScanLimits = DEFAULT_LIMITS) -> memoryview | None:
    """The bytes that offsets in the header of a deflated file refer to: the meta header, then the data set inflated.

    None if the file is not deflated: then offsets refer to the file itself.

    Raises:
        BadFileFormat: as `scan`.
    """
    raise NotImplementedError
