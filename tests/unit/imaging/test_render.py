"""Pictures out of frames: stretched, windowed, resized, and the integer images."""

from __future__ import annotations

import numpy
import pytest

from amonsul.errors import AmonsulError, IncompatibleImageFormat, ParameterOutOfRange
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.grayscale import Grayscale, VoiLutFunction, Window
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.render import (
    MAX_PICTURE_PIXELS,
    Rendering,
    clipped_int16,
    clipped_uint8,
    clipped_uint16,
    fitted,
    in_viewport,
    preview,
    preview_frame,
    rendered,
    rendered_frame,
    stretched,
)

from .builders import frames_of, image, landscape, packaged

GREY = numpy.arange(48, dtype=numpy.uint8).reshape(6, 8) * 5


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_the_values_that_occur_are_stretched_to_the_full_range(kind: str) -> None:
    samples = numpy.linspace(-100 if kind[0] != "u" else 3, 120, 50).astype(kind).reshape(5, 10)
    grey = stretched(samples)
    low, high = float(samples.min()), float(samples.max())
    expected = (samples.astype(float) - low) * 255 / (high - low)
    assert numpy.abs(grey - expected).max() <= 0.5 + 1e-4
    assert (grey.min(), grey.max()) == (0, 255)


def test_the_whole_range_of_a_type_is_stretched() -> None:
    for kind in ("u2", "i2", "u4", "i4", "i8", "u8"):
        extremes = numpy.iinfo(kind)
        samples = numpy.array([[extremes.min, extremes.max]], kind)
        assert stretched(samples).tolist() == [[0, 255]]


def test_a_flat_image_is_black() -> None:
    assert stretched(numpy.full((2, 2), 7, numpy.uint16)).tolist() == [[0, 0], [0, 0]]


def test_values_that_are_no_numbers_do_not_matter() -> None:
    assert stretched(numpy.array([[0, 1, numpy.nan]], numpy.float32)).tolist() == [[0, 255, 0]]


def test_a_preview_of_monochrome1_is_inverted() -> None:
    assert numpy.array_equal(
        preview(Pixels(GREY, "MONOCHROME1", 8), None), 255 - preview(Pixels(GREY, "MONOCHROME2", 8), None)
    )


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
        "JPEG2000.dcm",
        "rtdose.dcm",
        "liver_1frame.dcm",
    ],
)
def test_packaged_images_are_previewed_and_rendered(name: str) -> None:
    frames = frames_of(packaged(name))
    for picture in (
        preview_frame(frames, 0, LocalCodecs()),
        rendered_frame(frames, 0, LocalCodecs(), Rendering(width=33, is_smooth=True)),
    ):
        assert picture.dtype == numpy.uint8
        assert picture.ndim in (2, 3)
        assert picture.min() < picture.max()


def test_the_window_asked_for_wins_and_what_it_lacks_comes_from_the_file() -> None:
    pixels = Pixels(landscape(8, 8, 12), "MONOCHROME2", 12)
    description = Grayscale(windows=(Window(2000, 1000, VoiLutFunction.SIGMOID),))

    def shown(rendering: Rendering) -> list[list[int]]:
        return rendered(pixels, description, None, rendering).tolist()  # type: ignore[no-any-return]  # of numpy

    def with_window(window: Window) -> list[list[int]]:
        return rendered(pixels, Grayscale(windows=(window,)), None, Rendering()).tolist()  # type: ignore[no-any-return]

    assert shown(Rendering()) == with_window(Window(2000, 1000, VoiLutFunction.SIGMOID))
    assert shown(Rendering(window_center=100)) == with_window(Window(100, 1000, VoiLutFunction.SIGMOID))
    assert shown(Rendering(window_width=10)) == with_window(Window(2000, 10, VoiLutFunction.SIGMOID))
    linear = Rendering(window_center=100, window_width=50, function=VoiLutFunction.LINEAR)
    assert shown(linear) == with_window(Window(100, 50))


