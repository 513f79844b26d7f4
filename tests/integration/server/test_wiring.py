"""Options reach the part that they are for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import uuid
from pathlib import Path

import httpx
import psycopg
import pytest
from pynetdicom import AE, BasicWorklistManagementPresentationContexts, QueryRetrievePresentationContexts

from tests.integration.rest.certificates import make_certificates
from tests.integration.server.dicom_client import Peer, Rejected
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, run_cli, serving


def test_options_show_in_system_and_in_what_is_stored(tmp_path: Path) -> None:
    options = {
        "Name": "Wired",
        "ExtraMainDicomTags": {"Instance": ["0042,0011"], "Study": ["PatientAge"]},
        "OverwriteInstances": "Always",
        "StoreMD5ForAttachments": False,
        "HttpDescribeErrors": False,
    }
    with serving(tmp_path, options) as server, server.client() as client:
        system = client.get("/system").json()
        assert (system["Name"], system["OverwriteInstancesMode"]) == ("Wired", "Always")
        assert system["StoreMD5ForAttachments"] is False
        assert "0042,0011" in system["MainDicomTags"]["Instance"]
        assert "0010,1010" in system["MainDicomTags"]["Study"]
        first, second = Instance(1), Instance(1, version=2)
        assert client.post("/instances", content=first.file()).json()["Status"] == "Success"
        assert client.post("/instances", content=second.file()).json()["Status"] == "Success"
        assert client.get(f"/instances/{first.orthanc_id}/file").content == second.file()
        assert client.get("/studies/nothing").content == b""


def test_https_is_served_with_the_certificate_of_the_configuration(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    options = {
        "SslEnabled": True,
        "SslCertificate": certificates.server.name,
        "SslVerifyPeers": True,
        "SslTrustedClientCertificates": certificates.authority.name,
    }
    with serving(tmp_path, options) as server:
        url = f"https://localhost:{server.http_port}/system"
        context = ssl.create_default_context(cafile=certificates.authority)
        with httpx.Client(verify=context) as stranger, pytest.raises(httpx.TransportError):
            stranger.get(url)
        context.load_cert_chain(certificates.client)
        with httpx.Client(verify=context) as friend:
            assert friend.get(url).json()["IsHttpServerSecure"] is True


def test_dicom_tls_is_served_with_the_certificates_of_the_configuration(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    options = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": certificates.server.name,
        "DicomTlsPrivateKey": certificates.server.name,
        "DicomTlsTrustedCertificates": certificates.authority.name,
    }
    echoscu = shutil.which("echoscu", path="/usr/bin:/usr/local/bin")
    assert echoscu, "DCMTK is not installed"
    with serving(tmp_path, options) as server:

        def echo(*options: str) -> int:
            address = ("localhost", str(server.dicom_port))
            command = [echoscu, "-aec", AE_TITLE, *options, *address]
            return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

        client, authority = str(certificates.client), str(certificates.authority)
        assert echo("+tls", client, client, "+cf", authority) == 0
        assert echo("+tla", "+cf", authority) != 0
        assert echo("--disable-tls") != 0


def test_the_dicom_door_knows_its_peers(tmp_path: Path) -> None:
    options = {
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"tester": {"AET": "OTHER", "Host": "127.0.0.1", "Port": 104}},
    }
    with serving(tmp_path, options) as server:
        with Peer(server.dicom_port, "SOMEONE") as peer, pytest.raises(Rejected):
            peer.associate()
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()
            assert peer.echo() == 0
        with server.client() as client:
            assert client.get("/statistics").json()["CountInstances"] == 0


@pytest.mark.parametrize("with_worklists", [False, True])
def test_the_conformance_statement_names_what_the_dicom_door_provides(tmp_path: Path, with_worklists: bool) -> None:
    (tmp_path / "worklists").mkdir()
    options = {"Worklists": {"Enable": with_worklists, "Directory": str(tmp_path / "worklists")}}
    with serving(tmp_path, options) as server, server.client() as client:
        statement = client.get("/tools/dicom-conformance").text
        entity = AE()
        for model in (*QueryRetrievePresentationContexts, *BasicWorklistManagementPresentationContexts):
            entity.add_requested_context(model.abstract_syntax or "")
        for uid in ("1.2.840.10008.1.1", "1.2.840.10008.1.20.1"):
            entity.add_requested_context(uid)
        association = entity.associate("127.0.0.1", server.dicom_port, ae_title=AE_TITLE)
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        association.release()
    provided = statement.partition("as provider")[2].partition("\n\n")[0].splitlines()[1:]
    assert {line.split()[0] for line in provided} == accepted
    assert ("1.2.840.10008.5.1.4.31" in accepted) is with_worklists


def test_switches_turn_while_the_server_runs(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        assert client.get("/tools/log-level-dicom").text == "default"
        assert client.put("/tools/log-level-dicom", content="trace").status_code == 200
        assert client.get("/tools/log-level-dicom").text == "trace"
        assert client.get("/tools/log-level-http").text == "default"
        syntaxes = client.put("/tools/accepted-transfer-syntaxes", content="1.2.840.10008.1.2")
        assert syntaxes.json() == ["1.2.840.10008.1.2"]
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()  # in Explicit VR Little Endian: no context for storage is accepted any more
            assert peer.echo() == 0
        server.wait_for("1 of 2 presentation contexts accepted")


def test_postgresql_holds_the_index_if_it_is_configured(tmp_path: Path, postgresql_server: str) -> None:
    name = f"wired_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    conninfo = psycopg.conninfo.make_conninfo(postgresql_server, dbname=name)
    options = {"PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo, "IndexConnectionsCount": 3}}
    instance = Instance(1)
    with serving(tmp_path, options) as server, server.client() as client:
        assert client.post("/instances", content=instance.file()).status_code == 200
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()
            assert peer.store(Instance(2)) == 0
        assert server.stop() == 0
    assert list(tmp_path.rglob("*.db")) == []
    checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
    assert (checked.returncode, "2 files compared, 0 differences" in checked.stdout) == (0, True)
    with serving(tmp_path, options) as server, server.client() as client:
        assert client.get(f"/instances/{instance.orthanc_id}/file").content == instance.file()


def test_a_database_that_cannot_be_reached_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "configuration.json").write_text(
        '{"PostgreSQL": {"EnableIndex": true, "Host": "127.0.0.1", "Port": 1}, "HttpPort": 0, "DicomPort": 0}'
    )
    said = run_cli("serve", "configuration.json", cwd=tmp_path)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("amonsul: ")
    assert "Traceback" not in said.stderr
