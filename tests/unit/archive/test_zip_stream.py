"""Archives made piece by piece are archives to others."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime

import pytest

from amonsul.archive.zip_stream import ZipStream

NOW = datetime(2024, 5, 6, 7, 8, 10)


def archive_of(members: list[tuple[str, int, list[bytes]]]) -> bytes:
    stream = ZipStream(NOW)
    parts: list[bytes] = []
    for name, expected_size, chunks in members:
        parts += stream.add(name, expected_size, chunks)
    parts += stream.finish()
    data = b"".join(parts)
    assert stream.size == len(data)
    return data


@pytest.mark.parametrize("expected_size", [0, 1 << 33], ids=["32 bits", "64 bits"])
def test_members_come_back(expected_size: int) -> None:
    chunks = [b"abc" * 1000, b"", bytes(300_000), b"end"]

    data = archive_of([("a/b/c.dcm", expected_size, chunks), ("empty", 0, [])])

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/b/c.dcm", "empty"]
        assert archive.read("a/b/c.dcm") == b"".join(chunks)
        assert archive.getinfo("a/b/c.dcm").date_time == (2024, 5, 6, 7, 8, 10)


def test_names_beyond_ascii_are_marked_as_utf_8() -> None:
    data = archive_of([("Müller/日本.dcm", 0, [b"x"])])

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["Müller/日本.dcm"]


def test_more_members_than_16_bits_count() -> None:
    data = archive_of([(str(number), 0, []) for number in range(66_000)])

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 66_000
        assert archive.read("65999") == b""


def test_nothing_is_an_archive_too() -> None:
    with zipfile.ZipFile(io.BytesIO(archive_of([]))) as archive:
        assert archive.namelist() == []
