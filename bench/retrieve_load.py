"""Retrieval load: a whole series by C-GET and by C-MOVE, taken by requestors and a destination that cost little.

The clock runs from the request to its final response, over an association that is open already. What arrives is
counted and thrown away: the bytes of the data sets are read into one buffer, and every C-STORE-RQ is answered with the
bytes of a response made before. DCMTK's `getscu` is measured as a user starts it, with the start of the program.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from bench import dimse_wire as wire
from bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, SOP_CLASS_UID, Instance
from bench.plan import Plan, Row
from bench.processes import Measured
from bench.servers import AE_TITLE, Server

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
DCMTK_PDU = 16384
"""What DCMTK's programs take in one PDU unless they are told otherwise."""

_WITHOUT_NAGLE = {**os.environ, "TCP_NODELAY": "1"}
"""DCMTK's way to turn Nagle's algorithm off; with it on, every instance waits for 40 ms at some servers."""

_REQUESTOR, _DESTINATION = "BENCHGET", "BENCHMOVE"
_LENGTH, _RETRIEVALS = 100, 11
_FORK = multiprocessing.get_context("fork")
_BUFFER_SIZE = 1 << 20
_HEADER = struct.Struct(">BBIIBB")  # of a P-DATA-TF and its fragment
_P_DATA, _RELEASE_RQ = 4, 5
_C_STORE_RQ, _C_STORE_RSP, _C_GET_RQ, _C_MOVE_RQ = 0x0001, 0x8001, 0x0010, 0x0021
_PENDING = frozenset((0xFF00, 0xFF01))


def c_get(server: Server, series: Sequence[Instance], rounds: int, max_pdu: int = wire.OUR_MAX_PDU) -> list[Measured]:
    """Retrieve a stored series so many times over one association; one measurement for each."""
    connection, request = _associated_for_c_get(server, series, max_pdu)
    measured = [_retrieve(connection, request, len(series)) for _ in range(rounds)]
    wire.release(connection)
    return measured


def begin_c_get(server: Server, series: Sequence[Instance]) -> socket.socket:
    """Ask for a stored series, and leave what comes to the caller."""
    connection, request = _associated_for_c_get(server, series, wire.OUR_MAX_PDU)
    connection.sendall(request)
    return connection


def _associated_for_c_get(server: Server, series: Sequence[Instance], max_pdu: int) -> tuple[socket.socket, bytes]:
    introduce(server, _REQUESTOR, 104)  # a port that nobody connects to
    connection = wire.connect(server.dicom_port)
    proposals = [
        wire.Proposal(STUDY_ROOT_GET, EXPLICIT_VR_LITTLE_ENDIAN),
        wire.Proposal(SOP_CLASS_UID, EXPLICIT_VR_LITTLE_ENDIAN, as_scp=True),
    ]
    wire.associate(connection, AE_TITLE, proposals, _REQUESTOR, max_pdu)
    return connection, _request(_C_GET_RQ, STUDY_ROOT_GET, series[0])


def c_move(server: Server, series: Sequence[Instance], rounds: int, max_pdu: int = wire.OUR_MAX_PDU) -> list[Measured]:
    """Have a stored series sent so many times to a destination that costs little and throws it away."""
    with _destination(max_pdu) as port:
        return _move(server, series, rounds, port)


def c_move_to_storescp(server: Server, series: Sequence[Instance], rounds: int) -> list[Measured]:
    """The same to DCMTK's `storescp`."""
    with _storescp() as port:
        return _move(server, series, rounds, port)


def _move(server: Server, series: Sequence[Instance], rounds: int, port: int) -> list[Measured]:
    introduce(server, _DESTINATION, port)
    connection = wire.connect(server.dicom_port)
    wire.associate(connection, AE_TITLE, [wire.Proposal(STUDY_ROOT_MOVE, EXPLICIT_VR_LITTLE_ENDIAN)], _DESTINATION)
    destination = wire.element(0x0600, _DESTINATION.encode().ljust(16))
    request = _request(_C_MOVE_RQ, STUDY_ROOT_MOVE, series[0], destination)
    measured = [_retrieve(connection, request, len(series)) for _ in range(rounds)]
    wire.release(connection)
    return measured


def getscu(server: Server, series: Sequence[Instance], rounds: int) -> list[Measured]:
    """The same as `c_get` with DCMTK's program, which throws away what it takes."""
    introduce(server, _REQUESTOR, 104)
    first = series[0]
    keys = ("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={first.study_uid}", f"SeriesInstanceUID={first.series_uid}")
    command = [_program("getscu"), "-S", "--ignore", "-aet", _REQUESTOR, "-aec", AE_TITLE]
    command += [part for key in keys for part in ("-k", key)] + ["127.0.0.1", str(server.dicom_port)]
    measured = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_WITHOUT_NAGLE)
        measured.append(_evenly(time.perf_counter() - start, len(series)))
    return measured


def introduce(server: Server, ae_title: str, port: int) -> None:
    """Make a modality known, which may then retrieve and be sent to."""
    body = json.dumps([ae_title, "127.0.0.1", port]).encode()
    request = urllib.request.Request(f"http://{server.host}/modalities/{ae_title}", body, method="PUT")
    with urllib.request.urlopen(request, timeout=60):
        pass


def _request(kind: int, sop_class_uid: str, instance: Instance, *more: bytes) -> bytes:
    """A C-GET-RQ or C-MOVE-RQ for the series of an instance (PS3.7 §9.3.3, §9.3.4)."""
    command = wire.command_set(
        wire.element(0x0002, wire.padded(sop_class_uid)),
        wire.short(0x0100, kind),
        wire.short(0x0110, 1),
        *more,
        wire.short(0x0700, 0),
        wire.short(0x0800, 1),
    )
    identifier = (
        _key(0x0008, 0x0052, b"CS", b"SERIES")
        + _key(0x0020, 0x000D, b"UI", wire.padded(instance.study_uid))
        + _key(0x0020, 0x000E, b"UI", wire.padded(instance.series_uid))
    )
    return wire.p_data(command, 3) + wire.p_data(identifier, 2)


