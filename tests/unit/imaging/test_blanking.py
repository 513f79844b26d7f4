"""Parts of pixels are blanked, all else of a file stays."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from amonsul.dicom.pixel_cleaning import PixelCleaning, Region
from amonsul.errors import InternalError
from amonsul.imaging.blanking import blank
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames

from .builders import BIG_ENDIAN, EXPLICIT, IMPLICIT, image, scanned

Array = NDArray[Any]


def blanked(data: bytes, *regions: Region, keep: tuple[Region, ...] | None = None) -> bytes:
    sink = BytesIO()
    blank(memoryview(data), scanned(data), PixelCleaning(regions, keep), sink)
    assert len(sink.getvalue()) == len(data)
    return sink.getvalue()


def frames_of(data: bytes) -> list[Array]:
    frames = Frames(data, scanned(data))
    return [decode_frame(frames, number, LocalCodecs()).samples for number in range(frames.count)]


@given(
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(4, 8),
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7), st.integers(0, 7)),
    st.booleans(),
    st.sampled_from([EXPLICIT, IMPLICIT]),
)
def test_what_is_in_a_region_goes_and_the_rest_stays(
    kind: str, count: int, rows: int, columns: int, region: tuple[int, int, int, int], outside: bool, syntax: str
) -> None:
    samples = numpy.arange(1, count * rows * columns + 1).reshape(count, rows, columns).astype(kind)
    x, y, width, height = region
    inside = numpy.zeros((rows, columns), bool)
    inside[y : y + height, x : x + width] = True
    data = image(samples, syntax)
    result = blanked(data, keep=(Region(*region),)) if outside else blanked(data, Region(*region))
    for before, after in zip(samples, frames_of(result), strict=True):
        gone = ~inside if outside else inside
        assert (after[~gone] == before[~gone]).all()
        assert (after[gone] == before.min()).all()
    assert result[: len(data) - samples.nbytes - 1] == data[: len(data) - samples.nbytes - 1]


@pytest.mark.parametrize("planar_configuration", [0, 1])
def test_colours_become_black(planar_configuration: int) -> None:
    samples = numpy.full((2, 4, 4, 3), 200, "u1")
    data = image(samples, PlanarConfiguration=planar_configuration)
    for frame in frames_of(blanked(data, Region(1, 0, 2, 1))):
        assert (frame[0, 1:3] == 0).all()
        assert frame.sum() == (16 - 2) * 3 * 200


def test_the_black_of_monochrome1_is_its_largest_sample() -> None:
    data = image(numpy.array([[1, 2], [3, 4]], "u2"), PhotometricInterpretation="MONOCHROME1")
    assert frames_of(blanked(data, Region(0, 0, 1, 1)))[0].tolist() == [[4, 2], [3, 4]]


def test_the_black_of_luminance_and_chrominance_has_no_colour() -> None:
    data = image(numpy.full((2, 2, 3), 90, "u1"), PhotometricInterpretation="YBR_FULL")
    result = blanked(data, Region(0, 0, 2, 2))
    assert bytes(Frames(result, scanned(result)).frame_bytes(0)) == bytes((0, 128, 128)) * 4


def test_pixels_that_share_their_chrominance_go_together() -> None:
    pairs = bytes((1, 2, 3, 4)) * 4  # two rows of four pixels
    data = image(
        Rows=2,
        Columns=4,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        PixelData=pairs,
    )
    result = blanked(data, Region(1, 0, 1, 1))
    assert result.endswith(bytes((0, 0, 128, 128)) + bytes((1, 2, 3, 4)) * 3)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_bits_of_frames_that_share_bytes(count: int) -> None:
    bits = numpy.ones((count, 3, 3), "u1")
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    data = image(
        Rows=3,
        Columns=3,
        NumberOfFrames=count,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        PixelData=packed + b"\0" * (len(packed) % 2),
    )
    for frame in frames_of(blanked(data, Region(0, 1, 3, 1))):
        assert frame.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(("kind", "sample"), [("u2", 0x0ABC), ("i2", -5)])
def test_no_bits_hide_beside_the_pixels(kind: str, sample: int) -> None:
    """Overlays of old lie in the bits that pixels leave (PS3.5 §8.1.1)."""
    hidden = numpy.array([[sample & 0x0FFF | 0xF000] * 2] * 2, "u2")
    data = image(hidden.astype(kind), BitsStored=12, HighBit=11)
    stored = numpy.frombuffer(blanked(data)[-8:], f"<{kind}")
    assert stored.tolist() == [sample] * 4


def test_bytes_behind_the_last_frame_become_zero() -> None:
    data = image(numpy.ones((2, 2), "u1"), PixelData=b"\1\1\1\1secret")
    assert blanked(data).endswith(b"\1\1\1\1\0\0\0\0\0\0")


def test_other_files_are_for_whoever_transcodes() -> None:
    with pytest.raises(InternalError):
        blanked(image(numpy.ones((2, 2), "u2"), BIG_ENDIAN))
