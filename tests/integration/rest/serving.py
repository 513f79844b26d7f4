"""The HTTP edge behind real sockets, in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import uvicorn
import uvloop

from amonsul.crossing import Crossing
from amonsul.web.asgi import Application
from amonsul.web.server import build_application, listening_sockets, server_config
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings


@dataclass(frozen=True)
class Served:
    """Where a server listens."""

    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Root of the REST API."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """A new connection; its timeout only keeps a broken test from hanging."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, data: bytes) -> bytes:
        """Send bytes and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = bytearray()
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return bytes(received)
        if not data:
            return bytes(received)
        received += data


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """One answer with a Content-Length: its status and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        assert data, f"closed after {received!r}"
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        data = connection.recv(65536)
        assert data, "the body is cut short"
        body += data
    return int(head.split(b" ")[1]), body


@contextmanager
def serving(application: Application, settings: WebSettings) -> Iterator[Served]:
    """Serve an application on a free port of loopback."""
    settings = replace(settings, port=0, bind_addresses=("127.0.0.1",))
    sockets = list(listening_sockets(settings))
    server = uvicorn.Server(server_config(application, settings))
    started = threading.Event()

    async def run() -> None:
        async def tell() -> None:
            while not server.started:
                await asyncio.sleep(0)
            started.set()

        telling = asyncio.create_task(tell())
        await server.serve(sockets)
        await telling

    def work() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    try:
        yield Served(sockets[0].getsockname()[1], "http" if settings.tls is None else "https")
    finally:
        server.should_exit = server.force_exit = True
        thread.join(60)


@contextmanager
def serving_archive(services: Services) -> Iterator[Served]:
    """Serve an archive with the real table of routes."""
    crossing = Crossing("test-http", 8)
    try:
        with serving(build_application(services, crossing), services.settings) as served:
            yield served
    finally:
        crossing.close()
