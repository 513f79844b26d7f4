"""Files that other programs read: PNG, JPEG, PAM, NumPy, Matlab."""

from __future__ import annotations

import io
import struct
import zlib

import numpy
import pytest
from PIL import Image

from amonsul.errors import IncompatibleImageFormat, IncompatibleImageSize, ParameterOutOfRange
from amonsul.imaging.colour import Palette
from amonsul.imaging.grayscale import Grayscale
from amonsul.imaging.pictures import jpeg, matlab, npy, npy_of_frames, npz, numpy_samples, pam, png
from amonsul.imaging.pixels import Pixels

from .builders import Array, landscape

PICTURES = [
    landscape(1, 1, 8),
    landscape(13, 7, 8),
    landscape(64, 65, 16),
    landscape(64, 65, 8, samples_per_pixel=3),
    landscape(5, 300, 16, samples_per_pixel=3),
]


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        (check,) = struct.unpack_from(">I", data, position + 8 + length)
        assert check == zlib.crc32(kind + body)
        found[kind] = body
        position += 12 + length
    return found


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: str(picture.shape))
def test_png_comes_back(picture: Array) -> None:
    data = png(picture)
    chunks = chunks_of(data)
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    if picture.ndim == 3 and picture.dtype == numpy.uint16:  # Pillow reads 8 of its bits
        lines = numpy.frombuffer(zlib.decompress(chunks[b"IDAT"]), numpy.uint8).reshape(len(picture), -1)
        assert set(lines[:, 0]) == {2}
        octets = numpy.cumsum(lines[:, 1:], axis=0, dtype=numpy.uint8)
        assert numpy.array_equal(octets.view(">u2").reshape(picture.shape), picture)
        return
    image = Image.open(io.BytesIO(data))
    image.load()
    assert numpy.array_equal(numpy.asarray(image), picture)


def test_png_of_signed_samples_is_twos_complement() -> None:
    samples = numpy.array([[-1, -32768, 32767]], numpy.int16)
    assert numpy.array_equal(numpy.asarray(Image.open(io.BytesIO(png(samples)))), samples.view(numpy.uint16))


def test_png_of_a_part_of_a_picture_is_right() -> None:
    picture = landscape(40, 40, 8)[::2, 5:31]
    assert numpy.array_equal(numpy.asarray(Image.open(io.BytesIO(png(picture)))), picture)


def test_png_has_no_other_samples() -> None:
    with pytest.raises(IncompatibleImageFormat):
        png(numpy.zeros((2, 2), numpy.float32))


@pytest.mark.parametrize("picture", [landscape(40, 50, 8), landscape(40, 50, 8, samples_per_pixel=3)])
def test_jpeg_is_close_to_the_picture_and_closer_with_more_quality(picture: Array) -> None:
    errors = []
    for quality in (10, 50, 95):
        image = Image.open(io.BytesIO(jpeg(picture, quality)))
        assert image.format == "JPEG"
        errors.append(numpy.abs(numpy.asarray(image).astype(int) - picture).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 6


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_jpeg_quality_is_1_to_100(quality: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        jpeg(landscape(4, 4, 8), quality)


def test_jpeg_has_8_bits() -> None:
    with pytest.raises(IncompatibleImageFormat):
        jpeg(landscape(4, 4, 16), 90)


def test_pam_says_what_it_holds() -> None:
    assert pam(numpy.array([[1, 2]], numpy.uint8)) == (
        b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n\1\2"
    )
    assert pam(numpy.array([[1, -2]], numpy.int16)).endswith(b"MAXVAL 65535\nTUPLTYPE GRAYSCALE\nENDHDR\n\0\1\xff\xfe")
    assert b"DEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\n" in pam(numpy.zeros((1, 1, 3), numpy.uint8))


def test_matlab_gets_rows_of_stored_values() -> None:
    assert (
        matlab(Pixels(numpy.array([[1, -2], [3, 4]], numpy.int16), "MONOCHROME2", 16), None)
        == b"double([ 1 -2 ; 3 4 ])"
    )


def test_matlab_gets_colours_as_rgb() -> None:
    pixels = Pixels(numpy.array([[[1, 2, 3], [4, 5, 6]]], numpy.uint8), "RGB", 8)
    assert matlab(pixels, None) == b"double(permute(reshape([ 1 2 3 4 5 6 ], [ 3 1 2 ]), [ 3 2 1 ]))"
    palette = Palette(numpy.array([[9, 8, 7]], numpy.uint8), 0)
    assert b"[ 9 8 7 ]" in matlab(Pixels(numpy.zeros((1, 1), numpy.uint8), "PALETTE COLOR", 8), palette)


def test_numpy_samples_are_rescaled_or_stored_and_have_channels() -> None:
    samples = numpy.array([[1, 2]], numpy.uint16)
    pixels, description = Pixels(samples, "MONOCHROME2", 16), Grayscale(rescale_slope=2, rescale_intercept=-1)
    rescaled = numpy_samples(pixels, description, None, True)
    assert rescaled.dtype == numpy.float32
    assert rescaled.tolist() == [[[1], [3]]]
    stored = numpy_samples(pixels, description, None, False)
    assert stored.dtype == numpy.uint16
    assert stored.tolist() == [[[1], [2]]]


def test_numpy_samples_of_colours_are_rgb() -> None:
    deep = Pixels(numpy.full((1, 1, 3), 0x1234, numpy.uint16), "RGB", 16)
    assert numpy_samples(deep, Grayscale(), None, True).tolist() == [[[0x1234] * 3]]
    ybr = Pixels(numpy.array([[[81, 90, 240]]], numpy.uint8), "YBR_FULL", 8)
    assert numpy_samples(ybr, Grayscale(), None, True).dtype == numpy.uint8
    palette = Palette(numpy.array([[9, 8, 7]], numpy.uint8), 0)
    indexed = Pixels(numpy.zeros((1, 1), numpy.uint8), "PALETTE COLOR", 8)
    assert numpy_samples(indexed, Grayscale(), palette, True).tolist() == [[[9, 8, 7]]]


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "f4", "f8", ">u2"])
def test_npy_is_read_by_numpy(kind: str) -> None:
    samples = numpy.arange(24).astype(kind).reshape(2, 3, 4)
    back = numpy.load(io.BytesIO(npy(samples)), allow_pickle=False)
    assert back.shape == samples.shape
    assert numpy.array_equal(back, samples)


def test_npy_of_frames_is_read_by_numpy_and_packed() -> None:
    frames = [landscape(3, 4, 12)[..., None] + number for number in range(5)]
    data = b"".join(npy_of_frames(iter(frames), len(frames)))
    assert numpy.array_equal(numpy.load(io.BytesIO(data)), numpy.stack(frames))
    packed = numpy.load(io.BytesIO(npz(npy_of_frames(frames, len(frames)))))
    assert packed.files == ["arr_0"]
    assert numpy.array_equal(packed["arr_0"], numpy.stack(frames))


def test_frames_of_different_sizes_or_kinds_make_no_array() -> None:
    first = numpy.zeros((3, 4, 1), numpy.uint8)
    with pytest.raises(IncompatibleImageSize):
        list(npy_of_frames([first, numpy.zeros((4, 3, 1), numpy.uint8)], 2))
    for other in (first.astype(numpy.uint16), numpy.zeros((3, 4, 3), numpy.uint8)):
        with pytest.raises(IncompatibleImageFormat):
            list(npy_of_frames([first, other], 2))
    with pytest.raises(IncompatibleImageFormat):
        list(npy_of_frames([], 0))
