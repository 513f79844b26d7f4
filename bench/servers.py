"""The two servers that are measured, each started fresh on ports of its own, in a folder that is removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.http_load import fetch

_DICOM_WEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
AE_TITLE = "BENCH_SCP"


@dataclass(frozen=True, slots=True)
class Server:
    """One server that listens."""

    name: str
    http_port: int
    dicom_port: int
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        """Value of the Host header."""
        return f"127.0.0.1:{self.http_port}"

    def resident_mb(self) -> float:
        """Megabytes of memory that the process and its children have in use now."""
        pages = 0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    """Debian's Orthanc with its DICOMweb plugin."""
    program = shutil.which("Orthanc")
    if program is None or not _DICOM_WEB_PLUGIN.exists():
        raise SystemExit("Orthanc is not installed (apt install orthanc orthanc-dicomweb)")
    with _serving("Orthanc", [program], folder, {"Plugins": [str(_DICOM_WEB_PLUGIN)]}) as server:
        yield server


@contextmanager
def amonsul(folder: Path, options: Mapping[str, object] | None = None) -> Iterator[Server]:
    """Amonsul as it is in this environment."""
    with _serving("Amonsul", [sys.executable, "-m", "amonsul.cli", "serve"], folder, options or {}) as server:
        yield server


@contextmanager
def _serving(name: str, command: list[str], parent: Path, extra: Mapping[str, object]) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name.lower()}-", dir=parent))
    http_port, dicom_port = _free_ports(2)
    configuration = {
        "Name": "Bench",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": AE_TITLE,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        **extra,
    }
    (folder / "configuration.json").write_text(json.dumps(configuration))
    environment = {**os.environ, "TCP_NODELAY": "1"}
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen(
        [*command, str(folder / "configuration.json")], stdout=log, stderr=log, cwd=folder, env=environment
    )
    try:
        server = Server(name, http_port, dicom_port, process)
        _wait_until_ready(server, folder / "log.txt")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        if server.process.poll() is not None:
            raise SystemExit(f"{server.name} ended at once:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            fetch(server.http_port, "/system")
            with socket.create_connection(("127.0.0.1", server.dicom_port)):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"{server.name} does not answer") from None
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children(child)]
    return found
