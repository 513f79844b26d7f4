"""The grayscale pipeline: stored values to modality values to display values (PS3.3 §C.11.1, §C.11.2).

What a file says about it comes from the image itself or, in enhanced multi-frame objects, from the functional groups of
the frame (PS3.3 §C.7.6.16.2). It is read into one value per frame; applying that value is arithmetic on arrays.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy

from amonsul.dicom.elements import Bulk, DataSet, Tag
from amonsul.errors import BadFileFormat
from amonsul.imaging.attributes import items, number, numbers, text
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixels import Array, Pixels, in_blocks

_MAX_TABLE = 1 << 16


class VoiLutFunction(enum.Enum):
    """How a window maps values (PS3.3 §C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """A range of modality values that is shown from black to white."""

    center: float
    width: float
    function: VoiLutFunction = VoiLutFunction.LINEAR

    def apply(self, values: Array) -> Array:
        """Modality values to display values from 0 to 255, as floats that are not rounded yet."""
        values = values.astype(numpy.float32)
        center, width = self.center, self.width
        match self.function:
            case VoiLutFunction.SIGMOID:
                width = max(width, 1e-6)
                values -= center
                values *= -4.0 / width
                numpy.clip(values, -80, 80, out=values)
                numpy.exp(values, out=values)
                values += 1
                return numpy.divide(255.0, values, out=values)
            case VoiLutFunction.LINEAR:
                center, width = center - 0.5, max(width - 1, 0)
            case VoiLutFunction.LINEAR_EXACT:
                pass
        if width <= 0:
            return numpy.where(values > center, numpy.float32(255), numpy.float32(0))
        scale = 255.0 / width
        values -= center  # before scaling: the difference is exact where the product would not be
        values *= scale
        values += 127.5
        return numpy.clip(values, 0, 255, out=values)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A modality or VOI LUT (PS3.3 §C.11.1.1.1, §C.11.2.1.1); values outside get the entry at its end."""

    entries: Array
    first_mapped: int
    bits: int

    def apply(self, values: Array) -> Array:
        """Look values up; fractions are rounded."""
        if values.dtype.kind == "f":
            values = numpy.rint(values)
        indices = numpy.clip(values.astype(numpy.int64) - self.first_mapped, 0, len(self.entries) - 1)
        return self.entries.take(indices)


@dataclass(frozen=True, slots=True)
class Grayscale:
    """What a file says about showing one of its frames.

    Attributes:
        modality_lut: instead of slope and intercept.
        windows: as they come in the file; the first one is the default.
        voi_lut: used if there is no window.
        is_inverse: the lowest value is white: MONOCHROME1.
    """

    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    modality_lut: LookupTable | None = None
    windows: tuple[Window, ...] = ()
    voi_lut: LookupTable | None = None
    is_inverse: bool = False

    def modality_values(self, samples: Array) -> Array:
        """Stored values to modality values, e.g. Hounsfield units, in float32 (float64 if the samples are)."""
        if self.modality_lut is not None:
            return self.modality_lut.apply(samples).astype(numpy.float32)
        values = samples.astype(numpy.float64 if samples.dtype == numpy.float64 else numpy.float32)
        if self.rescale_slope != 1.0:
            numpy.multiply(values, self.rescale_slope, out=values)
        if self.rescale_intercept != 0.0:
            numpy.add(values, self.rescale_intercept, out=values)
        return values


def grayscale(frames: Frames, frame: int) -> Grayscale:
    """Read how one frame is to be shown; `frame` counts from 0.

    Raises:
        BadFileFormat: a lookup table is shorter than it says.
    """
    data_set = frames.data_set
    slope, intercept = _rescale(_group(data_set, frame, 0x00289145) or data_set)
    voi = _group(data_set, frame, 0x00289132) or data_set
    modality_luts, voi_luts = items(data_set, 0x00283000), items(voi, 0x00283010)
    modality_lut = _lookup_table(frames, modality_luts[0], frames.format.is_signed) if modality_luts else None
    has_negatives = modality_lut is None and _lowest(frames, slope, intercept) < 0
    return Grayscale(
        rescale_slope=slope,
        rescale_intercept=intercept,
        modality_lut=modality_lut,
        windows=_windows(voi),
        voi_lut=_lookup_table(frames, voi_luts[0], has_negatives) if voi_luts else None,
        is_inverse=frames.format.photometric_interpretation == "MONOCHROME1",
    )


def _rescale(data_set: DataSet) -> tuple[float, float]:
    slope, intercept = number(data_set, 0x00281053), number(data_set, 0x00281052)
    return (1.0 if slope is None or slope == 0 else slope), intercept or 0.0


def _lowest(frames: Frames, slope: float, intercept: float) -> float:
    """The lowest modality value that there may be, which says how a VOI LUT names its first one (PS3.3 §C.11.2.1.1)."""
    bits = frames.format.bits_stored
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if frames.format.is_signed else (0, (1 << bits) - 1)
    return min(lowest * slope, highest * slope) + intercept


def _windows(data_set: DataSet) -> tuple[Window, ...]:
    centers, widths = numbers(data_set, 0x00281050), numbers(data_set, 0x00281051)
    try:
        function = VoiLutFunction(text(data_set, 0x00281056).upper() or "LINEAR")
    except ValueError:
        function = VoiLutFunction.LINEAR
    return tuple(Window(center, width, function) for center, width in zip(centers, widths, strict=False) if width > 0)


def _group(data_set: DataSet, frame: int, tag: int) -> DataSet | None:
    """The first item of a functional group: of the frame, or else of all frames (PS3.3 §C.7.6.16)."""
    per_frame = items(data_set, 0x52009230)
    for groups in (per_frame[frame : frame + 1], items(data_set, 0x52009229)[:1]):
        for group in groups:
            for item in items(group, tag):
                return item
    return None


def _lookup_table(frames: Frames, item: DataSet, is_signed: bool) -> LookupTable | None:
    descriptor = numbers(item, 0x00283002)
    element = item.get(Tag(0x00283006))
    if len(descriptor) != 3 or element is None:
        return None
    entry_count = int(descriptor[0]) & 0xFFFF or 65536
    first_mapped = int(descriptor[1])
    if is_signed and first_mapped > 0x7FFF:
        first_mapped -= 0x10000
    bits = int(descriptor[2])
    if not 8 <= bits <= 16:
        bits = 16
    if isinstance(element.value, Bulk):
        data = frames.data_of(element.value)
        order = ">" if frames.syntax.is_big_endian else "<"
        if bits == 8 and entry_count <= len(data) < 2 * entry_count:
            entries = numpy.frombuffer(data, numpy.uint8).astype(numpy.uint16)
        else:
            entries = numpy.frombuffer(data[: len(data) & ~1], f"{order}u2").astype(numpy.uint16)
    else:
        entries = numpy.array([int(entry) & 0xFFFF for entry in numbers(item, 0x00283006)], numpy.uint16)
    if len(entries) < entry_count:
        raise BadFileFormat(f"A lookup table has {len(entries)} entries, should have {entry_count}")
    return LookupTable(entries[:entry_count], first_mapped, bits)


def display(pixels: Pixels, description: Grayscale, window: Window | None) -> Array:
    """Stored values to 8-bit display values.

    Args:
        pixels: one frame with one sample per pixel.
        description: what the file says.
        window: instead of the window or VOI LUT of the file.

    Without any window, the range of Bits Stored is shown: from 0 up to the largest unsigned value. Of samples with more
    than 16 bits, e.g. doses, that would be black, so their own range is shown.
    """
    if window is None and description.windows:
        window = description.windows[0]
    voi_lut = description.voi_lut if window is None else None
    if window is None:
        window = full_range(pixels, description)
    chosen = window

    def shown(samples: Array) -> Array:
        values = description.modality_values(samples)
        if voi_lut is None:
            values = chosen.apply(values)
        else:
            values = voi_lut.apply(values).astype(numpy.float32) * (255.0 / ((1 << voi_lut.bits) - 1))
            numpy.clip(values, 0, 255, out=values)
        values += 0.5
        if samples.dtype.kind == "f":
            numpy.nan_to_num(values, copy=False, nan=0.0)
        grey = values.astype(numpy.uint8)
        return numpy.subtract(255, grey, out=grey) if description.is_inverse else grey

    is_cheap = voi_lut is None and description.modality_lut is None and window.function is not VoiLutFunction.SIGMOID
    return in_blocks(pixels.samples, shown) if is_cheap else _by_table(pixels.samples, shown)


def full_range(pixels: Pixels, description: Grayscale) -> Window:
    """The window that is shown if nobody says which."""
    if pixels.bits <= 16:
        return Window(float(1 << (pixels.bits - 1)), float(1 << pixels.bits))
    values = numpy.nan_to_num(description.modality_values(pixels.samples))
    low, high = float(values.min()), float(values.max())
    return Window((low + high) / 2, max(high - low, 1e-30), VoiLutFunction.LINEAR_EXACT)


def _by_table(samples: Array, function: Callable[[Array], Array]) -> Array:
    """Compute a costly function once per value that occurs, where there are few."""
    if samples.dtype.kind == "f":
        return in_blocks(samples, function)
    low, high = int(samples.min()), int(samples.max())
    if high - low >= min(_MAX_TABLE, samples.size):
        return in_blocks(samples, function)
    table = function(numpy.arange(low, high + 1, dtype=numpy.int64))
    return in_blocks(samples, lambda block: table.take(block.astype(numpy.int64) - low))
