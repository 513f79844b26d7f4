"""Whatever an encoder writes, decoders read: exactly if nothing may be lost, closely otherwise."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy
import pytest
from pydicom.pixels.decoders.rle import _rle_decode_frame

from amonsul.errors import BadFileFormat, NotImplementedHere
from amonsul.imaging import codestream, decoders, encoders
from amonsul.imaging.decode import native
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    RLE_LOSSLESS,
    WRITABLE,
    check_writable,
)

from .builders import Array, image, item, landscape, through

LOSSLESS = [syntax for syntax, writable in WRITABLE.items() if not writable.is_lossy]
LOSSY = [syntax for syntax, writable in WRITABLE.items() if writable.is_lossy]
SIZES = [(1, 1), (3, 3), (1, 40), (40, 1), (33, 64), (64, 65)]
# bits stored, bits allocated
DEPTHS = [(1, 1), (1, 8), (7, 8), (8, 8), (8, 16), (9, 16), (10, 16), (12, 16), (15, 16), (16, 16), (32, 32)]


def pixels_of(size: tuple[int, int], depth: tuple[int, int], is_signed: bool, count: int) -> Pixels:
    bits, allocated = depth
    samples = landscape(*size, bits, is_signed, count).astype(f"{'i' if is_signed else 'u'}{max(1, allocated // 8)}")
    return Pixels(samples, "RGB" if count == 3 else "MONOCHROME2", bits, allocated == 1)


def back(syntax: str, frame: bytes, pixels: Pixels) -> Pixels:
    samples = pixels.samples
    pixel_format = PixelFormat(
        rows=samples.shape[0],
        columns=samples.shape[1],
        samples_per_pixel=3 if samples.ndim == 3 else 1,
        photometric_interpretation=WRITABLE[syntax].stored_as(pixels.photometric_interpretation),
        bits_allocated=1 if pixels.is_packed else samples.dtype.itemsize * 8,
        bits_stored=pixels.bits,
        high_bit=pixels.bits - 1,
        is_signed=samples.dtype.kind == "i",
    )
    if syntax == DEFLATED_IMAGE_FRAME:
        return native(zlib.decompress(frame, -15), pixel_format, False)
    return decoders.decode(syntax, frame, pixel_format)


def writable_cases(syntaxes: list[str]) -> list[tuple[str, tuple[int, int], bool, int]]:
    cases = []
    for syntax in syntaxes:
        for depth in DEPTHS:
            for is_signed in (False, True):
                for count in (1, 3):
                    if depth[0] == 1 and (is_signed or (depth[1] == 1 and count == 3)):
                        continue
                    try:
                        check_writable(syntax, "RGB" if count == 3 else "MONOCHROME2", depth[1], depth[0], is_signed)
                    except NotImplementedHere:
                        continue
                    cases.append((syntax, depth, is_signed, count))
    return cases


@pytest.mark.parametrize(("syntax", "depth", "is_signed", "count"), writable_cases(LOSSLESS))
def test_lossless_frames_come_back_exactly(syntax: str, depth: tuple[int, int], is_signed: bool, count: int) -> None:
    for size in SIZES:
        pixels = pixels_of(size, depth, is_signed, count)
        found = back(syntax, encoders.encode(syntax, pixels, 90), pixels)
        assert numpy.array_equal(found.samples, pixels.samples), size
        assert found.samples.dtype == pixels.samples.dtype
        assert found.photometric_interpretation == pixels.photometric_interpretation


@pytest.mark.parametrize(("syntax", "depth", "is_signed", "count"), writable_cases(LOSSY))
def test_lossy_frames_come_back_closely(syntax: str, depth: tuple[int, int], is_signed: bool, count: int) -> None:
    for size in SIZES:
        pixels = pixels_of(size, depth, is_signed, count)
        if syntax == JPEG_LS_NEAR_LOSSLESS and is_signed:
            pixels = Pixels(pixels.samples // 2, pixels.photometric_interpretation, pixels.bits)
        found = back(syntax, encoders.encode(syntax, pixels, 90), pixels)
        errors = numpy.abs(found.samples.astype(numpy.int64) - pixels.samples)
        assert errors.mean() <= max(1.5, (1 << pixels.bits) / 20), size
        assert found.samples.dtype == pixels.samples.dtype
        assert found.photometric_interpretation == pixels.photometric_interpretation


@pytest.mark.parametrize(
    "syntax",
    [
        syntax
        for syntax, writable in WRITABLE.items()
        if "YBR_FULL" in writable.takes and writable.stored_as("YBR_FULL") == "YBR_FULL"
    ],
)
def test_luminance_and_chrominance_stay_what_they_are(syntax: str) -> None:
    pixels = Pixels(landscape(20, 30, 8, samples_per_pixel=3), "YBR_FULL", 8)
    found = back(syntax, encoders.encode(syntax, pixels, 90), pixels)
    assert found.photometric_interpretation == "YBR_FULL"
    assert numpy.abs(found.samples.astype(int) - pixels.samples).max() <= (8 if WRITABLE[syntax].is_lossy else 0)


@pytest.mark.parametrize("syntax", [JPEG_2000, HTJ2K, JPEG_BASELINE, JPEG_EXTENDED])
def test_more_quality_takes_more_bytes_and_loses_less(syntax: str) -> None:
    pixels = Pixels(landscape(64, 64, 8), "MONOCHROME2", 8)
    frames = [encoders.encode(syntax, pixels, quality) for quality in (10, 50, 90)]
    losses = [numpy.abs(back(syntax, frame, pixels).samples.astype(int) - pixels.samples).mean() for frame in frames]
    assert [len(frame) for frame in frames] == sorted(len(frame) for frame in frames)
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("syntax", [JPEG_2000, HTJ2K])
def test_what_is_lost_is_little_of_the_values_that_occur(syntax: str, is_signed: bool) -> None:
    samples = landscape(64, 64, 11).astype(numpy.int16 if is_signed else numpy.uint16)
    pixels = Pixels(samples, "MONOCHROME2", 16)  # of 65536 values that there may be
    losses = back(syntax, encoders.encode(syntax, pixels, 90), pixels).samples.astype(int) - samples
    assert numpy.sqrt(numpy.square(losses).mean()) < 2048 / 500


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", [JPEG_2000, HTJ2K])
def test_an_image_of_one_value_comes_back(syntax: str, bits: int) -> None:
    pixels = Pixels(numpy.full((40, 30), 77, numpy.uint8 if bits == 8 else numpy.uint16), "MONOCHROME2", bits)
    found = back(syntax, encoders.encode(syntax, pixels, 100), pixels)
    assert numpy.abs(found.samples.astype(int) - 77).max() <= 1


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("syntax", [HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K])
def test_htj2k_says_bits_stored_and_another_decoder_agrees(syntax: str, is_signed: bool, bits: int) -> None:
    pixels = pixels_of((65, 70), (bits, 8 if bits <= 8 else 16), is_signed, 1)
    frame = encoders.encode(syntax, pixels, 90)
    header = codestream.jpeg2000_header(frame)
    assert header.is_signed == is_signed
    assert header.precision == (bits if syntax != HTJ2K else 8 if bits <= 8 else max(bits, 10))
    if syntax != HTJ2K:
        assert numpy.array_equal(imagecodecs.htj2k_decode(frame), pixels.samples)


def test_the_progression_of_htj2k_is_by_resolution() -> None:
    frame = encoders.encode(HTJ2K_LOSSLESS_RPCL, Pixels(landscape(200, 200, 12), "MONOCHROME2", 12), 90)
    coding_style = frame.index(b"\xff\x52")
    assert frame[coding_style + 5] == 2  # RPCL (ITU-T T.800 Table A.16)
    assert b"\xff\x55" in frame[:200]  # a TLM segment


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LOSSLESS_SV1])
def test_lossless_jpeg_is_what_its_transfer_syntax_says(syntax: str) -> None:
    for count in (1, 3):
        frame = encoders.encode(syntax, pixels_of((20, 20), (12, 16), False, count), 90)
        header = codestream.jpeg_header(frame)
        assert (header.process, header.precision) == (0xC3, 12)
        scan = frame.index(b"\xff\xda")
        assert frame[scan + 5 + 2 * count] == (1 if syntax == JPEG_LOSSLESS_SV1 else 6)  # selection value


def test_lossy_jpeg_shares_chrominance_between_two_pixels() -> None:
    frame = encoders.encode(JPEG_BASELINE, pixels_of((20, 20), (8, 8), False, 3), 90)
    header = codestream.jpeg_header(frame)
    assert (header.process, header.is_rgb, header.component_ids) == (0xC0, False, (1, 2, 3))
    start = frame.index(b"\xff\xc0")
    assert frame[start + 11] == 0x21  # sampling factors of luminance


@pytest.mark.parametrize("size", [(3, 3), (100, 100)])
def test_jpeg_ls_has_no_file_header_and_the_right_precision(size: tuple[int, int]) -> None:
    frame = encoders.encode(JPEG_LS_LOSSLESS, pixels_of(size, (8, 8), False, 1), 90)
    assert frame[:4] == b"\xff\xd8\xff\xf7"
    assert codestream.jpeg_header(frame).precision == 8


def test_near_lossless_does_not_turn_signs() -> None:
    samples = landscape(20, 20, 12, is_signed=True)
    samples[3, 3] = 2047
    with pytest.raises(NotImplementedHere):
        encoders.encode(JPEG_LS_NEAR_LOSSLESS, Pixels(samples, "MONOCHROME2", 12), 90)
    pixels = Pixels(numpy.clip(samples, -2046, 2045), "MONOCHROME2", 12)
    found = back(JPEG_LS_NEAR_LOSSLESS, encoders.encode(JPEG_LS_NEAR_LOSSLESS, pixels, 90), pixels)
    assert numpy.abs(found.samples.astype(int) - pixels.samples).max() <= 2


@pytest.mark.parametrize("depth", [(8, 8), (12, 16), (32, 32)])
@pytest.mark.parametrize("count", [1, 3])
def test_pydicom_reads_rle(depth: tuple[int, int], count: int) -> None:
    pixels = pixels_of((9, 13), depth, False, count)
    frame = encoders.encode(RLE_LOSSLESS, pixels, 90)
    theirs = _rle_decode_frame(frame, 9, 13, count, depth[1], ">")
    planes = numpy.frombuffer(theirs, pixels.samples.dtype).reshape(count, 9, 13)
    assert numpy.array_equal(planes.transpose(1, 2, 0).reshape(pixels.samples.shape), pixels.samples)
    assert len(frame) % 2 == 0


def test_rows_of_rle_are_encoded_each_for_itself() -> None:
    samples = numpy.zeros((4, 10), numpy.uint8)
    frame = encoders.encode(RLE_LOSSLESS, Pixels(samples, "MONOCHROME2", 8), 90)
    assert frame[64:] == bytes((0xF7, 0)) * 4  # PS3.5 §G.3.1


@pytest.mark.parametrize(
    ("syntax", "program", "depths"),
    [
        (JPEG_BASELINE, "dcmdjpeg", [(8, 8)]),
        (JPEG_EXTENDED, "dcmdjpeg", [(8, 8), (12, 16)]),
        (JPEG_LOSSLESS, "dcmdjpeg", [(8, 8), (12, 16), (16, 16)]),
        (JPEG_LOSSLESS_SV1, "dcmdjpeg", [(8, 8), (12, 16), (16, 16)]),
        (JPEG_LS_LOSSLESS, "dcmdjpls", [(8, 8), (12, 16), (16, 16)]),
        (JPEG_LS_NEAR_LOSSLESS, "dcmdjpls", [(8, 8), (12, 16), (16, 16)]),
        (RLE_LOSSLESS, "dcmdrle", [(8, 8), (12, 16), (16, 16)]),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_dcmtk_reads_what_we_do(
    syntax: str, program: str, depths: list[tuple[int, int]], count: int, tmp_path: Path
) -> None:
    for depth in depths:
        for is_signed in (False, True) if WRITABLE[syntax].takes_signed and count == 1 else (False,):
            if count == 3 and depth != (8, 8):
                continue
            pixels = pixels_of((30, 41), depth, is_signed, count)
            if is_signed and syntax == JPEG_LS_NEAR_LOSSLESS:
                pixels = Pixels(pixels.samples // 2, pixels.photometric_interpretation, pixels.bits)
            frame = encoders.encode(syntax, pixels, 90)
            ours = back(syntax, frame, pixels).samples
            theirs = decompressed(syntax, frame, pixels, program, tmp_path)
            assert numpy.array_equal(ours, theirs), (depth, is_signed)


def decompressed(syntax: str, frame: bytes, pixels: Pixels, program: str, folder: Path) -> Array:
    from pydicom import dcmread

    data = image(
        pixels.samples,
        syntax,
        PixelData=item(b"") + item(frame + b"\0" * (len(frame) % 2)),
        BitsStored=pixels.bits,
        HighBit=pixels.bits - 1,
        PhotometricInterpretation=WRITABLE[syntax].stored_as(pixels.photometric_interpretation),
    )
    samples: Array = dcmread(BytesIO(through(program, data, folder))).pixel_array
    if pixels.samples.dtype.kind == "i":
        unused = samples.dtype.itemsize * 8 - pixels.bits
        samples = (samples << unused) >> unused
    return samples


def test_what_cannot_be_written_is_said() -> None:
    for arguments in (
        (JPEG_BASELINE, "MONOCHROME2", 16, 12, False),
        (JPEG_BASELINE, "MONOCHROME2", 8, 8, True),
        (JPEG_BASELINE, "PALETTE COLOR", 8, 8, False),
        (JPEG_EXTENDED, "MONOCHROME2", 16, 16, False),
        (JPEG_LOSSLESS, "MONOCHROME2", 32, 32, False),
        (JPEG_LOSSLESS, "MONOCHROME2", 1, 1, False),
        (JPEG_2000, "PALETTE COLOR", 8, 8, False),
        ("1.2.840.10008.1.2.4.100", "MONOCHROME2", 8, 8, False),
    ):
        with pytest.raises(NotImplementedHere):
            check_writable(*arguments)
    with pytest.raises(NotImplementedHere):
        encoders.encode("1.2.3", pixels_of((3, 3), (8, 8), False, 1), 90)


def test_a_codec_that_refuses_is_no_internal_error() -> None:
    with pytest.raises(BadFileFormat):
        encoders.encode(JPEG_BASELINE, Pixels(numpy.zeros((2, 2), numpy.float32), "MONOCHROME2", 8), 90)
