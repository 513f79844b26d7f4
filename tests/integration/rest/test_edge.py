"""What the HTTP edge does with clients that do not behave, over real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.spool import Spool
from amonsul.crossing import Crossing
from amonsul.web.asgi import Application
from amonsul.web.auth import Gate
from amonsul.web.dispatch import Dispatcher
from amonsul.web.protocol import MAX_HEAD_SIZE
from amonsul.web.routing import Body, Route
from amonsul.web.services import Services
from amonsul.web.settings import BodyLimits, TlsSettings, WebSettings
from amonsul.web.values import Request, Response
from tests.integration.rest.certificates import make_certificates
from tests.integration.rest.serving import Served, read_all, read_answer, serving

GET = b"GET /system HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMITS = BodyLimits(maximum_size=1 << 20, linger_s=0.5)


def _system(_services: Services, _request: Request) -> Response:
    return Response(200, b"text/plain", b"here")


def _echo(_services: Services, request: Request) -> Response:
    return Response(200, b"application/octet-stream", request.data())


class Slow:
    """Requests that are worked on until they are let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()


@contextmanager
def edge(folder: Path, settings: WebSettings, held: Slow | None = None) -> Iterator[Served]:
    """A server with three routes; `/slow` is answered when it is let go."""

    def slow(_services: Services, _request: Request) -> Response:
        assert held is not None
        held.begun.release()
        held.go_on.wait(60)
        return Response(200, b"text/plain", b"late")

    routes = [
        Route("GET", "/system", _system, "", "", inline=True),
        Route("GET", "/slow", slow, "", ""),
        Route("POST", "/body", _echo, "", "", body=Body.LARGE),
    ]
    numbers = iter(range(100_000))
    crossing = Crossing("test-http", 4)
    application = Application(
        settings,
        Dispatcher(Services(cast(Archive, None), settings), routes),  # the routes need no archive
        Gate(settings, lambda: 0.0),
        lambda limit: Spool(lambda: folder / str(next(numbers)), size_limit=limit),
        crossing,
        crossing,
    )
    try:
        with serving(application, settings) as served:
            yield served
    finally:
        crossing.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with edge(tmp_path, WebSettings(limits=LIMITS, keep_alive_timeout_s=30)) as served:
        yield served


def test_connection_is_kept_for_the_next_request(server: Served) -> None:
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert read_answer(connection) == (200, b"here")


def test_requests_sent_at_once_are_answered_in_turn(server: Served) -> None:
    with server.connect() as connection:
        post = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        connection.sendall(post + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"abc") < answers.index(b"here")


def test_request_may_come_byte_by_byte(server: Served) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab":
            connection.sendall(bytes([byte]))
        assert read_answer(connection) == (200, b"ab")


