"""Decoded pixels equal those of DCMTK and pydicom; broken frames are refused."""

from __future__ import annotations

import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pydicom
import pytest

from amonsul.errors import AmonsulError, BadFileFormat, NotImplementedHere, PayloadTooLarge
from amonsul.imaging import codestream, decoders, encoders
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.colour import palette_of, to_rgb
from amonsul.imaging.decode import decode_frame, decode_frames
from amonsul.imaging.frames import has_pixel_data
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K,
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from tests.unit.imaging.comparing import (
    DCMTK_DIFFERS,
    GDCM_DIFFERS,
    GDCM_TOLERANCE,
    NOT_READ,
    decoded_by_gdcm,
    gdcm_frames,
    samples_path,
)

from .builders import BIG_ENDIAN, Array, frames_of, image, item, landscape, packaged, scanned, through

CODECS = LocalCodecs()
PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"

DCMTK_READS = {
    **{f"1.2.840.10008.1.2.4.{number}": "dcmdjpeg" for number in (50, 51, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{number}": "dcmdjpls" for number in (80, 81)},
    "1.2.840.10008.1.2.5": "dcmdrle",
}

PYDICOM_DOES_NOT_READ = {
    "GDCMJ2K_TextGBR.dcm": "Pillow refuses its codestream",
    "badVR.dcm": "an attribute that pydicom wants is no number",
}


def packaged_images() -> list[str]:
    readable = [path for path in sorted(PACKAGED.glob("*.dcm")) if path.name not in NOT_READ]
    return [path.name for path in readable if _has_pixels(path.read_bytes())]


def _has_pixels(data: bytes) -> bool:
    try:
        return has_pixel_data(scanned(data).data_set)
    except BadFileFormat:
        return False


IMAGES = packaged_images()
SYNTAXES_OF = {name: frames_of(packaged(name)).syntax.uid for name in IMAGES}
FOR_DCMTK = [name for name in IMAGES if SYNTAXES_OF[name] in DCMTK_READS and name not in DCMTK_DIFFERS]
FOR_PYDICOM = [
    name
    for name in IMAGES
    if (SYNTAXES_OF[name] not in DCMTK_READS or SYNTAXES_OF[name] == RLE_LOSSLESS) and name not in PYDICOM_DOES_NOT_READ
]


def decoded(data: bytes) -> list[Pixels]:
    return list(decode_frames(frames_of(data), CODECS))


def as_seen(pixels: Pixels) -> Array:
    return to_rgb(pixels, None) if pixels.samples.ndim == 3 and pixels.bits == 8 else pixels.samples


def assert_equal(ours: list[Array], theirs: list[Array], tolerance: int = 0) -> None:
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.shape == their.shape
        assert int(numpy.abs(our.astype(numpy.int64) - their.astype(numpy.int64)).max()) <= tolerance


@pytest.mark.parametrize("name", IMAGES)
def test_every_packaged_image_can_be_decoded(name: str) -> None:
    frames = frames_of(packaged(name))
    for pixels in decode_frames(frames, CODECS):
        assert pixels.samples.shape[:2] == (frames.format.rows, frames.format.columns)
        assert pixels.samples.dtype.isnative


@pytest.mark.parametrize("name", FOR_DCMTK)
def test_decoded_pixels_equal_those_of_dcmtk(name: str, tmp_path: Path) -> None:
    data = packaged(name)
    theirs = decoded(through(DCMTK_READS[SYNTAXES_OF[name]], data, tmp_path))
    assert_equal([as_seen(pixels) for pixels in decoded(data)], [as_seen(pixels) for pixels in theirs])


@pytest.fixture(scope="module")
def of_gdcm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what GDCM makes of the packaged images."""
    folder = tmp_path_factory.mktemp("gdcm")
    decoded_by_gdcm([PACKAGED / name for name in IMAGES], folder)
    return folder


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in GDCM_DIFFERS])
def test_decoded_pixels_equal_those_of_gdcm(name: str, of_gdcm: Path) -> None:
    ours = decoded(packaged(name))
    theirs = gdcm_frames(samples_path(of_gdcm, PACKAGED / name), ours)
    assert theirs is not None
    tolerance = GDCM_TOLERANCE if ours[0].photometric_interpretation == "RGB" else 0
    assert_equal([pixels.samples for pixels in ours], theirs, tolerance)


@pytest.mark.parametrize("name", NOT_READ)
def test_files_that_are_named_as_broken_are_refused(name: str) -> None:
    with pytest.raises(BadFileFormat):
        decoded(packaged(name))


@pytest.mark.parametrize("name", FOR_PYDICOM)
def test_decoded_pixels_equal_those_of_pydicom(name: str) -> None:
    data = packaged(name)
    frames = frames_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(BytesIO(data), force=True)
        if not getattr(data_set.file_meta, "TransferSyntaxUID", None):
            data_set.file_meta.TransferSyntaxUID = pydicom.uid.UID(frames.syntax.uid)
        array = data_set.pixel_array
    theirs = list(array) if frames.count > 1 else [array]
    assert_equal([as_seen(pixels) for pixels in decoded(data)], theirs, tolerance=1 if "ybr" in name else 0)


@pytest.mark.parametrize(
    ("compressed", "uncompressed"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_padded.dcm", "MR_small.dcm"),
        ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
        ("rtdose_rle.dcm", "rtdose.dcm"),
        ("rtdose_expb.dcm", "rtdose.dcm"),
        ("liver_expb_1frame.dcm", "liver_1frame.dcm"),
    ],
)
def test_files_of_the_same_image_have_the_same_pixels(compressed: str, uncompressed: str) -> None:
    ours = [pixels.samples for pixels in decoded(packaged(compressed))]
    assert_equal(ours, [pixels.samples for pixels in decoded(packaged(uncompressed))])


# --- native samples


@pytest.mark.parametrize("bits", [1, 7, 8, 12, 16, 32])
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN])
def test_native_samples_come_back(bits: int, is_signed: bool, syntax: str) -> None:
    samples = landscape(5, 6, bits, is_signed)
    (pixels,) = decoded(image(samples, syntax, BitsStored=bits, HighBit=bits - 1))
    assert numpy.array_equal(pixels.samples, samples)
    assert pixels.samples.dtype == samples.dtype


def test_what_lies_beyond_bits_stored_is_not_part_of_a_sample() -> None:
    samples = landscape(5, 6, 12)
    (pixels,) = decoded(image(samples | 0xA000, BitsStored=12, HighBit=11))
    assert numpy.array_equal(pixels.samples, samples)
    (pixels,) = decoded(image(samples << 3 | 0x8005, BitsStored=12, HighBit=14))
    assert numpy.array_equal(pixels.samples, samples)


def test_signs_are_those_of_bits_stored() -> None:
    samples = landscape(5, 6, 12, is_signed=True)
    (pixels,) = decoded(image(samples & 0x0FFF, BitsStored=12, HighBit=11))
    assert numpy.array_equal(pixels.samples, samples)


def test_colours_by_plane_come_by_pixel() -> None:
    samples = landscape(5, 6, 8, samples_per_pixel=3)
    by_plane = numpy.ascontiguousarray(samples.transpose(2, 0, 1)).tobytes()
    (pixels,) = decoded(image(samples, PlanarConfiguration=1, PixelData=by_plane))
    assert numpy.array_equal(pixels.samples, samples)


@pytest.mark.parametrize(
    ("keyword", "kind", "bits"), [("FloatPixelData", "f4", 32), ("DoubleFloatPixelData", "f8", 64)]
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", BIG_ENDIAN])
def test_floating_point_samples_come_back(keyword: str, kind: str, bits: int, syntax: str) -> None:
    samples = (landscape(4, 5, 16) / 7).astype(kind)
    shape: dict[str, Any] = {"Rows": 4, "Columns": 5, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    order = ">" if syntax == BIG_ENDIAN else "<"
    native: dict[str, Any] = {keyword: samples.astype(f"{order}{kind}").tobytes(), "BitsAllocated": bits}
    (pixels,) = decoded(image(None, syntax, **shape, **native))
    assert numpy.array_equal(pixels.samples, samples)
    assert pixels.samples.dtype == numpy.dtype(kind)


def test_shared_chrominance_is_given_to_both_pixels() -> None:
    native = bytes((10, 20, 100, 200, 30, 40, 101, 201))
    samples = numpy.zeros((1, 4, 3), numpy.uint8)
    (pixels,) = decoded(image(samples, PhotometricInterpretation="YBR_FULL_422", PixelData=native))
    assert pixels.photometric_interpretation == "YBR_FULL"
    assert pixels.samples.tolist() == [[[10, 100, 200], [20, 100, 200], [30, 101, 201], [40, 101, 201]]]


def test_single_bits_become_zeros_and_ones() -> None:
    bits = numpy.random.default_rng(5).integers(0, 2, (2, 5, 7), dtype=numpy.uint8)
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    frames = decoded(image(bits, PixelData=packed, BitsAllocated=1, BitsStored=1, HighBit=0))
    assert_equal([pixels.samples for pixels in frames], list(bits))
    assert all(pixels.is_packed for pixels in frames)


# --- compressed samples


def compressed(samples: Array, syntax: str, bits: int) -> bytes:
    name = "RGB" if samples.ndim == 3 else "MONOCHROME2"
    frame = encoders.encode(syntax, Pixels(samples, name, bits), 90)
    frame += b"\0" * (len(frame) % 2)
    return image(samples, syntax, BitsStored=bits, HighBit=bits - 1, PixelData=item(b"") + item(frame))


def test_a_deflated_frame_is_inflated_as_far_as_it_is_needed() -> None:
    samples = landscape(5, 6, 12)
    (pixels,) = decoded(compressed(samples, DEFLATED_IMAGE_FRAME, 12))
    assert numpy.array_equal(pixels.samples, samples)


def test_a_bomb_in_a_deflated_frame_is_not_unpacked() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(64 << 20)) + deflate.flush()
    data = image(landscape(4, 4, 8), DEFLATED_IMAGE_FRAME, PixelData=item(b"") + item(bomb + b"\0" * (len(bomb) % 2)))
    (pixels,) = decoded(data)
    assert pixels.samples.nbytes == 16


def test_a_cut_deflated_frame_is_refused() -> None:
    for frame in (b"", b"\x03\x00", b"\xff\xff\xff\xff"):
        with pytest.raises(BadFileFormat):
            decoded(image(landscape(4, 4, 8), DEFLATED_IMAGE_FRAME, PixelData=item(b"") + item(frame)))


@pytest.mark.parametrize("says", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("name", ["SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_the_file_header_of_a_jpeg_frame_decides_about_its_colours(name: str, says: str) -> None:
    frames = frames_of(packaged(name))
    frame = frames.frame_bytes(0)
    assert codestream.jpeg_header(frame).is_rgb is False
    right = decode_frame(frames, 0, CODECS).samples
    pixel_format = PixelFormat(100, 100, 3, says, 8, 8, 7, False)
    assert numpy.array_equal(decoders.decode(JPEG_BASELINE, frame, pixel_format).samples, right)


def test_a_jpeg_frame_that_does_not_say_has_the_colours_of_the_data_set() -> None:
    samples = landscape(16, 16, 8, samples_per_pixel=3)
    frame = encoders.encode(JPEG_BASELINE, Pixels(samples, "RGB", 8), 95)
    jfif = frame.index(b"\xff\xe0")
    bare = frame[:jfif] + frame[jfif + 18 :]
    assert codestream.jpeg_header(bare).is_rgb is None
    ybr = decoders.decode(JPEG_BASELINE, bare, PixelFormat(16, 16, 3, "YBR_FULL_422", 8, 8, 7, False)).samples
    rgb = decoders.decode(JPEG_BASELINE, bare, PixelFormat(16, 16, 3, "RGB", 8, 8, 7, False)).samples
    assert numpy.abs(ybr.astype(int) - samples).mean() < 12 < numpy.abs(rgb.astype(int) - samples).mean()


def test_a_lossless_jpeg_keeps_the_colours_it_has() -> None:
    samples = landscape(9, 9, 8, samples_per_pixel=3)
    frame = encoders.encode(JPEG_LOSSLESS_SV1, Pixels(samples, "YBR_FULL", 8), 0)
    pixels = decoders.decode(JPEG_LOSSLESS_SV1, frame, PixelFormat(9, 9, 3, "YBR_FULL", 8, 8, 7, False))
    assert pixels.photometric_interpretation == "YBR_FULL"
    assert numpy.array_equal(pixels.samples, samples)


def test_palette_images_decode_to_indices() -> None:
    frames = frames_of(packaged("examples_palette.dcm"))
    pixels = decode_frame(frames, 0, CODECS)
    assert pixels.photometric_interpretation == "PALETTE COLOR"
    assert to_rgb(pixels, palette_of(frames)).shape == (*pixels.samples.shape, 3)


# --- frames that are not what they should be

SYNTAXES = [JPEG_BASELINE, JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K, RLE_LOSSLESS]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (15, 16), (16, 17), (1, 1)])
def test_a_frame_of_another_size_than_the_data_set_says_is_refused(syntax: str, rows: int, columns: int) -> None:
    frame = encoders.encode(syntax, Pixels(landscape(16, 16, 8), "MONOCHROME2", 8), 90)
    pixel_format = PixelFormat(rows, columns, 1, "MONOCHROME2", 8, 8, 7, False)
    if syntax == RLE_LOSSLESS and rows * columns <= 16 * 16:
        assert decoders.decode(syntax, frame, pixel_format).samples.shape == (
            rows,
            columns,
        )  # RLE does not know its size
        return
    with pytest.raises(BadFileFormat):
        decoders.decode(syntax, frame, pixel_format)


def test_a_small_file_that_claims_a_huge_frame_is_refused_before_it_is_decoded() -> None:
    frame = encoders.encode(JPEG_BASELINE, Pixels(landscape(16, 16, 8), "MONOCHROME2", 8), 90)
    huge = b"\xff\xff\xff\xff"
    sof = frame.index(b"\xff\xc0") + 5
    data = image(
        landscape(16, 16, 8),
        JPEG_BASELINE,
        Rows=65535,
        Columns=65535,
        PixelData=item(b"") + item(frame[:sof] + huge + frame[sof + 4 :]),
    )
    with pytest.raises(PayloadTooLarge):
        decoded(data)


def test_many_frames_are_refused_together_and_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_of(image(numpy.zeros((4, 8, 8), numpy.uint8)))
    monkeypatch.setattr("amonsul.imaging.decode.MAX_DECODED_BYTES", 3 * 64)
    with pytest.raises(PayloadTooLarge):
        decode_frames(frames, CODECS)
    assert decode_frame(frames, 3, CODECS).samples.shape == (8, 8)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_broken_frames_are_refused_and_nothing_else_escapes(syntax: str) -> None:
    samples = landscape(16, 16, 8)
    whole = encoders.encode(syntax, Pixels(samples, "MONOCHROME2", 8), 90)
    pixel_format = PixelFormat(16, 16, 1, "MONOCHROME2", 8, 8, 7, False)
    attempts = [whole[:cut] for cut in (0, 1, 2, 3, 10, 30, 60, len(whole) // 2)]
    noise = numpy.random.default_rng(1)
    for _ in range(30):
        broken = bytearray(whole)
        broken[int(noise.integers(2, len(whole)))] = int(noise.integers(256))
        attempts.append(bytes(broken))
    refusals = []
    for attempt in attempts:
        try:
            decoders.decode(syntax, attempt, pixel_format)
        except AmonsulError as refusal:
            refusals.append(refusal)
    assert len(refusals) >= 4
    assert {refusal.http_status for refusal in refusals} <= {400, 501}


@pytest.mark.parametrize(
    "header",
    [
        (2, 64, 65, 0),
        (1, 63),
        (1, 1 << 31),
        (16, 64),
        (0, 64),
    ],
)
def test_an_rle_header_that_lies_is_refused(header: tuple[int, ...]) -> None:
    head = numpy.zeros(16, "<u4")
    head[: len(header)] = header
    with pytest.raises(BadFileFormat):
        decoders.decode(RLE_LOSSLESS, head.tobytes() + bytes(64), PixelFormat(8, 8, 1, "MONOCHROME2", 8, 8, 7, False))


def test_videos_and_unknown_syntaxes_are_not_decoded() -> None:
    for syntax in ("1.2.840.10008.1.2.4.102", "1.2.3.4.5.6"):
        with pytest.raises(NotImplementedHere):
            decoded(image(landscape(4, 4, 8), syntax, PixelData=item(b"") + item(b"abcd")))
