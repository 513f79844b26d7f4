"""Transfer syntaxes of compressed frames by name, and what can be said of each without a codec (PS3.5 §10, Annex A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amonsul.errors import NotImplementedHere

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_JPEG = "1.2.840.10008.1.2.4.111"
JPEG_XL = "1.2.840.10008.1.2.4.112"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"

NEAR_LOSSLESS_ERROR = 2
"""How far a sample of near lossless JPEG-LS written here may be from the original."""

_GREY = frozenset(("MONOCHROME1", "MONOCHROME2"))
_INDEXED = frozenset(("PALETTE COLOR",))
_COLOURS = frozenset(("RGB", "YBR_FULL"))
_SUBSAMPLED = {"RGB": "YBR_FULL_422", "YBR_FULL": "YBR_FULL_422"}


@dataclass(frozen=True, slots=True)
class Writable:
    """What a transfer syntax holds, as it is written here.

    Attributes:
        max_bits: of a sample.
        takes: photometric interpretations.
        becomes: those that change when they are written (PS3.5 §8.2).
        method: Lossy Image Compression Method (PS3.3 §C.7.6.1.1.5.1); empty if nothing is lost.
        description: of what is lost, for people.
        takes_signed: samples below zero.
        takes_bits: samples of which Bits Allocated is 1.
        precisions: that samples may have, instead of any; Bits Stored becomes the next one.
        is_narrow: Bits Allocated is 8 for unsigned samples of up to 8 bits.
    """

    max_bits: int
    takes: frozenset[str]
    becomes: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    description: str = ""
    takes_signed: bool = True
    takes_bits: bool = False
    is_narrow: bool = True
    precisions: tuple[int, ...] = ()

    @property
    def is_lossy(self) -> bool:
        """Something is lost."""
        return bool(self.method)

    def bits_stored(self, bits: int) -> int:
        """Bits Stored of the encoded frame: JPEG that is lossy knows 8 and 12, and may use them all."""
        return next((precision for precision in self.precisions if precision >= bits), bits)

    def stored_as(self, photometric_interpretation: str) -> str:
        """The Photometric Interpretation that the data set of the encoded frame must have."""
        return self.becomes.get(photometric_interpretation, photometric_interpretation)


_JPEG_METHOD, _JPEG_LS_METHOD, _JPEG_2000_METHOD = "ISO_10918_1", "ISO_14495_1", "ISO_15444_1"
_ALL = _GREY | _INDEXED | _COLOURS

WRITABLE: Mapping[str, Writable] = {
    JPEG_BASELINE: Writable(
        8, _GREY | _COLOURS, _SUBSAMPLED, _JPEG_METHOD, "JPEG baseline", takes_signed=False, precisions=(8,)
    ),
    JPEG_EXTENDED: Writable(
        12,
        _GREY | _COLOURS,
        _SUBSAMPLED,
        _JPEG_METHOD,
        "JPEG extended sequential",
        takes_signed=False,
        precisions=(8, 12),
    ),
    JPEG_LOSSLESS: Writable(16, _ALL),
    JPEG_LOSSLESS_SV1: Writable(16, _ALL),
    JPEG_LS_LOSSLESS: Writable(16, _ALL),
    JPEG_LS_NEAR_LOSSLESS: Writable(16, _GREY | _COLOURS, {}, _JPEG_LS_METHOD, "JPEG-LS"),
    JPEG_2000_LOSSLESS: Writable(16, _ALL, {"RGB": "YBR_RCT"}),
    JPEG_2000: Writable(16, _GREY | _COLOURS, {"RGB": "YBR_ICT"}, _JPEG_2000_METHOD, "JPEG 2000"),
    HTJ2K_LOSSLESS: Writable(16, _ALL, {"RGB": "YBR_RCT"}),
    HTJ2K_LOSSLESS_RPCL: Writable(16, _ALL, {"RGB": "YBR_RCT"}),
    HTJ2K: Writable(16, _GREY | _COLOURS, {"RGB": "YBR_ICT"}, "ISO_15444_15", "high throughput JPEG 2000"),
    JPEG_XL_LOSSLESS: Writable(16, _GREY | {"RGB"}, takes_signed=False),
    JPEG_XL: Writable(16, _GREY | {"RGB"}, {}, "ISO_18181_1", "JPEG XL", takes_signed=False),
    RLE_LOSSLESS: Writable(32, _ALL, takes_bits=True, is_narrow=False),
    DEFLATED_IMAGE_FRAME: Writable(64, _ALL, takes_bits=True, is_narrow=False),
}
"""Every encapsulated transfer syntax that frames are written in here."""


def check_writable(
    transfer_syntax_uid: str, photometric_interpretation: str, bits_allocated: int, bits: int, is_signed: bool
) -> Writable:
    """Find out whether such samples can be written in a transfer syntax.

    Raises:
        NotImplementedHere: they cannot; the text says why.
    """
    writable = WRITABLE.get(transfer_syntax_uid)
    if writable is None:
        raise NotImplementedHere(f"Pixels cannot be written in transfer syntax {transfer_syntax_uid}")
    if photometric_interpretation not in writable.takes:
        raise NotImplementedHere(f"{photometric_interpretation} cannot be written in {transfer_syntax_uid}")
    if bits > writable.max_bits or (bits_allocated == 1 and not writable.takes_bits):
        raise NotImplementedHere(f"{bits} of {bits_allocated} bits cannot be written in {transfer_syntax_uid}")
    if is_signed and not writable.takes_signed:
        raise NotImplementedHere(f"Signed samples cannot be written in {transfer_syntax_uid}")
    return writable