def test_head_has_the_length_and_no_body(server: Served) -> None:
    answer = server.exchange(b"HEAD /system HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"content-length: 4\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_no_server_name_is_told(server: Served) -> None:
    assert b"uvicorn" not in server.exchange(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).lower()


@pytest.mark.parametrize(
    "request_line", [b"GARBAGE\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_nonsense_is_a_bad_request(server: Served, request_line: bytes) -> None:
    assert server.exchange(request_line).startswith(b"HTTP/1.1 400")


def test_smuggled_lengths_are_refused(server: Served) -> None:
    both = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    twice = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"
    for request in (both, twice):
        assert server.exchange(request).startswith(b"HTTP/1.1 400")


def test_headers_without_end_are_given_up(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /system HTTP/1.1\r\n")
        line = b"X-Filler: " + b"a" * 1000 + b"\r\n"
        try:
            for _ in range(2 * MAX_HEAD_SIZE // len(line)):
                connection.sendall(line)
        except OSError:  # closed already
            pass
        assert read_all(connection)[:12] in (b"HTTP/1.1 431", b"")


def test_headers_that_drip_are_given_up(tmp_path: Path) -> None:
    with edge(tmp_path, WebSettings(limits=replace(LIMITS, header_timeout_s=0.2))) as server:
        with server.connect() as connection:
            connection.sendall(b"GET /system HTTP/1.1\r\nX-A: ")
            assert read_all(connection).startswith(b"HTTP/1.1 408")
        with server.connect() as silent:
            assert read_all(silent).startswith(b"HTTP/1.1 408")


@contextmanager
def asked_in_time(server: Served, request: bytes) -> Iterator[tuple[socket.socket, int]]:
    """A connection and the status of its first answer; the machine may be too busy to ask within a short deadline."""
    status = 408
    while status == 408:
        with server.connect() as connection:
            connection.sendall(request)
            status, _ = read_answer(connection)
            if status != 408:
                yield connection, status


def test_second_request_has_its_deadline_too(tmp_path: Path) -> None:
    settings = WebSettings(limits=replace(LIMITS, header_timeout_s=0.2), keep_alive_timeout_s=60)
    with edge(tmp_path, settings) as server, asked_in_time(server, GET) as (connection, status):
        assert status == 200
        connection.sendall(b"GET /sys")
        assert read_all(connection).startswith(b"HTTP/1.1 408")


def test_body_that_nobody_reads_has_a_deadline_too(tmp_path: Path) -> None:
    settings = WebSettings(limits=replace(LIMITS, header_timeout_s=0.2), keep_alive_timeout_s=60)
    request = b"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with edge(tmp_path, settings) as server, asked_in_time(server, request) as (connection, status):
        assert status == 404
        connection.sendall(b"a")
        assert read_all(connection).startswith(b"HTTP/1.1 408")


def test_stalled_body_is_given_up(tmp_path: Path) -> None:
    with edge(tmp_path, WebSettings(limits=replace(LIMITS, idle_timeout_s=0.2, linger_s=0.1))) as server:
        request = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
        assert server.exchange(request).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("framing", [b"Content-Length: 50000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_refusal_arrives_while_the_client_still_sends(server: Served, framing: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /body HTTP/1.1\r\nHost: localhost\r\n" + framing)
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n" if b"chunked" in framing else b"a" * 0x10000
        try:
            for _ in range(100):
                connection.sendall(chunk)
        except OSError:  # the server has stopped listening
            pass
        status, _ = read_answer(connection)
    assert status == 413


def test_unwanted_upload_is_not_asked_for(server: Served) -> None:
    request = b"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    with server.connect() as connection:
        connection.sendall(request.replace(b"/nope", b"/body"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")


def test_trailers_are_dropped(server: Served) -> None:
    request = (
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n"
    )
    with server.connect() as connection:
        connection.sendall(request)
        assert read_answer(connection) == (200, b"ab")
        endless = b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
        try:
            connection.sendall(endless)
            for _ in range(200):
                connection.sendall(b"Z: " + b"z" * 2000 + b"\r\n")
        except OSError:  # the server has stopped listening
            pass
        assert b"200 OK" not in read_all(connection)


def test_longest_idle_connection_makes_room(tmp_path: Path) -> None:
    settings = WebSettings(limits=LIMITS, maximum_connections=4, keep_alive_timeout_s=60)
    with edge(tmp_path, settings) as server, ExitStack() as stack:
        connections = []
        for _ in range(4):
            connection = stack.enter_context(server.connect())
            connection.sendall(GET)
            assert read_answer(connection) == (200, b"here")
            connections.append(connection)
        newcomer = stack.enter_context(server.connect())
        newcomer.sendall(GET)
        assert read_answer(newcomer) == (200, b"here")
        assert read_all(connections[0]) == b""
        connections[3].sendall(GET)
        assert read_answer(connections[3]) == (200, b"here")


def test_server_full_of_work_says_so(tmp_path: Path) -> None:
    settings = WebSettings(limits=LIMITS, maximum_connections=4)
    held = Slow()
    with edge(tmp_path, settings, held) as server, ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in busy:
            connection.sendall(GET.replace(b"/system", b"/slow"))
            assert held.begun.acquire(timeout=60)
        answers = [server.exchange(GET) for _ in range(20)]
        held.go_on.set()
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in answers)
        assert [read_answer(connection) for connection in busy] == [(200, b"late")] * 4


def test_many_slow_clients_do_not_keep_others_out(tmp_path: Path) -> None:
    with edge(tmp_path, WebSettings(limits=LIMITS)) as server, ExitStack() as stack:
        for number in range(1000):
            connection = stack.enter_context(server.connect())
            if number % 2:
                connection.sendall(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
            else:
                connection.sendall(b"GET /system HTTP/1.1\r\nX-Drip: ")
        with server.connect() as connection:
            connection.sendall(GET)
            assert read_answer(connection) == (200, b"here")
            connection.sendall(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
            assert read_answer(connection) == (200, b"abc")


# ---------------------------------------------------------------------------------------------------- HTTPS


def test_https(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with edge(tmp_path, WebSettings(limits=LIMITS, tls=TlsSettings(made.server))) as server:
        context = ssl.create_default_context(cafile=str(made.authority))
        assert httpx.get(f"https://localhost:{server.port}/system", verify=context).text == "here"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{server.port}/system")


def test_https_with_client_certificates(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    tls = TlsSettings(made.server, verify_peers=True, trusted_client_certificates=made.authority)
    with edge(tmp_path, WebSettings(limits=LIMITS, tls=tls)) as server:
        context = ssl.create_default_context(cafile=str(made.authority))
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            httpx.get(f"https://localhost:{server.port}/system", verify=context)
        context.load_cert_chain(made.client)
        assert httpx.get(f"https://localhost:{server.port}/system", verify=context).text == "here"


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with edge(tmp_path, WebSettings(limits=LIMITS, tls=TlsSettings(made.server, minimum_protocol_version=5))) as server:
        context = ssl.create_default_context(cafile=str(made.authority))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{server.port}/system", verify=context)
