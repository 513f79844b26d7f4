"""The few bytes of PS3.7 and PS3.8 that the loads speak, over blocking sockets, by no code of the servers measured."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
OUR_MAX_PDU = 131072


class Refused(Exception):
    """The association, or a request, was not accepted."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context; the requestor may ask for the SCP role in it, as C-GET needs it."""

    abstract_syntax: str
    transfer_syntax: str
    as_scp: bool = False


def connect(port: int) -> socket.socket:
    """A connection without Nagle's algorithm."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def associate(
    connection: socket.socket,
    called_aet: str,
    proposals: Iterable[Proposal],
    calling_aet: str = "BENCH",
    max_pdu: int = OUR_MAX_PDU,
) -> int:
    """Ask for presentation contexts 1, 3, … (PS3.8 §9.3.2); answers the maximum PDU length to keep to."""
    contexts, roles = b"", b""
    for number, proposal in enumerate(proposals):
        context = struct.pack(">BBBB", 2 * number + 1, 0, 0, 0)
        context += item(0x30, proposal.abstract_syntax.encode()) + item(0x40, proposal.transfer_syntax.encode())
        contexts += item(0x20, context)
        if proposal.as_scp:
            uid = proposal.abstract_syntax.encode()
            roles += item(0x54, struct.pack(">H", len(uid)) + uid + b"\0\1")
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"2.25.1702") + roles
    body = struct.pack(">HH", 1, 0) + called_aet.encode().ljust(16) + calling_aet.encode().ljust(16) + b"\0" * 32
    body += item(0x10, APPLICATION_CONTEXT.encode()) + contexts + item(0x50, user)
    connection.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
    kind, answer = pdu(connection)
    if kind != 2:
        raise Refused(f"association: PDU {kind} {answer.hex()}")
    at = answer.find(b"\x51\0\0\4")
    (limit,) = struct.unpack_from(">I", answer, at + 4)
    return min(limit or OUR_MAX_PDU, OUR_MAX_PDU)


def accept(connection: socket.socket, max_pdu: int = OUR_MAX_PDU) -> None:
    """Accept an association as it is proposed, each context in its first transfer syntax (PS3.8 §9.3.3)."""
    kind, request = pdu(connection)
    if kind != 1:
        raise Refused(f"PDU {kind} instead of an association request")
    contexts = b""
    at = 68
    while at < len(request):
        own, _, length = struct.unpack_from(">BBH", request, at)
        if own == 0x20:
            context = request[at + 4 : at + 4 + length]
            syntax = context.find(b"\x40\0", 4)
            (syntax_length,) = struct.unpack_from(">H", context, syntax + 2)
            chosen = item(0x40, context[syntax + 4 : syntax + 4 + syntax_length])
            contexts += item(0x21, context[:1] + b"\0\0\0" + chosen)
        at += 4 + length
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"2.25.1702")
    body = request[:68] + item(0x10, APPLICATION_CONTEXT.encode()) + contexts + item(0x50, user)
    connection.sendall(struct.pack(">BBI", 2, 0, len(body)) + body)


def release(connection: socket.socket) -> None:
    """End the association in order."""
    connection.sendall(struct.pack(">BBII", 5, 0, 4, 0))
    pdu(connection)
    connection.close()


def p_data(fragment: bytes, flags: int, context_id: int = 1) -> bytes:
    """A P-DATA-TF of one fragment; flag 1 is a command, 2 the last of its kind (PS3.8 §E.2)."""
    return struct.pack(">BBIIBB", 4, 0, len(fragment) + 6, len(fragment) + 2, context_id, flags) + fragment


def command_set(*elements: bytes) -> bytes:
    """A command set with its group length (PS3.7 §6.3.1)."""
    body = b"".join(elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def element(number: int, value: bytes) -> bytes:
    """An element of group 0000."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def short(number: int, value: int) -> bytes:
    """An element of group 0000 with VR US."""
    return element(number, struct.pack("<H", value))


def read_command(command: bytes) -> dict[int, bytes]:
    """The elements of a command set by number."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        found[number] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def unsigned(value: bytes) -> int:
    """A value of VR US."""
    return int.from_bytes(value, "little")


def padded(uid: str) -> bytes:
    """A UID as a value."""
    return uid.encode() + b"\0" * (len(uid) % 2)


def item(kind: int, value: bytes) -> bytes:
    """An item of an association request (PS3.8 §9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def pdu(connection: socket.socket) -> tuple[int, bytes]:
    """The next PDU: its type and body."""
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
