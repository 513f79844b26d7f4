"""Which attributes get an index though they have no column: those that are declared, and those searched for often.

Every process of an archive calls `TagIndexing.tick` now and then; all decisions are in the index. A small archive is
read on the spot, a large one by upkeep that may take hours; meanwhile searches look at the stored headers, as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from amonsul.archive.context import Archive
from amonsul.database import Transaction, statistics, tag_indexes
from amonsul.database.search import can_have_index
from amonsul.dicom.elements import Tag, format_tag
from amonsul.dicom.levels import Level

logger = logging.getLogger(__name__)

SMALL: Final = 500
"""Instances that are read in one transaction."""
_ENTRIES: Final = 2000
_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class IndexingSettings:
    """What the operator decides about it.

    Attributes:
        after: searches for an attribute after which it gets an index (`Amonsul.IndexTagsAfter`); 0 for never.
        most: attributes that get one so (`Amonsul.MaximumIndexedTags`).
    """

    after: int = 100
    most: int = 32


class TagIndexing:
    """Sees to it that the wanted indexes are there.

    Args:
        archive: where.
        settings: which are wanted.
        begin: asks for the upkeep that reads what is stored, if nobody did.
    """

    def __init__(self, archive: Archive, settings: IndexingSettings, begin: Callable[[], object]) -> None:
        self._archive = archive
        self._settings = settings
        self._begin = begin
        self._begun: set[Tag] = set()
        self._declared = [tag for tag in archive.main_tags.extra if can_have_index(tag)]

    def tick(self) -> bool:
        """Do what is due; answer whether there is more to do at once."""
        archive = self._archive
        asked = archive.asked.take()
        if asked:
            archive.write(lambda tx: tag_indexes.count_asks(tx, asked, _REMEMBERED))
        with archive.database.read() as tx:
            states = tag_indexes.states(tx)
            wanted = self._wanted(tx)
            instances = statistics.system(tx).instances
        if wanted != states.keys():
            states = archive.write(self._decide)
        waiting = {tag for tag, is_ready in states.items() if not is_ready}
        if waiting and instances <= SMALL:
            archive.write(build_at_once)
        elif waiting - self._begun:  # once for each: whoever ended the upkeep does not want it
            self._begin()
        self._begun = waiting
        with archive.database.read() as tx:
            is_left = tag_indexes.withdrawn(tx) is not None
        return is_left and archive.write(lambda tx: tag_indexes.remove_entries(tx, _ENTRIES)) > 0

    def _wanted(self, tx: Transaction) -> set[Tag]:
        settings = self._settings
        often = tag_indexes.often_asked(tx, settings.after, settings.most) if settings.after else []
        return {*self._declared, *often}

    def _decide(self, tx: Transaction) -> dict[Tag, bool]:
        wanted, states = self._wanted(tx), tag_indexes.states(tx)
        new, old = sorted(wanted - states.keys()), sorted(states.keys() - wanted)
        tag_indexes.withdraw(tx, old)
        tag_indexes.declare(tx, new)
        for what, tags in (("gets", new), ("loses", old)):
            for tag in tags:
                logger.info("(%s) %s its index", format_tag(tag), what)
        return tag_indexes.states(tx)


def unfinished(tx: Transaction) -> list[Tag]:
    """The attributes whose index is not ready."""
    return [tag for tag, is_ready in tag_indexes.states(tx).items() if not is_ready]


def build_at_once(tx: Transaction) -> None:
    """Read all that is stored into the indexes that are not ready."""
    tags = unfinished(tx)
    for level in Level:
        after = 0
        while (piece := tag_indexes.read_piece(tx, tags, level, after, SMALL)).size:
            tag_indexes.enter_piece(tx, piece)
            after = piece.after
    tag_indexes.finish(tx, tags)
