"""Changing what is stored: deletion at four levels.

Rows go in one transaction together with tombstones of their blobs, the blobs after the commit; what a crash leaves
undone, `maintenance.recover` does at the next start.
"""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class RemainingAncestor:
    """The nearest ancestor that still has children after a deletion."""

    level: Level
    orthanc_id: OrthancId


def delete(archive: Archive, level: Level, orthanc_id: OrthancId) -> RemainingAncestor | None:
    """Remove a resource, everything below it, and its ancestors that have nothing else.

    Raises:
        UnknownResource: there is no such resource.
    """
    raise NotImplementedError