def _key(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def _retrieve(connection: socket.socket, request: bytes, expected: int) -> Measured:
    """Ask, take what comes, and wait for the final response."""
    start = time.perf_counter()
    connection.sendall(request)
    taken = 0
    for command in _commands(connection):
        if wire.unsigned(command[0x0100]) == _C_STORE_RQ:
            taken += 1
            continue
        status = wire.unsigned(command[0x0900])
        if status in _PENDING:
            continue
        seconds = time.perf_counter() - start
        completed = wire.unsigned(command[0x1021])
        if status != 0 or completed != expected or taken not in (0, expected):
            raise wire.Refused(f"status {status}, {completed} of {expected} completed, {taken} taken")
        return _evenly(seconds, expected)
    raise wire.Refused("the association ended before the final response")


def _commands(connection: socket.socket) -> Iterator[dict[int, bytes]]:
    """The command of every message that comes; data sets are skipped, and each C-STORE-RQ is answered at its end.

    Bytes are read as many at once as are there, and only headers and commands are looked at.
    """
    buffer = bytearray(_BUFFER_SIZE)
    view = memoryview(buffer)
    begin = end = 0  # of what is in the buffer
    skip = 0  # bytes of a data set that are to come and not looked at
    response: bytes | None = None
    ends_message = False
    while True:
        while True:  # what is complete in the buffer
            if skip:
                passed = min(skip, end - begin)
                begin += passed
                skip -= passed
                if skip:
                    break
            if ends_message and response is not None:
                connection.sendall(response)
                ends_message, response = False, None
            if end > begin and buffer[begin] == _RELEASE_RQ:
                connection.sendall(struct.pack(">BBII", 6, 0, 4, 0))
                return
            if end - begin < _HEADER.size:
                break
            kind, _, length, fragment, context_id, flags = _HEADER.unpack_from(buffer, begin)
            if kind != _P_DATA or fragment != length - 4:
                raise wire.Refused(f"PDU {kind} of {length} bytes with a fragment of {fragment}")
            if flags & 1:
                if end - begin < 6 + length:
                    break
                command = wire.read_command(bytes(view[begin + _HEADER.size : begin + 6 + length]))
                begin += 6 + length
                if wire.unsigned(command[0x0100]) == _C_STORE_RQ:
                    response = _response(command, context_id)
                yield command
            else:
                begin += _HEADER.size
                skip = fragment - 2
                ends_message = bool(flags & 2)
        buffer[: end - begin] = buffer[begin:end]
        begin, end = 0, end - begin
        count = connection.recv_into(view[end:])
        if not count:
            return
        end += count


def _response(command: dict[int, bytes], context_id: int) -> bytes:
    """A C-STORE-RSP of success (PS3.7 §9.3.1.2)."""
    response = wire.command_set(
        wire.element(0x0002, command[0x0002]),
        wire.short(0x0100, _C_STORE_RSP),
        wire.element(0x0120, command[0x0110]),
        wire.short(0x0800, 0x0101),
        wire.short(0x0900, 0),
        wire.element(0x1000, command[0x1000]),
    )
    return wire.p_data(response, 3, context_id)


@contextmanager
def _destination(max_pdu: int) -> Iterator[int]:
    """A storage SCP in a process of its own, that takes everything and keeps nothing; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    process = _FORK.Process(target=_serve, args=(listening, max_pdu), daemon=True)
    process.start()
    port = int(listening.getsockname()[1])
    listening.close()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


def _serve(listening: socket.socket, max_pdu: int) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_take, args=(connection, max_pdu), daemon=True).start()


def _take(connection: socket.socket, max_pdu: int) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        wire.accept(connection, max_pdu)
        for _ in _commands(connection):
            pass


@contextmanager
def _storescp() -> Iterator[int]:
    """DCMTK's storage SCP, that keeps nothing; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [_program("storescp"), "--ignore", str(port)], stdout=subprocess.DEVNULL, env=_WITHOUT_NAGLE
    )
    try:
        while True:
            with suppress(OSError), wire.connect(port):
                break
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/local/bin")
    if found is None:
        raise SystemExit("DCMTK is not installed (apt install dcmtk)")
    return found


def _evenly(seconds: float, count: int) -> Measured:
    return Measured(seconds, (seconds / count,) * count)


def _row(name: str, what: str, retrieve: Callable[[Server, Sequence[Instance], int], list[Measured]]) -> Row:
    """Instances per second of the middle one of many retrievals of a series."""

    def measure(server: Server, plan: Plan) -> Measured:
        measured = retrieve(server, plan.stored_series(server, _LENGTH), _RETRIEVALS)
        return sorted(measured, key=lambda each: each.seconds)[len(measured) // 2]

    return Row(name, f"{what} of {_LENGTH} CT slices of 512 KB", 2, measure)


ROWS = (
    _row("cget", "C-GET", c_get),
    _row("cget-16k", "C-GET in PDUs of 16 KB", partial(c_get, max_pdu=DCMTK_PDU)),
    _row("getscu", "C-GET by getscu", getscu),
    _row("cmove", "C-MOVE", c_move),
    _row("cmove-16k", "C-MOVE in PDUs of 16 KB", partial(c_move, max_pdu=DCMTK_PDU)),
    _row("cmove-storescp", "C-MOVE to storescp", c_move_to_storescp),
)
