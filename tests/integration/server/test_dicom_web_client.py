"""Instances between servers over DICOMweb: two of ours, and one of ours with Orthanc in both directions."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.clients.http_hosts import Host, read_request
from tests.integration.clients.peers import dicom_web_plugin, free_port, orthanc
from tests.integration.server.instances import Instance
from tests.integration.server.running import Running, serving

COUNT = 24
INSTANCES = [Instance(number, series=1 + number % 2) for number in range(1, COUNT + 1)]
STUDY, SERIES = INSTANCES[0].study_instance_uid, INSTANCES[0].series_instance_uid
THERE = "/dicom-web/servers/other"


@contextmanager
def two_servers(
    folder: Path, options: dict[str, object] | None = None, others: dict[str, object] | None = None
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """One that knows the other as `other`, and the other."""
    with serving(folder / "other", others) as other:
        known = {"DicomWeb": {"Servers": {"other": {"Url": root(other.url), "HasDelete": True}}, **(options or {})}}
        with serving(folder / "one", known) as one, one.client() as here, other.client() as there:
            yield here, there


def root(url: str) -> str:
    """Of DICOMweb at one of our servers, or at Orthanc."""
    return f"{url}/dicom-web/"


def fill(client: httpx.Client, instances: Sequence[Instance] = INSTANCES) -> str:
    """Store instances and answer the identifier of the study."""
    for instance in instances:
        assert client.post("/instances", content=instance.file()).status_code == 200
    return str(client.get("/studies").json()[0])


def same(one: httpx.Client, other: httpx.Client, instances: Sequence[Instance] = INSTANCES) -> bool:
    """Whether both hold the instances, and the same bytes."""
    ids = sorted(instance.orthanc_id for instance in instances)
    files = [[client.get(f"/instances/{each}/file").content for each in ids] for client in (one, other)]
    return (
        ids == sorted(one.get("/instances").json()) == sorted(other.get("/instances").json()) and files[0] == files[1]
    )


def ended(client: httpx.Client, job_id: str) -> dict[str, object]:
    """A job, when it has ended."""
    while True:
        job: dict[str, object] = client.get(f"/jobs/{job_id}").json()
        if job["State"] not in ("Pending", "Running", "Retry"):
            return job


@pytest.fixture(scope="module")
def server_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One server for tests that leave nothing in it but a server of their own called `other`."""
    with serving(tmp_path_factory.mktemp("alone")) as server, server.client() as client:
        yield client


def test_a_study_is_sent_byte_by_byte_in_requests_of_bounded_size(tmp_path: Path) -> None:
    with two_servers(tmp_path, {"StowMaxInstances": 5}) as (here, there):
        study = fill(here)
        answer = here.post(f"{THERE}/stow", json={"Resources": [study]})
        assert answer.status_code == 200
        content = answer.json()
        assert sorted(content["Resources"]["Instances"]) == sorted(instance.orthanc_id for instance in INSTANCES)
        assert content["Resources"]["Studies"] == [study]
        assert (content["InstancesCount"], content["Server"], content["NetworkSizeMB"]) == (str(COUNT), "other", "0")
        assert same(here, there)


@pytest.mark.parametrize("resources", [["patients"], ["series"], ["studies", "instances"]])
def test_every_level_is_sent_by_a_job(pair: tuple[httpx.Client, httpx.Client], resources: list[str]) -> None:
    here, there = pair
    fill(here)
    named = [orthanc_id for level in resources for orthanc_id in here.get(f"/{level}").json()]
    job = here.post(f"{THERE}/stow", json={"Resources": named, "Synchronous": False, "UserData": "mine"}).json()
    state = ended(here, job["ID"])
    assert (state["Type"], state["State"], state["Progress"]) == ("DicomWebStowClient", "Success", 100)
    assert state["UserData"] == "mine"
    assert same(here, there)


