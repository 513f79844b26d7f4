"""The HTTP client against servers that do as the test says, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.spool import Spooled
from amonsul.clients import answer_head
from amonsul.clients import http as client_module
from amonsul.clients.http import Body, HttpClient, HttpSettings, Proxy, RemoteRefusal, WebServer
from amonsul.clients.web_address import WebAddress, post
from amonsul.errors import AmonsulError, InexistentFile, NetworkProtocolError, ParameterOutOfRange
from tests.integration.clients.http_hosts import OK, Host, answering, read_request
from tests.integration.rest.certificates import Certificates, make_certificates


def test_one_connection_serves_many_requests() -> None:
    noted: list[bytes] = []
    with Host(answering(OK, noted)) as host:
        with HttpClient().session(WebServer(host.url, "alice", "pw", {"X-Site": "north"})) as session:
            for number in range(5):
                assert session.request("POST", "instances", Body.of(b"x" * number, "a/b")).body == b"{}"
        assert host.connections == 1
    assert [request.partition(b"\r\n\r\n")[2] for request in noted] == [b"x" * number for number in range(5)]
    head = noted[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST /api/instances HTTP/1.1"
    for line in (b"Authorization: Basic YWxpY2U6cHc=", b"X-Site: north", b"Content-Type: a/b", b"Content-Length: 0"):
        assert line in head


def test_a_connection_that_was_closed_meanwhile_is_made_anew() -> None:
    def talk(link: socket.socket, _: int) -> None:
        if read_request(link):
            link.sendall(OK)

    with Host(talk) as host:
        with HttpClient().session(WebServer(host.url)) as session:
            for _ in range(3):
                assert session.request("POST", "x", Body.of(b"again", "a/b")).status == 200
        assert host.connections == 3


def test_a_server_that_hangs_up_at_once_is_not_asked_forever() -> None:
    with Host(lambda _, __: None) as host:
        with pytest.raises(NetworkProtocolError):
            HttpClient().request(WebServer(host.url), "GET", "system")
        assert host.connections == 1


def stored(folder: Path, data: bytes) -> Body:
    """A body that lies in a file of the storage."""
    blobs = FilesystemBlobs(folder)
    blob = blobs.stage(Spooled.of(data))
    blobs.publish(blob)
    return Body(lambda: (len(data), blobs.chunks(blob)), "a/b")


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_is_sent_as_it_is(tmp_path: Path, size: int) -> None:
    noted: list[bytes] = []
    data = bytes(range(256)) * (size // 256 + 1)
    body = stored(tmp_path, data[:size])
    with Host(answering(OK, noted)) as host, HttpClient().session(WebServer(host.url)) as session:
        for _ in range(2):
            assert session.request("POST", "x", body).status == 200
        assert host.connections == 1
    assert [each.partition(b"\r\n\r\n")[2] == data[:size] for each in noted] == [True, True]


def test_who_takes_nothing_of_a_file_is_given_up(tmp_path: Path) -> None:
    given_up = threading.Event()

    def talk(link: socket.socket, _: int) -> None:
        given_up.wait(60)

    body = stored(tmp_path, bytes(30_000_000))
    with Host(talk) as host:
        with pytest.raises(NetworkProtocolError):
            HttpClient().request(WebServer(host.url, timeout_s=0.3), "POST", "x", body)
        given_up.set()


def test_a_redirect_is_not_followed() -> None:
    elsewhere: list[bytes] = []
    with Host(answering(OK, elsewhere)) as other:
        location = f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with Host(answering(location, [])) as host:
            server = WebServer(host.url, "alice", "pw")
            assert HttpClient().request(server, "GET", "x").status == 302
            with pytest.raises(RemoteRefusal) as refusal, HttpClient().session(server) as session:
                session.require("GET", "x")
        assert refusal.value.status == 302
        assert other.connections == 0


def test_a_refusal_before_the_body_was_read_is_heard() -> None:
    def talk(link: socket.socket, _: int) -> None:
        link.recv(1)
        link.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        link.shutdown(socket.SHUT_WR)
        while link.recv(65536):
            pass

    with Host(talk) as host:
        answer = HttpClient().request(WebServer(host.url), "POST", "x", Body.of(bytes(8 << 20), "a/b"))
    assert answer.status == 413


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 1000)
    with (
        Host(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001), [])) as host,
        pytest.raises(NetworkProtocolError, match="more than"),
    ):
        HttpClient().request(WebServer(host.url), "GET", "x")


def test_a_silent_server_is_given_up() -> None:
    def talk(link: socket.socket, _: int) -> None:
        while link.recv(65536):
            pass

    with Host(talk) as host, pytest.raises(NetworkProtocolError, match="timed out"):
        HttpClient(HttpSettings(timeout_s=0.05)).request(WebServer(host.url), "GET", "x")


@pytest.mark.parametrize(
    "answer",
    [b"\x00\xff\x13\r\n\r\n", b"{}", b"", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/3 200 OK\r\n\r\n"],
)
def test_who_does_not_speak_http_is_told_as_such(answer: bytes) -> None:
    def talk(link: socket.socket, _: int) -> None:
        read_request(link)
        link.sendall(answer)

    with Host(talk) as host, pytest.raises(NetworkProtocolError, match="cannot speak to"):
        HttpClient().request(WebServer(host.url), "GET", "x")


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_interim_answers_are_not_waited_over_forever() -> None:
    def talk(link: socket.socket, _: int) -> None:
        read_request(link)
        while True:
            link.sendall(INTERIM)

    with Host(talk) as host:
        with pytest.raises(NetworkProtocolError, match="does not come to its end"):
            HttpClient().request(WebServer(host.url), "GET", "x")
        with pytest.raises(NetworkProtocolError, match="no answer"):
            post(WebAddress.parse(host.url), b"", {}, 30)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX: ", INTERIM + b"HTTP/1.1 200 OK\r\nX: "])
def test_a_head_that_comes_byte_by_byte_is_not_waited_for_forever(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(answer_head, "_HEAD_S", 0.05)

    def talk(link: socket.socket, _: int) -> None:
        read_request(link)
        link.sendall(beginning)
        while True:
            link.sendall(b"a")
            threading.Event().wait(0.01)

    with Host(talk) as host, pytest.raises(NetworkProtocolError, match="does not come to its end"):
        HttpClient().request(WebServer(host.url), "GET", "x")


def test_an_answer_in_single_bytes_is_an_answer() -> None:
    def talk(link: socket.socket, _: int) -> None:
        while read_request(link):
            for byte in INTERIM + OK:
                link.sendall(bytes((byte,)))

    with Host(talk) as host:
        with HttpClient().session(WebServer(host.url)) as session:
            for _ in range(2):
                assert session.request("GET", "x").body == b"{}"
        assert host.connections == 1


@pytest.mark.parametrize("length", [1000, None])
def test_who_was_sent_much_has_time_to_put_it_away(monkeypatch: pytest.MonkeyPatch, length: int | None) -> None:
    monkeypatch.setattr(client_module, "PUT_AWAY_PER_S", 1)
    timeouts: list[float | None] = []
    settimeout = socket.socket.settimeout

    def noting(link: socket.socket, timeout_s: float | None) -> None:
        timeouts.append(timeout_s)
        settimeout(link, timeout_s)

    monkeypatch.setattr(socket.socket, "settimeout", noting)

    def talk(link: socket.socket, _: int) -> None:
        received = b""
        while bytes(1000) not in received:
            received += link.recv(65536)
        link.sendall(OK)

    with Host(talk) as host:
        body = Body(lambda: (length, [bytes(1000)]), "a/b")
        assert HttpClient().request(WebServer(host.url, timeout_s=30), "POST", "x", body).status == 200
    assert [each for each in timeouts if each != 60][-2:] == [1030, 30]


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://100.100.100.200/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://224.0.0.1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[::169.254.169.254]/",
    "http://[fd20:ce::254]/",
    "http://168.63.129.16/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
@pytest.mark.parametrize("proxy", [None, Proxy.parse("127.0.0.1:9")])
def test_some_addresses_are_never_called(monkeypatch: pytest.MonkeyPatch, url: str, proxy: Proxy | None) -> None:
    called: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *found, **_: called.append(found))
    with pytest.raises(NetworkProtocolError, match="may not go to"):
        HttpClient(HttpSettings(proxy=proxy)).request(WebServer(url), "GET", "x")
    assert called == []


def test_a_name_counts_as_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("127.0.0.1", "169.254.169.254")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(NetworkProtocolError, match="may not go to"):
        HttpClient().request(WebServer("http://rebinding.example/"), "GET", "x")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://h/", "ftp://h/", "nope/", "http:///x", "http://a:b@h/"]
)
def test_nothing_but_http_is_spoken(url: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        HttpClient().request(WebServer(url), "GET", "x")


@pytest.mark.parametrize("headers", [{"a": "1\r\nb: 2"}, {"a b": "1"}])
def test_a_header_cannot_bring_another(headers: dict[str, str]) -> None:
    noted: list[bytes] = []
    with Host(answering(OK, noted)) as host, pytest.raises(AmonsulError):
        HttpClient().request(WebServer(host.url, headers=headers), "GET", "x")
    assert noted == []


# ------------------------------------------------------------------------------------------------- proxies and TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Of a server called localhost and of a client."""
    return make_certificates(tmp_path)


