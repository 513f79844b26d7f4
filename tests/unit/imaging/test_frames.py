"""Finding frames: native arithmetic, offset tables, fragments in every layout, and claims that are not true."""

from __future__ import annotations

import struct
from typing import Any

import numpy
import pytest

from amonsul.dicom.content import lookup
from amonsul.dicom.elements import Bulk
from amonsul.errors import AmonsulError, BadFileFormat, BadRequest, ParameterOutOfRange
from amonsul.imaging.frames import frame_count

from .builders import BIG_ENDIAN, DEFLATED, frames_of, image, item, landscape, packaged, scanned

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
SMALL = numpy.zeros((2, 2), numpy.uint8)
FIRST = b"\xff\xd8\xff\xc0first!\xff\xd9"
SECOND = b"\xff\xd8\xff\xc0second!\xff\xd9\0"
THIRD = b"\xff\xd8\xff\xc03\xff\xd9\0"


def encapsulated(pixel_data: bytes, frames: int, syntax: str = JPEG, **attributes: Any) -> bytes:
    return image(SMALL, syntax, NumberOfFrames=frames, PixelData=pixel_data, **attributes)


def all_frames(data: bytes) -> list[bytes]:
    frames = frames_of(data)
    return [bytes(frames.frame_bytes(frame)) for frame in range(frames.count)]


# --- native


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (3, 3, 5), (2, 3, 5, 3)])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4"])
def test_native_frames_follow_each_other(shape: tuple[int, ...], kind: str) -> None:
    samples = numpy.arange(int(numpy.prod(shape)), dtype=kind).reshape(shape)
    per_frame = samples if len(shape) - (shape[-1] == 3) == 3 else samples[None]
    assert all_frames(image(samples)) == [frame.tobytes() for frame in per_frame]


def test_a_native_frame_is_a_view_on_the_file() -> None:
    assert isinstance(frames_of(image(landscape(4, 4, 12))).frame_bytes(0), memoryview)


def test_frames_of_single_bits_are_shifted_to_a_byte_boundary() -> None:
    bits = numpy.random.default_rng(0).integers(0, 2, (3, 5, 7), dtype=numpy.uint8)
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    data = image(bits, PixelData=packed, BitsAllocated=1, BitsStored=1, HighBit=0)
    expected = [numpy.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in bits]
    assert all_frames(data) == expected


def test_bytes_in_big_endian_words_come_in_the_order_of_the_samples() -> None:
    samples = numpy.arange(27, dtype=numpy.uint8).reshape(3, 3, 3)
    swapped = numpy.frombuffer(samples.tobytes() + b"\0", ">u2").astype("<u2").tobytes()
    assert all_frames(image(samples, BIG_ENDIAN, "OW", PixelData=swapped)) == [samples.tobytes()]
    frames = numpy.arange(30, dtype=numpy.uint8).reshape(2, 3, 5)
    swapped = numpy.frombuffer(frames.tobytes(), ">u2").astype("<u2").tobytes()
    assert all_frames(image(frames, BIG_ENDIAN, "OW", PixelData=swapped)) == [frames[0].tobytes(), frames[1].tobytes()]


def test_a_deflated_file_has_its_frames_too() -> None:
    samples = landscape(6, 5, 12)
    assert all_frames(image(samples, DEFLATED)) == [samples.tobytes()]


def test_shared_chrominance_takes_two_bytes_per_pixel() -> None:
    samples = numpy.zeros((2, 4, 3), numpy.uint8)
    data = image(samples, PhotometricInterpretation="YBR_FULL_422", PixelData=bytes(range(16)))
    assert all_frames(data) == [bytes(range(16))]


def test_shared_chrominance_that_is_not_shared_is_noticed() -> None:
    samples = numpy.arange(24, dtype=numpy.uint8).reshape(2, 4, 3)
    frames = frames_of(image(samples, PhotometricInterpretation="YBR_FULL_422"))
    assert frames.format.photometric_interpretation == "YBR_FULL"
    assert bytes(frames.frame_bytes(0)) == samples.tobytes()


def test_frames_are_counted_from_0_to_the_last() -> None:
    frames = frames_of(image(landscape(4, 4, 8)))
    for wrong in (-1, 1, 100):
        with pytest.raises(ParameterOutOfRange):
            frames.frame_bytes(wrong)


def test_an_instance_without_pixels_has_one_frame_that_cannot_be_had() -> None:
    data = image()
    assert frame_count(data, scanned(data)) == 1
    with pytest.raises(BadRequest):
        frames_of(data)


# --- encapsulated


def test_a_basic_offset_table_says_where_frames_begin() -> None:
    first, second = item(FIRST[:4]) + item(FIRST[4:]), item(SECOND)
    table = item(struct.pack("<2I", 0, len(first)))
    assert all_frames(encapsulated(table + first + second, 2)) == [FIRST, SECOND]


def test_an_extended_offset_table_says_where_frames_begin() -> None:
    first, second = item(FIRST), item(SECOND)
    data = encapsulated(
        item(b"") + first + second,
        2,
        ExtendedOffsetTable=struct.pack("<2Q", 0, len(first)),
        ExtendedOffsetTableLengths=struct.pack("<2Q", len(FIRST), len(SECOND) - 1),
    )
    assert all_frames(data) == [FIRST, SECOND]


