from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from amonsul.archive.context import Archive
from amonsul.blobs.spool import Spool
from amonsul.crossing import Crossing
from amonsul.errors import BadRequest
from amonsul.web.asgi import Application
from amonsul.web.auth import Gate
from amonsul.web.dispatch import Dispatcher
from amonsul.web.routing import Body, Route
from amonsul.web.services import Services
from amonsul.web.settings import BodyLimits, WebSettings
from amonsul.web.values import Request, Response, Stream

Message = MutableMapping[str, Any]  # Any: as ASGI has it
MIB = 1 << 20


@dataclass
class Edge:
    """One application over a table made for the tests, called without a server."""

    settings: WebSettings
    folder: Path
    limits: list[int] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    clock: Callable[[], float] = lambda: 0.0

    def routes(self) -> list[Route]:
        def echo(_services: Services, request: Request) -> Response:
            self.received.append(request.data())
            return Response(200, b"text/plain", request.data())

        def count(_services: Services, request: Request) -> Response:
            return Response(200, b"text/plain", f"{request.body.size} {request.body.path is not None}".encode())

        def pieces(_services: Services, request: Request) -> Response:
            def chunks() -> Iterator[bytes]:
                try:
                    for _ in range(int(request.query["count"])):
                        yield b"x" * 1000
                    if "break" in request.query:
                        raise BadRequest("in the middle")
                finally:
                    self.closed.append(True)

            length = None if "unknown" in request.query else 1000 * int(request.query["count"])
            return Response(200, b"application/octet-stream", Stream(chunks(), length))

        def user(_services: Services, request: Request) -> Response:
            return Response(200, b"text/plain", f"{request.username}@{request.remote_ip}".encode())

        def large(_services: Services, _request: Request) -> Response:
            return Response(200, b"application/json; charset=utf-8", b'["' + b"a" * 5000 + b'"]')

        def bug(_services: Services, _request: Request) -> Response:
            raise KeyError("secret")

        return [
            Route("POST", "/small", echo, "", "", body=Body.SMALL),
            Route("POST", "/large", count, "", "", body=Body.LARGE),
            Route("GET", "/stream", pieces, "", ""),
            Route("GET", "/user", user, "", ""),
            Route("GET", "/inline", user, "", "", inline=True),
            Route("GET", "/json", large, "", ""),
            Route("GET", "/bug", bug, "", ""),
        ]

    def spool(self, limit: int) -> Spool:
        self.limits.append(limit)
        numbers = iter(range(1000))
        return Spool(lambda: self.folder / f"{len(self.limits)}-{next(numbers)}", 2 * MIB, limit)

    async def call(
        self,
        method: str,
        path: str,
        body: Sequence[bytes] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        client: str = "127.0.0.1",
        stall: bool = False,
        leave: bool = False,
    ) -> list[Message]:
        """Send a request in pieces and collect what is answered; `stall` never sends the end, `leave` goes away."""
        services = Services(cast(Archive, None), self.settings)  # the handlers above need no archive
        crossing, logins = Crossing("test", 4), Crossing("test-login", 1)
        gate = Gate(self.settings, self.clock)
        application = Application(
            self.settings, Dispatcher(services, self.routes()), gate, self.spool, crossing, logins
        )
        raw_path, _, query = path.partition("?")
        sent: list[Message] = []
        pieces = iter(body)
        count = len(body)
        done = asyncio.Event()
        index = 0

        async def receive() -> Message:
            nonlocal index
            piece = next(pieces, None)
            if piece is None:
                if leave:
                    return {"type": "http.disconnect"}
                await done.wait()
                return {"type": "http.disconnect"}
            index += 1
            more = stall or leave or index < count
            return {"type": "http.request", "body": piece, "more_body": more}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                done.set()

        scope = {
            "type": "http",
            "method": method,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": list(headers),
            "client": (client, 1234),
        }
        try:
            await application(scope, receive, send)
        finally:
            crossing.close()
            logins.close()
        return sent


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(WebSettings(limits=BodyLimits(maximum_size=8 * MIB, maximum_json_size=1000, linger_s=0.01)), tmp_path)


def run(edge: Edge, method: str, path: str, **arguments: Any) -> list[Message]:  # Any: as Edge.call
    return asyncio.run(edge.call(method, path, **arguments))


def status(sent: list[Message]) -> int:
    return int(sent[0]["status"])


