"""C-STORE (PS3.7 §9.1.1, PS3.4 Annex B): what a peer sends becomes a Part 10 file and goes to the archive."""

from __future__ import annotations

from collections.abc import Callable

from amonsul.archive.ingest import Ingested
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spool, Spooled


class StoreService:
    """Takes instances of every storage SOP class that the settings let in.

    Args:
        spool: makes the spool of one instance, given the most bytes it may take (`BlobStore.spool`).
        ingest: the archive's verb, called in a thread.
    """

    def __init__(self, spool: Callable[[int], Spool], ingest: Callable[[Spooled, DicomOrigin], Ingested]) -> None:
        self._spool = spool
        self._ingest = ingest
