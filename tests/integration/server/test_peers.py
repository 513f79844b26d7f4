"""Instances between servers over REST: two of ours, and one of ours with Orthanc in both directions."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from pydicom.data import get_testdata_file

from amonsul.jobs.peers import CONNECTIONS
from tests.integration.clients.http_hosts import OK, Host, answering, read_request
from tests.integration.clients.peers import free_port, orthanc
from tests.integration.clients.softhsm import MODULE, PIN, soft_hsm
from tests.integration.rest.certificates import Certificates, make_certificates
from tests.integration.server.instances import Instance
from tests.integration.server.running import Running, serving

COUNT = 40
EXPLICIT = "1.2.840.10008.1.2.1"
INSTANCES = [Instance(number, series=1 + number % 3) for number in range(1, COUNT + 1)]


@contextmanager
def two_servers(folder: Path, options: dict[str, object] | None = None) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """One that knows the other as `other`, and the other."""
    with serving(folder / "other") as other:
        known: dict[str, object] = {"OrthancPeers": {"other": [other.url]}, **(options or {})}
        with serving(folder / "one", known) as one, one.client() as here, other.client() as there:
            yield here, there


def fill(client: httpx.Client) -> str:
    """Store the instances and answer the identifier of the study."""
    for instance in INSTANCES:
        assert client.post("/instances", content=instance.file()).status_code == 200
    return str(client.get("/studies").json()[0])


def same(one: httpx.Client, other: httpx.Client) -> bool:
    """Whether both hold the same bytes."""
    ids = sorted(one.get("/instances").json())
    files = ([client.get(f"/instances/{each}/file").content for each in ids] for client in (one, other))
    return ids == sorted(other.get("/instances").json()) and next(files) == next(files)


def test_a_study_goes_to_a_peer_byte_by_byte(pair: tuple[httpx.Client, httpx.Client]) -> None:
    here, there = pair
    study = fill(here)
    content = here.post("/peers/other/store", content=study).json()
    size = sum(len(instance.file()) for instance in INSTANCES)
    assert content["InstancesCount"] == COUNT
    assert content["FailedInstancesCount"] == 0
    assert content["Size"] == str(size)
    assert content["Resources"] == [{"ID": study, "Type": "Study"}]
    assert same(here, there)
    assert here.get("/peers/other/system").json() == there.get("/system").json()


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
def test_every_level_is_taken_compressed_by_a_job(pair: tuple[httpx.Client, httpx.Client], level: str) -> None:
    here, there = pair
    fill(here)
    body = {"Resources": here.get(f"/{level}").json(), "Compress": True, "Synchronous": False}
    job = here.post("/peers/other/store", json=body).json()
    while (state := here.get(job["Path"]).json())["State"] in ("Pending", "Running"):
        pass
    assert (state["Type"], state["State"], state["Progress"]) == ("OrthancPeerStore", "Success", 100)
    assert int(state["Content"]["Size"]) < sum(len(instance.file()) for instance in INSTANCES)
    assert same(here, there)


def test_instances_are_transcoded_on_the_way(pair: tuple[httpx.Client, httpx.Client]) -> None:
    file = Path(str(get_testdata_file("MR_small_RLE.dcm"))).read_bytes()
    here, there = pair
    stored = here.post("/instances", content=file).json()
    body = {"Resources": [stored["ID"]], "Transcode": EXPLICIT}
    assert here.post("/peers/other/store", json=body).json()["Transcode"] == EXPLICIT
    assert there.get(f"/instances/{stored['ID']}/metadata/TransferSyntax").text == EXPLICIT


def test_a_file_is_sent_straight_and_not_kept(pair: tuple[httpx.Client, httpx.Client]) -> None:
    here, there = pair
    answer = here.post("/peers/other/store-straight", content=INSTANCES[0].file()).json()
    assert (answer["ID"], answer["Status"]) == (INSTANCES[0].orthanc_id, "Success")
    assert here.get("/instances").json() == []
    assert there.get("/instances").json() == [INSTANCES[0].orthanc_id]
    refused = here.post("/peers/other/store-straight", content=b"no DICOM")
    assert (refused.status_code, refused.json()["OrthancStatus"]) == (500, 9)


def test_passwords_are_used_and_neither_shown_nor_kept_by_jobs(tmp_path: Path) -> None:
    guarded = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "open sesame"}}
    with serving(tmp_path / "other", guarded) as other, serving(tmp_path / "one") as one, one.client() as here:
        here.put("/peers/right", json=[other.url, "alice", "open sesame"])
        here.put("/peers/wrong", json=[other.url, "alice", "guess"])
        stored = here.post("/instances", content=INSTANCES[0].file()).json()["ID"]
        assert here.post("/peers/wrong/store", json=[stored]).json()["OrthancStatus"] == 9
        assert here.get("/peers/wrong/system").status_code == 500
        assert here.post("/peers/right/store", json=[stored]).status_code == 200
        shown = here.get("/jobs?expand").text + here.get("/peers?expand").text + other.log + one.log
        assert "open sesame" not in shown
        with contextlib.closing(sqlite3.connect(tmp_path / "one" / "storage" / "index.db")) as index:
            lines = [line for line in index.iterdump() if "open sesame" in line]
        assert len(lines) == 1  # the peer itself
        assert "RIGHT" in lines[0].upper()


def demanding(certificates: Certificates, trusted: Path) -> dict[str, object]:
    """Options of a server that speaks only with who shows a certificate."""
    return {
        "SslEnabled": True,
        "SslCertificate": str(certificates.server),
        "SslVerifyPeers": True,
        "SslTrustedClientCertificates": str(trusted),
    }


@contextmanager
def behind_a_token(folder: Path, pin: str) -> Iterator[tuple[Running, Running]]:
    """One whose key is in a token, and a peer called `other` that speaks to nobody without."""
    certificates = make_certificates(folder)
    with soft_hsm(folder / "token", ("ec+",)) as hsm:
        trusted = folder / "trusted.pem"
        trusted.write_bytes(hsm.authorities)
        with serving(folder / "other", demanding(certificates, trusted)) as other:
            here: dict[str, object] = {
                "Pkcs11": {"Module": str(MODULE), "Pin": pin, "Verbose": True},
                "HttpsCACertificates": str(certificates.authority),
                "HttpVerbose": True,
                "OrthancPeers": {"other": {"Url": f"https://localhost:{other.http_port}/", "Pkcs11": True}},
            }
            with serving(folder / "one", here) as one:
                yield one, other


def test_a_key_in_a_token_opens_the_door_of_a_peer(tmp_path: Path) -> None:
    with behind_a_token(tmp_path, PIN) as (one, _), one.client() as here:
        study = fill(here)
        content = here.post("/peers/other/store", json={"Resources": [study], "Compress": True}).json()
        assert (content["InstancesCount"], content["FailedInstancesCount"]) == (COUNT, 0)
        assert here.get("/peers/other/system").json()["Name"]
        shown = here.get("/peers/other/configuration").json()
        assert shown["Pkcs11"] is True
        server = {"Url": f"{shown['Url']}dicom-web/", "Pkcs11": True}
        here.put("/dicom-web/servers/other", json=server).raise_for_status()
        sent = here.post("/dicom-web/servers/other/stow", json={"Resources": [study], "Synchronous": True}).json()
        assert sent["InstancesCount"] == str(COUNT)
        told = [here.get(path).text for path in ("/peers?expand", "/jobs?expand", "/system", "/changes")]
        one.wait_for("pkcs11:")
        assert one.stop() == 0
        assert PIN not in "".join(told) + one.log


def test_a_refused_pin_is_not_tried_again(tmp_path: Path) -> None:
    wrong = "98765"
    with behind_a_token(tmp_path, wrong) as (one, _), one.client() as here:
        for _ in range(3):
            answer = here.get("/peers/other/system")
            assert answer.status_code == 400
            assert "the PIN was refused" in answer.json()["Details"]
        assert one.stop() == 0
        assert one.log.count("the token refused the PIN") == 1
        assert wrong not in one.log


def test_an_encrypted_key_opens_the_door_of_a_peer_that_is_known_by_its_authority(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    key = serialization.load_pem_private_key(certificates.client.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"open sesame")
    encrypted = tmp_path / "key.pem"
    encrypted.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    with serving(tmp_path / "other", demanding(certificates, certificates.authority)) as other:
        peer = {
            "Url": f"https://localhost:{other.http_port}/",
            "CertificateFile": str(certificates.client),
            "CertificateKeyFile": str(encrypted),
            "CertificateKeyPassword": "open sesame",
        }
        known: dict[str, object] = {
            "right": peer,
            "wrong": peer | {"CertificateKeyPassword": "guess"},
            "nobody": [peer["Url"]],
        }
        checked, unchecked = ({"OrthancPeers": known, "HttpsVerifyPeers": verifies} for verifies in (True, False))
        trusting: dict[str, object] = {**checked, "HttpsCACertificates": str(certificates.authority)}
        for options, expected in (
            (trusting, {"right": 200, "wrong": 400, "nobody": 500}),
            (checked, {"right": 500}),
            (unchecked, {"right": 200}),
        ):
            with serving(tmp_path / "one", options) as one, one.client() as here:
                for name, status in expected.items():
                    answer = here.get(f"/peers/{name}/system")
                    assert answer.status_code == status, (options, name, answer.text)
                assert "open sesame" not in here.get("/peers?expand").text + one.log


def test_requests_go_through_the_proxy_of_the_configuration(tmp_path: Path) -> None:
    noted: list[bytes] = []
    with Host(answering(OK, noted)) as proxy:
        options: dict[str, object] = {
            "HttpProxy": f"me:hidden@127.0.0.1:{proxy.port}",
            "OrthancPeers": {"other": ["http://127.0.0.1:1/api", "alice", "pw"]},
        }
        with serving(tmp_path, options) as server, server.client() as client:
            assert client.get("/peers/other/system").json() == {}
            assert "hidden" not in server.log
    head = noted[0].split(b"\r\n")
    assert head[0] == b"GET http://127.0.0.1:1/api/system HTTP/1.1"
    assert b"Proxy-Authorization: Basic bWU6aGlkZGVu" in head
    assert b"Authorization: Basic YWxpY2U6cHc=" in head


@pytest.mark.parametrize("place", ["peer", "configuration"])
def test_a_peer_that_says_nothing_is_given_up(tmp_path: Path, place: str) -> None:
    done = threading.Event()

    def say_nothing(_: socket.socket, __: int) -> None:
        done.wait(60)

    with Host(say_nothing) as silent:
        url = f"http://127.0.0.1:{silent.port}/"
        options: dict[str, object] = {"OrthancPeers": {"silent": {"Url": url}}, "HttpTimeout": 1}
        if place == "peer":
            options = {"OrthancPeers": {"silent": {"Url": url, "Timeout": 1}}, "HttpTimeout": 0}
        with serving(tmp_path, options) as server, server.client() as client:
            answer = client.get("/peers/silent/system")
            assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
            assert "timed out" in answer.json()["Details"]
            done.set()


def test_one_refused_instance_ends_the_job_unless_it_is_permissive(tmp_path: Path) -> None:
    with two_servers(tmp_path, {"OrthancPeers": {"gone": [f"http://127.0.0.1:{free_port()}"]}}) as (here, _):
        study = fill(here)
        assert here.post("/peers/gone/store", json={"Resources": [study]}).json()["OrthancStatus"] == 9
        content = here.post("/peers/gone/store", json={"Resources": [study], "Permissive": True}).json()
        assert content["FailedInstancesCount"] == COUNT


def test_no_further_instance_is_begun_after_a_refusal(tmp_path: Path) -> None:
    noted: list[bytes] = []

    def refuse(link: socket.socket, _: int) -> None:
        noted.append(read_request(link))
        link.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with (
        Host(refuse) as host,
        serving(tmp_path, {"OrthancPeers": {"refusing": [host.url]}}) as server,
        server.client() as client,
    ):
        assert client.post("/peers/refusing/store", content=fill(client)).json()["OrthancStatus"] == 9
    assert 1 <= len(noted) <= CONNECTIONS


def test_peers_of_the_database_outlive_the_server(tmp_path: Path) -> None:
    kept: dict[str, object] = {"OrthancPeersInDatabase": True, "OrthancPeers": {"file": ["http://127.0.0.1:1"]}}
    for options, left in (({}, []), (kept, ["a"])):
        folder = tmp_path / f"kept-{bool(options)}"
        for expected in ([], left):
            with serving(folder, options) as server, server.client() as client:
                assert client.get("/peers").json() == expected
                client.put("/peers/a", json=["http://127.0.0.1:1"])
                assert client.get("/peers/a").json() == ["configuration", "store", "store-straight", "system"]
                server.stop()


def test_requests_do_not_go_where_clouds_keep_their_credentials(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        for host in (
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "0.0.0.0",
            "2852039166",
        ):
            assert client.put("/peers/a", json=[f"http://{host}/"]).status_code == 200
            answer = client.get("/peers/a/system")
            assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
            assert "may not go to" in answer.json()["Details"]


@contextmanager
def beside_orthanc(folder: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Ours, which knows Orthanc as `orthanc`, and Orthanc, which knows ours as `amonsul`."""
    port = free_port()
    with serving(folder / "ours", {"OrthancPeers": {"orthanc": [f"http://127.0.0.1:{port}/"]}}) as ours:
        options: dict[str, object] = {"OrthancPeers": {"amonsul": [_root(ours)]}}
        with (
            orthanc(folder / "orthanc", options=options, http_port=port),
            ours.client() as here,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as there,
        ):
            yield here, there


def _root(server: Running) -> str:
    return f"{server.url}/"


@pytest.mark.parametrize("compress", [False, True])
def test_orthanc_takes_what_we_send(tmp_path: Path, compress: bool) -> None:
    with beside_orthanc(tmp_path) as (ours, theirs):
        study = fill(ours)
        sent = ours.post("/peers/orthanc/store", json={"Resources": [study], "Compress": compress}).json()
        assert sent["FailedInstancesCount"] == 0
        assert same(ours, theirs)
        assert ours.get("/peers/orthanc/system").json()["DicomAet"] == "ORTHANC"


@pytest.mark.parametrize("compress", [False, True])
def test_we_take_what_orthanc_sends(tmp_path: Path, compress: bool) -> None:
    with beside_orthanc(tmp_path) as (ours, theirs):
        study = fill(theirs)
        sent = theirs.post("/peers/amonsul/store", json={"Resources": [study], "Compress": compress}).json()
        assert sent["FailedInstancesCount"] == 0
        assert same(ours, theirs)
        assert theirs.get("/peers/amonsul/system").json()["DicomAet"] == "TESTED"
