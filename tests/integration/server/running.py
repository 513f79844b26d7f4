"""The real server as a process of its own, on ports that the system chose; it is known by what it logs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

AE_TITLE = "TESTED"
START_S = 120.0
"""Longest wait for the server to say that it is ready; no test passes or fails by it."""

_HTTP = re.compile(r"HTTP server listens on https?://127\.0\.0\.1:(\d+)")
_DICOM = re.compile(r"DICOM server (\S+) listens on port (\d+)")


@dataclass
class Running:
    """A server that has said something. `http_port` and `dicom_port` are 0 until it listens there."""

    process: subprocess.Popen[str]
    http_port: int = 0
    dicom_port: int = 0
    lines: list[str] = field(default_factory=list)
    _said: threading.Condition = field(default_factory=threading.Condition)
    _listener: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Root of the REST API."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log(self) -> str:
        """All that it has logged until now."""
        return "\n".join(self.lines)

    def wait_until_ready(self) -> None:
        """Return when it says that it is ready; fail if it ends instead."""
        self.wait_for("is ready")

    def wait_for(self, text: str) -> None:
        """Return when a line with this text has been logged; fail if the server ends instead."""
        with self._said:
            found = self._said.wait_for(lambda: self._has(text) or self._ended(), timeout=START_S)
        assert found, f"the server did not say {text!r}:\n{self.log}"
        assert self._has(text), f"the server ended:\n{self.log}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and answer the exit status; then the log is complete."""
        self.process.send_signal(number)
        status = self.process.wait(START_S)
        if self._listener is not None:
            self._listener.join(START_S)
        return status

    def kill(self) -> None:
        """End it as a power cut would, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def resident_mb(self) -> float:
        """Megabytes of memory in use."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def forget_peak(self) -> None:
        """Let `peak_mb` begin at what is in use now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """Most megabytes of memory in use since `forget_peak`, files that are mapped included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1000 * 1.024

    def client(self) -> httpx.Client:
        """An HTTP client of it."""
        return httpx.Client(base_url=self.url, timeout=START_S)

    def _has(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def _ended(self) -> bool:
        return bool(self.lines) and self.lines[-1] == "<end>"

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                if match := _HTTP.search(line):
                    self.http_port = int(match[1])
                if match := _DICOM.search(line):
                    self.dicom_port = int(match[2])
                self._said.notify_all()
        with self._said:
            self.lines.append("<end>")
            self._said.notify_all()


def configuration(folder: Path, options: Mapping[str, object] | None = None) -> dict[str, object]:
    """Options of a server on free ports of loopback, with its data in `folder`."""
    return {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": 0,
        "HttpBindAddresses": ["127.0.0.1"],
        "DicomPort": 0,
        "DicomAet": AE_TITLE,
        **(options or {}),
    }


def start(folder: Path, options: Mapping[str, object] | None = None, *arguments: str) -> Running:
    """Start a server and do not wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "configuration.json"
    file.write_text(json.dumps(configuration(folder, options)))
    process = subprocess.Popen(
        [sys.executable, "-m", "amonsul.cli", "serve", str(file), *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("ORTHANC")},
    )
    running = Running(process)
    running._listener = threading.Thread(target=running._listen, daemon=True)
    running._listener.start()
    return running


@contextmanager
def serving(folder: Path, options: Mapping[str, object] | None = None, *arguments: str) -> Iterator[Running]:
    """A server that is ready; killed at the end if the test has not stopped it."""
    running = start(folder, options, *arguments)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


def run_cli(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORTHANC")}
    return subprocess.run(
        [sys.executable, "-m", "amonsul.cli", *arguments],
        cwd=cwd,
        env={**environment, "COLUMNS": "120"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
