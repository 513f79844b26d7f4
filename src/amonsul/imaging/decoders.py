"""From a compressed frame to samples, for every transfer syntax.

Pure functions over libraries in C and C++, which are not trusted: the server calls this module in a process of its own
(`worker`). What a frame claims about its size is compared with the data set before a codec sees
it, and what comes out is compared again by whoever asked.

Colour: a lossy JPEG, and a JPEG 2000 with component transform, comes out as RGB. Everything else comes out in the
colour it was written in, because only then is lossless lossless (PS3.5 §8.2).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import imagecodecs
import jpeg_ls.CharLS
import numpy

from amonsul.errors import BadFileFormat, NotImplementedHere
from amonsul.imaging import codestream
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Array, Pixels, sample_type, significant
from amonsul.imaging.syntaxes import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    JPEG_XL,
    JPEG_XL_JPEG,
    JPEG_XL_LOSSLESS,
    RLE_LOSSLESS,
)

_CODEC_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, zlib.error)
_MARKER_RGB = "rgb"
_MARKER_YCBCR = "ycbcr"
_MAX_JPEG_2000_BITS = 31
"""That OpenJPEG decodes."""


def decode(transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    """Decode one encapsulated frame.

    Raises:
        BadFileFormat: the frame is broken, or is not what the data set says.
        NotImplementedHere: no codec for this transfer syntax.
    """
    decoder = _DECODERS.get(transfer_syntax_uid)
    if decoder is None:
        raise NotImplementedHere(f"Pixels in transfer syntax {transfer_syntax_uid} cannot be decoded")
    try:
        pixels = decoder(transfer_syntax_uid, frame, pixel_format)
    except _CODEC_ERRORS as error:
        raise BadFileFormat(f"A frame cannot be decoded: {type(error).__name__} {str(error)[:200]}") from error
    shape: tuple[int, ...] = (pixel_format.rows, pixel_format.columns)
    if pixel_format.samples_per_pixel > 1:
        shape += (pixel_format.samples_per_pixel,)
    if pixels.samples.shape != shape:
        raise BadFileFormat(f"A frame has the shape {pixels.samples.shape}, should have {shape}")
    return replace(pixels, is_packed=True) if pixel_format.bits_allocated == 1 else pixels


def _expect(pixel_format: PixelFormat, rows: int, columns: int, components: int) -> None:
    """Before any allocation: the frame is as large as the data set says."""
    expected = (pixel_format.rows, pixel_format.columns, pixel_format.samples_per_pixel)
    if (rows, columns, components) != expected:
        raise BadFileFormat(
            f"A frame has {rows} rows, {columns} columns, {components} components; "
            f"the data set says {expected[0]}, {expected[1]}, {expected[2]}"
        )


def _cells(samples: Array, pixel_format: PixelFormat) -> Array:
    """Samples of a codec in the type that Bits Allocated asks for; unsigned."""
    wanted = sample_type(pixel_format.bits_allocated, False)
    samples = numpy.ascontiguousarray(samples)
    if samples.dtype.itemsize > wanted.itemsize and int(samples.max(initial=0)) > numpy.iinfo(wanted).max:
        raise BadFileFormat(f"A frame has samples beyond Bits Allocated {pixel_format.bits_allocated}")
    return samples.astype(wanted, copy=False)


def _lossless(samples: Array, pixel_format: PixelFormat) -> Pixels:
    """Samples that came out of a lossless codec bit by bit as they went in."""
    cells = _cells(samples, pixel_format)
    if pixel_format.bits_allocated > 1:
        cells = significant(cells, pixel_format.bits_stored, pixel_format.high_bit, pixel_format.is_signed)
    return Pixels(cells, pixel_format.photometric_interpretation.replace("_422", ""), pixel_format.bits_stored)


def _within(cells: Array, pixel_format: PixelFormat) -> Array:
    """Lossy samples that Bits Stored can hold: what was close to its ends may have come out beyond."""
    bits = pixel_format.bits_stored
    if cells.dtype.kind == "u":
        high = (1 << bits) - 1
        return numpy.minimum(cells, cells.dtype.type(high)) if int(cells.max(initial=0)) > high else cells
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return numpy.clip(cells, low, high) if bits < cells.dtype.itemsize * 8 else cells


def _signed_within(cells: Array, bits: int) -> Array:
    """Read the low `bits` of unsigned samples as two's complement."""
    shift = cells.dtype.itemsize * 8 - bits
    signed = cells.view(f"i{cells.dtype.itemsize}")
    return (signed << shift) >> shift if shift > 0 else signed