@pytest.mark.parametrize(
    ("center", "width"), [(0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0), (float("inf"), 1.0), (0.0, 1e300)]
)
def test_nonsensical_windows_are_refused(center: float, width: float) -> None:
    with pytest.raises(ParameterOutOfRange):
        rendered(Pixels(GREY, "MONOCHROME2", 8), Grayscale(), None, Rendering(window_center=center, window_width=width))


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ((4, 0), (3, 4)),
        ((0, 12), (12, 16)),
        ((8, 4), (4, 5)),
        ((0, 0), (6, 8)),
        ((16, 100), (12, 16)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("is_smooth", [False, True])
def test_a_picture_fits_into_what_is_asked_for(asked: tuple[int, int], shape: tuple[int, int], is_smooth: bool) -> None:
    assert fitted(GREY, *asked, is_smooth).shape == shape
    colour = numpy.stack([GREY] * 3, axis=-1)
    assert fitted(colour, *asked, is_smooth).shape == (*shape, 3)


def test_the_nearest_pixel_is_the_one_below_the_middle() -> None:
    assert fitted(GREY, 4, 0, False).tolist() == GREY[1::2, 1::2].tolist()
    assert fitted(GREY, 16, 0, False)[::2, ::2].tolist() == GREY.tolist()


def test_smooth_pictures_are_interpolated() -> None:
    smooth = fitted(GREY, 4, 0, True)
    assert numpy.abs(smooth.astype(float) - GREY.reshape(3, 2, 4, 2).mean(axis=(1, 3))).max() < 12


@pytest.mark.parametrize("size", [70000, 1 << 40])
def test_pictures_too_large_are_refused(size: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        fitted(GREY, size, 0, False)
    with pytest.raises(ParameterOutOfRange):
        in_viewport(GREY, size, MAX_PICTURE_PIXELS)


def test_a_viewport_is_filled_and_the_rest_is_black() -> None:
    square = GREY[:6, :6] + 1
    shown = in_viewport(square, 12, 6)
    assert shown.shape == (6, 12)
    assert numpy.array_equal(shown[:, 3:9], square)
    assert not shown[:, :3].any()
    assert not shown[:, 9:].any()


def test_a_viewport_may_show_a_region() -> None:
    assert numpy.array_equal(in_viewport(GREY, 2, 2, (3, 1, 2, 2)), GREY[1:3, 3:5])
    for region in ((8, 0, 2, 2), (0, 0, 0, 5), (-5, 0, 3, 3)):
        with pytest.raises(ParameterOutOfRange):
            in_viewport(GREY, 2, 2, region)


@pytest.mark.parametrize(
    ("samples", "uint8", "uint16", "int16"),
    [
        (numpy.array([[-5, 0, 300]], numpy.int16), [0, 0, 255], [0, 0, 300], [-5, 0, 300]),
        (numpy.array([[0, 40000, 65535]], numpy.uint16), [0, 255, 255], [0, 40000, 65535], [0, 32767, 32767]),
        (numpy.array([[1 << 31, 70000, 5]], numpy.uint32), [255, 255, 5], [65535, 65535, 5], [32767, 32767, 5]),
        (numpy.array([[-1 << 31, 70000, 5]], numpy.int32), [0, 255, 5], [0, 65535, 5], [-32768, 32767, 5]),
        (numpy.array([[-1.6, 1e9, numpy.nan]], numpy.float32), [0, 255, 0], [0, 65535, 0], [-2, 32767, 0]),
        (numpy.array([[7, 255, 0]], numpy.uint8), [7, 255, 0], [7, 255, 0], [7, 255, 0]),
    ],
)
def test_integer_images_change_only_what_does_not_fit(
    samples: numpy.typing.NDArray[numpy.generic], uint8: list[int], uint16: list[int], int16: list[int]
) -> None:
    pixels = Pixels(samples, "MONOCHROME2", samples.dtype.itemsize * 8)
    assert clipped_uint8(pixels).tolist() == [uint8]
    assert clipped_uint16(pixels).tolist() == [uint16]
    assert clipped_int16(pixels).tolist() == [int16]
    assert clipped_int16(pixels).dtype == numpy.int16


def test_colours_have_no_integer_image() -> None:
    for pixels in (Pixels(numpy.zeros((2, 2, 3), numpy.uint8), "RGB", 8), Pixels(GREY, "PALETTE COLOR", 8)):
        with pytest.raises(IncompatibleImageFormat):
            clipped_uint8(pixels)


def test_a_frame_that_is_not_there_is_not_rendered() -> None:
    frames = frames_of(image(GREY))
    with pytest.raises(AmonsulError):
        preview_frame(frames, 1, LocalCodecs())
