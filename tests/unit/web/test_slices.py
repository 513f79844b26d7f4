from __future__ import annotations

import pytest

from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import OrthancId
from amonsul.web.rest.slices import Slice, ordered_slices

POSITION, ORIENTATION = Tag(0x00200032), Tag(0x00200037)
AXIAL, SAGITTAL = "1\\0\\0\\0\\1\\0", "0\\1\\0\\0\\0\\-1"


def slice_at(name: str, position: str | None, orientation: str | None = AXIAL, frames: int = 1) -> Slice:
    tags = {}
    if position is not None:
        tags[POSITION] = position
    if orientation is not None:
        tags[ORIENTATION] = orientation
    return OrthancId(name), tags, frames


def order(*slices: Slice) -> tuple[object, list[str]]:
    described = ordered_slices(slices)
    paths = described["Dicom"]
    assert isinstance(paths, list)
    return described["Type"], [path.split("/")[2] for path in paths]


def test_slices_are_ordered_along_their_normal() -> None:
    assert order(slice_at("a", "0\\0\\5"), slice_at("b", "0\\0\\-5"), slice_at("c", "0\\0\\0")) == (
        "Volume",
        ["b", "c", "a"],
    )
    assert order(
        slice_at("a", "5\\0\\0", SAGITTAL), slice_at("b", "9\\0\\0", SAGITTAL), slice_at("c", "1\\0\\0", SAGITTAL)
    ) == ("Volume", ["b", "a", "c"])


@pytest.mark.parametrize(
    "slices",
    [
        (slice_at("a", "0\\0\\5"), slice_at("b", None)),
        (slice_at("a", "0\\0\\5"), slice_at("b", "0\\0\\0", None)),
        (slice_at("a", "0\\0\\5"), slice_at("b", "0\\0\\5")),
        (slice_at("a", "0\\0\\5"), slice_at("b", "0\\0\\0", SAGITTAL)),
        (slice_at("a", "0\\0\\5"), slice_at("b", "x\\y\\z")),
        (slice_at("a", "0\\0\\5"), slice_at("b", "0\\0")),
        (slice_at("a", "0\\0\\5"), slice_at("b", "0\\0\\0", frames=3)),
        (slice_at("a", "0\\0\\5", "0\\0\\0\\0\\0\\0"), slice_at("b", "0\\0\\0", "0\\0\\0\\0\\0\\0")),
        (slice_at("a", "0\\0\\5"),),
    ],
)
def test_other_slices_stay_in_their_order(slices: tuple[Slice, ...]) -> None:
    assert order(*slices) == ("Sequence", [str(name) for name, _, _ in slices])


def test_frames_are_counted() -> None:
    described = ordered_slices([slice_at("a", None, frames=2), slice_at("b", None)])
    assert described["Slices"] == ["/instances/a/frames/0", "/instances/a/frames/1", "/instances/b/frames/0"]
    assert described["SlicesShort"] == [["a", 0, 2], ["b", 0, 1]]
