"""DICOM TLS (PS3.15 §B.1): the same conversations, encrypted."""

from __future__ import annotations

import contextlib
import io
import ssl
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE, build_context

from amonsul.dimse_server.settings import DimseSettings
from tests.integration.dimse.dicom_door import EXPLICIT, Peer, big_sample, open_door
from tests.integration.rest.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls_settings(certificates: Certificates) -> DimseSettings:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return replace(DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0), tls=context)


def client_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.authority)
    context.load_cert_chain(certificates.client)
    return context


def test_pynetdicom_stores_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    data_set = pydicom.dcmread(path)
    with open_door(tmp_path, tls_settings(certificates)) as door:
        entity = AE("SENDER")
        entity.requested_contexts = [build_context(data_set.SOPClassUID, EXPLICIT)]
        association = entity.associate("127.0.0.1", door.port, tls_args=(client_context(certificates), "localhost"))
        assert association.is_established
        assert [association.send_c_store(data_set).Status for _ in range(3)] == [0, 0, 0]
        association.release()
        assert association.is_released
    assert [pydicom.dcmread(io.BytesIO(stored)) == data_set for stored, _ in door.received] == [True] * 3


def test_large_instances_come_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    sent = big_sample(3_000_000)
    with open_door(tmp_path, tls_settings(certificates)) as door, Peer(door.port) as peer:
        encrypted = client_context(certificates).wrap_socket(peer.socket, server_hostname="localhost")
        peer.socket = encrypted
        peer.associate()
        peer.send(b"".join(sent.pdus()))
        assert getattr(peer.receive_command(), "status", None) == 0
        peer.release()
    assert door.received[0][0].endswith(sent.data_set)


def test_a_peer_without_encryption_gets_nowhere(tmp_path: Path, certificates: Certificates) -> None:
    with open_door(tmp_path, tls_settings(certificates)) as door, Peer(door.port) as peer:
        peer.send(peer.request(("1.2.840.10008.1.1", "1.2.840.10008.1.2")).encode())
        assert not peer.socket.recv(1000).startswith(b"\2")  # an alert of TLS or nothing, no A-ASSOCIATE-AC


def test_a_peer_without_certificate_gets_nowhere(tmp_path: Path, certificates: Certificates) -> None:
    nameless = ssl.create_default_context(cafile=certificates.authority)
    with open_door(tmp_path, tls_settings(certificates)) as door, Peer(door.port) as peer:
        peer.socket = nameless.wrap_socket(peer.socket, server_hostname="localhost")
        answer = None
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # how it is told is a matter of timing
            answer = peer.associate()
        assert answer is None


def test_a_handshake_that_fails_is_told(
    tmp_path: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with open_door(tmp_path, tls_settings(certificates)) as door:
        with Peer(door.port) as plain, contextlib.suppress(ConnectionError):
            plain.send(plain.request(("1.2.840.10008.1.1", "1.2.840.10008.1.2")).encode())
            while plain.socket.recv(1000):  # an alert of TLS or nothing
                pass
        stranger = ssl.create_default_context(cafile=certificates.authority)
        with Peer(door.port) as nameless, contextlib.suppress(ssl.SSLError, ConnectionError):
            nameless.socket = stranger.wrap_socket(nameless.socket, server_hostname="localhost")
            nameless.socket.recv(1)
    told = [record.getMessage() for record in caplog.records if "TLS handshake" in record.getMessage()]
    assert [message.rpartition(": ")[2] for message in told] == [
        "WRONG_VERSION_NUMBER",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    ]


def test_a_peer_that_never_begins_to_encrypt_is_closed(tmp_path: Path, certificates: Certificates) -> None:
    settings = replace(tls_settings(certificates), artim_timeout_s=0.05)
    with open_door(tmp_path, settings) as door, Peer(door.port) as peer:
        assert peer.is_closed()
