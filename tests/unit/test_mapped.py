"""Parts of mapped files that were read are no longer memory of the process, and can be read again."""

from __future__ import annotations

import mmap
from pathlib import Path

from amonsul import mapped

SIZE = 32 << 20


def resident_bytes(file: Path) -> int:
    """Of the mapping of a file in this process."""
    lines = iter(Path("/proc/self/smaps").read_text("ascii", "replace").splitlines())
    for line in lines:
        if line.endswith(str(file)):
            return int(next(each for each in lines if each.startswith("Rss:")).split()[1]) << 10
    raise AssertionError("not mapped")


def test_what_was_read_is_forgotten_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "large"
    content = bytes(range(256)) * (SIZE // 256)
    file.write_bytes(content)
    with open(file, "rb") as opened:
        view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    assert bytes(view) == content
    assert resident_bytes(file) == SIZE
    read = bytearray()
    for piece in mapped.pieces(view[: SIZE // 2 + 100]):
        read += piece
    assert bytes(read) == content[: SIZE // 2 + 100]
    assert resident_bytes(file) <= SIZE // 2
    mapped.forget(view[SIZE // 2 :])
    assert resident_bytes(file) == 0
    assert bytes(view) == content


def test_bytes_in_memory_are_not_forgotten() -> None:
    view = memoryview(bytearray(b"abc"))
    assert [bytes(piece) for piece in mapped.pieces(view, 2)] == [b"ab", b"c"]
    mapped.forget(view[:0])
    assert bytes(view) == b"abc"
