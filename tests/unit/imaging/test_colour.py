"""Colours become RGB as the Standard and other programs say."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import UID

from amonsul.dicom.elements import Bulk, Tag
from amonsul.errors import BadFileFormat, NotImplementedHere
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.colour import Palette, eight_bits, expand_segments, palette_of, to_rgb
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.pixels import Pixels

from .builders import BIG_ENDIAN, EXPLICIT, frames_of, image, landscape, packaged

INDICES = numpy.arange(8, dtype=numpy.uint8).reshape(2, 4)


def test_full_range_luminance_and_chrominance_become_rgb() -> None:
    ybr = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    ours = to_rgb(Pixels(ybr, "YBR_FULL", 8), None).astype(int)
    assert numpy.abs(ours - convert_color_space(ybr, "YBR_FULL", "RGB")).max() <= 1


@pytest.mark.parametrize(
    ("ybr", "rgb"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (254, 0, 0))],
)
def test_partial_range_luminance_and_chrominance_become_rgb(ybr: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    ours = to_rgb(Pixels(numpy.array([[ybr]], numpy.uint8), "YBR_PARTIAL", 8), None)
    assert numpy.abs(ours.astype(int) - rgb).max() <= 2


def test_deep_colours_keep_their_high_bits() -> None:
    deep = numpy.array([[[0x1234, 0xFFFF, 0x00FF]]], numpy.uint16)
    assert to_rgb(Pixels(deep, "RGB", 16), None).tolist() == [[[0x12, 0xFF, 0x00]]]
    assert eight_bits(Pixels(numpy.array([[[0xFFF, 0x800, 0]]], numpy.uint16), "RGB", 12)).tolist() == [[[255, 128, 0]]]


def test_unknown_colours_are_refused() -> None:
    with pytest.raises(NotImplementedHere):
        to_rgb(Pixels(numpy.zeros((1, 1, 3), numpy.uint8), "CMYK", 8), None)


# --- palettes


def palette_image(
    entries: int,
    first: int,
    bits: int,
    tables: list[bytes],
    tags: int = 0x00281201,
    syntax: str = EXPLICIT,
    **more: Any,
) -> bytes:
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", **more}
    for name in ("Red", "Green", "Blue"):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [entries % 65536, first, bits]
    kind = "Segmented" if tags == 0x00281221 else ""
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        attributes[f"{kind}{name}PaletteColorLookupTableData"] = table
    return image(INDICES, syntax, **attributes)


def words(values: list[int], order: str = "<") -> bytes:
    return numpy.array(values, f"{order}u2").tobytes()


def test_deep_palettes_become_8_bits() -> None:
    tables = [words([value * factor for value in range(8)]) for factor in (256, 512, 9000)]
    frames = frames_of(palette_image(8, 0, 16, tables))
    rgb = to_rgb(decode_frame(frames, 0, LocalCodecs()), palette_of(frames))
    assert rgb[0, 3].tolist() == [3, 6, 27000 >> 8]
    assert rgb.shape == (2, 4, 3)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_palettes_of_8_bits_may_lie_two_in_a_word_or_one(syntax: str) -> None:
    order = ">" if syntax == BIG_ENDIAN else "<"
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    in_pairs = numpy.frombuffer(bytes(values), "<u2").astype(f"{order}u2").tobytes()
    for table in (words(values, order), in_pairs):
        found = palette_of(frames_of(palette_image(8, 0, 8, [table] * 3, syntax=syntax)))
        assert found is not None
        assert found.colours[:, 0].tolist() == values


def test_16_bit_palettes_that_hold_8_bits_are_not_shifted_to_black() -> None:
    found = palette_of(frames_of(palette_image(8, 0, 16, [words([0, 10, 20, 255, 1, 2, 3, 4])] * 3)))
    assert found is not None
    assert found.colours[3].tolist() == [255, 255, 255]


def test_indices_outside_a_palette_get_the_entry_at_its_end() -> None:
    colours = numpy.arange(12, dtype=numpy.uint8).reshape(4, 3)
    shown = Palette(colours, 100).apply(numpy.array([0, 99, 100, 102, 103, 104, 65535], numpy.uint16))
    assert shown[:, 0].tolist() == [0, 0, 0, 6, 9, 9, 9]


def test_a_palette_equals_that_of_pydicom() -> None:
    frames = frames_of(packaged("examples_palette.dcm"))
    pixels = decode_frame(frames, 0, LocalCodecs())
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    for offset in range(3):
        descriptor, table = (frames.data_set[Tag(tag + offset)].value for tag in (0x00281101, 0x00281201))
        assert isinstance(table, Bulk)
        data_set.add_new(0x00281101 + offset, "US", descriptor)
        data_set.add_new(0x00281201 + offset, "OW", bytes(frames.data_of(table)))
    data_set.PixelRepresentation = 0
    theirs = apply_color_lut(pixels.samples, data_set)
    shift = 8 if theirs.dtype == numpy.uint16 else 0
    assert numpy.array_equal(to_rgb(pixels, palette_of(frames)), theirs >> shift)


@pytest.mark.parametrize(
    ("entries", "bits", "table"),
    [(8, 16, words([1, 2, 3])), (8, 12, words([0] * 8)), (0, 16, words([1] * 8))],
)
def test_a_palette_that_contradicts_itself_is_refused(entries: int, bits: int, table: bytes) -> None:
    with pytest.raises(BadFileFormat):
        palette_of(frames_of(palette_image(entries, 0, bits, [table] * 3)))


def test_a_palette_image_without_palette_is_refused() -> None:
    frames = frames_of(image(INDICES, PhotometricInterpretation="PALETTE COLOR"))
    with pytest.raises(BadFileFormat):
        to_rgb(decode_frame(frames, 0, LocalCodecs()), palette_of(frames))


def test_segments_are_written_out() -> None:
    # PS3.3 §C.7.9.2: discrete, linear, and one segment again
    units = [0, 3, 10, 20, 30, 1, 4, 70, 2, 1, 0, 0]
    assert expand_segments(units, 10, 16) == [10, 20, 30, 40, 50, 60, 70, 10, 20, 30]


def test_segments_of_bytes_refer_by_four_of_them() -> None:
    units = [0, 2, 1, 2, 0, 1, 9, 2, 1, 4, 0, 0, 0]
    assert expand_segments(units, 4, 8) == [1, 2, 9, 9]


def test_a_segmented_palette_is_read() -> None:
    segments = words([0, 1, 0, 1, 7, 0xFF00])
    found = palette_of(frames_of(palette_image(8, 0, 16, [segments] * 3, tags=0x00281221)))
    assert found is not None
    assert found.colours[:, 0].tolist() == [round(0xFF00 * step / 7) >> 8 for step in range(8)]


@pytest.mark.parametrize(
    "units",
    [[0, 5, 1], [1, 4, 7], [2, 1, 0], [2, 1, 50, 0], [3, 1, 0], [2, 1, 0, 0], [0, 1, 1, 2, 1, 6, 0]],
)
def test_segments_that_lead_nowhere_are_refused(units: list[int]) -> None:
    with pytest.raises(BadFileFormat):
        expand_segments(units, 100, 16)


def test_segments_do_not_grow_beyond_the_palette() -> None:
    units = [0, 1, 0] + [1, 65535, 1000] + [2, 65535, 0, 0] * 100
    assert len(expand_segments(units, 65536, 16)) == 65536


def test_a_large_image_converts_without_floating_point() -> None:
    ybr = landscape(256, 256, 8, samples_per_pixel=3)
    assert to_rgb(Pixels(ybr, "YBR_FULL", 8), None).dtype == numpy.uint8
