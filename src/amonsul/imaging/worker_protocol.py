"""What a worker and the pool say to each other: JSON behind its length, then bytes behind theirs.

Nothing is ever unpickled, in either direction, and each side knows how much it may get at most.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import orjson

HEAD = struct.Struct("<IQ")
"""Lengths of the two parts of a message."""

TAKEN = b"!"
"""Sent when a task has arrived: from then on its end is its own fault."""

MAX_PARAMETERS = 1 << 16

Parameters = Mapping[str, Any]  # Any: JSON of our own making


def receive_exactly(channel: socket.socket, length: int) -> bytearray:
    """Read so many bytes.

    Raises:
        EOFError: the other side closed before.
    """
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = channel.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return buffer


def send_message(channel: socket.socket, parameters: Parameters, payload: bytes | memoryview) -> None:
    """Write one message."""
    line = orjson.dumps(parameters)
    channel.sendall(HEAD.pack(len(line), len(payload)) + line)
    channel.sendall(payload)
