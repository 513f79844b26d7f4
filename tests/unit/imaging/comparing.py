"""What DCMTK and GDCM make of the files that we decode, and why it is something else where it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy

from amonsul.imaging.colour import to_rgb
from amonsul.imaging.pixels import Pixels
from tests.unit.imaging.builders import Array

GDCM_PROCESS = Path(__file__).with_name("gdcm_process.py")

NOT_READ: Mapping[str, str] = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "its codestream holds the bytes of a delimiter, where it is cut",
    "MR_truncated.dcm": "its pixel data ends before the file says",
    "nested_priv_SQ.dcm": "pixels without Rows",
}
"""By us."""

DCMTK_DIFFERS: Mapping[str, str] = {
    "SC_rgb_jpeg.dcm": "DCMTK refuses it: its data set is of another transfer syntax than it says",
}

_WRONG_WORDS = "GDCM takes the bytes of RGB samples of more than 8 bits apart in another order than PS3.5 G.2 says"
_32_BITS = "GDCM refuses 32 bits unless they come in several frames, and does not turn them from big endian"
_BITS_AS_BYTES = "GDCM leaves eight samples in a byte"

GDCM_DIFFERS: Mapping[str, str] = {
    "J2K_pixelrep_mismatch.dcm": "the codestream is unsigned, the data set signed; GDCM believes the former",
    "SC_rgb_rle_16bit.dcm": _WRONG_WORDS,
    "SC_rgb_rle_16bit_2frame.dcm": _WRONG_WORDS,
    "SC_rgb_rle_32bit.dcm": _WRONG_WORDS,
    "SC_rgb_rle_32bit_2frame.dcm": _WRONG_WORDS,
    "liver_1frame.dcm": _BITS_AS_BYTES,
    "liver_expb_1frame.dcm": _BITS_AS_BYTES,
    "rtdose_1frame.dcm": _32_BITS,
    "rtdose_expb.dcm": _32_BITS,
    "rtdose_expb_1frame.dcm": _32_BITS,
    "rtdose_rle_1frame.dcm": _32_BITS,
}

GDCM_TOLERANCE = 2
"""Of colours in YCbCr, which GDCM leaves for others to convert."""


def decoded_by_gdcm(sources: Sequence[Path], folder: Path) -> None:
    """Let GDCM write the samples of files to a folder; what it refuses, or dies of, is not there afterwards."""
    left = list(sources)
    while left:
        command: list[str | Path] = [sys.executable, GDCM_PROCESS, "decode", folder, *left]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        done = [place for place, source in enumerate(left) if samples_path(folder, source).exists()]
        left = left[done[-1] + 2 if done else 1 :]  # the one behind the last one done was too much for it


def samples_path(folder: Path, source: Path) -> Path:
    """Where the samples of a file are."""
    return folder / f"{source.name}.npz"


def gdcm_frames(path: Path, like: Sequence[Pixels]) -> list[Array] | None:
    """The frames that GDCM made, in the shape of ours; None if they are not as many samples."""
    with numpy.load(path) as found:
        kind = f"{'i' if found['is_signed'] else 'u'}{max(1, int(found['bits_allocated']) // 8)}"
        samples, is_planar = found["samples"].view(kind), bool(found["is_planar"])
        photometric_interpretation = str(found["photometric_interpretation"])
    shape = like[0].samples.shape
    count = len(like) * like[0].samples.size
    if samples.size < count:
        return None
    if is_planar and len(shape) == 3:
        frames = samples[:count].reshape(len(like), 3, *shape[:2]).transpose(0, 2, 3, 1)
    else:
        frames = samples[:count].reshape(len(like), *shape)
    if like[0].photometric_interpretation == "RGB" and photometric_interpretation.startswith("YBR_FULL"):
        return [to_rgb(Pixels(frame, "YBR_FULL", 8), None) for frame in frames]
    return list(frames)
