"""One frame in a transfer syntax of choice, without a file around it (PS3.18 §10.4.3.3.3: frames, pixel data)."""

from __future__ import annotations

import numpy

from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import NotImplementedHere
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.colour import palette_of, to_rgb
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixel_format import SampleKind
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.rewriting import swapped
from amonsul.imaging.syntaxes import WRITABLE, check_writable


def frame_in(
    frames: Frames, frame: int, transfer_syntax_uid: str, codecs: Codecs, quality: int = 90
) -> memoryview | bytes:
    """The bytes of a frame, a part of the file where they lie there as they are wanted; `frame` counts from 0.

    Raises:
        ParameterOutOfRange: there is no such frame.
        BadFileFormat: the frame is broken.
        NotImplementedHere: the frame cannot be decoded, or not be written so.
    """
    source, target = frames.syntax, transfer_syntax(transfer_syntax_uid)
    if source.uid == target.uid:
        return frames.frame_bytes(frame)
    if target.is_encapsulated:
        return _encoded(frames, frame, target.uid, codecs, quality)
    if source.is_encapsulated:
        return _native(decode_frame(frames, frame, codecs), is_big_endian=target.is_big_endian)
    data = frames.frame_bytes(frame)
    word_bytes = frames.format.bits_allocated // 8
    if source.is_big_endian != target.is_big_endian and word_bytes > 1:
        return swapped(memoryview(data), word_bytes)
    return data


def _native(pixels: Pixels, *, is_big_endian: bool) -> bytes:
    if pixels.is_packed:
        return numpy.packbits(pixels.samples.reshape(-1), bitorder="little").tobytes()
    order = pixels.samples.dtype.newbyteorder(">" if is_big_endian else "<")
    return pixels.samples.astype(order, copy=False).tobytes()


def _encoded(frames: Frames, frame: int, uid: str, codecs: Codecs, quality: int) -> bytes:
    if frames.format.sample_kind is not SampleKind.INTEGER:
        raise NotImplementedHere("Floating point pixels cannot be compressed")
    writable = WRITABLE.get(uid)
    if writable is None:
        raise NotImplementedHere(f"Pixels cannot be written in transfer syntax {uid}")
    pixels = decode_frame(frames, frame, codecs)
    if pixels.photometric_interpretation not in writable.takes and pixels.photometric_interpretation in (
        "PALETTE COLOR",
        "YBR_PARTIAL",
        "YBR_PARTIAL_420",
    ):
        pixels = Pixels(to_rgb(pixels, palette_of(frames)), "RGB", 8)
    bits_allocated = 1 if pixels.is_packed else pixels.samples.dtype.itemsize * 8
    is_signed = pixels.samples.dtype.kind == "i"
    check_writable(uid, pixels.photometric_interpretation, bits_allocated, pixels.bits, is_signed)
    return codecs.encode(uid, pixels, quality)