def test_a_proxy_is_asked_for_whole_urls() -> None:
    noted: list[bytes] = []
    with Host(answering(OK, noted)) as proxy:
        settings = HttpSettings(proxy=Proxy.parse(f"me:secret@127.0.0.1:{proxy.port}"))
        assert HttpClient(settings).request(WebServer("http://127.0.0.1:1/api"), "GET", "x").status == 200
    head = noted[0].split(b"\r\n")
    assert head[0] == b"GET http://127.0.0.1:1/api/x HTTP/1.1"
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in head


def test_a_proxy_that_is_not_there_is_named() -> None:
    settings = HttpSettings(proxy=Proxy.parse("me:secret@127.0.0.1:1"))
    with pytest.raises(NetworkProtocolError, match=r"by way of the proxy 127\.0\.0\.1:1: ") as refusal:
        HttpClient(settings).request(WebServer("http://127.0.0.1:2/api"), "GET", "x")
    assert "secret" not in str(refusal.value)


@contextlib.contextmanager
def secure_host(certificates: Certificates, noted: list[bytes], *, asks_client: bool = False) -> Iterator[Host]:
    """A host that speaks TLS, behind a tunnel if it is asked for one first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    if asks_client:
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED

    def talk(link: socket.socket, _: int) -> None:
        if link.recv(7, socket.MSG_PEEK) == b"CONNECT":
            noted.append(read_request(link))
            link.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(link, server_side=True) as secure:
            answering(OK, noted)(secure, 0)

    with Host(talk) as host:
        yield host


def test_certificates_are_checked_unless_told_otherwise(certificates: Certificates) -> None:
    with secure_host(certificates, []) as host:
        server = WebServer(f"https://localhost:{host.port}/")
        trusting = HttpClient(HttpSettings(authorities=certificates.authority))
        assert trusting.request(server, "GET", "x").status == 200
        with pytest.raises(NetworkProtocolError, match="certificate"):
            HttpClient().request(server, "GET", "x")
        with pytest.raises(NetworkProtocolError, match="certificate"):
            trusting.request(WebServer(f"https://127.0.0.1:{host.port}/"), "GET", "x")
        assert HttpClient(HttpSettings(verifies=False)).request(server, "GET", "x").status == 200


def test_https_goes_through_a_tunnel_of_the_proxy(certificates: Certificates) -> None:
    noted: list[bytes] = []
    with secure_host(certificates, noted) as host:
        proxy = Proxy.parse(f"me:secret@127.0.0.1:{host.port}")
        client = HttpClient(HttpSettings(proxy=proxy, authorities=certificates.authority))
        server = WebServer("https://localhost:1/", "alice", "pw")
        assert client.request(server, "GET", "x").status == 200
    assert noted[0].startswith(b"CONNECT localhost:1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in noted[0]
    assert b"\r\nAuthorization" not in noted[0]
    assert b"Proxy-Authorization" not in noted[1]


def test_a_client_certificate_may_have_an_encrypted_key(certificates: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(certificates.client.read_bytes(), None)
    encrypted = tmp_path / "key.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    client = HttpClient(HttpSettings(authorities=certificates.authority))
    with secure_host(certificates, [], asks_client=True) as host:
        url = f"https://localhost:{host.port}/"

        def ask(**more: str) -> int:
            return client.request(WebServer(url, **more), "GET", "x").status  # type: ignore[arg-type]  # all are text

        files = {"certificate_file": str(certificates.client), "key_file": str(encrypted)}
        assert ask(**files, key_password="open sesame") == 200
        assert ask(certificate_file=str(certificates.client)) == 200
        for password in ("wrong", ""):
            with pytest.raises(ParameterOutOfRange, match="cannot use the certificate"):
                ask(**files, key_password=password)
        with pytest.raises(NetworkProtocolError):
            ask()
        with pytest.raises(InexistentFile):
            ask(certificate_file=str(tmp_path / "absent.pem"))


@pytest.mark.parametrize("text", ["", "https://h:1", "a:b:c", "socks5://h:1"])
def test_what_is_no_proxy_is_refused(text: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        Proxy.parse(text)
