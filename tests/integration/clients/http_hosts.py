"""HTTP servers that do as a test says, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Talk = Callable[[socket.socket, int], None]


class Host:
    """A server whose connections are handled by a function; it notes the requests."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with link, contextlib.suppress(OSError):
                link.settimeout(60)
                self._talk(link, self.connections)


def read_request(link: socket.socket) -> bytes:
    """One request with its body; empty when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += link.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(answer: bytes, noted: list[bytes]) -> Talk:
    """Answers every request of a connection alike."""

    def talk(link: socket.socket, _: int) -> None:
        while request := read_request(link):
            noted.append(request)
            link.sendall(answer)

    return talk
