"""From samples to a compressed frame, for every transfer syntax that a library writes.

Pure functions; like the decoders they run in a process of their own. What each syntax can hold, and what becomes of
the photometric interpretation, is in `syntaxes`.

Precision is Bits Stored. Signed samples of the codecs that know no sign go in as their two's complement in all bits
allocated, so that readers which extend the sign and readers which do not find the same (PS3.5 §8.2.1, §8.2.3).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import imagecodecs
import jpeg_ls.CharLS
import numpy
from isal import isal_zlib

from amonsul.errors import BadFileFormat, NotImplementedHere
from amonsul.imaging.pixels import Array, Pixels
from amonsul.imaging.syntaxes import (
    DEFLATED_IMAGE_FRAME,
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
    JPEG_XL_LOSSLESS,
    NEAR_LOSSLESS_ERROR,
    RLE_LOSSLESS,
)

_CODEC_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, MemoryError)


def encode(transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
    """Encode one frame; an odd number of bytes is not padded here.

    Args:
        transfer_syntax_uid: one that `syntaxes.check_writable` found fit.
        pixels: what is to be written.
        quality: 1 to 100, of the lossy ones.

    Raises:
        NotImplementedHere: as `check_writable`.
        BadFileFormat: the codec refused.
    """
    encoder = _ENCODERS.get(transfer_syntax_uid)
    if encoder is None:
        raise NotImplementedHere(f"Pixels cannot be written in transfer syntax {transfer_syntax_uid}")
    try:
        return encoder(pixels, quality)
    except _CODEC_ERRORS as error:
        raise BadFileFormat(f"A frame cannot be encoded: {type(error).__name__} {str(error)[:200]}") from error


def _unsigned(pixels: Pixels) -> tuple[Array, int]:
    """Samples for a codec without signs, and their precision."""
    if pixels.samples.dtype.kind == "i":
        samples = numpy.ascontiguousarray(pixels.samples)
        return samples.view(f"u{samples.dtype.itemsize}"), samples.dtype.itemsize * 8
    return _narrow(pixels), pixels.bits


def _narrow(pixels: Pixels) -> Array:
    """Samples in the smallest type that holds Bits Stored: some codecs mistake the type for the precision."""
    kind = pixels.samples.dtype.kind
    return numpy.ascontiguousarray(pixels.samples, f"{kind}1" if pixels.bits <= 8 else None)


# --- JPEG (PS3.5 §8.2.1, §A.4.1)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    samples = _narrow(pixels)
    if samples.ndim == 3:
        encoded = imagecodecs.jpeg8_encode(
            samples,
            quality,
            colorspace="rgb" if pixels.photometric_interpretation == "RGB" else "ycbcr",
            outcolorspace="ycbcr",
            subsampling="422",
            bitspersample=8 if samples.dtype.itemsize == 1 else 12,
        )
    else:
        encoded = imagecodecs.jpeg8_encode(samples, quality, bitspersample=8 if samples.dtype.itemsize == 1 else 12)
    return bytes(encoded)


def _jpeg_lossless(predictor: int, pixels: Pixels, _quality: int) -> bytes:
    samples, precision = _unsigned(pixels)
    as_is = "rgb" if samples.ndim == 3 else None
    encoded = imagecodecs.jpeg8_encode(
        samples,
        lossless=True,
        predictor=predictor,
        bitspersample=max(2, precision),
        colorspace=as_is,
        outcolorspace=as_is,
    )
    return _without_adobe(bytes(encoded))


def _without_adobe(frame: bytes) -> bytes:
    """A JPEG frame that leaves it to the data set to say which colours these are (PS3.5 §8.2.1)."""
    if frame[2:4] != b"\xff\xee":
        return frame
    return frame[:2] + frame[4 + int.from_bytes(frame[4:6], "big") :]


def _without_spiff(frame: bytes) -> bytes:
    """A JPEG-LS frame without the file header that some readers do not expect."""
    return frame[:2] + frame[frame.index(b"\xff\xf7") :] if frame[2:4] == b"\xff\xe8" else frame


# --- JPEG-LS (PS3.5 §8.2.3, §A.4.3)

_SMALL = 1024  # bytes; the library reserves twice the size of the samples, which headers alone may exceed


def _jpeg_ls(allowed_error: int, pixels: Pixels, _quality: int) -> bytes:
    samples, precision = _unsigned(pixels)
    allowed_error = min(allowed_error, ((1 << precision) - 1) // 2)
    if allowed_error and pixels.samples.dtype.kind == "i":
        half = 1 << (pixels.bits - 1)
        low, high = int(pixels.samples.min()), int(pixels.samples.max())
        if low < allowed_error - half or high >= half - allowed_error:
            raise NotImplementedHere("Near lossless JPEG-LS would turn the sign of the largest samples")
    if samples.nbytes < _SMALL:
        return _without_spiff(bytes(imagecodecs.jpegls_encode(samples, allowed_error)))
    rows, columns = samples.shape[:2]
    encoded = jpeg_ls.CharLS.encode_buffer(
        samples.tobytes(),
        rows,
        columns,
        3 if samples.ndim == 3 else 1,
        precision,
        lossy_error=allowed_error,
        interleave_mode=2 if samples.ndim == 3 else 0,
    )
    return bytes(encoded)


# --- JPEG 2000 and HTJ2K (PS3.5 §8.2.4, §A.4.4, §A.4.10)


def _jpeg_2000(is_reversible: bool, pixels: Pixels, quality: int) -> bytes:
    samples = _narrow(pixels)

    def encoded(precision: int) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                samples,
                0 if is_reversible else round(_decibels(quality, samples, precision)),
                codecformat="j2k",
                reversible=is_reversible,
                mct=samples.ndim == 3 and pixels.photometric_interpretation == "RGB",
                bitspersample=precision,
                resolutions=_levels(samples),
                numthreads=1,
            )
        )

    try:
        return encoded(pixels.bits)
    except RuntimeError:  # of the library, with few bits that do not compress
        return encoded(samples.dtype.itemsize * 8)


def _htj2k(is_reversible: bool, pixels: Pixels, quality: int) -> bytes:
    samples = _narrow(pixels)
    depth = samples.dtype.itemsize * 8
    precision = pixels.bits
    if not is_reversible:
        precision = max(precision, 10) if depth == 16 else depth  # what `_with_precision` can do
    is_shifted = samples.dtype.kind == "u" and precision < depth
    if is_shifted:
        samples = samples.view(f"i{samples.dtype.itemsize}") - (1 << (precision - 1))
    encoded = imagecodecs.htj2k_encode(
        samples,
        None if is_reversible else _quantization_step(quality, samples, precision, depth),
        reversible=is_reversible,
        rgb=samples.ndim == 3 and pixels.photometric_interpretation == "RGB",
        resolutions=_levels(samples),
        tlm=True,
    )
    return _with_precision(bytes(encoded), precision, depth, is_shifted) if precision < depth else bytes(encoded)


def _levels(samples: Array) -> int:
    """Wavelet decompositions: as usual five, fewer for small images, so that the smallest is not below 1 pixel."""
    smallest: int = min(samples.shape[:2])
    return min(5, smallest.bit_length() - 1)


def _decibels(quality: int, samples: Array, bits: int) -> float:
    """Peak signal to noise ratio: 30 at the lowest quality, 60 at the highest, of the range of values that occur.

    Codecs count noise by the range of all values that there may be. Of images that use little of it, as those of
    computed tomography in 16 bits, that would leave nothing. A quarter of a grey level is noise little enough.
    """
    possible, used = (1 << bits) - 1, int(samples.max()) - int(samples.min())
    wanted = 30 + quality * 0.3 + 20 * math.log10(possible / max(1, used))
    return min(wanted, 20 * math.log10(possible * 4))


def _quantization_step(quality: int, samples: Array, bits: int, depth: int) -> float:
    """Of the finest details, as part of the range of the samples: about the noise of `_decibels`."""
    return math.pow(10, -_decibels(quality, samples, bits) / 20) * math.pow(2, bits - depth)


def _with_precision(codestream: bytes, bits: int, depth: int, is_shifted: bool) -> bytes:
    """Put Bits Stored where the encoder has put the size of the type (ITU-T T.800 §A.5.1, §A.6.4).

    Unsigned samples went in as signed ones with half of their range taken away, which is what the decoder adds when
    the codestream says that they are unsigned. Quantization is relative to the precision, so that its exponents go
    down with it, and the guard bits up: the number of bit planes stays.
    """
    patched = bytearray(codestream)
    position, changed = 2, []
    less = depth - bits
    while patched[position] == 0xFF and patched[position + 1] != 0x90:
        marker, length = patched[position + 1], int.from_bytes(patched[position + 2 : position + 4], "big")
        body = position + 4
        if marker == 0x51:
            for component in range(int.from_bytes(patched[body + 34 : body + 36], "big")):
                changed.append((body + 36 + 3 * component, (0 if is_shifted else 0x80) | (bits - 1)))
        elif marker in (0x5C, 0x5D):
            style = patched[body]
            if style & 0x1F == 2:
                changed.append((body, style + (less << 5)))
                for at in range(body + 1, position + 2 + length, 2):
                    if patched[at] >> 3 < less:
                        raise NotImplementedHere(f"HTJ2K of {bits} bits with such a quality cannot be written")
                    changed.append((at, patched[at] - (less << 3)))
        position += 2 + length
    for at, value in changed:
        patched[at] = value
    return bytes(patched)


# --- JPEG XL (PS3.5 §8.2.15, §A.4.12)


def _jpeg_xl(is_lossless: bool, pixels: Pixels, quality: int) -> bytes:
    samples = _narrow(pixels)
    return bytes(
        imagecodecs.jpegxl_encode(
            samples, None if is_lossless else quality, lossless=is_lossless, bitspersample=pixels.bits, numthreads=1
        )
    )


# --- RLE and deflate (PS3.5 Annex G, §A.4.13)


def _rle(pixels: Pixels, _quality: int) -> bytes:
    samples = pixels.samples if pixels.samples.ndim == 3 else pixels.samples[..., None]
    rows, columns, count = samples.shape
    if pixels.is_packed:
        planes = numpy.packbits(samples.reshape(-1), bitorder="little").reshape(1, 1, -1)
    else:
        size = samples.dtype.itemsize
        octets = numpy.ascontiguousarray(samples).astype(samples.dtype.newbyteorder("<"), copy=False)
        octets = octets.view(numpy.uint8).reshape(rows, columns, count, size)
        # the most significant byte of the first sample comes first
        planes = octets[..., ::-1].transpose(2, 3, 0, 1).reshape(count * size, rows, columns)
    if len(planes) > 15:
        raise NotImplementedHere("RLE holds 15 segments at most")
    segments = []
    for plane in planes:
        segment = bytes(imagecodecs.packbits_encode(plane.copy(), axis=-1))
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets, position = [], 64
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    head = numpy.zeros(16, "<u4")
    head[0] = len(segments)
    head[1 : 1 + len(offsets)] = offsets
    return head.tobytes() + b"".join(segments)


def _deflated(pixels: Pixels, _quality: int) -> bytes:
    samples = pixels.samples
    if pixels.is_packed:
        native = numpy.packbits(samples.reshape(-1), bitorder="little").tobytes()
    else:
        native = samples.astype(samples.dtype.newbyteorder("<"), copy=False).tobytes()
    deflate = isal_zlib.compressobj(2, zlib.DEFLATED, -15)
    return bytes(deflate.compress(native) + deflate.flush())


_ENCODERS: Mapping[str, Callable[[Pixels, int], bytes]] = {
    JPEG_BASELINE: _jpeg,
    JPEG_EXTENDED: _jpeg,
    JPEG_LOSSLESS: partial(_jpeg_lossless, 6),
    JPEG_LOSSLESS_SV1: partial(_jpeg_lossless, 1),
    JPEG_LS_LOSSLESS: partial(_jpeg_ls, 0),
    JPEG_LS_NEAR_LOSSLESS: partial(_jpeg_ls, NEAR_LOSSLESS_ERROR),
    JPEG_2000_LOSSLESS: partial(_jpeg_2000, True),
    JPEG_2000: partial(_jpeg_2000, False),
    HTJ2K_LOSSLESS: partial(_htj2k, True),
    HTJ2K_LOSSLESS_RPCL: partial(_htj2k, True),
    HTJ2K: partial(_htj2k, False),
    JPEG_XL_LOSSLESS: partial(_jpeg_xl, True),
    JPEG_XL: partial(_jpeg_xl, False),
    RLE_LOSSLESS: _rle,
    DEFLATED_IMAGE_FRAME: _deflated,
}
