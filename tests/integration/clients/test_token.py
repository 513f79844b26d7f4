"""The HTTP client with a key in a hardware token, against servers that demand the certificate of that key."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amonsul.clients.http import Body, HttpClient, HttpSettings, Proxy, WebServer
from amonsul.clients.pkcs11 import TokenSettings
from amonsul.errors import BadSequenceOfCalls, NetworkProtocolError, ParameterOutOfRange
from tests.integration.clients.http_hosts import OK, Host, answering, read_request
from tests.integration.clients.softhsm import MODULE, PIN, SoftHsm, soft_hsm
from tests.integration.rest.certificates import Certificates, make_certificates

INSIDE = "pkcs11:object=ec%2B"
"""A key whose certificate is in the token, too."""

Speak = Callable[[ssl.SSLSocket], None]


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    with soft_hsm(tmp_path_factory.mktemp("token"), ("ec+", "rsa+", "rsa-beside")) as made:
        yield made


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def client(certificates: Certificates) -> HttpClient:
    return HttpClient(HttpSettings(authorities=certificates.authority, token=TokenSettings(MODULE, PIN), timeout_s=20))


@contextlib.contextmanager
def demanding(hsm: SoftHsm, certificates: Certificates, speak: Speak) -> Iterator[Host]:
    """A server that speaks only with who shows a certificate of the token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    context.load_verify_locations(cadata=hsm.authorities.decode())
    context.verify_mode = ssl.CERT_REQUIRED

    def talk(link: socket.socket, _: int) -> None:
        if link.recv(7, socket.MSG_PEEK) == b"CONNECT":
            read_request(link)
            link.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(link, server_side=True) as secure:
            speak(secure)

    with Host(talk) as host:
        yield host


def answers(answer: bytes = OK, noted: list[bytes] | None = None) -> Speak:
    return lambda secure: answering(answer, [] if noted is None else noted)(secure, 0)


def server(host: Host, key: str = INSIDE, certificate: str = "") -> WebServer:
    url = f"https://localhost:{host.port}/"
    return WebServer(url, certificate_file=certificate, key_file=key, is_key_in_token=True)


@pytest.mark.parametrize("key", ["ec+", "rsa+", "rsa-beside"])
def test_the_server_knows_who_asks(
    hsm: SoftHsm, certificates: Certificates, client: HttpClient, tmp_path: Path, key: str
) -> None:
    known: list[object] = []

    def speak(secure: ssl.SSLSocket) -> None:
        shown = secure.getpeercert()
        assert shown is not None
        known.append(shown["subject"])
        answers()(secure)

    with demanding(hsm, certificates, speak) as host:
        certificate = "" if key.endswith("+") else str(hsm.certificates[key])
        url = f"pkcs11:object={key.replace('+', '%2B')}"
        assert client.request(server(host, url, certificate), "GET", "x").status == 200
    assert known == [((("commonName", key),),)]


def test_much_goes_both_ways_on_one_connection(hsm: SoftHsm, certificates: Certificates, client: HttpClient) -> None:
    noted: list[bytes] = []
    large = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large) + large
    with demanding(hsm, certificates, answers(answer, noted)) as host, client.session(server(host)) as session:
        for _ in range(2):
            assert session.request("POST", "x", Body.of(large, "a/b")).body == large
        assert host.connections == 1
    assert [request.partition(b"\r\n\r\n")[2] == large for request in noted] == [True, True]


def test_an_answer_that_ends_with_the_connection_is_whole(
    hsm: SoftHsm, certificates: Certificates, client: HttpClient
) -> None:
    def speak(secure: ssl.SSLSocket) -> None:
        read_request(secure)
        secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100_000)
        secure.unwrap()

    with demanding(hsm, certificates, speak) as host:
        assert client.request(server(host), "GET", "x").body == b"x" * 100_000


