"""Where text is burned into pixels (PS3.15 §E.3.1), for the options that clean pixel data.

Nothing here looks at pixels, and no program can promise to find what is written in them. So somebody has to say where
to look: the request, with rectangles to blank; an ultrasound image itself, whose calibrated regions (PS3.3 §C.8.5.5)
are what the transducer sees, so that all around them is blanked; or the data set, if it says that there is nothing.
Where nobody does, cleaning is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from amonsul.dicom.editing import peek, sequence_items, text_of
from amonsul.dicom.elements import Tag
from amonsul.errors import BadRequest

BURNED_IN_ANNOTATION: Final = Tag(0x00280301)
RECOGNIZABLE_VISUAL_FEATURES: Final = Tag(0x00280302)
_SEQUENCE_OF_ULTRASOUND_REGIONS: Final = Tag(0x00186011)
_PIXEL_DATA: Final = (Tag(0x7FE00010), Tag(0x7FE00008), Tag(0x7FE00009))

MAX_REGIONS = 1000
_MAX_PIXELS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels; what lies outside of an image is ignored."""

    x: int
    y: int
    width: int
    height: int

    def covers(self, rows: int, columns: int) -> bool:
        """Whether it is all of an image."""
        return self.x <= 0 and self.y <= 0 and self.x + self.width >= columns and self.y + self.height >= rows

    def meets(self, rows: int, columns: int) -> bool:
        """Whether any of it is inside of an image."""
        return self.width > 0 and self.height > 0 and self.x < columns and self.y < rows


@dataclass(frozen=True, slots=True)
class PixelCleaning:
    """What is to become of the pixels of an instance, in all frames.

    Attributes:
        blank: regions to blank.
        keep: all outside of these is blanked; None: nothing for that.
    """

    blank: tuple[Region, ...] = ()
    keep: tuple[Region, ...] | None = None

    def blanks(self, rows: int, columns: int) -> bool:
        """Whether any pixel of an image changes."""
        if any(region.meets(rows, columns) for region in self.blank):
            return True
        return self.keep is not None and not any(region.covers(rows, columns) for region in self.keep)


def parse_regions(fields: Mapping[str, object]) -> tuple[Region, ...] | None:
    """Read PixelRegions of a request; None if it has none.

    Raises:
        BadRequest: it is no list of objects with X, Y, Width and Height.
    """
    value = fields.get("PixelRegions")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_REGIONS:
        raise BadRequest(f"PixelRegions must be an array of at most {MAX_REGIONS} objects")
    return tuple(map(_region, value))


def _region(value: object) -> Region:
    names = ("X", "Y", "Width", "Height")
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise BadRequest("A region must be an object with X, Y, Width and Height")
    numbers = [value[name] for name in names]
    if any(isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= _MAX_PIXELS for each in numbers):
        raise BadRequest(f"X, Y, Width and Height of a region must be from 0 to {_MAX_PIXELS}")
    return Region(*numbers)


def cleaning_of(
    data_set: Dataset, requested: tuple[Region, ...] | None, *, of_annotations: bool
) -> PixelCleaning | None:
    """What to do with the pixels of a data set that is still as it was; None if it has none.

    Args:
        data_set: the original.
        requested: of the request; none at all is an answer, too: somebody has looked, and there is nothing.
        of_annotations: texts are what it is about, or else only what the request names.

    Raises:
        BadRequest: nobody says where annotations are, or there are some and nobody says where.
    """
    if not any(peek(data_set, tag) is not None for tag in _PIXEL_DATA):
        return None
    if not of_annotations:
        return PixelCleaning(requested or ())
    cleaning = PixelCleaning(requested or (), _ultrasound_regions(data_set))
    if not cleaning.blanks(_number(data_set, 0x00280010), _number(data_set, 0x00280011)):
        burned_in = text_of(data_set, BURNED_IN_ANNOTATION)
        if burned_in == "YES":
            raise BadRequest("Annotations are burned into the pixels: PixelRegions must say where they are")
        if burned_in != "NO" and requested is None:
            raise BadRequest(
                "The data set does not say whether annotations are burned into the pixels: PixelRegions must say where "
                "they are, and may be empty if there are none"
            )
    return cleaning


def _ultrasound_regions(data_set: Dataset) -> tuple[Region, ...] | None:
    items = sequence_items(data_set, _SEQUENCE_OF_ULTRASOUND_REGIONS)
    if not items:
        return None
    regions = []
    for item in items:
        x0, y0, x1, y1 = (_number(item, tag) for tag in (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E))
        if x0 <= x1 and y0 <= y1 and (x1 or y1):
            regions.append(Region(x0, y0, x1 - x0 + 1, y1 - y0 + 1))
    return tuple(regions) or None


def _number(data_set: Dataset, tag: int) -> int:
    """An unsigned number; 0 if there is none."""
    element = data_set.get(tag)
    value = element.value if element is not None else None
    return value if isinstance(value, int) else 0
