"""`python -m bench peers`: a study goes from each server to each, by the job of the sender, in turn.

Amonsul and Orthanc both send the same instances to Orthanc, to Amonsul, and to a receiver that throws them away, which
shows the sender alone. A receiver that keeps them is emptied before each turn. The table shows instances per second and
the CPU time that an instance cost the sender; nothing is asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.plan import ROWS_512K, Plan, post_all
from bench.servers import Server, amonsul, orthanc

_TAKEN: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"Status":"Success"}'
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_DISCARD: Final = "discard"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    name: str
    rows: int
    count: int


@dataclass(slots=True)
class Figures:
    """Of one sender and one receiver."""

    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def main(arguments: list[str]) -> None:
    """Run the measurement as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench peers", description="Measure sending between servers.")
    parser.add_argument("--large", type=int, default=200, help="instances of 512 KB (default: %(default)s)")
    parser.add_argument("--small", type=int, default=1000, help="instances of 4 KB (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each sender (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    loads = [Load("512 KB", ROWS_512K, chosen.large), Load("4 KB", 0, chosen.small)]
    console = Console(width=None if sys.stdout.isatty() else 140)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peers-")))
        senders, receivers = ([stack.enter_context(start(folder)) for start in (orthanc, amonsul)] for _ in range(2))
        ports = {server.name: server.http_port for server in receivers}
        ports[_DISCARD] = stack.enter_context(_discarding())
        for sender in senders:
            for name, port in ports.items():
                _ask(sender, "PUT", f"/peers/{name}", [f"http://127.0.0.1:{port}/"])
        for load in loads:
            _measure(load, senders, receivers, list(ports), chosen.rounds, console)
    console.print(f"{chosen.rounds} rounds in turn; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def _measure(
    load: Load, senders: list[Server], receivers: list[Server], names: list[str], rounds: int, console: Console
) -> None:
    plan = Plan(0, 0, 0, 0)
    instances = plan.fresh(load.count)
    for sender in senders:
        post_all(sender, instances, load.rows, 2)
    figures = {(sender.name, name): Figures() for sender in senders for name in names}
    for _ in range(rounds):
        for name in names:
            for sender in senders:
                for receiver in receivers:
                    _empty(receiver)
                before, began = _cpu_s(sender), time.perf_counter()
                sent = _ask(sender, "POST", f"/peers/{name}/store", {"Resources": [instances[0].series_id]})
                taken_s = time.perf_counter() - began
                assert sent["InstancesCount"] == load.count
                assert sent["FailedInstancesCount"] == 0
                measured = figures[sender.name, name]
                measured.per_second.append(load.count / taken_s)
                measured.cpu_ms.append((_cpu_s(sender) - before) * 1000 / load.count)
    table = Table(f"{load.count} x {load.name} to", "Orthanc sends", "Amonsul sends", "Ratio", title_justify="left")
    for name in names:
        theirs, ours = (figures[sender, name] for sender in ("Orthanc", "Amonsul"))
        shown = [f"{mean(each.per_second):,.0f}/s, {mean(each.cpu_ms):.2f} ms of CPU" for each in (theirs, ours)]
        table.add_row(name, *shown, f"{mean(ours.per_second) / mean(theirs.per_second):.2f}")
    console.print(table)


def _ask(server: Server, method: str, path: str, body: object) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=600)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body))
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
    return json.loads(data) if data else {}


def _empty(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=600)
    with contextlib.closing(connection):
        connection.request("GET", "/patients")
        for patient in json.loads(connection.getresponse().read()):
            connection.request("DELETE", f"/patients/{patient}")
            connection.getresponse().read()


def _cpu_s(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def _discarding() -> Iterator[int]:
    """A receiver that takes everything, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    process = get_context("fork").Process(target=_discard, args=(listener,), daemon=True)
    process.start()
    try:
        yield listener.getsockname()[1]
    finally:
        process.terminate()
        process.join()
        listener.close()


def _discard(listener: socket.socket) -> None:
    """Serve each connection in a process of its own, so that several are not slower than one."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        link, _ = listener.accept()
        if os.fork() == 0:
            _take(link)
            os._exit(0)
        link.close()


def _take(link: socket.socket) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    room = bytearray(1 << 20)
    with link:
        while head := _read_head(link):
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            if any(line.startswith(b"expect:") for line in lines):
                link.sendall(_CONTINUE)
            left = length - len(head.partition(b"\r\n\r\n")[2])
            while left > 0:
                left -= link.recv_into(room, min(left, len(room)))
            link.sendall(_TAKEN)


def _read_head(link: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(8192)
        if not piece:
            return b""
        data += piece
    return data
