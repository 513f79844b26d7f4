"""Files in another transfer syntax: the same pixels, the attributes that follow, and nothing else changed."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import product
from typing import Any

import numpy
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets

from amonsul.dicom.uids import transfer_syntaxes
from amonsul.errors import AmonsulError, BadFileFormat, NotImplementedHere, ParameterOutOfRange
from amonsul.imaging import encapsulation
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.colour import palette_of, to_rgb
from amonsul.imaging.decode import decode_frames
from amonsul.imaging.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    RLE_LOSSLESS,
    WRITABLE,
)
from amonsul.imaging.transcode import Transcoded, TranscodeOptions, can_write, transcode, transcode_bytes

from .builders import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    NATIVE,
    SOP_INSTANCE_UID,
    Array,
    frames_of,
    image,
    item,
    landscape,
    packaged,
    scanned,
)

CODECS = LocalCodecs()
LOSSLESS = [syntax for syntax, writable in WRITABLE.items() if not writable.is_lossy]
LOSSY = [syntax for syntax, writable in WRITABLE.items() if writable.is_lossy]

FILES = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "ExplVR_BigEnd.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_16.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_palette.dcm",
    "liver_1frame.dcm",
    "rtdose_1frame.dcm",
    "MR_small_implicit.dcm",
]


JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
WITHOUT_BITS = [syntax for syntax in LOSSLESS if not WRITABLE[syntax].takes_bits]
NOT_HELD = {
    *product(["liver_1frame.dcm"], WITHOUT_BITS),
    *product(["rtdose_1frame.dcm"], [syntax for syntax in LOSSLESS if WRITABLE[syntax].max_bits < 32]),
    *product(
        [
            "examples_palette.dcm",
            "SC_ybr_full_422_uncompressed.dcm",
            "CT_small.dcm",
            "MR_small_RLE.dcm",
            "JPEG2000.dcm",
            "MR_small_implicit.dcm",
        ],
        [JPEG_XL_LOSSLESS],
    ),
}
"""What a transfer syntax has no way to hold: single bits, more than 16 bits, palettes, YBR, signs."""


def transcoded(data: bytes, syntax: str, **options: Any) -> tuple[bytes, Transcoded]:
    return transcode_bytes(data, scanned(data), syntax, CODECS, TranscodeOptions(**options))


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def samples_of(data: bytes) -> list[Array]:
    return [pixels.samples for pixels in decode_frames(frames_of(data), CODECS)]


def seen(data: bytes) -> list[Array]:
    """As colours where there are any, so that e.g. YBR and RGB can be compared."""
    frames = frames_of(data)
    is_colour = frames.format.samples_per_pixel == 3 and frames.format.bits_allocated == 8
    return [
        to_rgb(pixels, palette_of(frames)) if is_colour else pixels.samples for pixels in decode_frames(frames, CODECS)
    ]


def assert_same(ours: list[Array], theirs: list[Array]) -> None:
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert numpy.array_equal(our, their)


# --- pixels


@pytest.mark.parametrize(("name", "syntax"), list(product(FILES, [*NATIVE, *LOSSLESS])))
def test_lossless_transfer_syntaxes_keep_every_pixel(name: str, syntax: str) -> None:
    data = packaged(name)
    if (name, syntax) in NOT_HELD:
        with pytest.raises(NotImplementedHere):
            transcoded(data, syntax)
        return
    result, said = transcoded(data, syntax)
    assert said.transfer_syntax_uid == scanned(result).transfer_syntax_uid == syntax
    assert_same(seen(result), seen(data))
    assert said.sop_instance_uid == read(data).SOPInstanceUID
    assert not said.is_lossy


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS])
def test_there_and_back_again_nothing_has_changed(syntax: str) -> None:
    samples = numpy.stack([landscape(9, 7, 12), landscape(9, 7, 12).T.reshape(9, 7)])
    data = image(
        samples,
        BitsStored=12,
        HighBit=11,
        WindowCenter="40",
        WindowWidth="400",
        PatientName="Ä^B",
        SpecificCharacterSet="ISO_IR 100",
    )
    there, _ = transcoded(data, syntax)
    back, _ = transcoded(there, EXPLICIT)
    before, after = read(data), read(back)
    for added in ("DerivationDescription",):
        after.pop(added, None)
    assert after == before


@pytest.mark.parametrize(("source", "target"), list(product(NATIVE, NATIVE)))
@pytest.mark.parametrize(("kind", "bits"), [("u1", 8), ("u2", 12), ("i2", 16), ("u4", 32), ("f4", 32), ("f8", 64)])
def test_native_samples_survive_every_byte_order(source: str, target: str, kind: str, bits: int) -> None:
    samples = landscape(5, 5, min(bits, 32)).astype(kind)
    order = ">" if source == BIG_ENDIAN else "<"
    if kind[0] == "f":
        keyword = "FloatPixelData" if kind == "f4" else "DoubleFloatPixelData"
        shape: dict[str, Any] = {
            "Rows": 5,
            "Columns": 5,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
        }
        shape |= {keyword: samples.astype(f"{order}{kind}").tobytes(), "BitsAllocated": bits}
        data = image(None, source, None, **shape)
    else:
        data = image(samples, source, BitsStored=bits, HighBit=bits - 1)
    result, _ = transcoded(data, target)
    assert scanned(result).transfer_syntax_uid == target
    assert_same(samples_of(result), [samples])


def test_lookup_tables_survive_every_byte_order() -> None:
    data = packaged("examples_palette.dcm")
    big, _ = transcoded(data, BIG_ENDIAN)
    back, _ = transcoded(big, EXPLICIT)
    first, second, third = (palette_of(frames_of(file)) for file in (data, big, back))
    assert first is not None
    assert second is not None
    assert third is not None
    assert numpy.array_equal(first.colours, second.colours)
    assert numpy.array_equal(first.colours, third.colours)


@pytest.mark.parametrize("syntax", LOSSY)
@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "examples_palette.dcm", "SC_ybr_full_422_uncompressed.dcm"])
def test_lossy_transfer_syntaxes_lose_little(name: str, syntax: str) -> None:
    data = packaged(name)
    result, said = transcoded(data, syntax, quality=95)
    assert said.is_lossy
    palette = palette_of(frames_of(data))
    before = [to_rgb(pixels, palette) for pixels in decode_frames(frames_of(data), CODECS)]
    for ours, theirs in zip(seen(result), before, strict=True):
        assert numpy.abs(ours.astype(int) - theirs).mean() < 6


@pytest.mark.parametrize("count", [1, 3, 8])
def test_single_bits_are_packed_without_gaps(count: int) -> None:
    bits = numpy.random.default_rng(count).integers(0, 2, (count, 5, 7), dtype=numpy.uint8)
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    data = image(bits, PixelData=packed, BitsAllocated=1, BitsStored=1, HighBit=0)
    for syntax in (RLE_LOSSLESS, DEFLATED_IMAGE_FRAME):
        there, _ = transcoded(data, syntax)
        assert_same(samples_of(there), list(bits))
        back, _ = transcoded(there, EXPLICIT)
        assert read(back).PixelData == packed + b"\0" * (len(packed) % 2)


# --- attributes


def test_what_is_lossy_is_a_new_instance_that_says_so() -> None:
    data = packaged("SC_rgb_rle_2frame.dcm")
    result, said = transcoded(data, JPEG_BASELINE, quality=80)
    before, after = read(data), read(result)
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == said.sop_instance_uid
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.LossyImageCompression == "01"
    assert after.LossyImageCompressionMethod == "ISO_10918_1"
    ratio = float(after.LossyImageCompressionRatio)
    fragments = sum(len(frame) for frame in generate_frames(after.PixelData, number_of_frames=2))
    assert ratio == pytest.approx(60000 / fragments, rel=1e-3)
    assert after.DerivationDescription.startswith("Lossy compression with JPEG baseline, IJG quality factor 80")
    assert after.ImageType[0] == "DERIVED"
    assert after.DerivationCodeSequence[0].CodeValue == "113040"
    (original,) = after.SourceImageSequence
    assert original.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert original.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
    assert (after.PhotometricInterpretation, after.PlanarConfiguration) == ("YBR_FULL_422", 0)


def test_an_instance_that_must_keep_its_identifier_does() -> None:
    data = packaged("SC_rgb_rle_2frame.dcm")
    result, said = transcoded(data, JPEG_BASELINE, keeps_sop_instance_uid=True)
    after = read(result)
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == read(data).SOPInstanceUID
    assert said.is_lossy
    assert after.LossyImageCompression == "01"
    assert "SourceImageSequence" not in after


@pytest.mark.parametrize(
    ("syntax", "photometric_interpretation", "method"),
    [
        (JPEG_BASELINE, "YBR_FULL_422", "ISO_10918_1"),
        (JPEG_EXTENDED, "YBR_FULL_422", "ISO_10918_1"),
        (JPEG_LOSSLESS, "RGB", None),
        (JPEG_LOSSLESS_SV1, "RGB", None),
        (JPEG_LS_LOSSLESS, "RGB", None),
        (JPEG_LS_NEAR_LOSSLESS, "RGB", "ISO_14495_1"),
        (JPEG_2000_LOSSLESS, "YBR_RCT", None),
        (JPEG_2000, "YBR_ICT", "ISO_15444_1"),
        (HTJ2K_LOSSLESS, "YBR_RCT", None),
        (HTJ2K, "YBR_ICT", "ISO_15444_15"),
        (RLE_LOSSLESS, "RGB", None),
        (DEFLATED_IMAGE_FRAME, "RGB", None),
    ],
)
def test_colours_are_described_as_they_are_written(
    syntax: str, photometric_interpretation: str, method: str | None
) -> None:
    samples = landscape(20, 22, 8, samples_per_pixel=3)
    by_plane = numpy.ascontiguousarray(samples.transpose(2, 0, 1)).tobytes()
    result, _ = transcoded(image(samples, PlanarConfiguration=1, PixelData=by_plane), syntax)
    after = read(result)
    assert after.PhotometricInterpretation == photometric_interpretation
    assert after.PlanarConfiguration == 0
    assert after.get("LossyImageCompressionMethod") == method
    back, _ = transcoded(result, EXPLICIT)
    assert read(back).PhotometricInterpretation == "RGB"


def test_ratios_and_methods_of_several_compressions_follow_each_other() -> None:
    once, _ = transcoded(packaged("SC_rgb_rle_2frame.dcm"), JPEG_BASELINE)
    twice, _ = transcoded(once, JPEG_2000)
    after = read(twice)
    assert list(after.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_15444_1"]
    assert len(after.LossyImageCompressionRatio) == 2
    assert len(after.SourceImageSequence) == 2
    assert "[Lossy compression with JPEG baseline" in after.DerivationDescription


def test_what_was_lossy_stays_so_without_loss() -> None:
    lossy, _ = transcoded(packaged("SC_rgb_rle_2frame.dcm"), JPEG_BASELINE)
    result, said = transcoded(lossy, JPEG_LOSSLESS_SV1)
    assert not said.is_lossy
    assert read(result).LossyImageCompression == "01"
    assert said.sop_instance_uid == read(lossy).SOPInstanceUID


def test_a_palette_is_applied_where_an_index_would_not_survive() -> None:
    data = packaged("examples_palette.dcm")
    after = read(transcoded(data, JPEG_BASELINE)[0])
    assert after.SamplesPerPixel == 3
    assert (after.BitsAllocated, after.BitsStored, after.HighBit) == (8, 8, 7)
    assert not [element.keyword for element in after if "Palette" in element.keyword]
    assert read(transcoded(data, JPEG_LS_LOSSLESS)[0]).PhotometricInterpretation == "PALETTE COLOR"


@pytest.mark.parametrize(
    ("bits", "syntax", "stored"), [(7, JPEG_BASELINE, 8), (10, JPEG_EXTENDED, 12), (12, JPEG_EXTENDED, 12)]
)
def test_bits_stored_are_those_of_the_process(bits: int, syntax: str, stored: int) -> None:
    data = image(landscape(20, 20, bits), BitsStored=bits, HighBit=bits - 1)
    after = read(transcoded(data, syntax)[0])
    assert (after.BitsStored, after.HighBit) == (stored, stored - 1)


def test_cells_are_not_larger_than_the_samples_need() -> None:
    data = image(landscape(20, 20, 8).astype(numpy.uint16), BitsStored=8, HighBit=7)
    assert read(transcoded(data, JPEG_LOSSLESS_SV1)[0]).BitsAllocated == 8
    assert read(transcoded(data, RLE_LOSSLESS)[0]).BitsAllocated == 16


def test_samples_that_are_not_at_the_low_end_of_their_cells_are_moved_there() -> None:
    samples = landscape(6, 6, 12)
    data = image(samples << 4, BitsStored=12, HighBit=15)
    result, _ = transcoded(data, JPEG_LOSSLESS_SV1)
    assert read(result).HighBit == 11
    assert_same(samples_of(result), [samples])


def test_lossless_jpeg_says_how_it_was_compressed() -> None:
    y, x = numpy.mgrid[0:16, 0:16]
    samples = (x * 8 + y * 4 + 310).astype(numpy.uint16)
    data = image(samples, BitsStored=12, HighBit=11)
    assert read(transcoded(data, JPEG_LOSSLESS_SV1)[0]).DerivationDescription == (
        "Lossless JPEG compression, selection value 1, point transform 0, compression ratio 2.2069"
    )
    assert read(transcoded(data, JPEG_LOSSLESS)[0]).DerivationDescription == (
        "Lossless JPEG compression, selection value 6, point transform 0, compression ratio 2.8444"
    )


# --- everything else


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "test-SR.dcm", "rtstruct.dcm", "waveform_ecg.dcm"])
def test_instances_without_pixels_are_left_alone_by_compression(name: str) -> None:
    data = packaged(name)
    result, said = transcoded(data, JPEG_LOSSLESS_SV1)
    assert result == data
    assert not said.is_changed


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "test-SR.dcm"])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
def test_instances_without_pixels_are_rewritten_uncompressed(name: str, syntax: str) -> None:
    data = packaged(name)
    result, said = transcoded(data, syntax)
    before, after = read(data), read(result)
    assert after.file_meta.TransferSyntaxUID == syntax
    assert said.sop_instance_uid == before.SOPInstanceUID
    assert len(after) == len(before)
    for element in before:
        assert str(after[element.tag].value) == str(element.value), element.keyword


def test_the_same_transfer_syntax_changes_no_byte() -> None:
    data = packaged("CT_small.dcm")
    result, said = transcoded(data, EXPLICIT)
    assert result == data
    assert not said.is_changed


def test_elements_behind_the_pixels_stay_and_padding_goes() -> None:
    data = image(landscape(6, 6, 8), ImageComments="before", DataSetTrailingPadding=bytes(100))
    with_more = read(data)
    with_more.add_new(0x7FE10010, "LO", "MAKER")
    with_more.add_new(0x7FE11001, "LO", "after")
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, with_more)
    for syntax in (IMPLICIT, JPEG_LOSSLESS_SV1, DEFLATED):
        after = read(transcoded(buffer.getvalue(), syntax)[0])
        assert (after.ImageComments, after[0x7FE11001].value) == (
            "before",
            "after" if syntax != IMPLICIT else b"after ",
        )
        assert "DataSetTrailingPadding" not in after


def test_offset_tables_say_where_frames_begin() -> None:
    samples = numpy.stack([landscape(20, 20, 8) // (number + 1) for number in range(5)])
    result, _ = transcoded(image(samples), RLE_LOSSLESS)
    after = read(result)
    offsets = parse_basic_offsets(after.PixelData)
    assert offsets[0] == 0
    first = 8 + 4 * len(offsets)
    for offset, frame in zip(offsets, generate_frames(after.PixelData, number_of_frames=5), strict=True):
        start = first + offset
        assert after.PixelData[start : start + 4] == b"\xfe\xff\x00\xe0"
        assert after.PixelData[start + 8 : start + 8 + len(frame)] == frame
        assert len(frame) % 2 == 0


def test_large_pixel_data_gets_an_extended_offset_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encapsulation, "_MAX_OFFSET", 500)
    samples = numpy.stack([landscape(20, 20, 8) // (number + 1) for number in range(5)])
    result, _ = transcoded(image(samples), JPEG_LS_LOSSLESS)
    after = read(result)
    assert parse_basic_offsets(after.PixelData) == []
    offsets = struct.unpack("<5Q", after.ExtendedOffsetTable)
    lengths = struct.unpack("<5Q", after.ExtendedOffsetTableLengths)
    for offset, length in zip(offsets, lengths, strict=True):
        start = 8 + offset
        assert after.PixelData[start : start + 4] == b"\xfe\xff\x00\xe0"
        assert after.PixelData[start + 8 + length - 2 : start + 8 + length] == b"\xff\xd9"  # without padding
    assert_same(samples_of(result), list(samples))
    monkeypatch.undo()
    again, _ = transcoded(result, RLE_LOSSLESS)
    assert "ExtendedOffsetTable" not in read(again)


def test_offsets_count_heads_and_padding() -> None:
    assert encapsulation.offsets([3, 4, 5]) == [0, 12, 24]
    assert encapsulation.basic_offset_table([3, 4]) == b"\xfe\xff\x00\xe0\x08\0\0\0\0\0\0\0\x0c\0\0\0"
    assert not encapsulation.needs_extended_offset_table([0xFFFFFFFE])
    assert not encapsulation.needs_extended_offset_table([0xFFFFFFF6, 5])
    assert encapsulation.needs_extended_offset_table([0xFFFFFFF8, 5, 5])
    with pytest.raises(NotImplementedHere):
        encapsulation.item_head(1 << 32)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_frames_stay_in_order_however_many_are_worked_at(threads: int) -> None:
    samples = numpy.stack([landscape(8, 8, 8) // (number + 1) for number in range(9)])
    result, _ = transcoded(image(samples), JPEG_LS_LOSSLESS, threads=threads)
    assert_same(samples_of(result), list(samples))


def test_a_sink_gets_no_more_than_a_piece_at_a_time() -> None:
    data = image(numpy.zeros((40, 256, 256), numpy.uint16))

    class Sink:
        largest = 0

        def write(self, piece: bytes, /) -> None:
            self.largest = max(self.largest, len(piece))

    for syntax in (EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN, RLE_LOSSLESS):
        sink = Sink()
        transcode(data, scanned(data), syntax, sink, CODECS)
        assert sink.largest <= 1 << 20


@pytest.mark.parametrize(
    ("syntax", "error"),
    [
        ("nope", ParameterOutOfRange),
        ("1.2.840.10008.1.2.4.100", NotImplementedHere),
        ("1.2.840.10008.1.2.4.94", NotImplementedHere),
        (JPEG_BASELINE, NotImplementedHere),
    ],
)
def test_what_cannot_be_written_is_refused(syntax: str, error: type[AmonsulError]) -> None:
    data = image(landscape(8, 8, 12), BitsStored=12, HighBit=11)
    with pytest.raises(error):
        transcoded(data, syntax)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_is_1_to_100(quality: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        transcoded(image(landscape(8, 8, 8)), JPEG_BASELINE, quality=quality)


def test_videos_are_not_transcoded() -> None:
    data = image(landscape(8, 8, 8), "1.2.840.10008.1.2.4.102", PixelData=item(b"") + item(b"video!"))
    with pytest.raises(NotImplementedHere):
        transcoded(data, EXPLICIT)
    assert transcoded(data, "1.2.840.10008.1.2.4.102")[0] == data


def test_a_broken_frame_is_refused() -> None:
    data = image(landscape(8, 8, 8), JPEG_BASELINE, PixelData=item(b"") + item(b"\xff\xd8\xff\xd9"))
    for syntax in (EXPLICIT, JPEG_LS_LOSSLESS):
        with pytest.raises(BadFileFormat):
            transcoded(data, syntax)


def test_what_can_be_written_is_known() -> None:
    assert all(can_write(syntax) for syntax in (*NATIVE, *WRITABLE))
    assert not can_write("1.2.840.10008.1.2.4.100")
    assert not can_write("nope")


def test_the_instance_is_known_by_its_meta_header_too() -> None:
    result, _ = transcoded(image(landscape(8, 8, 8)), IMPLICIT)
    meta = read(result).file_meta
    assert meta.MediaStorageSOPInstanceUID == SOP_INSTANCE_UID
    assert meta.FileMetaInformationGroupLength > 0


def test_every_transfer_syntax_that_can_be_written_may_be_asked_for() -> None:
    assert WRITABLE.keys() <= transfer_syntaxes().keys()
