"""Identifiers of blobs: UUIDs of version 7 (RFC 9562 §5.7), so that neighbours in time are neighbours in order."""

from __future__ import annotations

import os
import re
import threading
import time

from amonsul.blobs.store import BlobId

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = 0


def new_blob_id() -> BlobId:
    """A new identifier, above all that this process made before."""
    global _last
    with _lock:
        # 48 bits of milliseconds and 12 of their fraction, as RFC 9562 §6.2, method 3, has it.
        stamp = time.time_ns() * 4096 // 1_000_000
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
    head = f"{stamp & ((1 << 60) - 1):015x}"
    tail = os.urandom(8).hex()
    variant = "89ab"[int(tail[0], 16) & 3]
    return BlobId(f"{head[:8]}-{head[8:12]}-7{head[12:]}-{variant}{tail[1:4]}-{tail[4:]}")


def is_blob_id(name: str) -> bool:
    """Whether a name has the form of an identifier."""
    return _UUID.fullmatch(name) is not None
