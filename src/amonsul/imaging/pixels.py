"""Arrays of samples: the one type that decoders yield, renderers take and encoders write."""

from __future__ import annotations

from collections.abc import Callable
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


_BLOCK = 1 << 14  # pixels


def in_blocks(samples: Array, function: Callable[[Array], Array], pixel_shape: tuple[int, ...] = ()) -> Array:
    """Map pixels to pixels of uint8, some thousands at a time.

    What a function needs on the way then stays in the cache, and in memory that the process has already; whole images
    would be new pages each time, which costs three times as much as the arithmetic.

    Args:
        samples: of a frame.
        function: from (pixels, …) to the same shape; may return floats, which are cut off.
        pixel_shape: (3,) for colours.
    """
    result = numpy.empty(samples.shape, numpy.uint8)
    flat, flat_result = samples.reshape(-1, *pixel_shape), result.reshape(-1, *pixel_shape)
    for start in range(0, len(flat), _BLOCK):
        flat_result[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return result


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
        shifted = samples << above
        shifted >>= above + below
        return shifted
    samples = samples.view(f"u{samples.dtype.itemsize}")
    if below:
        samples = samples >> below
    if above or below:
        mask = samples.dtype.type((1 << bits_stored) - 1)
        if int(samples.max(initial=0)) > int(mask):
            samples = samples & mask
    return samples
