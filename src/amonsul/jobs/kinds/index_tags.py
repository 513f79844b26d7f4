"""IndexTags: upkeep that reads what is stored into indexes of attributes that have no column, see `archive.indexing`.

What is stored meanwhile enters its values itself, so that an index is complete when everything was read once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from amonsul.archive.context import Archive
from amonsul.archive.indexing import unfinished
from amonsul.database import statistics, tag_indexes
from amonsul.dicom.elements import Tag, format_tag
from amonsul.dicom.levels import Level
from amonsul.jobs.kind import Kind, Progress, Running

PRIORITY: Final = -100
_PIECE: Final = 200


@dataclass(frozen=True, slots=True)
class IndexTags:
    """Arguments: none, the index says what is to be done."""

    description: str = "Upkeep"


def index_tags(archive: Archive) -> Kind[IndexTags]:
    """The kind, with what it works with."""

    def run(_: IndexTags, running: Running) -> Iterator[Progress]:
        reading = _Reading(archive, running)
        while reading.tags:
            yield from reading.read_all()

    return Kind("IndexTags", IndexTags, run, _content, is_upkeep=True)


def _content(arguments: IndexTags) -> dict[str, object]:
    return {"Description": arguments.description, "Tags": []}


class _Reading:
    """One reading of everything for the sake of some attributes."""

    def __init__(self, archive: Archive, running: Running) -> None:
        self._archive = archive
        self._running = running
        checkpoint = running.checkpoint or {"tags": [], "level": int(Level.PATIENT), "after": 0, "done": 0}
        self.tags = [Tag(tag) for tag in checkpoint["tags"]]
        self._level = Level(checkpoint["level"])
        self._after: int = checkpoint["after"]
        self._done: int = checkpoint["done"]
        if not self.tags:
            self._begin()

    def _begin(self) -> None:
        with self._archive.database.read() as tx:
            self.tags = unfinished(tx)
        self._level, self._after, self._done = Level.PATIENT, 0, 0

    def read_all(self) -> Iterator[Progress]:
        """Read on, to the end."""
        archive, running = self._archive, self._running
        running.content["Tags"] = [format_tag(tag) for tag in self.tags]
        with archive.database.read() as tx:
            counts = statistics.system(tx)
        total = counts.patients + counts.studies + counts.series + counts.instances
        while True:
            began = time.monotonic()
            with archive.database.read() as tx:
                piece = tag_indexes.read_piece(tx, self.tags, self._level, self._after, _PIECE)
            self._after = piece.after
            self._done += piece.size
            if piece.size == 0 and self._level is Level.INSTANCE:
                break
            if piece.size == 0:
                self._level, self._after = Level(self._level + 1), 0
            progress = Progress(self._done, max(total, self._done), self._checkpoint())
            running.write(partial(tag_indexes.enter_piece, piece=piece), progress)
            yield progress
            running.wait(time.monotonic() - began)
        running.write(partial(tag_indexes.finish, tags=self.tags), Progress(self._done, self._done))
        self._begin()  # more may have been declared meanwhile

    def _checkpoint(self) -> dict[str, object]:
        return {"tags": self.tags, "level": int(self._level), "after": self._after, "done": self._done}
