"""Blanking parts of the pixels of a file, frame by frame: everything else of the file stays byte for byte.

For files that are not compressed, in little endian: whoever has another one transcodes it before and after. Blank is
black: the smallest sample of the frame (the largest of MONOCHROME1), so that windows and histograms stay what they
were. Bits of a sample that hold no pixel, and bytes behind the last frame, become zero: overlays of old hid there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy
from numpy.typing import NDArray

from amonsul import mapped
from amonsul.dicom.header import Header
from amonsul.dicom.pixel_cleaning import PixelCleaning, Region
from amonsul.errors import InternalError
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixel_format import PixelFormat, SampleKind, pixel_data_element
from amonsul.imaging.pixels import Array
from amonsul.imaging.rewriting import Sink

Mask: TypeAlias = NDArray[numpy.bool_]

_BLACK = {
    "YBR_FULL": (0, 128, 128),
    "YBR_FULL_422": (0, 128, 128),
    "YBR_PARTIAL_422": (16, 128, 128),
    "YBR_PARTIAL_420": (16, 128, 128),
}
"""Where it is not zero (PS3.3 §C.7.6.3.1.2)."""


def blank(data: memoryview, header: Header, cleaning: PixelCleaning, sink: Sink) -> None:
    """Write a file with parts of its pixels blanked.

    Args:
        data: the whole file; not compressed, not deflated, in little endian.
        header: of this file, which has pixel data.
        cleaning: which parts.
        sink: may have got a part of the file when an error is raised.

    Raises:
        BadFileFormat: what the file says about its pixels is contradictory.
        NotImplementedHere: it describes pixels that nobody writes.
    """
    frames = Frames(data, header)
    found = pixel_data_element(header.data_set)
    if found is None or frames.syntax.is_encapsulated or frames.syntax.is_deflated or frames.syntax.is_big_endian:
        raise InternalError("only uncompressed pixels in little endian can be blanked")
    start, length = found[1].offset, found[1].length
    for piece in mapped.pieces(data[:start]):
        sink.write(bytes(piece))
    written = 0
    for chunk in _frames(data[start : start + length], frames.format, cleaning):
        sink.write(chunk)
        written += len(chunk)
    sink.write(bytes(length - written))
    for piece in mapped.pieces(data[start + length :]):
        sink.write(bytes(piece))


def _frames(pixels: memoryview, pixel_format: PixelFormat, cleaning: PixelCleaning) -> Iterator[bytes]:
    mask = _mask(pixel_format.rows, pixel_format.columns, cleaning)
    count = pixel_format.number_of_frames
    at_once = 8 if pixel_format.bits_allocated == 1 else 1  # eight frames of bits are whole bytes
    size = pixel_format.native_frame_bits * at_once // 8
    for first in range(0, count, at_once):
        chunk = pixels[first // at_once * size :][:size]
        if pixel_format.bits_allocated == 1:
            yield _bits(chunk, pixel_format, min(at_once, count - first), mask)
        elif pixel_format.is_subsampled:
            yield _subsampled(chunk, pixel_format, mask)
        else:
            yield _samples(chunk, pixel_format, mask)


def _mask(rows: int, columns: int, cleaning: PixelCleaning) -> Mask:
    """What is blanked of a frame."""
    mask = numpy.full((rows, columns), cleaning.keep is not None)
    for region in cleaning.keep or ():
        mask[_slices(region)] = False
    for region in cleaning.blank:
        mask[_slices(region)] = True
    return mask


def _slices(region: Region) -> tuple[slice, slice]:
    return slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)


def _bits(chunk: memoryview, pixel_format: PixelFormat, frames: int, mask: Mask) -> bytes:
    bits = numpy.unpackbits(numpy.frombuffer(chunk, numpy.uint8), bitorder="little")
    bits = bits[: pixel_format.native_frame_bits * frames]
    shape = (frames, pixel_format.rows, pixel_format.columns, pixel_format.samples_per_pixel)
    bits.reshape(shape)[:, mask] = 0
    return numpy.packbits(bits, bitorder="little").tobytes()


def _subsampled(chunk: memoryview, pixel_format: PixelFormat, mask: Mask) -> bytes:
    """Two pixels with one chrominance (PS3.3 §C.7.6.3.1.2) are blanked together."""
    kind = f"<u{pixel_format.bits_allocated // 8}"
    pairs = numpy.frombuffer(chunk, kind).reshape(pixel_format.rows, pixel_format.columns // 2, 4).copy()
    luminance, *chrominance = _BLACK[pixel_format.photometric_interpretation]
    both = mask[:, 0 : pairs.shape[1] * 2 : 2] | mask[:, 1 : pairs.shape[1] * 2 : 2]
    pairs[both] = (luminance, luminance, *chrominance)
    return pairs.tobytes()


def _samples(chunk: memoryview, pixel_format: PixelFormat, mask: Mask) -> bytes:
    count = pixel_format.samples_per_pixel
    samples = _without_unused_bits(numpy.frombuffer(chunk, _kind(pixel_format)), pixel_format)
    if pixel_format.planar_configuration:
        planes = samples.reshape(count, *mask.shape)
    else:
        planes = numpy.moveaxis(samples.reshape(*mask.shape, count), -1, 0)
    for plane, black in zip(planes, _black(samples, pixel_format), strict=True):
        plane[mask] = black
    return samples.tobytes()


def _kind(pixel_format: PixelFormat) -> str:
    letter = "i" if pixel_format.is_signed else "u"
    if pixel_format.sample_kind is not SampleKind.INTEGER:
        letter = "f"
    return f"<{letter}{pixel_format.bits_allocated // 8}"


def _without_unused_bits(samples: Array, pixel_format: PixelFormat) -> Array:
    """A copy in which only the bits of the pixels are left, with their sign in front (PS3.5 §8.1.1)."""
    above = pixel_format.bits_allocated - 1 - pixel_format.high_bit
    below = pixel_format.high_bit + 1 - pixel_format.bits_stored
    if pixel_format.sample_kind is not SampleKind.INTEGER or not (above or below):
        return samples.copy()
    cleared: Array = ((samples << above) >> (above + below)) << below
    return cleared


def _black(samples: Array, pixel_format: PixelFormat) -> tuple[Any, ...]:  # Any: a number of the type of the samples
    photometric_interpretation = pixel_format.photometric_interpretation
    if pixel_format.is_monochrome:
        return (numpy.nanmax(samples) if photometric_interpretation == "MONOCHROME1" else numpy.nanmin(samples),)
    return _BLACK.get(photometric_interpretation, (0,) * pixel_format.samples_per_pixel)
