"""HTTP load over raw keep-alive sockets, one process for each connection, so that the client costs little."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from bench.processes import Measured, run_processes

Pieces = tuple[bytes, ...]
"""A request as pieces that are sent in one go; large ones may be shared between requests."""


_KEPT = 1 << 16
"""Bytes of an answer that are handed on."""


class BadAnswer(Exception):
    """An answer that is no success, or no HTTP."""


def get(path: str, host: str, accept: str = "*/*") -> Pieces:
    """A GET request."""
    return (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode(),)


def post(path: str, host: str, body: Pieces, content_type: str = "application/dicom") -> Pieces:
    """A POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n"
    return (f"{head}Content-Length: {sum(map(len, body))}\r\n\r\n".encode(), *body)


def for_seconds(port: int, requests: Sequence[Pieces], connections: int, seconds: float) -> Measured:
    """Send the requests in turn, over and over, for a while."""

    def share(number: int) -> Iterator[Pieces]:
        return itertools.islice(itertools.cycle(requests), number, None, 1)

    return run_processes(connections, lambda number, go: _client(port, share(number), go, seconds))


def once(port: int, make: Callable[[int], Iterator[Pieces]], connections: int) -> Measured:
    """Send each request once; `make` gives those of one connection, in the process that sends them."""
    return run_processes(connections, lambda number, go: _client(port, iter(list(make(number))), go, None))


def _client(port: int, requests: Iterator[Pieces], go: Callable[[], None], seconds: float | None) -> list[float]:
    connection = _Connection(port)
    latencies: list[float] = []
    go()
    end = None if seconds is None else time.perf_counter() + seconds
    for request in requests:
        start = time.perf_counter()
        if end is not None and start >= end:
            break
        connection.exchange(request)
        latencies.append(time.perf_counter() - start)
    return latencies


class _Connection:
    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()
        self._rest = b""
        self._buffer = bytearray(1 << 20)

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, request: Pieces) -> bytes:
        """Send a request, wait for its answer; once more on a fresh connection if the server had closed this one.

        Answers begin the body; what is beyond its first pieces is read and thrown away.
        """
        try:
            return self._exchange(request)
        except (ConnectionError, EOFError):
            self._reconnect()
            return self._exchange(request)

    def _exchange(self, request: Pieces) -> bytes:
        _send_all(self._socket, request)
        buffer = self._rest
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self._receive()
        head, body = buffer[:end].lower(), buffer[end + 4 :]
        if not 200 <= int(head[9:12]) < 300:
            raise BadAnswer(f"{request[0].splitlines()[0].decode()}: {buffer[:300]!r}")
        start = head.find(b"\r\ncontent-length:")
        if start >= 0:
            length = int(head[start + 17 :].split(b"\r\n", 1)[0])
            while len(body) < min(length, _KEPT):
                body += self._receive()
            self._rest = self._skip(body, length)
            body = body[:length]
        elif b"\r\ntransfer-encoding: chunked" in head:
            self._rest = self._skip_chunks(body)
        else:
            while self._socket.recv_into(self._buffer):
                pass
            self._reconnect()
        if b"\r\nconnection: close" in head:
            self._reconnect()
        return body

    def _skip(self, begun: bytes, length: int) -> bytes:
        """Read so many bytes, of which some are there already; answers what came after them."""
        missing = length - len(begun)
        while missing > 0:
            got = self._socket.recv_into(self._buffer, min(missing, len(self._buffer)))
            if not got:
                raise EOFError
            missing -= got
        return begun[length:]

    def _skip_chunks(self, rest: bytes) -> bytes:
        """Read a body in chunks (RFC 9112 §7.1); answers what came after it."""
        while True:
            while (end := rest.find(b"\r\n")) < 0:
                rest += self._receive()
            length = int(rest[:end].split(b";")[0], 16)
            rest = self._skip(rest[end + 2 :], length + 2)
            if not length:
                return rest

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 16)
        if not received:
            raise EOFError
        return received

    def _reconnect(self) -> None:
        self._socket.close()
        self._socket, self._rest = self._connect(), b""


def _send_all(connection: socket.socket, pieces: Pieces) -> None:
    sent = connection.sendmsg(pieces)
    for piece in pieces:
        if sent < len(piece):
            connection.sendall(memoryview(piece)[sent:])
            sent = 0
        else:
            sent -= len(piece)


def fetch(port: int, path: str) -> bytes:
    """The body of one GET."""
    return _Connection(port).exchange(get(path, f"127.0.0.1:{port}"))
