"""What the Image Pixel module says of every frame (PS3.3 §C.7.6.3), read once and found consistent.

All sizes are Python integers, so no product ever wraps; nothing is allocated from them before they were compared with
the bytes that are there and with `MAX_DECODED_BYTES`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from amonsul.dicom.elements import Bulk, DataSet, Tag
from amonsul.errors import BadFileFormat, BadRequest, NotImplementedHere
from amonsul.imaging.attributes import integer, text

MAX_DECODED_BYTES = 2 << 30
"""Of everything that one call decodes."""

FLOAT_PIXEL_DATA = Tag(0x7FE00008)
DOUBLE_FLOAT_PIXEL_DATA = Tag(0x7FE00009)
PIXEL_DATA = Tag(0x7FE00010)

_MAX_FRAMES = 2**31 - 1  # of an IS (PS3.5 Table 6.2-1)


class SampleKind(enum.Enum):
    """How one sample is written."""

    INTEGER = "integer"
    FLOAT = "float"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The attributes that describe stored samples; named as in PS3.6.

    Attributes:
        photometric_interpretation: as written in the data set; about the stored samples, not the decoded ones.
        number_of_frames: as claimed; whoever locates frames checks it.
        is_signed: Pixel Representation is 1.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    planar_configuration: int = 0
    number_of_frames: int = 1
    sample_kind: SampleKind = SampleKind.INTEGER

    @property
    def samples_per_frame(self) -> int:
        """Samples of one decoded frame."""
        return self.rows * self.columns * self.samples_per_pixel

    @property
    def is_subsampled(self) -> bool:
        """Two pixels share their chrominance in native pixel data (PS3.3 §C.7.6.3.1.2)."""
        return self.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422") and self.samples_per_pixel == 3

    @property
    def is_monochrome(self) -> bool:
        """One sample per pixel that is a grey level."""
        return self.samples_per_pixel == 1 and self.photometric_interpretation != "PALETTE COLOR"

    @property
    def native_frame_bits(self) -> int:
        """Of one frame in native pixel data (PS3.5 §8.1.1)."""
        samples = self.samples_per_frame
        if self.is_subsampled:
            samples = samples * 2 // 3
        return samples * self.bits_allocated

    @property
    def decoded_frame_bytes(self) -> int:
        """Of one frame as an array; a packed bit becomes a byte."""
        return self.samples_per_frame * max(1, self.bits_allocated // 8)


def pixel_data_element(data_set: DataSet) -> tuple[Tag, Bulk] | None:
    """The one element that holds the pixels, if any."""
    for tag in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA):
        element = data_set.get(tag)
        if element is not None and isinstance(element.value, Bulk):
            return tag, element.value
    return None


def pixel_format(data_set: DataSet) -> PixelFormat:
    """Read the description of the pixels.

    Raises:
        BadRequest: there are no pixels.
        BadFileFormat: the attributes are missing or contradict each other.
        NotImplementedHere: they describe what nobody writes, e.g. four samples per pixel.
    """
    found = pixel_data_element(data_set)
    if found is None:
        raise BadRequest("Cannot extract a frame from a DICOM file that does not have pixel data.")
    tag, _ = found
    rows, columns = _dimension(data_set, 0x00280010, "Rows"), _dimension(data_set, 0x00280011, "Columns")
    samples_per_pixel = integer(data_set, 0x00280002)
    photometric_interpretation = text(data_set, 0x00280004).upper()
    if samples_per_pixel is None:
        samples_per_pixel = 3 if photometric_interpretation.startswith(("RGB", "YBR")) else 1
    if samples_per_pixel not in (1, 3):
        raise NotImplementedHere(f"{samples_per_pixel} samples per pixel")
    if not photometric_interpretation:
        photometric_interpretation = "MONOCHROME2" if samples_per_pixel == 1 else "RGB"
    frames = integer(data_set, 0x00280008)
    if frames is not None and not 0 <= frames <= _MAX_FRAMES:
        raise BadFileFormat(f"Number of Frames is {frames}")
    kind = SampleKind.INTEGER
    if tag != PIXEL_DATA:
        kind = SampleKind.FLOAT if tag == FLOAT_PIXEL_DATA else SampleKind.DOUBLE
    bits_allocated = integer(data_set, 0x00280100)
    if kind is not SampleKind.INTEGER:
        bits_allocated = 32 if kind is SampleKind.FLOAT else 64
    if bits_allocated is None:
        raise BadFileFormat("Bits Allocated is missing")
    if bits_allocated not in (1, 8, 16, 32, 64):
        raise NotImplementedHere(f"Bits Allocated is {bits_allocated}")
    bits_stored = integer(data_set, 0x00280101) if kind is SampleKind.INTEGER else None
    if bits_stored is None:
        bits_stored = bits_allocated
    high_bit = integer(data_set, 0x00280102) if kind is SampleKind.INTEGER else None
    if high_bit is None:
        high_bit = bits_stored - 1
    if not (0 < bits_stored <= bits_allocated and bits_stored - 1 <= high_bit < bits_allocated):
        raise BadFileFormat(
            f"Bits Stored {bits_stored} and High Bit {high_bit} do not fit Bits Allocated {bits_allocated}"
        )
    planar_configuration = integer(data_set, 0x00280006) or 0
    if planar_configuration not in (0, 1):
        raise BadFileFormat(f"Planar Configuration is {planar_configuration}")
    return PixelFormat(
        rows=rows,
        columns=columns,
        samples_per_pixel=samples_per_pixel,
        photometric_interpretation=photometric_interpretation,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit,
        is_signed=integer(data_set, 0x00280103) == 1 and bits_allocated > 1,
        planar_configuration=planar_configuration if samples_per_pixel > 1 else 0,
        number_of_frames=frames or 1,
        sample_kind=kind,
    )


def _dimension(data_set: DataSet, tag: int, name: str) -> int:
    value = integer(data_set, tag)
    if value is None or not 0 < value <= 0xFFFF:
        raise BadFileFormat(f"{name} is {'missing' if value is None else value}")
    return value
