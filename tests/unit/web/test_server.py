from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from amonsul.web.server import connection_cap, listening_sockets
from amonsul.web.settings import TlsSettings, WebSettings
from amonsul.web.tls import BadTlsSettings, ssl_context


def test_all_addresses_share_the_port() -> None:
    sockets = listening_sockets(WebSettings(port=0))
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert all(each.getsockname()[0] in ("127.0.0.1", "::1") for each in sockets)
    finally:
        for each in sockets:
            each.close()


def test_port_that_is_taken_is_told() -> None:
    (taken,) = listening_sockets(WebSettings(port=0, bind_addresses=("127.0.0.1",)))
    with taken, pytest.raises(OSError, match="in use"):
        listening_sockets(WebSettings(port=taken.getsockname()[1], bind_addresses=("127.0.0.1",)))


def test_address_that_is_not_here_is_told() -> None:
    with pytest.raises(OSError, match="assign"):
        listening_sockets(WebSettings(port=0, bind_addresses=("192.0.2.1",)))


def test_nothing_listens_beside_the_addresses_given() -> None:
    (only,) = listening_sockets(WebSettings(port=0, bind_addresses=("127.0.0.1",)))
    with only, pytest.raises(OSError), socket.socket(socket.AF_INET6) as other:  # noqa: PT011  # of any kind
        other.connect(("::1", only.getsockname()[1]))


@pytest.mark.parametrize(
    ("limit", "wanted", "cap"),
    [((1024, 4096), 2048, 2048), ((64, 64), 2048, 16), ((300, 300), 2048, 75), ((4096, 4096), 100, 100)],
)
def test_connections_fit_into_open_files(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int], wanted: int, cap: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limit)
    monkeypatch.setattr(resource, "setrlimit", lambda _which, _limit: None)
    assert connection_cap(wanted) == cap


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        (TlsSettings(Path("/nowhere.pem")), "SslCertificate"),
        (TlsSettings(Path("/nowhere.pem"), ciphers=("NOPE",)), "SslCiphersAccepted"),
        (TlsSettings(Path("/nowhere.pem"), minimum_protocol_version=9), "SslMinimumProtocolVersion"),
    ],
)
def test_tls_settings_that_cannot_be_used(settings: TlsSettings, option: str) -> None:
    with pytest.raises(BadTlsSettings, match=option):
        ssl_context(settings)
