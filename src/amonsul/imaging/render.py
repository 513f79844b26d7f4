"""From decoded frames to pictures that a browser shows, and to the integer images of the REST API.

`preview` stretches what is there to the full range, `rendered` shows what the file or the request asks for, the
`clipped_…` functions change no value but those that do not fit. Pictures are uint8, (rows, columns) or
(rows, columns, 3); encoders take them from there (`pictures`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from PIL import Image

from amonsul.errors import IncompatibleImageFormat, ParameterOutOfRange
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.colour import Palette, palette_of, to_rgb
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.frames import Frames
from amonsul.imaging.grayscale import Grayscale, VoiLutFunction, Window, display, full_range, grayscale
from amonsul.imaging.pixels import Array, Pixels, in_blocks

MAX_PICTURE_PIXELS = 1 << 26
"""Of a picture that is resized; what the file holds may be larger."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a request asks for; everything left out comes from the file.

    Attributes:
        window_center: with `window_width`, or one alone together with the other one of the file.
        function: of that window.
        width: columns that the picture may have; it keeps its proportions and fits into width and height.
        height: rows that the picture may have.
        is_smooth: interpolate when resizing, instead of taking the nearest pixel.
    """

    window_center: float | None = None
    window_width: float | None = None
    function: VoiLutFunction | None = None
    width: int = 0
    height: int = 0
    is_smooth: bool = False


def preview_frame(frames: Frames, frame: int, codecs: Codecs) -> Array:
    """Decode one frame and stretch it; see `preview`."""
    pixels = decode_frame(frames, frame, codecs)
    return preview(pixels, _palette(frames))


def rendered_frame(frames: Frames, frame: int, codecs: Codecs, rendering: Rendering) -> Array:
    """Decode one frame and show it as asked; see `rendered`."""
    pixels = decode_frame(frames, frame, codecs)
    return rendered(pixels, grayscale(frames, frame), _palette(frames), rendering)


def _palette(frames: Frames) -> Palette | None:
    return palette_of(frames) if frames.format.photometric_interpretation == "PALETTE COLOR" else None


def preview(pixels: Pixels, palette: Palette | None) -> Array:
    """The values that occur, stretched to 0…255; colour images as they are.

    Raises:
        BadFileFormat: a palette image without palette.
        NotImplementedHere: a colour space that nothing is known about.
    """
    if not _is_monochrome(pixels):
        return to_rgb(pixels, palette)
    grey = stretched(pixels.samples)
    return numpy.subtract(255, grey) if pixels.photometric_interpretation == "MONOCHROME1" else grey


def stretched(samples: Array) -> Array:
    """Samples with their minimum at 0 and their maximum at 255."""
    if samples.dtype.kind == "f":
        samples = numpy.nan_to_num(samples)  # of the largest numbers: infinities are values like any other
    low, high = samples.min(), samples.max()
    if low == high:
        return numpy.zeros(samples.shape, numpy.uint8)
    if samples.dtype == numpy.uint8 and int(low) == 0 and int(high) == 255:
        return samples
    scale = 255.0 / (float(high) - float(low))
    if samples.dtype.itemsize > 2:
        return in_blocks(samples, lambda block: (block.astype(numpy.float64) - float(low)) * scale + 0.5)
    factor, offset = numpy.float32(scale), numpy.float32(0.5 - int(low) * scale)

    def stretch(block: Array) -> Array:
        grey = numpy.multiply(block, factor, dtype=numpy.float32)
        grey += offset
        return grey

    return in_blocks(samples, stretch)


def rendered(pixels: Pixels, description: Grayscale, palette: Palette | None, rendering: Rendering) -> Array:
    """Modality LUT, window or VOI LUT, inversion, and the size asked for; colour images are only resized.

    Raises:
        BadFileFormat, NotImplementedHere: as `preview`.
        ParameterOutOfRange: the picture would be too large, or its window is nonsense.
    """
    if _is_monochrome(pixels):
        picture = display(pixels, description, _window(pixels, description, rendering))
    else:
        picture = to_rgb(pixels, palette)
    if rendering.width > 0 or rendering.height > 0:
        return fitted(picture, rendering.width, rendering.height, rendering.is_smooth)
    return picture


def _window(pixels: Pixels, description: Grayscale, rendering: Rendering) -> Window | None:
    """The window asked for, with what was not said taken from the file."""
    center, width, function = rendering.window_center, rendering.window_width, rendering.function
    if center is None and width is None:
        return None
    if not (width is None or 0 < width < 1e12) or not (center is None or abs(center) < 1e12):
        raise ParameterOutOfRange("Bad window center or width")
    own = description.windows[0] if description.windows else full_range(pixels, description)
    return Window(
        own.center if center is None else center,
        own.width if width is None else width,
        own.function if function is None else function,
    )


def fitted(picture: Array, width: int, height: int, is_smooth: bool) -> Array:
    """Resize so that the picture fits into width and height with its proportions kept; 0 does not limit.

    Raises:
        ParameterOutOfRange: the result would be too large.
    """
    rows, columns = picture.shape[:2]
    factor = min((width / columns) if width > 0 else float("inf"), (height / rows) if height > 0 else float("inf"))
    if factor == float("inf"):
        return picture
    if factor * columns * factor * rows > MAX_PICTURE_PIXELS or factor * max(columns, rows) > 0xFFFF:
        raise ParameterOutOfRange("The picture would be too large")
    return _resized(picture, max(1, round(columns * factor)), max(1, round(rows * factor)), is_smooth)


def _resized(picture: Array, width: int, height: int, is_smooth: bool) -> Array:
    rows, columns = picture.shape[:2]
    if (rows, columns) == (height, width):
        return picture
    if is_smooth:
        image = Image.fromarray(numpy.ascontiguousarray(picture))
        return numpy.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    chosen_rows = (numpy.arange(height) * 2 + 1) * rows // (2 * height)
    chosen_columns = (numpy.arange(width) * 2 + 1) * columns // (2 * width)
    nearest: Array = picture[chosen_rows][:, chosen_columns]
    return nearest


def in_viewport(
    picture: Array, width: int, height: int, region: tuple[int, int, int, int] | None = None, is_smooth: bool = False
) -> Array:
    """Fit a picture, or a region (x, y, width, height) of it, into a viewport, centred on black (PS3.18 §8.3.5.1.3).

    Raises:
        ParameterOutOfRange: the viewport is empty or too large, or the region is outside the picture.
    """
    if width <= 0 or height <= 0 or width * height > MAX_PICTURE_PIXELS:
        raise ParameterOutOfRange("The viewport is empty or too large")
    if region is not None:
        x, y, region_width, region_height = region
        picture = picture[max(0, y) : max(0, y + region_height), max(0, x) : max(0, x + region_width)]
        if picture.size == 0:
            raise ParameterOutOfRange("The region of the viewport is outside the image")
    picture = fitted(picture, width, height, is_smooth)
    rows, columns = picture.shape[:2]
    if (rows, columns) == (height, width):
        return picture
    framed = numpy.zeros((height, width, *picture.shape[2:]), numpy.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    framed[top : top + rows, left : left + columns] = picture
    return framed


def clipped_uint8(pixels: Pixels) -> Array:
    """Stored values, those outside 0…255 at its ends.

    Raises:
        IncompatibleImageFormat: not a grayscale image; so do the two below.
    """
    return _clipped(pixels, numpy.uint8, 0, 255)


def clipped_uint16(pixels: Pixels) -> Array:
    """Stored values, those outside 0…65535 at its ends."""
    return _clipped(pixels, numpy.uint16, 0, 65535)


def clipped_int16(pixels: Pixels) -> Array:
    """Stored values, those outside -32768…32767 at its ends."""
    return _clipped(pixels, numpy.int16, -32768, 32767)


def _clipped(pixels: Pixels, wanted: type[numpy.integer], low: int, high: int) -> Array:
    if not _is_monochrome(pixels):
        raise IncompatibleImageFormat("Only grayscale images can be converted to integers of another size")
    samples = pixels.samples
    if samples.dtype.kind == "f":
        samples = numpy.nan_to_num(numpy.rint(samples))
    elif numpy.iinfo(samples.dtype).min >= low and numpy.iinfo(samples.dtype).max <= high:
        return samples.astype(wanted, copy=False)
    else:
        kind = numpy.iinfo(samples.dtype)
        low, high = max(low, kind.min), min(high, kind.max)
    return numpy.clip(samples, low, high).astype(wanted)


def _is_monochrome(pixels: Pixels) -> bool:
    return pixels.samples.ndim == 2 and pixels.photometric_interpretation != "PALETTE COLOR"
