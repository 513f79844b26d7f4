"""Which instances came to us because we asked a modality to move them here.

A C-STORE that a C-MOVE caused names the AE title and the message ID of whoever asked (PS3.7 §9.1.1.1). Jobs that move
to ourselves wait for those with theirs. This is a convenience of one process: what arrives in another is stored like
everything else, and only missing in the list.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amonsul.dicom.levels import OrthancId


class MoveArrivals:
    """Leads instances from the door to the job that asked for them; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[tuple[str, int], dict[OrthancId, None]] = {}

    @contextmanager
    def awaiting(self, ae_title: str, message_id: int) -> Iterator[dict[OrthancId, None]]:
        """Collect what comes for a C-MOVE of ours, in order of arrival."""
        key = (ae_title, message_id)
        found: dict[OrthancId, None] = {}
        with self._lock:
            self._awaited[key] = found
        try:
            yield found
        finally:
            with self._lock:
                self._awaited.pop(key, None)

    def arrived(self, originator_ae_title: str, message_id: int, orthanc_id: OrthancId) -> None:
        """An instance is stored, whose C-STORE named a C-MOVE."""
        with self._lock:
            found = self._awaited.get((originator_ae_title, message_id))
            if found is not None:
                found[orthanc_id] = None
