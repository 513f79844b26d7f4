from __future__ import annotations

import datetime
import logging
import re
import uuid
from dataclasses import replace

import argon2
import httpx
import orjson
import pytest

from amonsul.archive.context import Archive
from amonsul.dicom import uids
from amonsul.web.routes import FOLDERS, routes
from amonsul.web.routing import Body
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.rest.dicom_files import dicom_file
from tests.integration.rest.serving import serving_archive


def test_system(client: httpx.Client) -> None:
    found = client.get("/system").json()
    assert found["MainDicomTags"]["Patient"] == "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
    assert (found["OverwriteInstances"], found["OverwriteInstancesMode"]) == (False, "Never")
    assert client.get("/system//").json() == found
    assert client.get("/system?nope=1").json() == found
    assert client.head("/system").headers["content-length"] == str(len(orjson.dumps(found)))


def test_folders_list_what_is_in_them(client: httpx.Client) -> None:
    names = client.get("/tools").json()
    assert names == sorted(names)
    assert {"find", "lookup", "now", "log-level"} <= set(names)
    assert client.post("/tools").headers["allow"] == "GET"


def test_clocks(client: httpx.Client) -> None:
    for path in ("/tools/now", "/tools/now-local"):
        datetime.datetime.strptime(client.get(path).text, "%Y%m%dT%H%M%S")


def test_identifiers(client: httpx.Client) -> None:
    uuid.UUID(client.get("/tools/generate-uid?level=patient").text)
    made = {client.get(f"/tools/generate-uid?level={level}").text for level in ("study", "series", "instance")}
    assert len(made) == 3
    assert all(uids.is_valid(uid) for uid in made)
    for query in ("", "?level=nope"):
        answer = client.get(f"/tools/generate-uid{query}")
        assert (answer.status_code, answer.content) == (404, b"")


def test_switches(client: httpx.Client) -> None:
    assert client.get("/tools/default-encoding").text == "Latin1"
    assert client.put("/tools/default-encoding", content=b"utf8").text == "Utf8"
    assert client.get("/tools/default-encoding").text == "Utf8"
    assert client.put("/tools/default-encoding", content=b"Nope").json()["OrthancStatus"] == 3
    assert client.get("/tools/log-level").text == "default"
    assert client.put("/tools/log-level-http", content=b"verbose").content == b""
    assert client.get("/tools/log-level-http").text == "verbose"
    assert client.put("/tools/log-level", content=b"trace").status_code == 200
    assert client.get("/tools/log-level-sqlite").text == "trace"
    assert client.put("/tools/log-level", content=b"nope").json()["OrthancStatus"] == 3
    assert client.get("/tools/log-level-nope").status_code == 404
    for path in ("/tools/unknown-sop-class-accepted", "/tools/metrics"):
        assert client.put(path, content=b"1").content == b""
        assert client.get(path).text == "1"
        assert client.put(path, content=b"false").status_code == 200
        assert client.get(path).text == "0"
        assert client.put(path, content=b"maybe").json()["OrthancStatus"] == 15


def test_accepted_syntaxes(client: httpx.Client) -> None:
    path = "/tools/accepted-transfer-syntaxes"
    everything = client.get(path).json()
    assert "1.2.840.10008.1.2" in everything
    assert client.put(path, json=["1.2.840.10008.1.2.1"]).json() == ["1.2.840.10008.1.2.1"]
    assert client.get(path).json() == ["1.2.840.10008.1.2.1"]
    assert client.put(path, content=b"1.2.840.10008.1.2").json() == ["1.2.840.10008.1.2"]
    assert client.put(path, json=["1.2.3"]).json() == []
    for bad in (b"1.2.840.10008.1.2.4.*", b'{"a": 1}', b"[1]", b""):
        assert client.put(path, content=bad).json()["OrthancStatus"] == 15
    assert client.put(path, content=b"*").json() == everything
    assert "1.2.840.10008.5.1.4.1.1.2" in client.get("/tools/accepted-sop-classes").json()
    assert "CT Image Storage" in client.get("/tools/dicom-conformance").text


def test_what_is_never_on(client: httpx.Client) -> None:
    for path in ("/tools/execute-script", "/instances/x/export"):
        answer = client.post(path, content=b"print('x')")
        assert (answer.status_code, answer.content) == (403, b"")


def test_plugins(client: httpx.Client) -> None:
    assert client.get("/plugins").json() == []
    assert client.get("/plugins/nope").content == b""


# ---------------------------------------------------------------------------------------------------- documentation


def test_every_route_is_documented() -> None:
    described = set()
    for route in routes(WebSettings()):
        place = f"{route.method} {route.template}"
        assert re.fullmatch(r"[A-Z`].{5,}[^.]", route.summary), place
        assert route.tag, place
        assert all(parameter.help for parameter in (*route.parameters, *route.fields)), place
        assert bool(route.request_types) or route.body is Body.NONE, place
        described.add(place)
    assert len(described) == len(routes(WebSettings()))
    assert FOLDERS == ("/tools",)


