"""Paths to attributes: `PatientName`, `0010,0010`, `Seq[0].Tag`, `Seq[*].Other[2].Tag`.

The form in which requests name what to replace, remove or keep. A path is parsed once; walking it finds the data sets
that exist, it never makes any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import sequence_items
from amonsul.dicom.elements import Tag, format_tag
from amonsul.errors import UnknownDicomTag

MAX_STEPS = 32
MAX_LENGTH = 2048

_STEP = re.compile(r"([^\[\].]+)\[(\*|\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Step:
    """One sequence on the way; `index` is None for all of its items."""

    tag: Tag
    index: int | None

    def __str__(self) -> str:
        return f"{format_tag(self.tag)}[{'*' if self.index is None else self.index}]"


Location = tuple[tuple[int, int], ...]
"""Where a data set is: tag and number of item of each sequence around it; empty for the outermost."""


@dataclass(frozen=True, slots=True)
class TagPath:
    """An attribute in the outermost data set (no steps), or in items of sequences."""

    steps: tuple[Step, ...]
    tag: Tag

    @property
    def is_nested(self) -> bool:
        """Whether it leads into a sequence."""
        return bool(self.steps)

    def __str__(self) -> str:
        return ".".join([*map(str, self.steps), format_tag(self.tag)])

    def leads_to(self, location: Location) -> bool:
        """Whether the attribute is in the data set at `location`."""
        return len(location) == len(self.steps) and self._fits(location)

    def leads_through(self, location: Location) -> bool:
        """Whether the attribute is somewhere below the data set at `location`."""
        return len(location) < len(self.steps) and self._fits(location)

    def _fits(self, location: Location) -> bool:
        return all(
            step.tag == tag and step.index in (None, index)
            for step, (tag, index) in zip(self.steps, location, strict=False)
        )


def parse_path(text: str, dictionary: Dictionary = STANDARD) -> TagPath:
    """Read a path.

    Raises:
        UnknownDicomTag: a part is no tag, or the text is no path.
    """
    if len(text) > MAX_LENGTH:
        raise UnknownDicomTag(f"a path of {len(text)} characters")
    *sequences, last = text.split(".")
    if len(sequences) > MAX_STEPS:
        raise UnknownDicomTag(f"a path through {len(sequences)} sequences")
    steps = []
    for part in sequences:
        step = _STEP.fullmatch(part)
        if step is None:
            raise UnknownDicomTag(f"Unknown DICOM tag: {text[:64]}")
        steps.append(Step(dictionary.tag(step[1]), None if step[2] == "*" else int(step[2])))
    return TagPath(tuple(steps), dictionary.tag(last))


def data_sets_at(data_set: Dataset, path: TagPath) -> Iterator[Dataset]:
    """The data sets that have, or could have, the attribute at the end of a path."""
    return _items_at([data_set], path.steps)


def _items_at(data_sets: Iterable[Dataset], steps: tuple[Step, ...]) -> Iterator[Dataset]:
    if not steps:
        yield from data_sets
        return
    step, rest = steps[0], steps[1:]
    for data_set in data_sets:
        items = sequence_items(data_set, step.tag) or []
        if step.index is None:
            yield from _items_at(items, rest)
        elif step.index < len(items):
            yield from _items_at([items[step.index]], rest)
