"""Pictures as files: PNG, JPEG and PAM; samples as files: NumPy and Matlab.

PNG is written here because it must not cost more than decoding: one vector operation filters the whole picture, and a
fast deflate that lets other threads run does the rest. Encoding runs in the server itself: its input is our own.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain

import imagecodecs
import numpy
from isal import isal_zlib

from amonsul.errors import IncompatibleImageFormat, IncompatibleImageSize, ParameterOutOfRange
from amonsul.imaging.colour import Palette, to_rgb
from amonsul.imaging.grayscale import Grayscale
from amonsul.imaging.pixels import Array, Pixels

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # filter type: difference to the row above (PNG §9.2)


def png(picture: Array) -> bytes:
    """Write a picture of 8 or 16 bits, grey or RGB; int16 is written as two's complement."""
    rows, columns = picture.shape[:2]
    is_rgb = picture.ndim == 3
    depth = picture.dtype.itemsize * 8
    if depth not in (8, 16):
        raise IncompatibleImageFormat(f"PNG has no samples of {depth} bits")
    if depth == 16:
        picture = picture.astype(picture.dtype.newbyteorder(">"), copy=False)
    lines = numpy.ascontiguousarray(picture).view(numpy.uint8).reshape(rows, -1)
    filtered = numpy.empty((rows, lines.shape[1] + 1), numpy.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = lines[0]
    numpy.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", columns, rows, depth, 2 if is_rgb else 0, 0, 0, 0)
    return b"".join(
        (
            _PNG_SIGNATURE,
            *_chunk(b"IHDR", header),
            *_chunk(b"IDAT", isal_zlib.compress(filtered.data, 1)),
            *_chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    check = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return len(data).to_bytes(4, "big"), kind, data, check.to_bytes(4, "big")


def jpeg(picture: Array, quality: int) -> bytes:
    """Write a baseline JPEG of a picture of 8 bits; quality is 1 to 100.

    Raises:
        ParameterOutOfRange: it is not.
        IncompatibleImageFormat: the picture has more than 8 bits.
    """
    if not 1 <= quality <= 100:
        raise ParameterOutOfRange(f"Bad quality for a JPEG encoding (must be a number between 1 and 100): {quality}")
    if picture.dtype != numpy.uint8:
        raise IncompatibleImageFormat("JPEG has 8 bits only")
    return bytes(imagecodecs.jpeg8_encode(numpy.ascontiguousarray(picture), quality))


def pam(picture: Array) -> bytes:
    """Write a portable arbitrary map; 16-bit samples are big endian, int16 as two's complement."""
    rows, columns = picture.shape[:2]
    depth, kind = (3, "RGB") if picture.ndim == 3 else (1, "GRAYSCALE")
    maximum = 255 if picture.dtype.itemsize == 1 else 65535
    if picture.dtype.itemsize == 2:
        picture = picture.astype(picture.dtype.newbyteorder(">"), copy=False)
    elif picture.dtype.itemsize != 1:
        raise IncompatibleImageFormat("PAM has 8 or 16 bits only")
    header = f"P7\nWIDTH {columns}\nHEIGHT {rows}\nDEPTH {depth}\nMAXVAL {maximum}\nTUPLTYPE {kind}\nENDHDR\n"
    return header.encode("ascii") + picture.tobytes()


def matlab(pixels: Pixels, palette: Palette | None) -> bytes:
    """Write a matrix that Matlab and Octave read with `eval()`; stored values, colours as RGB."""
    if pixels.samples.ndim == 2 and palette is None:
        body = " ; ".join(" ".join(map(str, row)) for row in pixels.samples.tolist())
        return f"double([ {body} ])".encode("ascii")
    rgb = to_rgb(pixels, palette)
    rows, columns = rgb.shape[:2]
    body = " ".join(map(str, rgb.reshape(-1).tolist()))
    return f"double(permute(reshape([ {body} ], [ 3 {rows} {columns} ]), [ 3 2 1 ]))".encode("ascii")


def numpy_samples(pixels: Pixels, description: Grayscale, palette: Palette | None, is_rescaled: bool) -> Array:
    """One frame as (rows, columns, channels): modality values as floats, or stored values; colours as RGB.

    RGB of more than 8 bits per sample stays as deep as it is.
    """
    samples = pixels.samples
    if samples.ndim == 2 and palette is None:
        samples = description.modality_values(samples) if is_rescaled else samples
        return samples.reshape(*samples.shape, 1)
    if pixels.photometric_interpretation == "RGB" and pixels.bits > 8:
        return samples
    return to_rgb(pixels, palette)


def npy(array: Array) -> bytes:
    """Write one array as `.npy`."""
    return _npy_header(array.shape, array) + _little_endian(array)


def npy_of_frames(frames: Iterable[Array], frame_count: int) -> Iterator[bytes]:
    """Write (frames, rows, columns, channels) as `.npy`, one frame at a time.

    Raises:
        IncompatibleImageSize, IncompatibleImageFormat: a frame is not like the first one.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise IncompatibleImageFormat("No frames")
    yield _npy_header((frame_count, *first.shape), first)
    for frame in chain((first,), remaining):
        if frame.shape[:2] != first.shape[:2]:
            raise IncompatibleImageSize("The size of the frames varies across the instance(s)")
        if frame.shape != first.shape or frame.dtype != first.dtype:
            raise IncompatibleImageFormat("The pixel format of the frames varies across the instance(s)")
        yield _little_endian(frame)


def npz(chunks: Iterable[bytes]) -> bytes:
    """Pack one `.npy` as compressed `.npz`; its array is named `arr_0`."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(zipfile.ZipInfo("arr_0"), "w", force_zip64=True) as member,
    ):
        for chunk in chunks:
            member.write(chunk)
    return packed.getvalue()


def _little_endian(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _npy_header(shape: tuple[int, ...], array: Array) -> bytes:
    """Version 1.0 of the format, for an array in C order."""
    text = f"{{'descr': '{array.dtype.newbyteorder('<').str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    padding = -(10 + len(text) + 1) % 64
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + padding + 1) + f"{text}{' ' * padding}\n".encode()