def test_resources_of_every_level_are_retrieved_with_counts_and_identifiers(
    pair: tuple[httpx.Client, httpx.Client],
) -> None:
    series = [instance for instance in INSTANCES if instance.series_instance_uid == SERIES]
    cases: list[tuple[dict[str, str], list[Instance]]] = [
        ({"Study": STUDY}, INSTANCES),
        ({"Study": STUDY, "Series": SERIES}, series),
        ({"Study": STUDY, "Series": SERIES, "Instance": series[3].sop_instance_uid}, [series[3]]),
    ]
    here, there = pair
    fill(there)
    for resource, expected in cases:
        answer = here.post(f"{THERE}/retrieve", json={"Resources": [resource]}).json()
        assert sorted(answer["Instances"]) == sorted(instance.orthanc_id for instance in expected)
        assert (answer["ReceivedInstancesCount"], answer["NetworkUsageMB"]) == (str(len(expected)), "0")
        assert sorted(here.get("/instances").json()) == sorted(answer["Instances"])
        for expected_instance in expected:
            kept = here.get(f"/instances/{expected_instance.orthanc_id}/file").content
            assert kept == expected_instance.file()
        for study in here.get("/studies").json():
            here.delete(f"/studies/{study}")


def test_what_is_at_a_uri_is_retrieved_later_unless_at_once(pair: tuple[httpx.Client, httpx.Client]) -> None:
    here, there = pair
    fill(there)
    job = here.post(f"{THERE}/wado", json={"Uri": f"/studies/{STUDY}"}).json()
    state = ended(here, job["ID"])
    assert (state["Type"], state["State"]) == ("DicomWebWadoRetrieveClient", "Success")
    assert same(here, there)
    metadata = here.get(f"/instances/{INSTANCES[0].orthanc_id}/metadata?expand").json()
    assert (metadata["Origin"], metadata["RemoteAET"]) == ("Plugins", "")
    at_once = here.post(f"{THERE}/wado", json={"Uri": f"/studies/{STUDY}", "Synchronous": True}).json()
    assert at_once["ReceivedInstancesCount"] == str(COUNT)


