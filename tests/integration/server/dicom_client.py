"""A DICOM peer over a raw socket: it asks for one association and sends C-STORE and C-ECHO, whole or in part."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from tests.integration.server.instances import SOP_CLASS_UID, TRANSFER_SYNTAX_UID, Instance

_VERIFICATION = "1.2.840.10008.1.1"


class Gone(Exception):
    """The server closed the connection, or aborted the association."""


class Rejected(Exception):
    """The server answered A-ASSOCIATE-RJ."""


class Peer:
    """One connection to a DICOM server."""

    def __init__(self, port: int, called_ae_title: str, from_address: str = "127.0.0.1") -> None:
        self._called_ae_title = called_ae_title
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(from_address, 0))
        self._message_id = 0
        self._max_pdu = 16384

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def associate(self) -> None:
        """Ask for Verification (context 1) and Secondary Capture (context 3)."""
        contexts = b"".join(
            _item(0x20, struct.pack(">BBBB", number, 0, 0, 0) + _item(0x30, uid) + _item(0x40, TRANSFER_SYNTAX_UID))
            for number, uid in ((1, _VERIFICATION), (3, SOP_CLASS_UID))
        )
        user = _item(0x51, struct.pack(">I", 65536)) + _item(0x52, "2.25.77")
        body = struct.pack(">HH", 1, 0) + self._called_ae_title.encode().ljust(16) + b"TESTER".ljust(16) + b"\0" * 32
        body += _item(0x10, "1.2.840.10008.3.1.1.1") + contexts + _item(0x50, user)
        self.socket.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
        kind, answer = self._pdu()
        if kind == 3:
            raise Rejected(answer.hex())
        if kind != 2:
            raise Gone(f"PDU {kind} instead of an answer")
        (limit,) = struct.unpack_from(">I", answer, answer.find(b"\x51\0\0\4") + 4)
        self._max_pdu = min(limit or 65536, 65536)

    def echo(self) -> int:
        """C-ECHO; answers the status."""
        self.socket.sendall(self._command(1, _VERIFICATION, 0x0030))
        return self._status()

    def store(self, instance: Instance) -> int:
        """C-STORE; answers the status."""
        self.send_store(instance)
        return self._status()

    def send_store(self, instance: Instance, part: float = 1.0) -> None:
        """Send a C-STORE-RQ, or only so much of its bytes, without waiting for an answer."""
        data = instance.data_set()
        room = self._max_pdu - 6
        pieces = [self._command(3, SOP_CLASS_UID, 0x0001, instance.sop_instance_uid)]
        for start in range(0, len(data), room):
            fragment = data[start : start + room]
            last = start + room >= len(data)
            pieces.append(_p_data(3, fragment, 2 if last else 0))
        message = b"".join(pieces)
        self.socket.sendall(message[: int(len(message) * part)])

    def release(self) -> None:
        """End the association in order."""
        self.socket.sendall(struct.pack(">BBII", 5, 0, 4, 0))
        self._pdu()

    def _command(self, context: int, sop_class_uid: str, field: int, sop_instance_uid: str = "") -> bytes:
        self._message_id = self._message_id % 65535 + 1
        elements = [
            _command_element(0x0002, _uid(sop_class_uid)),
            _command_element(0x0100, struct.pack("<H", field)),
            _command_element(0x0110, struct.pack("<H", self._message_id)),
        ]
        if sop_instance_uid:
            elements.append(_command_element(0x0700, struct.pack("<H", 0)))
        elements.append(_command_element(0x0800, struct.pack("<H", 1 if sop_instance_uid else 0x0101)))
        if sop_instance_uid:
            elements.append(_command_element(0x1000, _uid(sop_instance_uid)))
        body = b"".join(elements)
        return _p_data(context, _command_element(0x0000, struct.pack("<I", len(body))) + body, 3)

    def _status(self) -> int:
        kind, body = self._pdu()
        at = body.find(struct.pack("<HHI", 0, 0x0900, 2)) if kind == 4 else -1
        if at < 0:
            raise Gone(f"PDU {kind} instead of a response")
        status: int = struct.unpack_from("<H", body, at + 8)[0]
        return status

    def _pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBI", self._receive(6))
        return kind, self._receive(length)

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise Gone("the server closed the connection")
            data += chunk
        return data


def _item(kind: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">BBH", kind, 0, len(data)) + data


def _p_data(context: int, fragment: bytes, flags: int) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(fragment) + 6, len(fragment) + 2, context, flags) + fragment


def _command_element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def _uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
