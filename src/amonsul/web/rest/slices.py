"""The slices of a series in order of space, or of acquisition where space does not tell."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import OrthancId

_IMAGE_POSITION_PATIENT = Tag(0x00200032)
_IMAGE_ORIENTATION_PATIENT = Tag(0x00200037)
_PARALLEL = 1e-4
_APART = 1e-4

Slice = tuple[OrthancId, Mapping[Tag, str], int]


def ordered_slices(slices: Sequence[Slice]) -> dict[str, object]:
    """The body of `/series/{id}/ordered-slices`.

    Args:
        slices: identifier, main tags and number of frames of each instance, in order of acquisition.
    """
    by_space = _in_space(slices)
    chosen = slices if by_space is None else by_space
    return {
        "Dicom": [f"/instances/{orthanc_id}/file" for orthanc_id, _, _ in chosen],
        "Slices": [
            f"/instances/{orthanc_id}/frames/{frame}" for orthanc_id, _, frames in chosen for frame in range(frames)
        ],
        "SlicesShort": [[orthanc_id, 0, frames] for orthanc_id, _, frames in chosen],
        "Type": "Sequence" if by_space is None else "Volume",
    }


def _in_space(slices: Sequence[Slice]) -> list[Slice] | None:
    """Single frames along the common normal (PS3.3 §C.7.6.2.1.1); None if they do not form a volume."""
    normal: tuple[float, ...] | None = None
    placed: list[tuple[float, int]] = []
    for index, (_, tags, frames) in enumerate(slices):
        position = _numbers(tags.get(_IMAGE_POSITION_PATIENT), 3)
        cosines = _numbers(tags.get(_IMAGE_ORIENTATION_PATIENT), 6)
        if position is None or cosines is None or frames != 1:
            return None
        own = _cross(cosines[:3], cosines[3:])
        if _dot(own, own) < _PARALLEL:
            return None
        if normal is None:
            normal = own
        elif any(abs(a - b) > _PARALLEL for a, b in zip(normal, own, strict=True)):
            return None
        placed.append((_dot(normal, position), index))
    placed.sort()
    if len(placed) < 2 or any(b[0] - a[0] < _APART for a, b in itertools.pairwise(placed)):
        return None
    return [slices[index] for _, index in placed]


def _numbers(text: str | None, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(map(float, (text or "").split("\\")))
    except ValueError:
        return None
    return numbers if len(numbers) == count else None


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, ...]:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
