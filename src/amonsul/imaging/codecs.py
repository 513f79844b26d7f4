"""Whoever decodes and encodes frames, wherever that happens: in the server, a pool of processes (`worker`)."""

from __future__ import annotations

from typing import Protocol

from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels


class Codecs(Protocol):
    """Both directions; safe to call from several threads at once."""

    def decode(self, transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
        """As `decoders.decode`."""

    def encode(self, transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
        """As `encoders.encode`."""


class LocalCodecs:
    """In the process that asks: for tools that work on trusted files, and for tests."""

    def decode(self, transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
        """As `decoders.decode`."""
        from amonsul.imaging import decoders  # late: loads all codecs, which the server never does

        return decoders.decode(transfer_syntax_uid, frame, pixel_format)

    def encode(self, transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
        """As `encoders.encode`."""
        from amonsul.imaging import encoders

        return encoders.encode(transfer_syntax_uid, pixels, quality)
