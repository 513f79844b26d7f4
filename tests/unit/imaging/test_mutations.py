"""Files wrong in thousands of ways, the same in every run: only declared errors come out, and no worker dies."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from amonsul.dicom.header import Header
from amonsul.dicom.scanner import scan
from amonsul.errors import AmonsulError
from amonsul.imaging.frames import Frames, frame_count, has_pixel_data
from amonsul.imaging.grayscale import grayscale
from amonsul.imaging.pictures import png
from amonsul.imaging.render import Rendering, preview_frame, rendered_frame
from amonsul.imaging.syntaxes import JPEG_LS_LOSSLESS, RLE_LOSSLESS, WRITABLE
from amonsul.imaging.transcode import transcode_bytes
from amonsul.imaging.worker import WorkerPool, WorkerSettings

from .builders import EXPLICIT, image, landscape, packaged

SEEDS = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "examples_palette.dcm",
    "rtdose_rle.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
]
WORDS = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\xdd\xe0",
    b"\xff\xd9",
    b"\xff\x7f",
]


def mutations(data: bytes, count: int) -> Iterator[bytes]:
    """Copies with bytes changed, put in or taken out, most of them around the description of the pixels."""
    chance = random.Random(len(data))
    description = data.find(b"\x28\x00")
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 5))):
            near = description + chance.randrange(400) if chance.random() < 0.6 else chance.randrange(len(changed))
            place = max(0, min(near, len(changed) - 1))
            match chance.randrange(4):
                case 0:
                    changed[place] = chance.randrange(256)
                case 1:
                    word = chance.choice(WORDS)
                    changed[place : place + len(word)] = word
                case 2:
                    del changed[place : place + chance.randrange(1, 6)]
                case _:
                    changed[place:place] = chance.choice(WORDS)
        yield bytes(changed)


def look_at(data: bytes, pool: WorkerPool) -> bool:
    """Do what requests do; whether a picture came of it."""
    try:
        header: Header = scan(data)
    except AmonsulError:
        return False
    came = False
    for action in (_count, _preview, _render, _rewrite, _compress):
        try:
            action(data, header, pool)
            came = True
        except AmonsulError as refusal:
            assert refusal.http_status in (400, 413, 501), (action, refusal)  # noqa: PT017 (many of each are expected)
    return came


def _count(data: bytes, header: Header, pool: WorkerPool) -> None:
    assert frame_count(data, header) <= max(1, len(data))


def _preview(data: bytes, header: Header, pool: WorkerPool) -> None:
    png(preview_frame(Frames(data, header), 0, pool))


def _render(data: bytes, header: Header, pool: WorkerPool) -> None:
    frames = Frames(data, header)
    grayscale(frames, frames.count - 1)
    png(rendered_frame(frames, frames.count - 1, pool, Rendering(width=20, is_smooth=True)))


def _rewrite(data: bytes, header: Header, pool: WorkerPool) -> None:
    transcode_bytes(data, header, EXPLICIT, pool)


def _compress(data: bytes, header: Header, pool: WorkerPool) -> None:
    if has_pixel_data(header.data_set):
        transcode_bytes(data, header, RLE_LOSSLESS, pool)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WorkerSettings(processes=1))
    yield made
    made.close()


@pytest.mark.parametrize("name", SEEDS)
def test_packaged_files_may_be_broken_anywhere(name: str, pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "amonsul.imaging")
    pictures = sum(look_at(data, pool) for data in mutations(packaged(name), 80))
    assert pictures > 0
    assert not [record for record in caplog.records if "ended its process" in record.message]


@pytest.mark.parametrize("syntax", [syntax for syntax in WRITABLE if syntax != JPEG_LS_LOSSLESS])
def test_frames_of_every_syntax_may_be_broken_anywhere(
    syntax: str, pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "amonsul.imaging")
    data = image(landscape(24, 31, 8))
    compressed, _ = transcode_bytes(data, scan(data), syntax, pool)
    pictures = sum(look_at(broken, pool) for broken in mutations(compressed, 60))
    assert pictures > 0
    assert not [record for record in caplog.records if "ended its process" in record.message]