def test_searches_metadata_pictures_and_files_are_handed_on(pair: tuple[httpx.Client, httpx.Client]) -> None:
    here, there = pair
    fill(there)

    def get(**body: object) -> httpx.Response:
        return here.post(f"{THERE}/get", json=body)

    found = get(Uri="/studies", Arguments={"PatientID": "P*", "limit": "1"})
    assert found.headers["Content-Type"] == "application/dicom+json"
    assert found.json() == there.get("/dicom-web/studies").json()
    assert "sandbox" in found.headers["Content-Security-Policy"]
    as_xml = get(Uri="studies", HttpHeaders={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert as_xml.headers["Content-Type"].startswith("multipart/related")
    one = INSTANCES[0]
    uri = f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
    file = get(Uri=uri, HttpHeaders={"Accept": "application/dicom; transfer-syntax=*"})
    assert file.content == one.file()
    assert get(Uri=f"/studies/{STUDY}/metadata").json() == there.get(f"/dicom-web/studies/{STUDY}/metadata").json()

    for accept in ("application/dicom+json", 'multipart/related; type="application/dicom+xml"'):
        body = {"Uri": "/studies", "HttpHeaders": {"Accept": accept}}
        (shown,) = here.post(f"{THERE}/qido", json=body).json()
        assert shown["0020000D"] == {
            "Element": 13,
            "Group": 32,
            "Name": "StudyInstanceUID",
            "Value": STUDY,
            "vr": "UI",
        }
    assert here.post(f"{THERE}/qido", json={"Uri": "/studies", "Arguments": {"PatientID": "nobody"}}).json() == []


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        (b"text/html", "text/html"),
        (b"text/html\r\n ; charset=x", "application/octet-stream"),
        (b"nothing", "application/octet-stream"),
        (b"text/\xfc", "application/octet-stream"),
    ],
)
def test_what_a_server_answers_does_no_harm_here(server_alone: httpx.Client, given: bytes, handed_on: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Type: " + given + b"\r\nContent-Length: 2\r\n\r\nhi"

    def talk(link: socket.socket, _: int) -> None:
        while read_request(link):
            link.sendall(answer)

    with Host(talk) as host:
        server_alone.put(THERE, json=[host.url]).raise_for_status()
        found = server_alone.post(f"{THERE}/get", json={"Uri": "/x"})
        assert (found.status_code, found.content) == (200, b"hi")
        assert found.headers["Content-Type"] == handed_on
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in found.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in found.headers


def test_what_a_server_does_not_have_or_do_is_told(tmp_path: Path) -> None:
    with two_servers(tmp_path, others={"Amonsul": {"DicomWebDelete": True}}) as (here, there):
        fill(there)
        for route, body in (
            ("get", {"Uri": "/studies/1.2.3/metadata"}),
            ("qido", {"Uri": "/studies/1.2.3/metadata"}),
            ("retrieve", {"Resources": [{"Study": "1.2.3"}]}),
            ("wado", {"Uri": "/studies/1.2.3", "Synchronous": True}),
            ("delete", {"Level": "Study", "StudyInstanceUID": "1.2.3"}),
            ("stow", {"Resources": [INSTANCES[0].orthanc_id]}),
        ):
            refused = here.post(f"{THERE}/{route}", json=body)
            assert (refused.status_code, refused.json()["OrthancStatus"]) == (404, 17), route
        here.post(f"{THERE}/delete", json={"Level": "Series", "StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES})
        assert len(there.get("/series").json()) == 1
        assert here.post(f"{THERE}/delete", json={"Level": "Study", "StudyInstanceUID": STUDY}).json() == {}
        assert there.get("/instances").json() == []


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("get", {}),
        ("get", {"Uri": "/studies?a=1"}),
        ("get", {"Uri": "/../../instances"}),
        ("get", {"Uri": "/studies/%2e%2e/%2E%2E/instances"}),
        ("get", {"Uri": "/studies", "Arguments": {"limit": 1}}),
        ("get", {"Uri": "/studies", "HttpHeaders": ["Accept"]}),
        ("get", {"Uri": "/studies", "HttpHeaders": {"Bad\r\nName": "x"}}),
        ("get", {"Uri": "/studies", "HttpHeaders": {"X": "a\r\nHost: elsewhere"}}),
        ("qido", {"Uri": 1}),
        ("retrieve", {}),
        ("retrieve", {"Resources": [{"Series": "1.2"}]}),
        ("retrieve", {"Resources": [{"Study": "1", "Instance": "2"}]}),
        ("retrieve", {"Resources": [{"Study": ".."}]}),
        ("retrieve", {"Resources": ["1.2"]}),
        ("stow", {}),
        ("stow", {"Resources": [1]}),
        ("stow", 12),
        ("delete", {"Level": "Patient", "StudyInstanceUID": "1.2"}),
        ("delete", {"Level": "Series", "StudyInstanceUID": "1.2"}),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    server_alone: httpx.Client, route: str, body: dict[str, object]
) -> None:
    noted: list[bytes] = []

    def talk(_link: socket.socket, _: int) -> None:
        noted.append(b"called")

    with Host(talk) as host:
        server_alone.put(THERE, json={"Url": host.url, "HasDelete": True}).raise_for_status()
        assert server_alone.post(f"{THERE}/{route}", json=body).status_code == 400
    assert noted == []


def test_servers_are_added_shown_and_removed_without_their_secrets(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        assert client.get("/dicom-web/servers").json() == []
        added = {"Url": "http://h/dw", "Username": "alice", "Password": "open sesame", "HasDelete": True, "Floor": 3}
        assert client.put("/dicom-web/servers/a", json=added).json() == {}
        assert client.put("/dicom-web/servers/b", json=["http://h/", "alice", "open sesame"]).json() == {}
        assert client.get("/dicom-web/servers").json() == ["a", "b"]
        shown = client.get("/dicom-web/servers?expand").json()
        assert shown["a"] == {
            "Url": "http://h/dw/",
            "Username": "alice",
            "Password": None,
            "HttpHeaders": [],
            "HasDelete": "1",
            "Floor": "3",
            "Pkcs11": False,
            "Timeout": 0,
        }
        assert client.get("/dicom-web/servers/a").json() == ["get", "retrieve", "stow", "wado", "qido", "delete"]
        assert client.get("/dicom-web/servers/b").json() == ["get", "retrieve", "stow", "wado", "qido"]
        assert client.put("/dicom-web/servers/c", json={"Url": "http://h", "HasDelete": "maybe"}).status_code == 400
        assert client.put("/dicom-web/servers/c", json=["ftp://h"]).status_code == 400
        assert client.delete("/dicom-web/servers/a").json() == {}
        assert client.delete("/dicom-web/servers/a").status_code == 400
        assert client.get("/dicom-web/servers/a").status_code == 404
        assert client.get("/peers").json() == client.get("/modalities").json() == []


def test_servers_of_the_database_outlive_the_server(tmp_path: Path) -> None:
    kept: dict[str, object] = {"DicomWeb": {"ServersInDatabase": True, "Servers": {"file": ["http://127.0.0.1:1"]}}}
    for options, left in (({}, []), (kept, ["a"])):
        folder = tmp_path / f"kept-{bool(options)}"
        for expected in ([], left):
            with serving(folder, options) as server, server.client() as client:
                assert client.get("/dicom-web/servers").json() == expected
                client.put("/dicom-web/servers/a", json=["http://127.0.0.1:1"])
                server.stop()


def test_passwords_are_used_and_neither_shown_nor_kept_by_jobs(tmp_path: Path) -> None:
    guarded = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "open sesame"}}
    with serving(tmp_path / "other", guarded) as other, serving(tmp_path / "one") as one, one.client() as here:
        here.put("/dicom-web/servers/right", json=[root(other.url), "alice", "open sesame"])
        here.put("/dicom-web/servers/wrong", json=[root(other.url), "alice", "guess"])
        stored = here.post("/instances", content=INSTANCES[0].file()).json()["ID"]
        refused = here.post("/dicom-web/servers/wrong/stow", json={"Resources": [stored]})
        assert (refused.status_code, refused.json()["OrthancStatus"]) == (500, 9)
        assert here.post("/dicom-web/servers/right/stow", json={"Resources": [stored]}).status_code == 200
        found = here.post("/dicom-web/servers/right/qido", json={"Uri": "/studies"}).json()
        assert [each["0020000D"]["Value"] for each in found] == [STUDY]
        shown = here.get("/jobs?expand").text + here.get("/dicom-web/servers?expand").text + other.log + one.log
        assert "open sesame" not in shown
        with contextlib.closing(sqlite3.connect(tmp_path / "one" / "storage" / "index.db")) as index:
            lines = [line for line in index.iterdump() if "open sesame" in line]
        assert len(lines) == 1  # the server itself


def test_a_server_that_only_reads_sends_and_does_not_retrieve(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (here, _):
        fill(here)
    with serving(tmp_path / "other") as other, other.client() as there:
        options = {"ReadOnly": True, "DicomWeb": {"Servers": {"other": [root(other.url)]}}}
        with serving(tmp_path / "one", options) as one, one.client() as here:
            retrieve = {"Resources": [{"Study": STUDY}]}
            assert here.post(f"{THERE}/retrieve", json=retrieve).status_code == 403
            assert here.post(f"{THERE}/wado", json={"Uri": f"/studies/{STUDY}"}).status_code == 403
            assert here.post(f"{THERE}/qido", json={"Uri": "/studies"}).json() == []
            assert here.post(f"{THERE}/stow", json={"Resources": here.get("/studies").json()}).status_code == 200
            assert len(there.get("/instances").json()) == COUNT


def test_a_server_that_is_away_fails_a_job_or_is_tried_again(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "one") as one, one.client() as here:
        here.put(THERE, json=[f"http://127.0.0.1:{port}/dicom-web/"])
        study = fill(here)
        for route, body in (("stow", {"Resources": [study]}), ("retrieve", {"Resources": [{"Study": STUDY}]})):
            refused = here.post(f"{THERE}/{route}", json=body)
            assert (refused.status_code, refused.json()["OrthancStatus"]) == (500, 9)
        patient = {"Resources": [study], "MaximumAttempts": 100, "Asynchronous": True}
        job = here.post(f"{THERE}/stow", json=patient).json()
        while here.get(f"/jobs/{job['ID']}").json()["State"] != "Retry":
            pass
        with serving(tmp_path / "other", {"HttpPort": port}) as other, other.client() as there:
            assert ended(here, job["ID"])["State"] == "Success"
            assert same(here, there)


def test_requests_do_not_go_where_clouds_keep_their_credentials(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        for host in ("169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0"):
            assert client.put(THERE, json=[f"http://{host}/"]).status_code == 200
            for route, body in (
                ("get", {"Uri": "/latest/meta-data"}),
                ("qido", {"Uri": "/studies"}),
                ("retrieve", {"Resources": [{"Study": "1"}]}),
            ):
                answer = client.post(f"{THERE}/{route}", json=body)
                assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
                assert "may not go to" in answer.json()["Details"]


def test_a_retrieval_goes_on_in_another_process_from_the_study_it_had_come_to(tmp_path: Path) -> None:
    studies = [Instance(1, study=number) for number in (1, 2, 3)]
    asked: list[bytes] = []
    kept = {"DicomWeb": {"ServersInDatabase": True}}

    def talk(link: socket.socket, _: int) -> None:
        while request := read_request(link):
            path = request.split(b" ")[1]
            asked.append(path)
            if asked.count(path) == 1 and path.endswith(studies[1].study_instance_uid.encode()):
                crash.append(server.process.pid)
                server.kill()
                return
            file = next(each for each in studies if path.endswith(each.study_instance_uid.encode())).file()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: {len(file)}\r\n\r\n"
            link.sendall(head.encode() + file)

    crash: list[int] = []
    with Host(talk) as host:
        with serving(tmp_path, kept) as server, server.client() as client:
            client.put(THERE, json=[host.url])
            resources = [{"Study": each.study_instance_uid} for each in studies]
            job = client.post(f"{THERE}/retrieve", json={"Resources": resources, "Asynchronous": True}).json()["ID"]
            server.process.wait()
        with serving(tmp_path, kept) as other, other.client() as client:
            state = ended(client, job)
            assert state["State"] == "Success"
            content = state["Content"]
            assert isinstance(content, dict)
            assert content["Instances"] == [each.orthanc_id for each in studies]
            assert content["ReceivedInstancesCount"] == "3"
    uids = [each.study_instance_uid for each in studies]
    assert [path.decode().rpartition("/")[2] for path in asked] == [uids[0], uids[1], uids[1], uids[2]]
    assert crash


def test_a_store_goes_on_in_another_process(tmp_path: Path) -> None:
    instances = [Instance(number) for number in range(1, 101)]
    with serving(tmp_path / "other") as other, other.client() as there:
        known = {"DicomWeb": {"StowMaxInstances": 1, "Servers": {"other": [root(other.url)]}}}
        with serving(tmp_path / "one", known) as one, one.client() as here:
            study = fill(here, instances)
            job = here.post(f"{THERE}/stow", json={"Resources": [study], "Asynchronous": True}).json()["ID"]
            while len(there.get("/instances").json()) < 10:
                pass
            one.kill()
        with serving(tmp_path / "one", known) as again, again.client() as here:
            state = ended(here, job)
            assert (state["State"], state["Progress"]) == ("Success", 100)
            assert same(here, there, instances)


@pytest.mark.parametrize("permissive", [False, True])
def test_what_the_server_refuses_fails_a_job_unless_it_is_permissive(tmp_path: Path, permissive: bool) -> None:
    refusing = {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [INSTANCES[0].sop_instance_uid]}}]}
    storing = {
        "vr": "SQ",
        "Value": [{"00081155": {"vr": "UI", "Value": [each.sop_instance_uid]}} for each in INSTANCES[1:]],
    }
    body = json.dumps({"00081198": refusing, "00081199": storing}).encode()
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/dicom+json\r\nContent-Length: %d\r\n\r\n" % len(body)

    def talk(link: socket.socket, _: int) -> None:
        while read_request(link):
            link.sendall(answer + body)

    with Host(talk) as host:
        other = {"Url": host.url, "ChunkedTransfers": False}
        known: dict[str, object] = {"DicomWeb": {"StowMaxInstances": 0, "Servers": {"other": other}}}
        with serving(tmp_path, known) as server, server.client() as client:
            stow = {"Resources": [fill(client)], "Permissive": permissive}
            answered = client.post(f"{THERE}/stow", json=stow)
            if permissive:
                assert answered.json()["FailedInstancesCount"] == 1
            else:
                assert answered.status_code == 500
                assert INSTANCES[0].sop_instance_uid in answered.json()["Details"]


