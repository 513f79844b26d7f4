"""`python -m bench.dimse_waits`: how long DICOM clients wait, for the first answer in a large index and behind others.

The index is loaded without files (`bench.loading`). Then the wildcard names of a hundred studies each are asked for by
C-FIND, and the time to the first answer is taken; after that C-ECHO and the same C-FIND are asked while silent
connections, half-sent C-STOREs and C-GETs that nobody reads lie about. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from amonsul.database import SqliteSettings
from bench import dimse_wire as wire
from bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, SOP_CLASS_UID, Instance
from bench.loading import load_sqlite
from bench.plan import ROWS_512K, Plan, post_all
from bench.retrieve_load import begin_c_get, introduce
from bench.servers import AE_TITLE, Server, amonsul

_VERIFICATION, _STUDY_ROOT_FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
_C_STORE_RQ, _C_FIND_RQ, _C_ECHO_RQ = 0x0001, 0x0020, 0x0030
_SILENT, _HALF_SENT, _STALLED = 50, 6, 8
_REQUESTOR = "BENCHWAITS"


def main() -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench.dimse_waits", description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000, help="in the index (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=50, help="questions of each kind (default: %(default)s)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-waits-")))
        start = time.perf_counter()
        load_sqlite(SqliteSettings(folder / "index.db"), options.studies)
        print(f"{options.studies:,} studies in the index, after {time.perf_counter() - start:.0f} s")
        server = stack.enter_context(amonsul(folder, {"IndexDirectory": str(folder)}))
        introduce(server, _REQUESTOR, 104)
        patterns = [f"*NUMBER{hundred:03d}*" for hundred in range(options.rounds)]
        _tell("C-FIND, first answer", [_first_answer(server, pattern) for pattern in patterns])
        _tell("C-ECHO", [_echo(server) for _ in range(options.rounds)])
        series = Plan(0, 1, 0, 0).fresh(4)
        post_all(server, series, ROWS_512K, 1)
        _lie_about(server, series, stack)
        print(
            f"with {_SILENT} silent connections, {_HALF_SENT} half-sent C-STOREs, {_STALLED} C-GETs that nobody reads:"
        )
        _tell("C-FIND, first answer", [_first_answer(server, pattern) for pattern in patterns])
        _tell("C-ECHO", [_echo(server) for _ in range(options.rounds)])
        _tell("C-ECHO with its association", [_timed(lambda: _echo(server)) for _ in range(options.rounds)])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def _tell(what: str, seconds: list[float]) -> None:
    times = (
        f"least {min(seconds) * 1e3:.1f} ms, median {median(seconds) * 1e3:.1f} ms, most {max(seconds) * 1e3:.1f} ms"
    )
    print(f"{what}: {times}")


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _first_answer(server: Server, pattern: str) -> float:
    connection = _associated(server, _STUDY_ROOT_FIND)
    command = wire.command_set(
        wire.element(0x0002, wire.padded(_STUDY_ROOT_FIND)),
        wire.short(0x0100, _C_FIND_RQ),
        wire.short(0x0110, 1),
        wire.short(0x0700, 0),
        wire.short(0x0800, 1),
    )
    name = pattern.encode()
    identifier = _key(0x0008, 0x0052, b"CS", b"STUDY ") + _key(0x0010, 0x0010, b"PN", name + b" " * (len(name) % 2))
    identifier += _key(0x0020, 0x000D, b"UI", b"")
    start = time.perf_counter()
    connection.sendall(wire.p_data(command, 3) + wire.p_data(identifier, 2))
    _, body = wire.pdu(connection)
    seconds = time.perf_counter() - start
    status = wire.unsigned(wire.read_command(body[6:])[0x0900])
    if status != 0xFF00:
        raise wire.Refused(f"C-FIND status 0x{status:04X}")
    connection.close()
    return seconds


def _echo(server: Server) -> float:
    connection = _associated(server, _VERIFICATION)
    command = wire.command_set(
        wire.element(0x0002, wire.padded(_VERIFICATION)),
        wire.short(0x0100, _C_ECHO_RQ),
        wire.short(0x0110, 1),
        wire.short(0x0800, 0x0101),
    )
    start = time.perf_counter()
    connection.sendall(wire.p_data(command, 3))
    wire.pdu(connection)
    seconds = time.perf_counter() - start
    wire.release(connection)
    return seconds


def _lie_about(server: Server, series: list[Instance], stack: contextlib.ExitStack) -> None:
    """Connect, and leave everything unfinished."""
    for _ in range(_SILENT):
        stack.enter_context(wire.connect(server.dicom_port))
    for number in range(_HALF_SENT):
        connection = stack.enter_context(_associated(server, SOP_CLASS_UID))
        command = wire.command_set(
            wire.element(0x0002, wire.padded(SOP_CLASS_UID)),
            wire.short(0x0100, _C_STORE_RQ),
            wire.short(0x0110, 1),
            wire.short(0x0700, 0),
            wire.short(0x0800, 1),
            wire.element(0x1000, wire.padded(f"2.25.1702.{number}")),
        )
        connection.sendall(wire.p_data(command, 3) + wire.p_data(bytes(4096), 0)[:2048])
    for _ in range(_STALLED):
        connection = stack.enter_context(begin_c_get(server, series))
        connection.recv(1, socket.MSG_PEEK)


def _associated(server: Server, abstract_syntax: str) -> socket.socket:
    connection = wire.connect(server.dicom_port)
    wire.associate(
        connection, AE_TITLE, [wire.Proposal(abstract_syntax, EXPLICIT_VR_LITTLE_ENDIAN)], _REQUESTOR, wire.OUR_MAX_PDU
    )
    return connection


def _key(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


if __name__ == "__main__":
    main()