def headers(sent: list[Message]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


def content(sent: list[Message]) -> bytes:
    return b"".join(message["body"] for message in sent[1:])


def length_header(size: int) -> tuple[bytes, bytes]:
    return b"content-length", str(size).encode()


CHUNKED = (b"transfer-encoding", b"chunked")


def test_body_comes_in_pieces(edge: Edge) -> None:
    sent = run(edge, "POST", "/small", body=[b"ab", b"", b"cd"], headers=[length_header(4)])
    assert (status(sent), content(sent)) == (200, b"abcd")
    assert headers(sent)[b"content-length"] == b"4"


def test_request_without_body_does_not_wait_for_one(edge: Edge) -> None:
    assert content(run(edge, "POST", "/small")) == b""


def test_declared_length_beyond_the_bound_is_refused_unread(edge: Edge) -> None:
    sent = run(edge, "POST", "/large", headers=[length_header(6 << 30)], body=[b"abc"], stall=True)
    assert status(sent) == 413
    assert headers(sent)[b"connection"] == b"close"
    assert orjson.loads(content(sent))["HttpStatus"] == 413
    assert edge.limits == []


def test_json_has_its_own_bound(edge: Edge) -> None:
    assert status(run(edge, "POST", "/small", headers=[length_header(1001)], body=[b"a" * 1001])) == 413
    assert status(run(edge, "POST", "/large", headers=[length_header(1001)], body=[b"a" * 1001])) == 200


def test_chunked_body_is_counted(edge: Edge) -> None:
    sent = run(edge, "POST", "/large", headers=[CHUNKED], body=[b"a" * MIB] * 1000)
    assert status(sent) == 413
    assert headers(sent)[b"connection"] == b"close"
    assert list(edge.folder.iterdir()) == []


def test_large_body_goes_to_a_file_that_does_not_stay(edge: Edge) -> None:
    sent = run(edge, "POST", "/large", headers=[CHUNKED], body=[b"a" * 100_000] * 50)
    assert content(sent) == b"5000000 True"
    assert list(edge.folder.iterdir()) == []


def test_small_body_stays_in_memory(edge: Edge) -> None:
    assert content(run(edge, "POST", "/large", headers=[CHUNKED], body=[b"a" * 1000])) == b"1000 False"


def test_bodies_beyond_the_memory_of_all_go_to_files(tmp_path: Path) -> None:
    edge = Edge(WebSettings(limits=BodyLimits(memory=MIB)), tmp_path)
    sent = run(edge, "POST", "/large", headers=[CHUNKED], body=[b"a" * 100_000] * 15)
    assert content(sent) == b"1500000 True"


def test_stalled_body_is_given_up(tmp_path: Path) -> None:
    edge = Edge(WebSettings(limits=BodyLimits(idle_timeout_s=0.02, linger_s=0.01)), tmp_path)
    sent = run(edge, "POST", "/large", headers=[length_header(100)], body=[b"abc"], stall=True)
    assert status(sent) == 408
    assert headers(sent)[b"connection"] == b"close"


def test_dripped_body_is_given_up(tmp_path: Path) -> None:
    edge = Edge(WebSettings(limits=BodyLimits(grace_s=0.02, minimum_rate=1 << 40, linger_s=0.01)), tmp_path)
    sent = run(edge, "POST", "/large", headers=[CHUNKED], body=[b"a", b"b"], stall=True)
    assert status(sent) == 408


def test_client_that_leaves_is_not_answered(edge: Edge) -> None:
    assert run(edge, "POST", "/large", headers=[length_header(100)], body=[b"abc"], leave=True) == []


@pytest.mark.parametrize("value", [b"-1", b"abc", b"1e3", b"9" * 30])
def test_length_that_makes_no_sense_is_refused(edge: Edge, value: bytes) -> None:
    assert status(run(edge, "POST", "/small", headers=[(b"content-length", value)])) == 400


def test_body_that_nobody_wants_is_not_read(edge: Edge) -> None:
    small = run(edge, "POST", "/nope", headers=[length_header(100)])
    assert status(small) == 404
    assert b"connection" not in headers(small)
    large = run(edge, "POST", "/nope", headers=[length_header(5 * MIB)], body=[b"a" * MIB] * 5)
    assert status(large) == 404
    assert headers(large)[b"connection"] == b"close"


def test_unknown_path_and_method(edge: Edge) -> None:
    missing = run(edge, "GET", "/nope")
    assert status(missing) == 404
    assert headers(missing)[b"content-type"] == b"text/plain"
    assert orjson.loads(content(missing))["Uri"] == "/nope"
    wrong = run(edge, "DELETE", "/small")
    assert (status(wrong), headers(wrong)[b"allow"], content(wrong)) == (405, b"POST", b"")
    options = run(edge, "OPTIONS", "/small")
    assert (status(options), headers(options)[b"allow"]) == (204, b"POST")


def test_null_in_a_path_is_unknown(edge: Edge) -> None:
    assert status(run(edge, "GET", "/user/%00")) == 404
    assert status(run(edge, "GET", "/%00user")) == 404


def test_stream_is_sent_and_closed(edge: Edge) -> None:
    sent = run(edge, "GET", "/stream?count=3")
    assert headers(sent)[b"content-length"] == b"3000"
    assert content(sent) == b"x" * 3000
    assert sent[-1].get("more_body", False) is False
    assert edge.closed == [True]


def test_stream_of_unknown_length_has_no_length(edge: Edge) -> None:
    sent = run(edge, "GET", "/stream?count=2000&unknown")
    assert b"content-length" not in headers(sent)
    assert content(sent) == b"x" * 2_000_000


def test_short_stream_has_a_length_all_the_same(edge: Edge) -> None:
    sent = run(edge, "GET", "/stream?count=3&unknown")
    assert headers(sent)[b"content-length"] == b"3000"
    assert content(sent) == b"x" * 3000
    assert edge.closed == [True]


def test_stream_ends_when_the_client_goes(edge: Edge) -> None:
    sent = run(edge, "GET", "/stream?count=1000000", leave=True)
    assert len(sent) < 1000
    assert edge.closed == [True]


def test_stream_that_breaks_is_cut_short(edge: Edge) -> None:
    sent = run(edge, "GET", "/stream?count=2000&break")
    assert 1_000_000 < len(content(sent)) <= 2_000_000
    assert sent[-1]["more_body"] is True


def test_stream_that_breaks_at_once_is_refused(edge: Edge) -> None:
    assert status(run(edge, "GET", "/stream?count=3&break")) == 400


def test_head_of_a_stream_fetches_nothing(edge: Edge) -> None:
    sent = run(edge, "HEAD", "/stream?count=3")
    assert headers(sent)[b"content-length"] == b"3000"
    assert content(sent) == b""


def test_every_answer_has_the_security_headers(edge: Edge) -> None:
    for path in ("/user", "/inline", "/nope", "/bug", "/stream?count=1"):
        found = headers(run(edge, "GET", path))
        assert found[b"x-content-type-options"] == b"nosniff"
        assert found[b"content-security-policy"] == b"default-src 'self'"


def test_a_bug_is_an_internal_error(edge: Edge) -> None:
    sent = run(edge, "GET", "/bug")
    assert status(sent) == 500
    assert b"secret" not in content(sent)


def test_keep_alive_can_be_turned_off(tmp_path: Path) -> None:
    assert headers(run(Edge(WebSettings(keep_alive=False), tmp_path), "GET", "/user"))[b"connection"] == b"close"


@pytest.mark.parametrize("path", ["/user", "/inline"])
def test_who_asks_is_known(tmp_path: Path, path: str) -> None:
    settings = WebSettings(authentication_enabled=True, registered_users={"alice": "secret"})
    edge = Edge(settings, tmp_path)
    right = (b"authorization", b"Basic " + base64.b64encode(b"alice:secret"))
    assert content(run(edge, "GET", path, headers=[right])) == b"alice@127.0.0.1"


def test_strangers_are_challenged_before_anything_else(tmp_path: Path) -> None:
    settings = WebSettings(authentication_enabled=True, registered_users={"alice": "secret"})
    edge = Edge(settings, tmp_path)
    wrong = (b"authorization", b"Basic " + base64.b64encode(b"alice:wrong"))
    for method, path, own in (
        ("GET", "/nope", ()),
        ("OPTIONS", "/user", ()),
        ("POST", "/large", (length_header(10),)),
        ("GET", "/user", (wrong,)),
    ):
        sent = run(edge, method, path, headers=own)
        assert (status(sent), content(sent)) == (401, b"")
        assert headers(sent)[b"www-authenticate"] == b'Basic realm="Orthanc Secure Area"'
    assert edge.limits == []


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    settings = WebSettings(authentication_enabled=True, registered_users={"alice": "secret"})
    edge = Edge(settings, tmp_path)
    wrong = (b"authorization", b"Basic " + base64.b64encode(b"alice:wrong"))

    async def guess() -> list[int]:
        services = Services(cast(Archive, None), settings)
        gate = Gate(settings, lambda: 0.0)
        crossing = Crossing("test", 2)
        application = Application(settings, Dispatcher(services, edge.routes()), gate, edge.spool, crossing, crossing)
        statuses: list[int] = []

        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            if "status" in message:
                statuses.append(message["status"])
                if message["status"] == 429:
                    assert dict(message["headers"])[b"retry-after"] == b"2"

        scope = {"type": "http", "method": "GET", "raw_path": b"/user", "query_string": b"", "client": None}
        for _ in range(12):
            await application({**scope, "headers": [wrong]}, receive, send)
        crossing.close()
        return statuses

    assert asyncio.run(guess()) == [401] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip, deflate, br", b"gzip"),
        (b"br", None),
        (b"identity", None),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"*", b"gzip"),
    ],
)
def test_compression_follows_the_client(tmp_path: Path, accepted: bytes, coding: bytes | None) -> None:
    edge = Edge(WebSettings(compression=True), tmp_path)
    sent = run(edge, "GET", "/json", headers=[(b"accept-encoding", accepted)])
    assert headers(sent).get(b"content-encoding") == coding
    assert headers(sent)[b"vary"] == b"accept-encoding"
    assert len(content(sent)) == int(headers(sent)[b"content-length"])
    assert (len(content(sent)) < 500) is (coding is not None)


def test_no_compression_unless_asked_for(edge: Edge) -> None:
    sent = run(edge, "GET", "/json", headers=[(b"accept-encoding", b"gzip")])
    assert b"content-encoding" not in headers(sent)
