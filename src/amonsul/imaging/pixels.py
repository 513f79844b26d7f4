"""Arrays of samples: the one type that decoders yield, renderers take and encoders write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]  # Any: samples are of whatever type the file holds; each function says what it takes


@dataclass(frozen=True, slots=True)
class Pixels:
    """One decoded frame.

    Attributes:
        samples: (rows, columns) or (rows, columns, 3), in native byte order; uint8 … uint64, int8 … int64 by Bits
            Allocated and Pixel Representation, float32 or float64; 1-bit samples are 0 and 1 in uint8.
        photometric_interpretation: of these samples: what a codec undid is RGB, never YBR_FULL_422, YBR_ICT or YBR_RCT.
        bits: significant bits of a sample: Bits Stored.
        is_packed: Bits Allocated is 1: native pixel data holds eight samples in a byte.
    """

    samples: Array
    photometric_interpretation: str
    bits: int
    is_packed: bool = False


def sample_type(bits_allocated: int, is_signed: bool) -> numpy.dtype[Any]:  # Any: see Array
    """Of integer samples; packed bits become bytes."""
    return numpy.dtype(f"{'i' if is_signed else 'u'}{max(1, bits_allocated // 8)}")


def significant(samples: Array, bits_stored: int, high_bit: int, is_signed: bool) -> Array:
    """Cut samples out of their cells (PS3.5 §8.1.1): what lies above High Bit may be anything, e.g. overlays."""
    cell_bits = samples.dtype.itemsize * 8
    above, below = cell_bits - 1 - high_bit, high_bit + 1 - bits_stored
    if is_signed:
        samples = samples.view(f"i{samples.dtype.itemsize}")
        if above == below == 0:
            return samples
        return (samples << above) >> (above + below)
    samples = samples.view(f"u{samples.dtype.itemsize}")
    if below:
        samples = samples >> below
    if above or below:
        mask = samples.dtype.type((1 << bits_stored) - 1)
        if int(samples.max(initial=0)) > int(mask):
            samples = samples & mask
    return samples
