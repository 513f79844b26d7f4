"""How long something has not changed, by a clock that never jumps.

Nobody compares the clocks of two machines, nor wall time with itself: whoever watches looks at a number that changes
while all is well, and measures on its own monotonic clock for how long it saw the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable


class Patience:
    """Remembers since when each thing shows its present number."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[Hashable, tuple[int, float]] = {}

    def unchanged_s(self, thing: Hashable, number: int) -> float:
        """Seconds since the thing was first seen with this number; 0 the first time."""
        now = self._clock()
        known = self._seen.get(thing)
        if known is None or known[0] != number:
            self._seen[thing] = (number, now)
            return 0.0
        return now - known[1]

    def forget_all_but(self, things: Collection[Hashable]) -> None:
        """Drop what is not watched any more."""
        for thing in self._seen.keys() - set(things):
            del self._seen[thing]