def test_a_connection_that_was_closed_meanwhile_is_made_anew(
    hsm: SoftHsm, certificates: Certificates, client: HttpClient
) -> None:
    def speak(secure: ssl.SSLSocket) -> None:
        read_request(secure)
        secure.sendall(OK)

    with demanding(hsm, certificates, speak) as host, client.session(server(host)) as session:
        assert [session.request("GET", "x").status for _ in range(3)] == [200] * 3
        assert host.connections == 3


def test_the_server_is_checked(hsm: SoftHsm, certificates: Certificates, client: HttpClient) -> None:
    token = TokenSettings(MODULE, PIN)
    with demanding(hsm, certificates, answers()) as host:
        by_number = WebServer(f"https://127.0.0.1:{host.port}/", key_file=INSIDE, is_key_in_token=True)
        with pytest.raises(NetworkProtocolError, match="name in the certificate"):
            client.request(by_number, "GET", "x")
        with pytest.raises(NetworkProtocolError, match="issuer is unknown"):
            HttpClient(HttpSettings(token=token)).request(server(host), "GET", "x")
        careless = HttpClient(HttpSettings(token=token, verifies=False))
        assert careless.request(by_number, "GET", "x").status == 200


def test_a_server_may_refuse_the_certificate(certificates: Certificates, client: HttpClient, hsm: SoftHsm) -> None:
    strangers = SoftHsm({"ec+": certificates.authority})
    with (
        demanding(strangers, certificates, answers()) as host,
        pytest.raises(NetworkProtocolError, match="cannot speak"),
    ):
        client.request(server(host), "GET", "x")


@pytest.mark.parametrize("is_silent_at_once", [False, True])
def test_a_silent_server_is_given_up(
    hsm: SoftHsm, certificates: Certificates, client: HttpClient, is_silent_at_once: bool
) -> None:
    def wait(link: socket.socket) -> None:
        while link.recv(65536):
            pass

    def talk(link: socket.socket, _: int) -> None:
        wait(link)

    hosts = Host(talk) if is_silent_at_once else demanding(hsm, certificates, wait)
    with hosts as host:
        asked = replace(server(host), timeout_s=0.3)
        with pytest.raises(NetworkProtocolError, match="timed out"):
            client.request(asked, "GET", "x")


def test_it_goes_through_a_tunnel_of_the_proxy(hsm: SoftHsm, certificates: Certificates) -> None:
    with demanding(hsm, certificates, answers()) as host:
        settings = HttpSettings(
            proxy=Proxy.parse(f"127.0.0.1:{host.port}"),
            authorities=certificates.authority,
            token=TokenSettings(MODULE, PIN),
        )
        elsewhere = WebServer("https://localhost:1/", key_file=INSIDE, is_key_in_token=True)
        assert HttpClient(settings).request(elsewhere, "GET", "x").status == 200


def test_which_key_must_be_clear(hsm: SoftHsm, certificates: Certificates, client: HttpClient) -> None:
    with demanding(hsm, certificates, answers()) as host:
        for key, message in (
            ("", "3 keys were found"),
            ("pkcs11:object=nobody", "no keys were found"),
            ("pkcs11:object=rsa-beside", "cannot use the certificate"),
        ):
            with pytest.raises(ParameterOutOfRange, match=message):
                client.request(server(host, key), "GET", "x")
        with pytest.raises(ParameterOutOfRange, match="cannot use the certificate"):
            client.request(server(host, INSIDE, str(certificates.client)), "GET", "x")
        assert host.connections == 0


def test_without_a_module_there_is_no_token(hsm: SoftHsm, certificates: Certificates, tmp_path: Path) -> None:
    with demanding(hsm, certificates, answers()) as host:
        with pytest.raises(BadSequenceOfCalls, match=r"Pkcs11\.Module"):
            HttpClient().request(server(host), "GET", "x")
        no_library = tmp_path / "module.so"
        no_library.write_bytes(b"no library")
        with pytest.raises(ParameterOutOfRange, match="module"):
            HttpClient(HttpSettings(token=TokenSettings(no_library, PIN))).request(server(host), "GET", "x")


def test_a_pin_is_not_printed() -> None:
    assert PIN not in repr(HttpSettings(token=TokenSettings(MODULE, PIN)))