# --- JPEG (PS3.5 §8.2.1)


def _decode_jpeg(transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    header = codestream.jpeg_header(frame)
    _expect(pixel_format, header.rows, header.columns, len(header.component_ids))
    if header.process == 0xF7:
        return _decode_jpeg_ls(transfer_syntax_uid, frame, pixel_format)
    if header.process == 0xC3:
        # No colour conversion: the process would not be lossless.
        as_is = _MARKER_RGB if len(header.component_ids) == 3 else None
        samples = imagecodecs.jpeg8_decode(bytes(frame), colorspace=as_is, outcolorspace=as_is)
        return _lossless(samples, pixel_format)
    if len(header.component_ids) == 1:
        cells = _cells(imagecodecs.jpeg8_decode(bytes(frame)), pixel_format)
        if pixel_format.is_signed:
            cells = _signed_within(cells, min(header.precision, pixel_format.bits_allocated))
        cells = _within(cells, pixel_format)
        return Pixels(cells, pixel_format.photometric_interpretation, pixel_format.bits_stored)
    is_rgb = header.is_rgb
    if is_rgb is None:
        is_rgb = pixel_format.photometric_interpretation == "RGB"
    samples = imagecodecs.jpeg8_decode(
        bytes(frame), colorspace=_MARKER_RGB if is_rgb else _MARKER_YCBCR, outcolorspace=_MARKER_RGB
    )
    cells = _within(_cells(samples, pixel_format), pixel_format)
    return Pixels(cells, "RGB", pixel_format.bits_stored)


# --- JPEG-LS (PS3.5 §8.2.3)


def _decode_jpeg_ls(transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    header = codestream.jpeg_header(frame)
    _expect(pixel_format, header.rows, header.columns, len(header.component_ids))
    if b"\xff\xd9" not in bytes(frame[-32:]):
        raise BadFileFormat("A JPEG-LS frame is cut off")  # the library would look for its end for seconds
    # decode() writes below the samples it reads, so it gets a copy of its own
    samples = jpeg_ls.CharLS.decode(numpy.frombuffer(bytearray(frame), numpy.uint8))
    if transfer_syntax_uid == JPEG_LS_LOSSLESS:
        return _lossless(samples, pixel_format)
    cells = _cells(samples, pixel_format)
    if pixel_format.is_signed:
        cells = _signed_within(cells, min(header.precision, pixel_format.bits_allocated))
    cells = _within(cells, pixel_format)
    return Pixels(cells, pixel_format.photometric_interpretation, pixel_format.bits_stored)


# --- JPEG 2000 and HTJ2K (PS3.5 §8.2.4, §8.2.10)


def _decode_jpeg_2000(_transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    header = codestream.jpeg2000_header(frame)
    _expect(pixel_format, header.rows, header.columns, header.components)
    if header.precision > _MAX_JPEG_2000_BITS:
        raise NotImplementedHere(f"JPEG 2000 with {header.precision} bits")
    body = bytes(frame[header.start :])
    # HTJ2K, too: the other decoder of the library is faster, but passes over errors and lets samples overflow
    cells = _signs(imagecodecs.jpeg2k_decode(body, numthreads=1), header, pixel_format)
    if not header.is_reversible:
        cells = _within(cells, pixel_format)
    photometric_interpretation = pixel_format.photometric_interpretation
    if header.has_component_transform or photometric_interpretation in ("YBR_RCT", "YBR_ICT"):
        photometric_interpretation = "RGB"
    return Pixels(cells, photometric_interpretation, pixel_format.bits_stored)


def _signs(samples: Array, header: codestream.Jpeg2000Header, pixel_format: PixelFormat) -> Array:
    """Samples with the sign that the data set says, even if the codestream says otherwise."""
    wanted = sample_type(pixel_format.bits_allocated, pixel_format.is_signed)
    if header.precision > wanted.itemsize * 8:
        raise BadFileFormat(f"A frame has {header.precision} bits, Bits Allocated is {pixel_format.bits_allocated}")
    samples = numpy.ascontiguousarray(samples)
    if header.is_signed == pixel_format.is_signed:
        return samples.astype(wanted, copy=False)
    unsigned = samples.astype(f"u{wanted.itemsize}", copy=False)
    if pixel_format.is_signed:
        return _signed_within(unsigned, header.precision)
    masked: Array = unsigned & unsigned.dtype.type((1 << header.precision) - 1)
    return masked


# --- JPEG XL (PS3.5 §8.2.15)


def _decode_jpeg_xl(_transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    samples = imagecodecs.jpegxl_decode(bytes(frame), numthreads=1)
    cells = _cells(samples, pixel_format)
    if pixel_format.is_signed:
        cells = _signed_within(cells, pixel_format.bits_allocated)
    photometric_interpretation = pixel_format.photometric_interpretation
    if pixel_format.samples_per_pixel == 3:
        photometric_interpretation = "RGB"
    return Pixels(cells, photometric_interpretation, pixel_format.bits_stored)


# --- RLE (PS3.5 Annex G)


def _decode_rle(_transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    bytes_per_sample = max(1, pixel_format.bits_allocated // 8)
    pixel_count = pixel_format.rows * pixel_format.columns
    plane_bytes = (pixel_count + 7) // 8 if pixel_format.bits_allocated == 1 else pixel_count
    segment_count = pixel_format.samples_per_pixel * bytes_per_sample
    head = numpy.frombuffer(frame, "<u4", 16) if len(frame) >= 64 else None
    if head is None or int(head[0]) != segment_count:
        raise BadFileFormat(
            f"An RLE frame has {'no' if head is None else head[0]} segments, should have {segment_count}"
        )
    bounds = [int(offset) for offset in head[1 : 1 + segment_count]] + [len(frame)]
    if bounds[0] < 64 or any(end <= start for start, end in pairwise(bounds)):
        raise BadFileFormat("The segments of an RLE frame overlap or are cut off")
    planes = numpy.empty((segment_count, plane_bytes), numpy.uint8)
    for plane, start, end in zip(planes, bounds, bounds[1:], strict=False):
        decoded = imagecodecs.packbits_decode(bytes(frame[start:end]))
        if len(decoded) < plane_bytes:
            raise BadFileFormat(f"An RLE segment has {len(decoded)} bytes, should have {plane_bytes}")
        plane[:] = numpy.frombuffer(decoded, numpy.uint8, plane_bytes)
    if pixel_format.bits_allocated == 1:
        return _lossless(_unpacked(planes[0], pixel_format), pixel_format)
    # segments run from the most significant byte of the first sample to the least significant of the last (§G.2)
    samples = numpy.empty((pixel_count, pixel_format.samples_per_pixel, bytes_per_sample), numpy.uint8)
    for index, plane in enumerate(planes):
        samples[:, index // bytes_per_sample, bytes_per_sample - 1 - index % bytes_per_sample] = plane
    cells = samples.view(f"<u{bytes_per_sample}").reshape(_shape(pixel_format))
    return _lossless(cells, pixel_format)


def _unpacked(packed: Array, pixel_format: PixelFormat) -> Array:
    bits = numpy.unpackbits(packed, count=pixel_format.samples_per_frame, bitorder="little")
    return bits.reshape(_shape(pixel_format))


def _shape(pixel_format: PixelFormat) -> tuple[int, ...]:
    if pixel_format.samples_per_pixel == 1:
        return (pixel_format.rows, pixel_format.columns)
    return (pixel_format.rows, pixel_format.columns, pixel_format.samples_per_pixel)


_DECODERS: Mapping[str, Callable[[str, memoryview | bytes, PixelFormat], Pixels]] = {
    RLE_LOSSLESS: _decode_rle,
    JPEG_BASELINE: _decode_jpeg,
    JPEG_EXTENDED: _decode_jpeg,
    JPEG_LOSSLESS: _decode_jpeg,
    JPEG_LOSSLESS_SV1: _decode_jpeg,
    # the retired processes of PS3.6 Table A-1: what differs is in the frame header
    **{
        f"1.2.840.10008.1.2.4.{number}": _decode_jpeg
        for number in (52, 53, 54, 55, 56, 58, 59, 60, 61, 62, 63, 64, 65, 66)
    },
    JPEG_LS_LOSSLESS: _decode_jpeg_ls,
    JPEG_LS_NEAR_LOSSLESS: _decode_jpeg_ls,
    JPEG_2000_LOSSLESS: _decode_jpeg_2000,
    JPEG_2000: _decode_jpeg_2000,
    "1.2.840.10008.1.2.4.92": _decode_jpeg_2000,
    "1.2.840.10008.1.2.4.93": _decode_jpeg_2000,
    HTJ2K_LOSSLESS: _decode_jpeg_2000,
    HTJ2K_LOSSLESS_RPCL: _decode_jpeg_2000,
    HTJ2K: _decode_jpeg_2000,
    JPEG_XL_LOSSLESS: _decode_jpeg_xl,
    JPEG_XL_JPEG: _decode_jpeg_xl,
    JPEG_XL: _decode_jpeg_xl,
}
