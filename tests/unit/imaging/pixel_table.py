"""The tables of docs/pixels.md, made by doing what they tell.

A cell is one kind of image in one transfer syntax. It is *written* if our transcoder makes such a file of a native one;
it is *read* if the pixels of that file, or of one that DCMTK or GDCM made, come out as they went in. Run this module to
print the tables.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from amonsul.dicom.scanner import scan
from amonsul.errors import NotImplementedHere
from amonsul.imaging import encoders, syntaxes
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.colour import palette_of, to_rgb
from amonsul.imaging.decode import decode_frames
from amonsul.imaging.frames import Frames
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.transcode import transcode_bytes
from tests.unit.imaging.builders import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Array, image, item, landscape
from tests.unit.imaging.comparing import DCMTK_DIFFERS, GDCM_DIFFERS, GDCM_PROCESS, NOT_READ

PAGE = Path(__file__).parents[3] / "docs" / "pixels.md"
BOTH, READ, NEITHER = "yes", "read", "–"
ROWS, COLUMNS = 24, 30
LARGEST_LOSS = 0.12
"""Of the range of values, on average over a frame, of what is lossy at the default quality."""

_CODECS = LocalCodecs()

SYNTAXES: Mapping[str, str] = {
    IMPLICIT: "Implicit VR Little Endian",
    EXPLICIT: "Explicit VR Little Endian",
    BIG_ENDIAN: "Explicit VR Big Endian",
    DEFLATED: "Deflated Explicit VR Little Endian",
    syntaxes.RLE_LOSSLESS: "RLE Lossless",
    syntaxes.JPEG_BASELINE: "JPEG Baseline (1)",
    syntaxes.JPEG_EXTENDED: "JPEG Extended (2 and 4)",
    "1.2.840.10008.1.2.4.53": "JPEG Spectral Selection (6 and 8)",
    "1.2.840.10008.1.2.4.55": "JPEG Full Progression (10 and 12)",
    syntaxes.JPEG_LOSSLESS: "JPEG Lossless (14)",
    syntaxes.JPEG_LOSSLESS_SV1: "JPEG Lossless (14, selection value 1)",
    syntaxes.JPEG_LS_LOSSLESS: "JPEG-LS Lossless",
    syntaxes.JPEG_LS_NEAR_LOSSLESS: "JPEG-LS Near-Lossless",
    syntaxes.JPEG_2000_LOSSLESS: "JPEG 2000 Lossless",
    syntaxes.JPEG_2000: "JPEG 2000",
    syntaxes.HTJ2K_LOSSLESS: "HTJ2K Lossless",
    syntaxes.HTJ2K_LOSSLESS_RPCL: "HTJ2K Lossless RPCL",
    syntaxes.HTJ2K: "HTJ2K",
    syntaxes.JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    syntaxes.JPEG_XL: "JPEG XL",
    syntaxes.DEFLATED_IMAGE_FRAME: "Deflated Image Frame",
}

_DCMTK_WRITES: Mapping[str, Sequence[str]] = {
    syntaxes.RLE_LOSSLESS: ("dcmcrle",),
    syntaxes.JPEG_BASELINE: ("dcmcjpeg", "+eb", "+un"),
    syntaxes.JPEG_EXTENDED: ("dcmcjpeg", "+ee", "+un"),
    "1.2.840.10008.1.2.4.53": ("dcmcjpeg", "+es", "+un"),
    "1.2.840.10008.1.2.4.55": ("dcmcjpeg", "+ep", "+un"),
    syntaxes.JPEG_LOSSLESS: ("dcmcjpeg", "+el", "+un"),
    syntaxes.JPEG_LOSSLESS_SV1: ("dcmcjpeg", "+e1", "+un"),
    syntaxes.JPEG_LS_LOSSLESS: ("dcmcjpls", "+el", "+un"),
    syntaxes.JPEG_LS_NEAR_LOSSLESS: ("dcmcjpls", "+en", "+un"),
}
# not JPEG that is lossy: it mistakes RGB for YCbCr, and writes 12 bits as 16
_GDCM_WRITES: Mapping[str, str] = {
    syntaxes.RLE_LOSSLESS: "RLELossless",
    syntaxes.JPEG_LOSSLESS: "JPEGLosslessProcess14",
    syntaxes.JPEG_LOSSLESS_SV1: "JPEGLosslessProcess14_1",
    syntaxes.JPEG_LS_LOSSLESS: "JPEGLSLossless",
    syntaxes.JPEG_LS_NEAR_LOSSLESS: "JPEGLSNearLossless",
    syntaxes.JPEG_2000_LOSSLESS: "JPEG2000Lossless",
    syntaxes.JPEG_2000: "JPEG2000",
}


@dataclass(frozen=True)
class Kind:
    """Images of one kind: a column.

    Attributes:
        native: makes a file in Explicit VR Little Endian.
    """

    name: str
    native: Callable[[], bytes]


def _grey(bits: int, *, is_signed: bool = False) -> Kind:
    samples = landscape(ROWS, COLUMNS, bits, is_signed)
    name = f"{bits}{' signed' if is_signed else ''}"
    return Kind(name, partial(image, samples, BitsStored=bits, HighBit=bits - 1))


def _bits() -> bytes:
    samples = landscape(ROWS, COLUMNS, 8) >> 7
    packed = numpy.packbits(samples.reshape(-1), bitorder="little").tobytes()
    return image(samples, PixelData=packed, BitsAllocated=1, BitsStored=1, HighBit=0)


def _floating(keyword: str, kind: str) -> bytes:
    samples = (landscape(ROWS, COLUMNS, 16) / 7).astype(kind)
    description: dict[str, Any] = {
        "Rows": ROWS,
        "Columns": COLUMNS,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    description |= {"BitsAllocated": samples.itemsize * 8, keyword: samples.tobytes()}
    return image(**description)


_COLOURS = landscape(ROWS, COLUMNS, 8, samples_per_pixel=3)
_RAMP = numpy.linspace(0, 0xFFFF, 256).astype("<u2")
_PALETTE: Mapping[str, Any] = {
    f"{colour}PaletteColorLookupTable{part}": [256, 0, 16] if part == "Descriptor" else entries.tobytes()
    for colour, entries in (("Red", _RAMP), ("Green", _RAMP[::-1]), ("Blue", _RAMP // 2))
    for part in ("Descriptor", "Data")
}


def _colour(photometric_interpretation: str, **attributes: Any) -> Callable[[], bytes]:
    return partial(image, _COLOURS, PhotometricInterpretation=photometric_interpretation, **attributes)


def _grey_8(photometric_interpretation: str, **attributes: Any) -> Callable[[], bytes]:
    samples = landscape(ROWS, COLUMNS, 8)
    return partial(image, samples, PhotometricInterpretation=photometric_interpretation, **attributes)


DEPTHS: Sequence[Kind] = (
    Kind("1", _bits),
    *(_grey(bits, is_signed=is_signed) for bits in (8, 12, 16, 32) for is_signed in (False, True)),
    Kind("float", lambda: _floating("FloatPixelData", "<f4")),
    Kind("double", lambda: _floating("DoubleFloatPixelData", "<f8")),
)
"""Of MONOCHROME2."""

COLOURS: Sequence[Kind] = (
    Kind("MONOCHROME1", _grey_8("MONOCHROME1")),
    Kind("PALETTE COLOR", _grey_8("PALETTE COLOR", **_PALETTE)),
    Kind("RGB", _colour("RGB")),
    Kind("RGB by plane", _colour("RGB", PlanarConfiguration=1, PixelData=_COLOURS.transpose(2, 0, 1).tobytes())),
    Kind("RGB, 16 bits", lambda: image(landscape(ROWS, COLUMNS, 16, samples_per_pixel=3))),
    Kind("YBR_FULL", _colour("YBR_FULL")),
    Kind("YBR_FULL_422", _colour("YBR_FULL_422", PixelData=landscape(ROWS, COLUMNS * 2, 8).tobytes())),
    Kind("3 frames", lambda: image(numpy.stack([landscape(ROWS, COLUMNS, 8)] * 3))),
    Kind("3 frames, RGB", lambda: image(numpy.stack([_COLOURS] * 3))),
)
"""Of 8 bits where nothing is said."""

TABLES: Mapping[str, Sequence[Kind]] = {"Bit depth": DEPTHS, "Colour and frames": COLOURS}


def cell(syntax: str, kind: Kind) -> str:
    """What can be done with such images in a transfer syntax.

    Raises:
        AssertionError: pixels come out of a file as others than went in.
    """
    native = kind.native()
    is_written = True
    try:
        ours, _ = transcode_bytes(native, scan(native), syntax, _CODECS)
        _assert_alike(syntax, _seen(native), _seen(ours))
    except NotImplementedHere:
        is_written = False
    readable = 0
    for made, expected in (*_made_by_others(syntax, native), *_made_of_bits(syntax, native)):
        if _description(made) != (syntax, *_description(native)[1:]):
            continue  # the other program made something else of it
        try:
            found = _seen(made)
        except NotImplementedHere:
            continue
        _assert_alike(syntax, _seen(expected), found)
        readable += 1
    return BOTH if is_written else READ if readable else NEITHER


def row(syntax: str, kinds: Sequence[Kind]) -> str:
    """A line of a table."""
    return f"| {SYNTAXES[syntax]} | {' | '.join(cell(syntax, kind) for kind in kinds)} |"


def head(kinds: Sequence[Kind]) -> list[str]:
    """The first two lines of a table."""
    return [f"| Transfer syntax | {' | '.join(kind.name for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]


def section(title: str) -> list[str]:
    """The table under a heading of the page."""
    after = PAGE.read_text("utf-8").split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in after.splitlines() if line.startswith("|")]


def differences(named: Sequence[Mapping[str, str]]) -> list[str]:
    """The lines of the page for files, those with the same reason together."""
    files: dict[str, list[str]] = {}
    for name, reason in (each for part in named for each in part.items()):
        files.setdefault(reason, []).append(f"`{name}`")
    return [f"- {', '.join(names)}: {reason}." for reason, names in files.items()]


def _description(data: bytes) -> tuple[object, ...]:
    """Transfer syntax, and of the pixels what no compression may change."""
    header = scan(data)
    found = Frames(data, header).format
    described = (found.bits_stored, found.is_signed, found.samples_per_pixel, found.number_of_frames)
    return header.transfer_syntax_uid, *described


def _seen(data: bytes) -> list[Array]:
    """All frames; in RGB if they are coloured, because codecs may turn one colour space into another."""
    frames = Frames(data, scan(data))
    return [_colours(pixels, frames) for pixels in decode_frames(frames, _CODECS)]


def _colours(pixels: Pixels, frames: Frames) -> Array:
    if pixels.photometric_interpretation == "PALETTE COLOR":
        return to_rgb(pixels, palette_of(frames))
    return to_rgb(pixels, None) if pixels.samples.ndim == 3 and pixels.bits == 8 else pixels.samples


def _assert_alike(syntax: str, expected: Sequence[Array], found: Sequence[Array]) -> None:
    assert [frame.shape for frame in found] == [frame.shape for frame in expected]
    is_lossy = syntax not in syntaxes.WRITABLE or syntaxes.WRITABLE[syntax].is_lossy
    if syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED):
        is_lossy = False
    for one, other in zip(expected, found, strict=True):
        if not is_lossy:
            assert numpy.array_equal(one, other)
            continue
        span = float(one.max()) - float(one.min())
        loss = numpy.abs(one.astype(numpy.float64) - other.astype(numpy.float64)).mean() / span
        assert loss < LARGEST_LOSS, loss


def _made_by_others(syntax: str, native: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Files in a transfer syntax, each with one that has the pixels it should have."""
    with tempfile.TemporaryDirectory() as name:
        source, target, back = (Path(name) / f"{which}.dcm" for which in ("source", "target", "back"))
        source.write_bytes(native)
        if (writer := _DCMTK_WRITES.get(syntax)) is not None:
            assert shutil.which(writer[0]), f"DCMTK's {writer[0]} is not installed"
            reader = "dcmdrle" if writer[0] == "dcmcrle" else writer[0].replace("dcmc", "dcmd")
            # what is lossy there goes through a window first: so its own reader says what is right
            if _runs([*writer, source, target]) and _runs([reader, target, back]):
                yield target.read_bytes(), back.read_bytes()
        if (named := _GDCM_WRITES.get(syntax)) is not None:
            target.unlink(missing_ok=True)
            if _runs([sys.executable, GDCM_PROCESS, "encode", source, target, named]):
                yield target.read_bytes(), native


def _made_of_bits(syntax: str, native: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Single bits as other libraries of DICOM compress them: frames of 1 bit, Bits Allocated 1."""
    writable = syntaxes.WRITABLE.get(syntax)
    if _description(native)[1] != 1 or writable is None or writable.is_lossy or writable.takes_bits:
        return
    bits = _seen(native)[0]
    frame = encoders.encode(syntax, Pixels(bits, "MONOCHROME2", 1), 90)
    pixel_data = item(b"") + item(frame + b"\0" * (len(frame) & 1))
    yield image(bits, syntax, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=pixel_data), native


def _runs(command: Sequence[str | Path]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    for title, kinds in TABLES.items():
        print(f"## {title}\n", *head(kinds), *(row(syntax, kinds) for syntax in SYNTAXES), "", sep="\n")
    print(*differences((NOT_READ, DCMTK_DIFFERS, GDCM_DIFFERS)), sep="\n")
