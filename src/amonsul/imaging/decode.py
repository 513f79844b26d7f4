"""From a frame in a file to an array of samples.

Native and deflated frames are taken apart here, in the process that asks: numpy and zlib do not crash on odd bytes.
Whatever needs a codec is handed to `Codecs`, which in the server is a pool of processes (`worker`). The product of all
sizes is compared with `MAX_DECODED_BYTES` before anything is allocated.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy

from amonsul.errors import BadFileFormat, NotImplementedHere, PayloadTooLarge
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.frames import Frames, is_video
from amonsul.imaging.pixel_format import MAX_DECODED_BYTES, PixelFormat, SampleKind
from amonsul.imaging.pixels import Array, Pixels, sample_type, significant
from amonsul.imaging.syntaxes import DEFLATED_IMAGE_FRAME


def decode_frame(frames: Frames, frame: int, codecs: Codecs) -> Pixels:
    """Decode one frame; `frame` counts from 0.

    Raises:
        ParameterOutOfRange: there is no such frame.
        BadFileFormat: the frame is broken, or is not what the data set says.
        NotImplementedHere: no codec for this transfer syntax, or it is a video.
        PayloadTooLarge: decoded, it would take more than `MAX_DECODED_BYTES`.
    """
    if is_video(frames.syntax.uid):
        raise NotImplementedHere("Frames of a video cannot be decoded")
    pixel_format = frames.format
    check_decoded_size(pixel_format, 1)
    data = frames.frame_bytes(frame)
    if not frames.syntax.is_encapsulated:
        return native(data, pixel_format, frames.syntax.is_big_endian)
    if frames.syntax.uid == DEFLATED_IMAGE_FRAME:
        return native(_inflated(data, (pixel_format.native_frame_bits + 7) // 8), pixel_format, False)
    return codecs.decode(frames.syntax.uid, data, pixel_format)


def decode_frames(frames: Frames, codecs: Codecs) -> Iterator[Pixels]:
    """Decode all frames, one after the other.

    Raises:
        As `decode_frame`; PayloadTooLarge before the first one if all of them together are too many.
    """
    check_decoded_size(frames.format, frames.count)
    return (decode_frame(frames, frame, codecs) for frame in range(frames.count))


def check_decoded_size(pixel_format: PixelFormat, frame_count: int) -> None:
    """Compare what decoding would take with the cap.

    Raises:
        PayloadTooLarge: it would take more.
    """
    size = pixel_format.decoded_frame_bytes * frame_count
    if size > MAX_DECODED_BYTES:
        raise PayloadTooLarge(f"{frame_count} decoded frames would take {size} bytes")


def native(data: memoryview | bytes, pixel_format: PixelFormat, is_big_endian: bool) -> Pixels:
    """Take one native frame apart (PS3.5 §8.1, PS3.3 §C.7.6.3.1.2, §C.7.6.3.1.3).

    Raises:
        BadFileFormat: it has fewer bytes than it needs.
    """
    rows, columns, count = pixel_format.rows, pixel_format.columns, pixel_format.samples_per_pixel
    if len(data) * 8 < pixel_format.native_frame_bits:
        raise BadFileFormat(f"A frame has {len(data)} bytes, should have {(pixel_format.native_frame_bits + 7) // 8}")
    photometric_interpretation = pixel_format.photometric_interpretation
    samples: Array
    if pixel_format.sample_kind is not SampleKind.INTEGER:
        order = ">" if is_big_endian else "<"
        samples = numpy.frombuffer(data, f"{order}f{pixel_format.bits_allocated // 8}", pixel_format.samples_per_frame)
    elif pixel_format.bits_allocated == 1:
        packed = numpy.frombuffer(data, numpy.uint8)
        samples = numpy.unpackbits(packed, count=pixel_format.samples_per_frame, bitorder="little")
    else:
        stored = sample_type(pixel_format.bits_allocated, False).newbyteorder(">" if is_big_endian else "<")
        samples = numpy.frombuffer(data, stored, pixel_format.native_frame_bits // pixel_format.bits_allocated)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if pixel_format.is_subsampled:
        if columns % 2:
            raise BadFileFormat(f"{photometric_interpretation} with {columns} columns")
        samples = _full_chrominance(samples.reshape(rows, columns // 2, 4))
        photometric_interpretation = photometric_interpretation[:-4]
    elif count > 1 and pixel_format.planar_configuration == 1:
        samples = numpy.ascontiguousarray(samples.reshape(count, rows, columns).transpose(1, 2, 0))
    else:
        samples = samples.reshape((rows, columns, count) if count > 1 else (rows, columns))
    if pixel_format.sample_kind is SampleKind.INTEGER and pixel_format.bits_allocated > 1:
        samples = significant(samples, pixel_format.bits_stored, pixel_format.high_bit, pixel_format.is_signed)
    return Pixels(samples, photometric_interpretation, pixel_format.bits_stored, pixel_format.bits_allocated == 1)


def _full_chrominance(pairs: Array) -> Array:
    """Y1 Y2 Cb Cr of two pixels to three samples for each (PS3.3 §C.7.6.3.1.2)."""
    rows, half, _ = pairs.shape
    samples = numpy.empty((rows, half, 2, 3), pairs.dtype)
    samples[..., 0] = pairs[..., :2]
    samples[..., 1] = pairs[..., 2:3]
    samples[..., 2] = pairs[..., 3:4]
    return samples.reshape(rows, half * 2, 3)


def _inflated(data: memoryview | bytes, wanted: int) -> bytes:
    """A deflated frame (PS3.5 §A.4.13), not a byte further than it is needed."""
    try:
        frame = zlib.decompressobj(-15).decompress(data, wanted)
    except zlib.error as error:
        raise BadFileFormat("A deflated frame is broken") from error
    if len(frame) < wanted:
        raise BadFileFormat(f"A deflated frame has {len(frame)} bytes, should have {wanted}")
    return frame
