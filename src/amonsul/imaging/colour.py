"""Colour spaces to RGB: luminance and chrominance, palettes with plain and segmented tables.

Everything here yields 8 bits per sample, which is what screens, PNG and JPEG take; deeper samples lose their low bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy

from amonsul.dicom.elements import Bulk, Tag
from amonsul.errors import BadFileFormat, NotImplementedHere
from amonsul.imaging.attributes import numbers
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixels import Array, Pixels, in_blocks

_MAX_ENTRIES = 65536


@dataclass(frozen=True, slots=True)
class Palette:
    """A palette color lookup table (PS3.3 §C.7.6.3.1.5).

    Attributes:
        colours: (entries, 3) in uint8.
        first_mapped: the stored value that the first entry is for.
    """

    colours: Array
    first_mapped: int

    def apply(self, samples: Array) -> Array:
        """Stored values to RGB; values outside the table get the entry at its end, as the Standard says."""
        indices = numpy.clip(samples.astype(numpy.int64) - self.first_mapped, 0, len(self.colours) - 1)
        return self.colours.take(indices, axis=0)


def to_rgb(pixels: Pixels, palette: Palette | None) -> Array:
    """Any colour image as RGB in uint8.

    Raises:
        BadFileFormat: a palette image without palette.
        NotImplementedHere: a colour space that nothing is known about.
    """
    samples = pixels.samples
    match pixels.photometric_interpretation:
        case "PALETTE COLOR":
            if palette is None:
                raise BadFileFormat("PALETTE COLOR without a palette color lookup table")
            return palette.apply(samples)
        case "RGB":
            return eight_bits(pixels)
        case "YBR_FULL" | "YBR_FULL_422":
            return in_blocks(eight_bits(pixels), _full_range, (3,))
        case "YBR_PARTIAL" | "YBR_PARTIAL_422" | "YBR_PARTIAL_420":
            return in_blocks(eight_bits(pixels), _partial_range, (3,))
        case other:
            raise NotImplementedHere(f"Photometric Interpretation {other}")


def eight_bits(pixels: Pixels) -> Array:
    """The high eight bits of colour samples."""
    samples = pixels.samples
    if samples.dtype == numpy.uint8 and pixels.bits == 8:
        return samples
    if samples.dtype.kind != "u":
        raise NotImplementedHere("Colour samples with a sign or a fraction")
    if pixels.bits > 8:
        return (samples >> (pixels.bits - 8)).astype(numpy.uint8)
    return (samples << (8 - pixels.bits)).astype(numpy.uint8)


@cache
def _chrominance_tables() -> tuple[Array, Array, Array, Array]:
    """What Cr adds to R, Cb and Cr take from G, Cb adds to B (ITU-R BT.601, PS3.3 §C.7.6.3.1.2), in 1/65536."""
    chrominance = numpy.arange(256, dtype=numpy.int32) - 128
    half = 1 << 15
    return (
        ((91881 * chrominance + half) >> 16).astype(numpy.int16),
        -22554 * chrominance,
        -46802 * chrominance + half,
        ((116130 * chrominance + half) >> 16).astype(numpy.int16),
    )


def _full_range(ybr: Array) -> Array:
    red_cr, green_cb, green_cr, blue_cb = _chrominance_tables()
    y, cb, cr = (ybr[..., index] for index in range(3))
    rgb = numpy.empty(ybr.shape, numpy.uint8)
    y = y.astype(numpy.int16)
    for index, added in enumerate(
        (red_cr.take(cr), ((green_cb.take(cb) + green_cr.take(cr)) >> 16).astype(numpy.int16), blue_cb.take(cb))
    ):
        added += y
        rgb[..., index] = numpy.clip(added, 0, 255, out=added)
    return rgb


def _partial_range(ybr: Array) -> Array:
    """Luminance from 16 to 235, chrominance from 16 to 240 (retired, PS3.3 2017b §C.7.6.3.1.2)."""
    values = ybr.astype(numpy.float32) - numpy.array([16, 128, 128], numpy.float32)
    matrix = numpy.array([[1.1644, 0, 1.5960], [1.1644, -0.3917, -0.8130], [1.1644, 2.0173, 0]], numpy.float32)
    rgb: Array = numpy.clip(values @ matrix.T + 0.5, 0, 255).astype(numpy.uint8)
    return rgb


def palette_of(frames: Frames) -> Palette | None:
    """Read the palette of an image, if it has one.

    Raises:
        BadFileFormat: the tables are shorter than they say, or contradict each other.
    """
    descriptors = [numbers(frames.data_set, 0x00281101 + channel) for channel in range(3)]
    if any(len(descriptor) != 3 for descriptor in descriptors):
        return None
    entries = int(descriptors[0][0]) or _MAX_ENTRIES
    if not 0 < entries <= _MAX_ENTRIES:
        entries &= 0xFFFF  # written as SS
    if any((int(descriptor[0]) & 0xFFFF or _MAX_ENTRIES) != entries for descriptor in descriptors):
        raise BadFileFormat("The palette color lookup tables differ in length")
    bits = int(descriptors[0][2])
    if bits not in (8, 16):
        raise BadFileFormat(f"A palette color lookup table has {bits} bits")
    first_mapped = int(descriptors[0][1])
    if frames.format.is_signed and first_mapped > 0x7FFF:
        first_mapped -= 0x10000
    tables = [_table(frames, channel, entries, bits) for channel in range(3)]
    if bits == 16 and any(int(table.max()) > 255 for table in tables):
        tables = [table >> 8 for table in tables]
    return Palette(numpy.stack(tables, axis=-1).astype(numpy.uint8), first_mapped)


def _table(frames: Frames, channel: int, entries: int, bits: int) -> Array:
    words = _words(frames, 0x00281201 + channel, bits, entries)
    if words is None:
        segments = _words(frames, 0x00281221 + channel, bits, None)
        if segments is None:
            raise BadFileFormat("A palette color lookup table is missing")
        words = numpy.array(expand_segments(segments.tolist(), entries, bits), numpy.uint16)
    if len(words) < entries:
        raise BadFileFormat(f"A palette color lookup table has {len(words)} entries, should have {entries}")
    return words[:entries]


def _words(frames: Frames, tag: int, bits: int, entries: int | None) -> Array | None:
    """Entries of a table; 8-bit ones may lie two in a word or one (PS3.3 §C.7.6.3.1.6)."""
    element = frames.data_set.get(Tag(tag))
    if element is None:
        return None
    if not isinstance(element.value, Bulk):
        return numpy.array(numbers(frames.data_set, tag), numpy.uint16)
    data = frames.data_of(element.value)
    order = ">" if frames.syntax.is_big_endian else "<"
    is_packed = bits == 8 and (entries is None or len(data) < 2 * entries)
    words = numpy.frombuffer(data[: len(data) & ~1], f"{order}u2")
    if is_packed:
        return words.astype("<u2").view(numpy.uint8).astype(numpy.uint16)
    return words.astype(numpy.uint16)


def expand_segments(units: list[int], entries: int, bits: int) -> list[int]:
    """Write out a segmented palette (PS3.3 §C.7.9.2), not further than it has entries.

    Args:
        units: the segments, in units of `bits`.
        entries: of the palette.
        bits: 8 or 16.

    Raises:
        BadFileFormat: a segment is cut off, of an unknown kind, or refers to one that does not exist.
    """
    table: list[int] = []
    position = 0
    while position + 1 < len(units) and len(table) < entries:
        if units[position] != 2:
            position = _expand_segment(units, position, table, entries)
            continue
        offset_units = 4 if bits == 8 else 2
        parts = units[position + 2 : position + 2 + offset_units]
        if len(parts) < offset_units:
            raise BadFileFormat("An indirect segment of a palette is cut off")
        # in bytes from the first segment, the least significant part first
        target = sum(part << (bits * index) for index, part in enumerate(parts)) * 8 // bits
        for _ in range(units[position + 1]):
            if len(table) >= entries:
                break
            target = _expand_segment(units, target, table, entries)
        position += 2 + offset_units
    return table[:entries]


def _expand_segment(units: list[int], position: int, table: list[int], entries: int) -> int:
    if position + 2 >= len(units):
        raise BadFileFormat("A segment of a palette is cut off, or is not there")
    kind, length = units[position], units[position + 1]
    position += 2
    if kind == 0:
        if position + length > len(units):
            raise BadFileFormat("A discrete segment of a palette is cut off")
        table.extend(units[position : position + length])
        return position + length
    if kind == 1 and table:
        first, last = table[-1], units[position]
        steps = min(length, entries - len(table))
        table.extend(round(first + (last - first) * step / length) for step in range(1, steps + 1))
        return position + 1
    raise BadFileFormat(f"A segment of a palette is of the kind {kind}")
