"""Compressed attachments (option `StorageCompression`).

In the storage lie 8 bytes with the size of the content, little endian, and then a zlib stream (RFC 1950): the form that
Orthanc writes, so that its tools read our files and ours read its. Both ways go in pieces of bounded size; how much
is inflated never depends on what a damaged file says.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from amonsul.blobs.spool import Spool, Spooled
from amonsul.errors import BadFileFormat

PREFIX: Final = struct.Struct("<Q")
_PIECE: Final = 256 << 10


class Compressed(NamedTuple):
    """What `compress` made; `md5` is of the compressed bytes, empty if it was not wanted."""

    spooled: Spooled
    size: int
    md5: str


def compress(spool: Spool, size: int, data: Iterable[bytes | memoryview], *, with_md5: bool) -> Compressed:
    """Fill a spool with the compressed form of `size` bytes.

    Raises:
        StorageFull: no room. Nothing is left behind.
    """
    packer = zlib.compressobj()
    digest = hashlib.md5(usedforsecurity=False) if with_md5 else None

    def write(piece: bytes) -> None:
        spool.write(piece)
        if digest is not None:
            digest.update(piece)

    try:
        write(PREFIX.pack(size))
        for piece in data:
            if packed := packer.compress(piece):
                write(packed)
        write(packer.flush())
    except BaseException:
        spool.discard()
        raise
    total = spool.size
    return Compressed(spool.finish(), total, "" if digest is None else digest.hexdigest())


def inflate(data: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The content of a zlib stream of `size` bytes, in pieces.

    Raises:
        BadFileFormat: it is damaged, or of another size.
    """
    unpacker = zlib.decompressobj()
    left = size
    try:
        for packed in data:
            pending = packed
            while pending:
                piece = unpacker.decompress(pending, _PIECE)
                pending = unpacker.unconsumed_tail
                left -= len(piece)
                if left < 0 or unpacker.unused_data:
                    raise BadFileFormat("a compressed attachment holds more than it says")
                if piece:
                    yield piece
        if left or not unpacker.eof:
            raise BadFileFormat("a compressed attachment is cut short")
    except zlib.error as error:
        raise BadFileFormat(f"a compressed attachment is damaged: {error}") from error
    finally:
        if (close := getattr(data, "close", None)) is not None:
            close()


def inflate_file(source: Path, target: Path) -> None:
    """Write the content of a compressed file into a new one; what is damaged leaves none behind.

    Raises:
        BadFileFormat: it is damaged, or not compressed.
        OSError: a file cannot be read or written, or the target is there already.
    """
    with open(source, "rb") as packed, open(target, "xb") as content:
        try:
            prefix = packed.read(PREFIX.size)
            if len(prefix) < PREFIX.size:
                raise BadFileFormat(f"{source} is no compressed attachment")
            (size,) = PREFIX.unpack(prefix)
            for piece in inflate(iter(lambda: packed.read(_PIECE), b""), size):
                content.write(piece)
        except BaseException:
            target.unlink()
            raise


def part(data: Iterator[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """Bytes [start, end) of what comes in pieces; stops reading where they end."""
    at = 0
    for piece in data:
        first, last = max(start - at, 0), len(piece) if end is None else min(end - at, len(piece))
        if first < last:
            yield piece[first:last]
        at += len(piece)
        if end is not None and at >= end:
            return
