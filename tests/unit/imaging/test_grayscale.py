"""Windows and lookup tables by the formulas of the Standard, and where a file says them."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import UID

from amonsul.errors import BadFileFormat
from amonsul.imaging.decode import native
from amonsul.imaging.grayscale import Grayscale, LookupTable, VoiLutFunction, Window, display, grayscale
from amonsul.imaging.pixels import Pixels

from .builders import EXPLICIT, Array, frames_of, image, landscape

VALUES = numpy.arange(-2000, 2000, dtype=numpy.int16)


def by_the_standard(x: float, c: float, w: float, function: VoiLutFunction) -> float:
    """PS3.3 §C.11.2.1.2.1, §C.11.2.1.3.1 and §C.11.2.1.3.2, with y from 0 to 255."""
    if function is VoiLutFunction.SIGMOID:
        return 255 / (1 + math.exp(min(80, -4 * (x - c) / w)))
    if function is VoiLutFunction.LINEAR:
        if x <= c - 0.5 - (w - 1) / 2:
            return 0
        if x > c - 0.5 + (w - 1) / 2:
            return 255
        return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255
    if x <= c - w / 2:
        return 0
    if x > c + w / 2:
        return 255
    return ((x - c) / w + 0.5) * 255


@pytest.mark.parametrize("function", list(VoiLutFunction))
@pytest.mark.parametrize(("center", "width"), [(40, 400), (0.5, 1), (2048, 4096), (-600.5, 1500.25), (0, 100), (10, 2)])
def test_a_window_follows_the_formula_of_the_standard(center: float, width: float, function: VoiLutFunction) -> None:
    shown = Window(center, width, function).apply(VALUES)
    expected = [by_the_standard(float(value), center, width, function) for value in VALUES]
    assert numpy.abs(shown - expected).max() < 0.01


@pytest.mark.parametrize("function", list(VoiLutFunction))
def test_a_window_equals_that_of_pydicom(function: VoiLutFunction) -> None:
    data_set = Dataset()
    data_set.PhotometricInterpretation, data_set.BitsStored, data_set.PixelRepresentation = "MONOCHROME2", 8, 0
    data_set.WindowCenter, data_set.WindowWidth, data_set.VOILUTFunction = 100, 77, function.value
    values = numpy.arange(256, dtype=numpy.uint8)
    assert numpy.abs(Window(100, 77, function).apply(values) - apply_windowing(values, data_set)).max() < 0.01


def test_a_window_of_width_1_is_a_threshold() -> None:
    shown = Window(10, 1).apply(numpy.array([8, 9, 10, 11]))
    assert shown.tolist() == [0, 0, 255, 255]


def explicit() -> Dataset:
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    return data_set


def luts(first_mapped: int, entries: list[int], bits: int, **more: Any) -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "SS" if first_mapped < 0 else "US", [len(entries) % 65536, first_mapped, bits])
    item.add_new(0x00283006, "OW", numpy.array(entries, "<u2").tobytes())
    for name, value in more.items():
        setattr(item, name, value)
    return Sequence([item])


def described(samples: Array, **attributes: Any) -> Grayscale:
    return grayscale(frames_of(image(samples, **attributes)), 0)


def test_rescale_gives_modality_values_as_floats() -> None:
    samples = landscape(4, 5, 12)
    description = described(samples, RescaleSlope="2", RescaleIntercept="-1024")
    values = description.modality_values(samples)
    assert values.dtype == numpy.float32
    assert numpy.array_equal(values, samples * 2.0 - 1024)


def test_a_modality_lut_is_used_instead_of_slope_and_intercept() -> None:
    samples = numpy.arange(20, dtype=numpy.uint8).reshape(4, 5)
    sequence = luts(3, [100, 90, 80, 70], 16)
    description = described(samples, ModalityLUTSequence=sequence, RescaleSlope="7")
    assert description.modality_values(samples)[0].tolist() == [100, 100, 100, 100, 90]
    assert description.modality_values(samples)[3].tolist() == [70] * 5
    data_set = explicit()
    data_set.ModalityLUTSequence = sequence
    assert numpy.array_equal(description.modality_values(samples), apply_modality_lut(samples, data_set))


def test_a_voi_lut_is_used_without_window_and_equals_pydicoms() -> None:
    samples = numpy.arange(64, dtype=numpy.uint8).reshape(8, 8)
    sequence = luts(10, [value * value for value in range(40)], 12)
    description = described(samples, VOILUTSequence=sequence)
    data_set = explicit()
    data_set.VOILUTSequence = sequence
    data_set.BitsStored, data_set.PixelRepresentation = 8, 0
    expected = numpy.clip(apply_voi_lut(samples, data_set) * (255 / 4095) + 0.5, 0, 255).astype(numpy.uint8)
    assert numpy.array_equal(display(Pixels(samples, "MONOCHROME2", 8), description, None), expected)


def test_a_table_that_starts_below_zero_is_read_so() -> None:
    samples = numpy.arange(-3, 3, dtype=numpy.int8).reshape(2, 3)
    description = described(samples, ModalityLUTSequence=luts(-2, [5, 6, 7], 16))
    assert description.modality_values(samples).tolist() == [[5, 5, 6], [7, 7, 7]]


@pytest.mark.parametrize(
    ("samples", "intercept", "first_mapped"),
    [
        (numpy.zeros((2, 2), numpy.uint16), "0", 40000),
        (numpy.zeros((2, 2), numpy.uint16), "-1024", -25536),
        (numpy.zeros((2, 2), numpy.int16), "0", -25536),
        (numpy.zeros((2, 2), numpy.int16), "32768", 40000),
    ],
)
def test_a_voi_lut_begins_below_zero_only_where_modality_values_may(
    samples: Array, intercept: str, first_mapped: int
) -> None:
    description = described(samples, VOILUTSequence=luts(40000, [1, 2], 16), RescaleIntercept=intercept)
    assert description.voi_lut is not None
    assert description.voi_lut.first_mapped == first_mapped


def test_a_table_shorter_than_it_says_is_refused() -> None:
    item = luts(0, [1, 2, 3], 16)
    item[0].add_new(0x00283002, "US", [4, 0, 16])
    with pytest.raises(BadFileFormat):
        described(landscape(4, 4, 8), ModalityLUTSequence=item)


def test_without_window_the_range_of_bits_stored_is_shown() -> None:
    samples = numpy.array([[0, 2048, 4095]], numpy.uint16)
    shown = display(Pixels(samples, "MONOCHROME2", 12), Grayscale(), None)
    assert shown.tolist() == [[0, 128, 255]]


def test_the_first_window_of_the_file_is_the_default() -> None:
    samples = landscape(4, 4, 12)
    description = described(samples, WindowCenter=["100", "500"], WindowWidth=["800", "2000"], VOILUTFunction="SIGMOID")
    assert description.windows == (
        Window(100, 800, VoiLutFunction.SIGMOID),
        Window(500, 2000, VoiLutFunction.SIGMOID),
    )


@pytest.mark.parametrize("center", ["", "1e999", "nan", "x", "0" * 100])
def test_nonsensical_windows_are_passed_over(center: str) -> None:
    data = image(landscape(4, 4, 12), ImageComments="@" * 16, WindowWidth="100")
    comments = b"\x20\x00\x00\x40LT\x10\x00" + b"@" * 16
    assert comments in data
    value = (center[:16]).ljust(16).encode()
    moved = data.replace(comments, b"") if not center else data.replace(comments, b"\x28\x00\x50\x10DS\x10\x00" + value)
    description = grayscale(frames_of(moved), 0)
    assert all(math.isfinite(window.center) for window in description.windows)


def test_monochrome1_is_inverted() -> None:
    samples = numpy.array([[0, 255]], numpy.uint8)
    description = described(samples, PhotometricInterpretation="MONOCHROME1")
    assert display(Pixels(samples, "MONOCHROME1", 8), description, Window(128, 256)).tolist() == [[255, 0]]


def test_functional_groups_describe_each_frame() -> None:
    samples = numpy.zeros((3, 2, 2), numpy.uint16)

    def group(slope: int | None, center: int | None) -> Dataset:
        made = Dataset()
        if slope is not None:
            transformation = Dataset()
            transformation.RescaleSlope, transformation.RescaleIntercept = str(slope), "1"
            made.PixelValueTransformationSequence = Sequence([transformation])
        if center is not None:
            voi = Dataset()
            voi.WindowCenter, voi.WindowWidth = str(center), "10"
            made.FrameVOILUTSequence = Sequence([voi])
        return made

    data = image(
        samples,
        SharedFunctionalGroupsSequence=Sequence([group(9, None)]),
        PerFrameFunctionalGroupsSequence=Sequence([group(2, 100), group(None, 200), group(4, None)]),
        RescaleSlope="77",
        WindowCenter="5",
        WindowWidth="6",
    )
    frames = frames_of(data)
    described = [grayscale(frames, frame) for frame in range(3)]
    assert [description.rescale_slope for description in described] == [2, 9, 4]
    assert [description.windows[0].center for description in described] == [100, 200, 5]


def test_fast_and_slow_ways_show_the_same() -> None:
    samples = landscape(64, 64, 16)
    pixels = Pixels(samples, "MONOCHROME2", 16)
    description = Grayscale(rescale_slope=1.5, rescale_intercept=-100)
    window = Window(30000, 20000, VoiLutFunction.SIGMOID)
    by_table = display(pixels, description, window)
    directly = window.apply(description.modality_values(samples)) + 0.5
    assert numpy.array_equal(by_table, directly.astype(numpy.uint8))
    identity = LookupTable(numpy.arange(65536, dtype=numpy.uint16), 0, 16)
    through_table = display(pixels, Grayscale(modality_lut=identity), Window(30000, 20000))
    assert numpy.array_equal(through_table, display(pixels, Grayscale(), Window(30000, 20000)))


def test_floats_that_are_no_numbers_are_black() -> None:
    samples = numpy.array([[0.0, 1.0, numpy.nan, numpy.inf]], numpy.float32)
    assert display(
        Pixels(samples, "MONOCHROME2", 32), Grayscale(), Window(0.5, 1, VoiLutFunction.LINEAR_EXACT)
    ).tolist() == [[0, 255, 0, 255]]


def test_a_native_frame_and_its_window_make_a_picture() -> None:
    frames = frames_of(image(landscape(8, 8, 12), BitsStored=12, HighBit=11, WindowCenter="2048", WindowWidth="4096"))
    shown = display(native(frames.frame_bytes(0), frames.format, False), grayscale(frames, 0), None)
    assert shown.dtype == numpy.uint8
    assert shown.shape == (8, 8)
