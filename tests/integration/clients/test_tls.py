"""DICOM TLS from our side (PS3.15 §B.9): with our own door, with pynetdicom, with DCMTK, with Orthanc."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import DicomClient, ScuSettings
from amonsul.config import dicom_tls
from amonsul.config.kinds import ConfigurationError
from amonsul.config.reader import load
from amonsul.dimse_server.settings import DimseSettings
from amonsul.errors import NetworkProtocolError
from tests.integration.clients.peers import (
    AE_TITLE,
    PATIENCE_S,
    Pynetdicom,
    client,
    orthanc,
    outgoing,
    path_of,
    pynetdicom_server,
    storescp,
)
from tests.integration.clients.tls import server_context
from tests.integration.dimse.dicom_door import open_door
from tests.integration.rest.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def options(certificates: Certificates, **more: object) -> dict[str, object]:
    return {
        "DicomTlsCertificate": str(certificates.client),
        "DicomTlsPrivateKey": str(certificates.client),
        "DicomTlsTrustedCertificates": str(certificates.authority),
    } | more


def context(values: Mapping[str, object]) -> ssl.SSLContext | None:
    return dicom_tls.client_context(load([], {"ORTHANC_JSON": json.dumps(values)}))


@contextmanager
def tls_client(values: Mapping[str, object]) -> Iterator[DicomClient]:
    with client(ScuSettings(ae_title=AE_TITLE, timeout_s=PATIENCE_S, tls=context(values))) as scu:
        yield scu


def door_settings(tls: ssl.SSLContext) -> DimseSettings:
    return DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0, tls=tls)


def check(scu: DicomClient, modality: Modality) -> None:
    """C-ECHO, and two C-STORE on an association that is kept in between."""
    modality = replace(modality, use_dicom_tls=True)
    scu.echo(modality)
    for _ in range(2):
        (outcome,) = scu.store(modality, [outgoing(path_of("CT_small.dcm"))])
        assert outcome.is_stored


def test_our_own_door(tmp_path: Path, certificates: Certificates) -> None:
    with (
        open_door(tmp_path, door_settings(server_context(certificates))) as door,
        tls_client(options(certificates)) as scu,
    ):
        check(scu, Modality("AMONSUL", "127.0.0.1", door.port))


def test_pynetdicom(certificates: Certificates) -> None:
    peer = Pynetdicom()
    with (
        pynetdicom_server(peer, tls=server_context(certificates)) as modality,
        tls_client(options(certificates)) as scu,
    ):
        check(scu, modality)
    assert peer.events == ["association", "association", "C-STORE", "C-STORE"]


def test_dcmtk(tmp_path: Path, certificates: Certificates) -> None:
    files = ["+tls", str(certificates.server), str(certificates.server), "+cf", str(certificates.authority)]
    with storescp(tmp_path, *files) as modality, tls_client(options(certificates)) as scu:
        check(scu, modality)


def test_orthanc(tmp_path: Path, certificates: Certificates) -> None:
    theirs: dict[str, object] = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates.server),
        "DicomTlsPrivateKey": str(certificates.server),
        "DicomTlsTrustedCertificates": str(certificates.authority),
    }
    with orthanc(tmp_path, None, theirs) as modality, tls_client(options(certificates)) as scu:
        check(scu, modality)


def test_a_remote_that_nobody_vouches_for_is_not_spoken_to(tmp_path: Path, certificates: Certificates) -> None:
    strangers = make_certificates(tmp_path)
    trusting = options(certificates) | {"DicomTlsTrustedCertificates": str(strangers.authority)}
    with (
        open_door(tmp_path, door_settings(server_context(certificates))) as door,
        tls_client(trusting) as scu,
        pytest.raises(NetworkProtocolError, match="TLS"),
    ):
        scu.echo(Modality("AMONSUL", "127.0.0.1", door.port, use_dicom_tls=True))


def test_nothing_to_trust_trusts_all_if_that_is_asked_for(tmp_path: Path, certificates: Certificates) -> None:
    naive = options(certificates, DicomTlsRemoteCertificateRequired=False)
    del naive["DicomTlsTrustedCertificates"]
    with open_door(tmp_path, door_settings(server_context(certificates))) as door, tls_client(naive) as scu:
        check(scu, Modality("AMONSUL", "127.0.0.1", door.port))
    del naive["DicomTlsRemoteCertificateRequired"]
    with pytest.raises(ConfigurationError, match="DicomTlsTrustedCertificates"):
        context(naive)


def test_protocol_and_ciphers_are_those_of_the_configuration(tmp_path: Path, certificates: Certificates) -> None:
    newest = options(certificates, DicomTlsMinimumProtocolVersion=5)
    older = server_context(certificates)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    one = options(certificates, DicomTlsCiphersAccepted=["ECDHE-ECDSA-AES256-GCM-SHA384"])
    with open_door(tmp_path, door_settings(older)) as door:
        modality = Modality("AMONSUL", "127.0.0.1", door.port, use_dicom_tls=True)
        with tls_client(newest) as scu, pytest.raises(NetworkProtocolError, match="TLS"):
            scu.echo(modality)
        with tls_client(one) as scu:
            check(scu, modality)
    other = server_context(certificates, {"DicomTlsCiphersAccepted": ["ECDHE-ECDSA-AES128-GCM-SHA256"]})
    other.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        open_door(tmp_path, door_settings(other)) as door,
        tls_client(one) as scu,
        pytest.raises(NetworkProtocolError, match="TLS"),
    ):
        scu.echo(Modality("AMONSUL", "127.0.0.1", door.port, use_dicom_tls=True))


def test_without_a_certificate_there_is_no_tls(certificates: Certificates) -> None:
    assert context({}) is None
    assert context(options(certificates)) is not None
    with client() as scu, pytest.raises(NetworkProtocolError, match="DicomTlsCertificate"):
        scu.echo(Modality("REMOTE", "127.0.0.1", 1, use_dicom_tls=True))


def test_a_remote_without_tls_is_told_from_one_with(tmp_path: Path, certificates: Certificates) -> None:
    with (
        open_door(tmp_path) as door,
        tls_client(options(certificates)) as scu,
        pytest.raises(NetworkProtocolError, match="TLS"),
    ):
        scu.echo(Modality("AMONSUL", "127.0.0.1", door.port, use_dicom_tls=True))