@pytest.mark.parametrize(
    "table",
    [
        struct.pack("<2I", 0, 3),
        struct.pack("<2I", 4, 8),
        struct.pack("<2I", 0, 0),
        struct.pack("<2I", 0, 0xFFFFFFFF),
        struct.pack("<3I", 0, 1, 2),
        b"\0\0",
    ],
)
def test_an_offset_table_that_does_not_fit_is_passed_over(table: bytes) -> None:
    assert all_frames(encapsulated(item(table) + item(FIRST) + item(SECOND), 2)) == [FIRST, SECOND]


def test_one_frame_may_be_in_any_number_of_fragments() -> None:
    fragments = b"".join(item(bytes((byte, 0))) for byte in FIRST)
    assert all_frames(encapsulated(item(b"") + fragments, 1)) == [b"".join(bytes((byte, 0)) for byte in FIRST)]


@pytest.mark.parametrize("cut_first", range(4, 14, 2))
@pytest.mark.parametrize("cut_second", range(4, 12, 2))
def test_without_table_frames_are_told_apart_by_how_they_begin(cut_first: int, cut_second: int) -> None:
    fragments = (FIRST[:cut_first], FIRST[cut_first:], SECOND[:cut_second], SECOND[cut_second:], THIRD)
    pixel_data = item(b"") + b"".join(item(fragment) for fragment in fragments if fragment)
    assert all_frames(encapsulated(pixel_data, 3)) == [FIRST, SECOND, THIRD]


def test_without_table_frames_are_told_apart_by_how_they_end() -> None:
    # the first fragment of each frame is too short to be recognised
    fragments = (FIRST[:2], FIRST[2:], SECOND[:2], SECOND[2:])
    pixel_data = item(b"") + b"".join(map(item, fragments))
    assert all_frames(encapsulated(pixel_data, 2)) == [FIRST, SECOND]


def test_one_fragment_per_frame_needs_no_look_inside() -> None:
    assert all_frames(encapsulated(item(b"") + item(b"ab") + item(b"cd"), 2, RLE)) == [b"ab", b"cd"]


@pytest.mark.parametrize("padding", [b"", b"\0"], ids=["no padding", "padding that is not counted"])
def test_fragments_of_an_odd_length_are_read(padding: bytes) -> None:
    odd = [FIRST[:-3] + FIRST[-2:], SECOND[:-1]]
    data = encapsulated(item(b"") + b"".join(item(fragment) + padding for fragment in odd), 2)
    assert all_frames(data) == odd
    parts = [lookup(data, ["7fe0-0010", str(index)]) for index in (1, 2)]
    assert [bytes(part) for part in parts if isinstance(part, memoryview)] == odd


def test_fragments_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(BadFileFormat):
        _ = frames_of(encapsulated(item(b"") + item(b"ab") + item(b"cd") + item(b"ef"), 2)).count


def test_frames_behind_an_embedded_delimiter_are_not_looked_for() -> None:
    frames = frames_of(encapsulated(item(b"") + item(FIRST), 1))
    assert bytes(frames.frame_bytes(0)) == FIRST


def test_a_video_is_one_stream() -> None:
    data = encapsulated(item(b"") + item(b"\0\0\1\xb3") + item(b"more"), 250, "1.2.840.10008.1.2.4.102")
    frames = frames_of(data)
    assert frames.count == 1
    assert bytes(frames.frame_bytes(0)) == b"\0\0\1\xb3more"


def test_all_packaged_files_have_as_many_frames_as_they_say() -> None:
    for name in ("SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm", "rtdose.dcm", "examples_ybr_color.dcm"):
        frames = frames_of(packaged(name))
        assert frames.count == frames.format.number_of_frames > 1
        assert all(len(frames.frame_bytes(frame)) for frame in range(frames.count))


# --- claims that are not true


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 2147483647},
        {"NumberOfFrames": -1},
        {"HighBit": 8},
        {"HighBit": 200},
        {"BitsStored": 9},
        {"BitsStored": 0},
        {"BitsAllocated": 16},
        {"BitsAllocated": 12},
        {"BitsAllocated": 0},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 65535},
        {"SamplesPerPixel": 0},
        {"Rows": 0},
        {"PlanarConfiguration": 2},
        {"PixelData": b""},
    ],
)
def test_claims_beyond_the_bytes_present_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(AmonsulError) as refusal:
        _ = frames_of(image(landscape(4, 4, 8), **attributes)).count
    assert 400 <= refusal.value.http_status <= 501


def test_rows_as_a_long_number_are_refused() -> None:
    data = image(landscape(4, 4, 8))
    rows = b"\x28\x00\x10\x00US\x02\x00\x04\x00"
    assert rows in data
    with pytest.raises(BadFileFormat):
        frames_of(data.replace(rows, b"\x28\x00\x10\x00UL\x04\x00\xff\xff\xff\x7f"))


@pytest.mark.parametrize("syntax", [JPEG, JPEG_2000, RLE])
def test_more_frames_than_fragments_are_refused(syntax: str) -> None:
    for count in (3, 100, 2147483647):
        with pytest.raises(BadFileFormat):
            _ = frames_of(encapsulated(item(b"") + item(FIRST) + item(SECOND), count, syntax)).count


def test_a_value_outside_the_file_is_refused() -> None:
    frames = frames_of(image(landscape(4, 4, 8)))
    for bulk in (Bulk(-1, 2), Bulk(0, 1 << 40), Bulk(1 << 40, 2), Bulk(10, -1)):
        with pytest.raises(BadFileFormat):
            frames.data_of(bulk)
