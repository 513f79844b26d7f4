"""Comparing the index with the blobs, both ways, and repairing what differs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amonsul.archive.context import Archive


class Repair(enum.Flag):
    """What `check` may change."""

    NOTHING = 0
    REMOVE_ORPHANS = enum.auto()
    """Delete blobs that no row names."""
    REMOVE_LOST = enum.auto()
    """Delete instances and attachments whose bytes are missing or wrong."""
    RECOUNT = enum.auto()
    """Write the recounted aggregates."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `kind` is `missing`, `size`, `md5`, `orphan` or `aggregate`; `subject` a blob or a resource."""

    kind: str
    subject: str
    details: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    blobs: int
    resources: int
    findings: Sequence[Finding]

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.findings


def check(
    archive: Archive,
    repair: Repair = Repair.NOTHING,
    *,
    verify_md5: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Compare and, where asked, repair. The server should not be running for a repair of orphans."""
    raise NotImplementedError
