"""C-STORE load over raw sockets with TCP_NODELAY: one process for each association, PDUs made before the clock starts.

The sender keeps to the maximum PDU length of the receiver and waits for every C-STORE-RSP before it sends the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import dimse_wire as wire
from bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, SOP_CLASS_UID, Instance, data_set
from bench.processes import Measured, run_processes


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
    connection = wire.connect(port)
    max_pdu = wire.associate(connection, called_aet, [wire.Proposal(SOP_CLASS_UID, EXPLICIT_VR_LITTLE_ENDIAN)])
    messages = [_message(number + 1, instance, rows, pixels, max_pdu) for number, instance in enumerate(instances)]
    latencies: list[float] = []
    go()
    for message in messages:
        start = time.perf_counter()
        connection.sendall(message)
        _check_response(wire.pdu(connection))
        latencies.append(time.perf_counter() - start)
    wire.release(connection)
    return latencies


def _message(number: int, instance: Instance, rows: int, pixels: bytes, max_pdu: int) -> bytes:
    """All PDUs of one C-STORE-RQ (PS3.7 §9.3.1)."""
    command = wire.command_set(
        wire.element(0x0002, wire.padded(SOP_CLASS_UID)),
        wire.short(0x0100, 0x0001),
        wire.short(0x0110, number % 65535 + 1),
        wire.short(0x0700, 0),
        wire.short(0x0800, 1),
        wire.element(0x1000, wire.padded(instance.sop_instance_uid)),
    )
    data = data_set(instance, rows) + pixels
    room = max_pdu - 6
    parts = [wire.p_data(command, 3)]
    parts += [
        wire.p_data(data[start : start + room], 2 if start + room >= len(data) else 0)
        for start in range(0, len(data), room)
    ]
    return b"".join(parts)


def _check_response(pdu: tuple[int, bytes]) -> None:
    kind, body = pdu
    if kind != 4:
        raise wire.Refused(f"PDU {kind} instead of a C-STORE-RSP")
    status = wire.unsigned(wire.read_command(body[6:])[0x0900])
    if status:
        raise wire.Refused(f"C-STORE status 0x{status:04X}")
