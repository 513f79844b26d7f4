"""Large files that are mapped, read from one end to the other without filling the memory of the process.

Pages of a mapped file count as memory of the process from the moment they are looked at. Who is done with a part says
so here; the system keeps the pages as long as it likes, and gives them back when somebody looks again.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy

_PIECE = 1 << 20
_LAG = 4 << 20
_AROUND = 2 << 20
"""Who looks at one page gets others around it, before it too: what was forgotten comes back with the next part."""


def forget(view: memoryview) -> None:
    """Let the pages of a part of a mapped file go; does nothing for bytes that are in memory."""
    owner = view.obj
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = _address(view) - _address(owner)
    first = start // _AROUND * _AROUND
    owner.madvise(mmap.MADV_DONTNEED, first, start + view.nbytes - first)


def pieces(view: memoryview, size: int = _PIECE) -> Iterator[memoryview]:
    """The parts of a view. They are forgotten when some more were asked for: who sends them may be a few behind."""
    behind = 0
    for start in range(0, view.nbytes, size):
        if start - behind > 2 * _LAG:
            forget(view[behind : start - _LAG])
            behind = start - _LAG
        yield view[start : start + size]
    forget(view[behind:])


def _address(buffer: memoryview | mmap.mmap) -> int:
    address: int = numpy.frombuffer(buffer, numpy.uint8).ctypes.data
    return address
