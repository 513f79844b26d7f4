"""A worker with codecs as bad as codecs can be: what a frame says happens."""

from __future__ import annotations

import ctypes
import os

import numpy

from amonsul.errors import AmonsulError
from amonsul.imaging import decoders, worker_process
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Array, Pixels

_good = decoders.decode


def decode(transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
    match bytes(frame):
        case b"crash":
            ctypes.string_at(0)
        case b"exit":
            os._exit(3)
        case b"loop":
            while True:
                pass
        case b"bomb":
            bytearray(1 << 44)
        case b"unknown error":
            raise AmonsulError("of a kind that is not passed on")
        case b"too much":
            return Pixels(_samples(2000), "MONOCHROME2", 8)
        case b"too little":
            return Pixels(_samples(2), "MONOCHROME2", 8)
        case b"another colour":
            return Pixels(_samples(pixel_format.rows * pixel_format.columns), "<script>", 8)
        case b"noise":
            os.write(0, b"\xff" * 100)
    return _good(transfer_syntax_uid, frame, pixel_format)


def _samples(count: int) -> Array:
    return numpy.zeros(count, numpy.uint8)


if __name__ == "__main__":
    decoders.decode = decode
    worker_process.main()
