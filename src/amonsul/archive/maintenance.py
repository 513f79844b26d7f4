"""What is done at start, so that a crash leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.archive.context import Archive


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` had to do."""

    discarded: int
    """Blobs whose row was never committed."""
    reclaimed: int
    """Blobs whose row was deleted before."""


def recover(archive: Archive) -> Recovered:
    """Finish or undo what earlier runs left in the middle. Call before the doors open; never scans the storage."""
    raise NotImplementedError
