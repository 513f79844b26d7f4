"""What must hold of the codecs in their processes: whatever a frame is, it is decoded or refused, and the server lives.

An input is one frame: its first byte chooses the transfer syntax, its second one what the data set says of the pixels,
the rest is the codestream. A frame that makes its process die is refused like any other, and is counted.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

from amonsul.errors import AmonsulError
from amonsul.imaging import encoders
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import DEFLATED_IMAGE_FRAME, WRITABLE
from amonsul.imaging.worker import WorkerPool
from tests.unit.imaging.builders import landscape

SYNTAXES = [syntax for syntax in WRITABLE if syntax != DEFLATED_IMAGE_FRAME]
ROWS, COLUMNS = 24, 31

_WORDS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xd9", b"\xff\x7f", b"\xff\xd8\xff", b"\xff\x52")


def _formats() -> list[PixelFormat]:
    found = []
    for bits in (8, 12, 16):
        for is_signed in (False, True):
            allocated = 8 if bits == 8 else 16
            found.append(PixelFormat(ROWS, COLUMNS, 1, "MONOCHROME2", allocated, bits, bits - 1, is_signed))
    found.append(PixelFormat(ROWS, COLUMNS, 3, "RGB", 8, 8, 7, False))
    found.append(PixelFormat(ROWS, COLUMNS, 1, "MONOCHROME2", 1, 1, 0, False))
    return found


FORMATS = _formats()


class Deaths(logging.Handler):
    """Counts the processes that a codec took along, and keeps the inputs for a report."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.current = b""
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        if "ended its process" in record.getMessage():
            self.count += 1
            if self._folder is not None:
                (self._folder / f"death-{self.count}").write_bytes(self.current)


def check_bytes(data: bytes, pool: WorkerPool) -> bool:
    """Decode an input; whether it was decoded."""
    if len(data) < 2:
        return False
    syntax, pixel_format = SYNTAXES[data[0] % len(SYNTAXES)], FORMATS[data[1] % len(FORMATS)]
    try:
        pixels = pool.decode(syntax, data[2:], pixel_format)
    except AmonsulError as refusal:
        assert refusal.http_status in (400, 413, 501), refusal  # noqa: PT017 (most inputs are refused)
        return False
    assert pixels.samples.shape[:2] == (ROWS, COLUMNS)
    return True


def seeds() -> Iterator[bytes]:
    """A good frame of every kind that is written here."""
    for syntax_number, syntax in enumerate(SYNTAXES):
        for format_number, each in enumerate(FORMATS):
            samples = landscape(ROWS, COLUMNS, each.bits_stored, each.is_signed, each.samples_per_pixel)
            is_packed = each.bits_allocated == 1
            try:
                frame = encoders.encode(
                    syntax, Pixels(samples, each.photometric_interpretation, each.bits_stored, is_packed), 90
                )
            except AmonsulError:
                continue
            yield bytes((syntax_number, format_number)) + frame


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """A frame with bytes changed, put in, taken out or cut off; half of them where its headers are."""
    changed = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = 2 + chance.randrange(min(len(changed) - 2, 120 if chance.random() < 0.5 else len(changed) - 2) or 1)
        match chance.randrange(6):
            case 0:
                changed[place : place + 1] = bytes((chance.randrange(256),))
            case 1:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                word = chance.choice(_WORDS)
                changed[place : place + len(word)] = word
            case 3:
                del changed[place : place + chance.randrange(1, 9)]
            case 4:
                changed[place:place] = changed[place : place + chance.randrange(1, 33)]
            case _:
                del changed[max(place, len(changed) - chance.randrange(1, 200)) :]
        if len(changed) < 4:
            break
    return bytes(changed)
