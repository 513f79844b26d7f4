"""Clients that are silent, slow or half done do not keep others out (SEC-10 and SEC-11).

What frees the server of them in the end is turned off here, so that an answer to the others shows that they were
never in the way.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.server.dicom_client import Gone, Peer, Rejected
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, Running, serving

PATIENT = {
    "DicomScpTimeout": 3600,
    "HttpRequestTimeout": 3600,
    "Amonsul": {"ArtimTimeout": 3600, "HttpHeaderTimeout": 3600, "HttpMinimumRate": 1, "StopTimeout": 1},
}
OTHER_ADDRESS = "127.0.0.2"


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, PATIENT) as running:
        yield running


def assert_others_are_served(server: Running) -> None:
    """A C-ECHO from another address and a GET are answered."""
    with Peer(server.dicom_port, AE_TITLE, OTHER_ADDRESS) as peer:
        peer.associate()
        assert peer.echo() == 0
    with server.client() as client:
        assert client.get("/system").status_code == 200


@pytest.mark.parametrize("count", [1, 50, 500])
def test_silent_connections_to_the_dicom_port_keep_nobody_out(server: Running, count: int) -> None:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(Peer(server.dicom_port, AE_TITLE))
        assert_others_are_served(server)


def test_half_sent_instances_keep_nobody_out(server: Running) -> None:
    with ExitStack() as stack:
        for number in range(50):
            peer = stack.enter_context(Peer(server.dicom_port, AE_TITLE, f"127.0.0.{10 + number % 10}"))
            peer.associate()
            peer.send_store(Instance(number, size=200_000), part=0.5)
        assert_others_are_served(server)
    with server.client() as client:
        assert client.get("/statistics").json()["CountInstances"] == 0


def test_associations_beyond_the_limit_are_answered_with_a_rejection(tmp_path: Path) -> None:
    limits = {"Amonsul": {"MaximumAssociations": 5, "MaximumAssociationsPerAddress": 3}}
    with serving(tmp_path, limits) as server, ExitStack() as stack:

        def associate(address: str) -> None:
            stack.enter_context(Peer(server.dicom_port, AE_TITLE, address)).associate()

        for _ in range(3):
            associate("127.0.0.1")
        with pytest.raises(Rejected):
            associate("127.0.0.1")
        for _ in range(2):
            associate(OTHER_ADDRESS)
        with pytest.raises(Rejected):
            associate("127.0.0.3")


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET /system HTTP/1.1\r\nHost: loc", id="half a header"),
        pytest.param(
            b"POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nDICM", id="half a body"
        ),
    ],
)
def test_slow_http_clients_keep_nobody_out(server: Running, beginning: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(500):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port)))
            client.sendall(beginning)
        assert_others_are_served(server)


def test_a_silent_dicom_peer_is_let_go(tmp_path: Path) -> None:
    with serving(tmp_path, {"Amonsul": {"ArtimTimeout": 1}}) as server, Peer(server.dicom_port, AE_TITLE) as peer:
        with pytest.raises(Gone):
            peer._receive(1)
        assert_others_are_served(server)


def test_a_slow_http_client_is_let_go(tmp_path: Path) -> None:
    with serving(tmp_path, {"Amonsul": {"HttpHeaderTimeout": 1}}) as server:
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as client:
            client.sendall(b"GET /system HTTP/1.1\r\nHost: loc")
            assert client.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert_others_are_served(server)
