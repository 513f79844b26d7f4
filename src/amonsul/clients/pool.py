"""Associations that wait for their next use (`DicomAssociationCloseDelay`).

One is lent to one caller at a time. A later caller gets it if everything that he needs was proposed when it was made,
whatever came of it; otherwise it is released for the one that he makes, since many a device takes one association at a
time. A thread, which exists only while something waits, releases those that nobody came for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final

from amonsul.clients.association import Association

_MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class _Kept:
    key: Hashable
    association: Association
    until: float


class AssociationPool:
    """Keeps associations for `delay_s`; 0 keeps none."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._changed = threading.Condition()
        self._kept: list[_Kept] = []  # those that end first are first
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def take(self, key: Hashable, needed: Collection[tuple[str, str]]) -> Association | None:
        """An association that waits, for which all these SOP classes and transfer syntaxes were proposed.

        If there is none, all that wait under this key are released.
        """
        while True:
            with self._changed:
                waiting = [kept for kept in self._kept if kept.key == key]
                found = next((kept for kept in waiting if kept.association.covers(needed)), None)
                for kept in waiting if found is None else [found]:
                    self._kept.remove(kept)
            if found is None:
                for kept in waiting:
                    kept.association.release()
                return None
            if found.association.is_open and not found.association.has_news():
                return found.association
            found.association.abort()  # the remote ended it meanwhile

    def give_back(self, key: Hashable, association: Association) -> None:
        """Keep an association for others, or release it."""
        if not association.is_open:
            return
        surplus: Association | None = association
        with self._changed:
            if self._delay_s > 0 and not self._is_closed:
                surplus = self._kept.pop(0).association if len(self._kept) >= _MOST_KEPT else None
                until = time.monotonic() + self._delay_s
                self._kept.append(_Kept(key, association, until))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._release_late, name="dicom-associations", daemon=True)
                    self._thread.start()
        if surplus is not None:
            surplus.release()

    def close(self) -> None:
        """Release all that wait, and keep none from now on."""
        with self._changed:
            self._is_closed = True
            left, self._kept = self._kept, []
            self._changed.notify_all()
        for kept in left:
            kept.association.release()

    def _release_late(self) -> None:
        while True:
            with self._changed:
                if not self._kept:
                    self._thread = None
                    return
                left = self._kept[0].until - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                late = self._kept.pop(0)
            late.association.release()
