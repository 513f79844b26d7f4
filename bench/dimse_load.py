"""C-STORE load over raw sockets with TCP_NODELAY: one process for each association, PDUs made before the clock starts.

The sender keeps to the maximum PDU length of the receiver and waits for every C-STORE-RSP before it sends the next.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, SOP_CLASS_UID, Instance, data_set
from bench.processes import Measured, run_processes

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_OUR_MAX_PDU = 131072


class Refused(Exception):
    """The association, or an instance, was not accepted."""


def store(
    port: int, called_aet: str, instances: list[Instance], rows: int, pixels: bytes, associations: int
) -> Measured:
    """Send the instances, shared out among the associations."""

    def work(number: int, go: Callable[[], None]) -> list[float]:
        return _association(port, called_aet, instances[number::associations], rows, pixels, go)

    return run_processes(associations, work)


def _association(
    port: int, called_aet: str, instances: list[Instance], rows: int, pixels: bytes, go: Callable[[], None]
) -> list[float]:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    max_pdu = _associate(connection, called_aet)
    messages = [_message(number + 1, instance, rows, pixels, max_pdu) for number, instance in enumerate(instances)]
    latencies: list[float] = []
    go()
    for message in messages:
        start = time.perf_counter()
        connection.sendall(message)
        _check_response(_pdu(connection))
        latencies.append(time.perf_counter() - start)
    connection.sendall(struct.pack(">BBII", 5, 0, 4, 0))
    _pdu(connection)
    connection.close()
    return latencies


def _associate(connection: socket.socket, called_aet: str) -> int:
    """Ask for one presentation context (PS3.8 §9.3.2); answers the maximum PDU length to keep to."""
    context = struct.pack(">BBBB", 1, 0, 0, 0)
    context += _item(0x30, SOP_CLASS_UID.encode()) + _item(0x40, EXPLICIT_VR_LITTLE_ENDIAN.encode())
    user = _item(0x51, struct.pack(">I", _OUR_MAX_PDU)) + _item(0x52, b"2.25.1702")
    body = struct.pack(">HH", 1, 0) + called_aet.encode().ljust(16) + b"BENCH".ljust(16) + b"\0" * 32
    body += _item(0x10, _APPLICATION_CONTEXT.encode()) + _item(0x20, context) + _item(0x50, user)
    connection.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
    kind, answer = _pdu(connection)
    if kind != 2:
        raise Refused(f"association: PDU {kind} {answer.hex()}")
    at = answer.find(b"\x51\0\0\4")
    (limit,) = struct.unpack_from(">I", answer, at + 4)
    return min(limit or _OUR_MAX_PDU, _OUR_MAX_PDU)


def _message(number: int, instance: Instance, rows: int, pixels: bytes, max_pdu: int) -> bytes:
    """All PDUs of one C-STORE-RQ (PS3.7 §9.3.1)."""
    elements = b"".join(
        (
            _command(0x0002, _padded(SOP_CLASS_UID)),
            _command(0x0100, struct.pack("<H", 0x0001)),
            _command(0x0110, struct.pack("<H", number % 65535 + 1)),
            _command(0x0700, struct.pack("<H", 0)),
            _command(0x0800, struct.pack("<H", 1)),
            _command(0x1000, _padded(instance.sop_instance_uid)),
        )
    )
    command = _command(0x0000, struct.pack("<I", len(elements))) + elements
    data = data_set(instance, rows) + pixels
    room = max_pdu - 6
    parts = [_p_data(command, 3)]
    parts += [
        _p_data(data[start : start + room], 2 if start + room >= len(data) else 0)
        for start in range(0, len(data), room)
    ]
    return b"".join(parts)


def _p_data(fragment: bytes, flags: int) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(fragment) + 6, len(fragment) + 2, 1, flags) + fragment


def _command(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, _, length = struct.unpack(">BBI", _receive(connection, 6))
    return kind, _receive(connection, length)


def _receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise EOFError("the server closed the connection")
        data += chunk
    return data


def _check_response(pdu: tuple[int, bytes]) -> None:
    kind, body = pdu
    at = body.find(struct.pack("<HHI", 0, 0x0900, 2)) if kind == 4 else -1
    if at < 0:
        raise Refused(f"PDU {kind} instead of a C-STORE-RSP")
    (status,) = struct.unpack_from("<H", body, at + 8)
    if status:
        raise Refused(f"C-STORE status 0x{status:04X}")
