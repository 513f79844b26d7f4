"""Pieces onto a socket: every byte once and in order, whatever the system takes at a time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amonsul.clients.wire import SocketWriter, batches
from amonsul.errors import InexistentFile

CONTENT = bytes(range(256)) * 4096


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A writing end that does not block, with a small buffer, and a reading end."""
    writing, reading = socket.socketpair()
    with writing, reading:
        writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writing.settimeout(0.0)
        yield writing, reading


def read_all(reading: socket.socket, into: bytearray) -> None:
    while chunk := reading.recv(10_000):
        into += chunk


@contextmanager
def collected(reading: socket.socket, writing: socket.socket) -> Iterator[bytearray]:
    """What was read when the block has ended."""
    got = bytearray()
    reader = threading.Thread(target=read_all, args=(reading, got))
    reader.start()
    yield got
    writing.shutdown(socket.SHUT_WR)
    reader.join()


@pytest.mark.parametrize("size", [1, 7, 100, 5000, 1 << 20])
def test_parts_arrive_in_order_through_a_narrow_socket(size: int) -> None:
    view = memoryview(CONTENT)
    parts: list[bytes | memoryview] = [view[at : at + size] for at in range(0, len(CONTENT), max(size, 2048))]
    expected = b"".join(parts)
    with connected() as (writing, reading):
        with collected(reading, writing) as got:
            for number in range(0, len(parts), 500):
                some = parts[number : number + 500]
                SocketWriter(writing, 30.0).write(some, sum(map(len, some)))
        assert got == expected


def test_a_file_arrives_through_a_narrow_socket(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    number = os.open(path, os.O_RDONLY)
    try:
        with connected() as (writing, reading):
            with collected(reading, writing) as got:
                SocketWriter(writing, 30.0).write_file(number, 100, len(CONTENT) - 200)
            assert got == CONTENT[100:-100]
    finally:
        os.close(number)


def test_a_file_that_ends_early_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    number = os.open(path, os.O_RDONLY)
    try:
        with connected() as (writing, _), pytest.raises(InexistentFile):
            SocketWriter(writing, 30.0).write_file(number, 0, 100)
    finally:
        os.close(number)


def test_whoever_takes_nothing_is_not_waited_for_without_end() -> None:
    with connected() as (writing, _), pytest.raises(TimeoutError):
        SocketWriter(writing, 0.01).write([CONTENT], len(CONTENT))


def test_a_connection_that_ends_is_told() -> None:
    with connected() as (writing, reading):
        reading.close()
        with pytest.raises(OSError, match="Broken pipe"):
            SocketWriter(writing, 30.0).write([CONTENT], len(CONTENT))


def test_batches_are_as_large_as_they_may_be_and_no_part_is_lost() -> None:
    pdus: list[list[bytes | memoryview]] = [[b"head", bytes(100)] for _ in range(10)]
    made = list(batches(pdus, 300))
    assert [size for _, size in made] == [312, 312, 312, 104]
    assert [part for parts, _ in made for part in parts] == [part for pdu in pdus for part in pdu]
    assert list(batches([], 300)) == []


def test_a_batch_has_no_more_parts_than_the_system_takes() -> None:
    made = list(batches(([b"a", b"b", b"c"] for _ in range(1000)), 1 << 20))
    assert max(len(parts) for parts, _ in made) <= 1024
    assert sum(size for _, size in made) == 3000