@pytest.mark.parametrize("permissive", [False, True])
def test_what_is_no_dicom_fails_a_retrieval_unless_it_is_permissive(tmp_path: Path, permissive: bool) -> None:
    parts = [INSTANCES[0].file(), b"no DICOM", INSTANCES[1].file()]
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts) + b"--b--"
    kind = b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'
    answer = b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def talk(link: socket.socket, _: int) -> None:
        while read_request(link):
            link.sendall(answer)

    with Host(talk) as host, serving(tmp_path) as server, server.client() as client:
        client.put(THERE, json=[host.url])
        answered = client.post(f"{THERE}/retrieve", json={"Resources": [{"Study": "1"}], "Permissive": permissive})
        if permissive:
            content = answered.json()
            assert (content["ReceivedInstancesCount"], content["FailedInstancesCount"]) == ("2", 1)
            assert content["Instances"] == [INSTANCES[0].orthanc_id, INSTANCES[1].orthanc_id]
        else:
            assert (answered.status_code, answered.json()["OrthancStatus"]) == (400, 15)


def test_large_instances_stream(tmp_path: Path) -> None:
    instances = [Instance(number, size=64 << 20) for number in range(1, 7)]
    with serving(tmp_path / "other") as other:
        known = {"DicomWeb": {"Servers": {"other": [root(other.url)]}}}
        with serving(tmp_path / "one", known) as one, one.client() as here, other.client() as there:
            study = fill(here, instances)
            grown = growth_mb(one, lambda: here.post(f"{THERE}/stow", json={"Resources": [study]}, timeout=600))
            assert grown < 64
            assert len(there.get("/instances").json()) == len(instances)
            here.delete(f"/studies/{study}")
            retrieve = {"Resources": [{"Study": instances[0].study_instance_uid}]}
            grown = growth_mb(other, lambda: here.post(f"{THERE}/retrieve", json=retrieve, timeout=600))
            assert grown < 64
            body = {
                "Uri": f"/studies/{instances[0].study_instance_uid}",
                "HttpHeaders": {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
            }
            assert growth_mb(one, lambda: read_through(here, f"{THERE}/get", body)) < 64


def read_through(client: httpx.Client, path: str, body: object) -> None:
    """Read an answer and keep nothing of it."""
    with client.stream("POST", path, json=body, timeout=600) as answer:
        assert answer.status_code == 200
        for _ in answer.iter_raw():
            pass


def growth_mb(server: Running, work: Callable[[], object]) -> float:
    """How much memory a server needs at most for some work, beyond what it has."""
    folder = Path(f"/proc/{server.process.pid}")
    (folder / "clear_refs").write_text("5")  # the peak begins anew
    before = server.resident_mb()
    work()
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    return int(peak_kb) * 1024 / 1e6 - before


# ------------------------------------------------------------------------------------------------------ Orthanc


@contextmanager
def beside_orthanc(folder: Path, options: dict[str, object]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Ours, which knows Orthanc as `other`, and Orthanc, which knows ours as `amonsul`."""
    port = free_port()
    known = {"DicomWeb": {"Servers": {"other": {"Url": root(f"http://127.0.0.1:{port}"), **options}}}}
    with serving(folder / "ours", known) as ours:
        plugin: dict[str, object] = {
            "Plugins": [dicom_web_plugin()],
            "DicomWeb": {"Servers": {"amonsul": {"Url": root(ours.url), "HasDelete": True, **options}}},
        }
        with (
            orthanc(folder / "orthanc", options=plugin, http_port=port),
            ours.client() as here,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as there,
        ):
            yield here, there


@pytest.mark.parametrize("options", [{}, {"ChunkedTransfers": False, "HasWadoRsUniversalTransferSyntax": False}])
def test_we_send_to_orthanc_and_retrieve_from_it(tmp_path: Path, options: dict[str, object]) -> None:
    with beside_orthanc(tmp_path, options) as (here, there):
        study = fill(here)
        assert here.post(f"{THERE}/stow", json={"Resources": [study]}).status_code == 200
        assert same(here, there)
        (found,) = here.post(f"{THERE}/qido", json={"Uri": "/studies"}).json()
        assert found["0020000D"]["Value"] == STUDY
        here.delete(f"/studies/{study}")
        answer = here.post(f"{THERE}/retrieve", json={"Resources": [{"Study": STUDY}]}).json()
        assert answer["ReceivedInstancesCount"] == str(COUNT)
        assert sorted(answer["Instances"]) == sorted(there.get("/instances").json())
        metadata = here.post(f"{THERE}/get", json={"Uri": f"/studies/{STUDY}/metadata"}).json()
        assert len(metadata) == COUNT


@pytest.mark.parametrize("options", [{}, {"ChunkedTransfers": False, "HasWadoRsUniversalTransferSyntax": False}])
def test_orthanc_sends_to_us_and_retrieves_from_us(tmp_path: Path, options: dict[str, object]) -> None:
    us = "/dicom-web/servers/amonsul"
    with beside_orthanc(tmp_path, options) as (here, there):
        study = fill(there)
        assert there.post(f"{us}/stow", json={"Resources": [study]}).status_code == 200
        assert same(here, there)
        (found,) = there.post(f"{us}/qido", json={"Uri": "/studies"}).json()
        assert found["0020000D"]["Value"] == STUDY
        there.delete(f"/studies/{study}")
        retrieved = there.post(f"{us}/retrieve", json={"Resources": [{"Study": STUDY}]}).json()
        assert retrieved["ReceivedInstancesCount"] == str(COUNT)
        assert sorted(here.get("/instances").json()) == sorted(there.get("/instances").json())
