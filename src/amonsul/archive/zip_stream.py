"""ZIP archives made while they are sent (PKWARE APPNOTE 6.3): nothing is kept but the directory.

Each member is deflated as its pieces come; its checksum and sizes follow it, since they are not known before. What is
larger than 4 GB, and more than 65535 members, take the 64-bit forms. Names are the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from struct import Struct
from typing import Final, NamedTuple

from isal import isal_zlib

_LOCAL: Final = Struct("<4s5H3L2H")
_ENTRY: Final = Struct("<4s6H3L5H2L")
_END: Final = Struct("<4s4H2LH")
_END_64: Final = Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = Struct("<4sLQL")
_DESCRIPTOR: Final = Struct("<4s3L")
_DESCRIPTOR_64: Final = Struct("<4sL2Q")
_EXTRA_HEAD: Final = Struct("<2H")

_VERSION: Final = 20
_VERSION_64: Final = 45
_UNIX: Final = 3 << 8
_MODE: Final = 0o100644 << 16
_DEFLATED: Final = 8
_HAS_DESCRIPTOR: Final = 0x0008
_UTF_8: Final = 0x0800
_LARGEST: Final = 0xFFFFFFFF
_SAFE: Final = 0xF0000000
"""What is shorter stays below 4 GB even if deflating makes it longer."""
_LEVEL: Final = 1
_PIECE: Final = 256 << 10


class _Member(NamedTuple):
    name: bytes
    flags: int
    is_64: bool
    checksum: int
    compressed: int
    size: int
    offset: int


class ZipStream:
    """Makes the bytes of one archive, member after member, then `finish`.

    Args:
        now: time of all members.
    """

    def __init__(self, now: datetime) -> None:
        self._time = now.hour << 11 | now.minute << 5 | now.second // 2
        self._date = max(now.year - 1980, 0) << 9 | now.month << 5 | now.day
        self._members: list[_Member] = []
        self.size = 0

    def add(self, name: str, expected_size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes of one member.

        Args:
            name: with `/` between folders; in ASCII, or it is marked as UTF-8.
            expected_size: about how many bytes will come.
            chunks: the content.
        """
        encoded = name.encode()
        flags = _HAS_DESCRIPTOR if name.isascii() else _HAS_DESCRIPTOR | _UTF_8
        is_64 = expected_size > _SAFE
        offset = self.size
        unknown = _LARGEST if is_64 else 0
        extra = _EXTRA_HEAD.pack(1, 16) + bytes(16) if is_64 else b""
        version = _VERSION_64 if is_64 else _VERSION
        head = _LOCAL.pack(
            b"PK\3\4", version, flags, _DEFLATED, self._time, self._date, 0, unknown, unknown, len(encoded), len(extra)
        )
        yield self._counted(head + encoded + extra)
        start = self.size
        deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -15)
        checksum = size = 0
        waiting: list[bytes] = []
        held = 0
        for chunk in chunks:
            checksum = isal_zlib.crc32(chunk, checksum)
            size += len(chunk)
            waiting.append(deflater.compress(chunk))
            held += len(waiting[-1])
            if held >= _PIECE:
                yield self._counted(b"".join(waiting))
                waiting, held = [], 0
        waiting.append(deflater.flush())
        yield self._counted(b"".join(waiting))
        compressed = self.size - start
        descriptor = _DESCRIPTOR_64 if is_64 else _DESCRIPTOR
        yield self._counted(descriptor.pack(b"PK\7\x08", checksum, compressed, size))
        self._members.append(_Member(encoded, flags, is_64, checksum, compressed, size, offset))

    def finish(self) -> Iterator[bytes]:
        """The directory."""
        start = self.size
        for member in self._members:
            yield self._counted(self._entry(member))
        length = self.size - start
        count = len(self._members)
        if count >= 0xFFFF or start >= _LARGEST or length >= _LARGEST:
            at = self.size
            record = _END_64.pack(b"PK\6\6", 44, _VERSION_64 | _UNIX, _VERSION_64, 0, 0, count, count, length, start)
            yield self._counted(record + _LOCATOR_64.pack(b"PK\6\7", 0, at, 1))
        few = min(count, 0xFFFF)
        yield self._counted(_END.pack(b"PK\5\6", 0, 0, few, few, min(length, _LARGEST), min(start, _LARGEST), 0))

    def _entry(self, member: _Member) -> bytes:
        large: list[bytes] = []
        sizes: list[int] = []
        for value in (member.size, member.compressed, member.offset):
            is_large = value >= _LARGEST or (member.is_64 and len(sizes) < 2)
            if is_large:
                large.append(value.to_bytes(8, "little"))
            sizes.append(_LARGEST if is_large else value)
        extra = _EXTRA_HEAD.pack(1, 8 * len(large)) + b"".join(large) if large else b""
        version = _VERSION_64 if large else _VERSION
        size, compressed, offset = sizes
        head = _ENTRY.pack(
            b"PK\1\2", version | _UNIX, version, member.flags, _DEFLATED, self._time, self._date, member.checksum,
            compressed, size, len(member.name), len(extra), 0, 0, 0, _MODE, offset,
        )  # fmt: skip
        return head + member.name + extra

    def _counted(self, data: bytes) -> bytes:
        self.size += len(data)
        return data