def test_description(client: httpx.Client) -> None:
    api = client.get("/openapi.json").json()
    assert api["openapi"].startswith("3.1")
    assert api["paths"]["/studies/{id}"]["get"]["parameters"][0]["in"] == "path"
    assert api["paths"]["/instances/{id}/content/{path}"]["get"]["parameters"][1]["name"] == "path"
    assert (
        "Level"
        in api["paths"]["/tools/find"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    )
    operations = [operation for methods in api["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_get_without_placeholders_answers(client: httpx.Client) -> None:
    needs_argument = {f"/tools/{name}" for name in ("generate-uid", "create-archive", "create-media")}
    special = {*needs_argument, "/tools/create-media-extended", "/wado", "/housekeeper/status", "/changes/stream"}
    # Nobody keeps house here, and the stream has no end.
    for route in routes(WebSettings()):
        if route.method == "GET" and "{" not in route.template and route.template not in special:
            answer = client.get(route.template)
            assert answer.status_code in (200, 307, 501), route.template  # 501: nobody speaks to other systems here
            if answer.status_code == 200:
                assert answer.headers["content-type"].startswith(route.answers), route.template


def test_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    assert client.get("/").headers["location"] == "docs"
    page = client.get("/docs")
    assert page.headers["content-security-policy"] == "default-src 'self'"
    assert "://" not in page.text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=", page.text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get("/" + path).status_code == 200


# ---------------------------------------------------------------------------------------------------- security


def test_users(archive: Archive) -> None:
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    settings = WebSettings(authentication_enabled=True, registered_users={"alice": hashed, "bob": "p:ss wörd"})
    with serving_archive(Services(archive, settings)) as served:
        assert httpx.get(served.url + "/system").status_code == 401
        assert httpx.get(served.url + "/system", auth=("alice", "wrong")).status_code == 401
        assert httpx.get(served.url + "/system", auth=("alice", "secret")).status_code == 200
        assert httpx.get(served.url + "/system", auth=("bob", "p:ss wörd")).status_code == 200
        stored = httpx.post(served.url + "/instances", content=dicom_file(), auth=("alice", "secret")).json()
        found = httpx.get(f"{served.url}{stored['Path']}/metadata/HttpUsername", auth=("alice", "secret"))
        assert found.text == "alice"


def test_cross_site_requests_change_nothing(client: httpx.Client) -> None:
    stored = client.post("/instances", content=dicom_file()).json()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ):
        assert client.delete(stored["Path"], headers=headers).status_code == 403
        assert client.post("/instances", content=dicom_file(instance=2), headers=headers).status_code == 403
    assert client.get("/statistics").json()["CountInstances"] == 1


def test_large_json_is_refused(client: httpx.Client) -> None:
    def endless() -> object:
        while True:
            yield b" " * 65536

    assert client.post("/tools/find", content=b" " * (33 << 20)).status_code == 413
    try:
        answer = client.post("/tools/find", content=endless())  # type: ignore[arg-type]  # an iterator of bytes
        assert answer.status_code == 413
    except (
        httpx.WriteError,
        httpx.ReadError,
        httpx.RemoteProtocolError,
    ):  # the server closed while we were still sending
        pass
    assert client.get("/system").status_code == 200


def test_nothing_of_patients_or_users_is_logged(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    settings = WebSettings(authentication_enabled=True, registered_users={"alice": "CANARYpassword"})
    canaries = {
        "PatientName": "CANARYname",
        "PatientID": "CANARYid",
        "StudyDescription": "CANARYdescription",
        "AccessionNumber": "CANARYaccess",
    }
    with caplog.at_level(logging.DEBUG), serving_archive(Services(archive, settings)) as served:
        client = httpx.Client(base_url=served.url, auth=("alice", "CANARYpassword"))
        client.post("/instances", content=dicom_file(attributes=canaries))
        client.post("/instances", content=b"CANARYbody")
        client.post("/instances", content=dicom_file(attributes={**canaries, "SOPInstanceUID": None}))
        client.post("/tools/find", json={"Level": "Patient", "Query": {"PatientName": "CANARYname"}, "Expand": True})
        client.post("/tools/find", json={"Level": "Patient", "Query": {"CANARYtag": "x"}})
        client.post("/tools/find", content=b'{"CANARYjson')
        client.post("/tools/lookup", content=b"CANARYid")
        client.get("/studies?requested-tags=CANARYtag&filename=CANARYfile")
        client.put("/patients/CANARYpath/labels/CANARYlabel")
        for user, password in (("alice", "CANARYwrong"), ("CANARYuser", "x")):
            httpx.get(served.url + "/system", auth=(user, password))
        client.close()
    ours = [record for record in caplog.records if record.name.startswith(("amonsul", "uvicorn"))]
    assert any("failed login" in record.getMessage() for record in ours)
    assert not [record for record in ours if "CANARY" in record.getMessage() or "CANARY" in str(record.exc_info)]


def test_errors_can_be_kept_silent(archive: Archive) -> None:
    with serving_archive(Services(archive, replace(WebSettings(), describe_errors=False))) as served:
        answer = httpx.post(served.url + "/tools/find", content=b"x")
        assert (answer.status_code, answer.content) == (400, b"")
        assert "content-type" not in answer.headers
