"""Headers of compressed frames, whole and broken."""

from __future__ import annotations

import struct

import pytest

from amonsul.errors import BadFileFormat
from amonsul.imaging import encoders
from amonsul.imaging.codestream import jpeg2000_header, jpeg_header
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import HTJ2K, JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE, JPEG_LS_LOSSLESS

from .builders import landscape

GREY = Pixels(landscape(20, 30, 8), "MONOCHROME2", 8)
COLOUR = Pixels(landscape(20, 30, 8, samples_per_pixel=3), "RGB", 8)
SOI = b"\xff\xd8"
SOF = b"\xff\xc1\x00\x11\x0c\x00\x10\x00\x20\x03\x52\x11\x00\x47\x11\x00\x42\x11\x00"
ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


def test_a_jpeg_header_says_size_precision_and_components() -> None:
    header = jpeg_header(encoders.encode(JPEG_BASELINE, GREY, 90))
    assert (header.process, header.precision, header.rows, header.columns) == (0xC0, 8, 20, 30)
    assert header.component_ids == (1,)
    header = jpeg_header(encoders.encode(JPEG_LS_LOSSLESS, COLOUR, 90))
    assert (header.process, header.rows, header.columns, len(header.component_ids)) == (0xF7, 20, 30, 3)


@pytest.mark.parametrize(
    ("segments", "is_rgb"),
    [
        (b"", True),
        (ADOBE + b"\x00", True),
        (ADOBE + b"\x01", False),
        (b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00", False),
        (b"\xff\xfe\x00\x04hi" + ADOBE + b"\x01", False),
        (b"\xff\xff\xff\xfe\x00\x04hi", True),
        (b"\xff\xc4\x00\x05\x00\x00\x00", True),
    ],
)
def test_a_jpeg_header_says_its_colours(segments: bytes, is_rgb: bool) -> None:
    header = jpeg_header(SOI + segments + SOF)
    assert header.is_rgb is is_rgb
    assert (header.process, header.precision, header.rows, header.columns) == (0xC1, 12, 16, 32)


def test_numbered_components_do_not_say_their_colours() -> None:
    assert jpeg_header(SOI + SOF.replace(b"\x52", b"\1").replace(b"\x47", b"\2").replace(b"\x42", b"\3")).is_rgb is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        SOI,
        b"\x00\x00",
        SOI + SOF[:10],
        SOI + b"\xff\xda\x00\x02" + SOF,
        SOI + b"\x00\x01\x02\x03\x04",
        SOI + b"\xff\xe1\xff\xff" + SOF,
        SOI + b"\xff\xe1\x00\x00" * 2000,
        SOI + b"\xff" * 5000,
    ],
)
def test_a_jpeg_frame_without_header_is_refused(frame: bytes) -> None:
    with pytest.raises(BadFileFormat):
        jpeg_header(frame)


def test_a_jpeg_2000_header_says_what_the_decoder_will_do() -> None:
    header = jpeg2000_header(encoders.encode(JPEG_2000_LOSSLESS, COLOUR, 90))
    assert (header.rows, header.columns, header.components, header.precision) == (20, 30, 3, 8)
    assert (header.start, header.is_signed, header.has_component_transform, header.is_reversible) == (
        0,
        False,
        True,
        True,
    )
    header = jpeg2000_header(encoders.encode(JPEG_2000, GREY, 90))
    assert (header.has_component_transform, header.is_reversible) == (False, False)
    signed = Pixels(landscape(20, 30, 12, is_signed=True), "MONOCHROME2", 12)
    header = jpeg2000_header(encoders.encode(HTJ2K, signed, 90))
    assert (header.is_signed, header.precision, header.is_reversible) == (True, 12, False)


@pytest.mark.parametrize("is_long", [False, True])
def test_the_boxes_of_a_jp2_file_are_skipped(is_long: bool) -> None:
    codestream = encoders.encode(JPEG_2000_LOSSLESS, GREY, 90)
    box = (
        struct.pack(">I4sQ", 1, b"jp2c", 16 + len(codestream))
        if is_long
        else struct.pack(">I4s", 8 + len(codestream), b"jp2c")
    )
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s4s", 12, b"free", b"....") + box
    header = jpeg2000_header(boxes + codestream)
    assert header.start == len(boxes)
    assert (header.rows, header.columns) == (20, 30)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\x4f\xff\x51",
        b"\xff\x4f\xff\x51\x00\x29" + bytes(39),
        b"\xff\x4f\xff\x51\x00\x29" + bytes(39) + b"\xff\x64\x00\x00" * 2000,
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 8, b"free") * 200,
    ],
)
def test_a_jpeg_2000_frame_without_header_is_refused(frame: bytes) -> None:
    with pytest.raises(BadFileFormat):
        jpeg2000_header(frame)
