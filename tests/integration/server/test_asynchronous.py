"""Every route that takes `Asynchronous` answers with a job, which does the work and tells of it as Orthanc's does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integration.server.instances import Instance
from tests.integration.server.running import Running, start

FIELDS = {
    *("CompletionTime", "Content", "CreationTime", "EffectiveRuntime", "ErrorCode", "ErrorDescription", "ErrorDetails"),
    *("ID", "Priority", "Progress", "State", "Timestamp", "Type", "UserData"),
}
_COUNTED = {"Description", "FailedInstancesCount", "InstancesCount", "ParentResources"}
_CHANGED = _COUNTED | {"IsAnonymization", "Resources"}
_CHANGED_ONE = _CHANGED | {"ID", "Path", "PatientID", "Type"}
_REGROUPED = {"Description", "FailedInstancesCount", "InstancesCount", "TargetStudy"}
_PACKED = {
    *(
        "ArchiveSize",
        "ArchiveSizeMB",
        "Description",
        "InstancesCount",
        "UncompressedSize",
        "UncompressedSizeMB",
        "Utf8",
    ),
}
_RETRIEVED = {"Description", "Details", "LocalAet", "Query", "RemoteAet"}
_SENT = _COUNTED | {"Resources"}


@dataclass(frozen=True)
class Case:
    """One route, a body for it, and the job that is to come of it."""

    template: str
    kind: str
    content: set[str] | None
    """Fields of the content, if Orthanc has such a job."""
    body: Callable[[Scene], dict[str, Any]]
    """What is sent besides; JSON of any kind."""


@dataclass
class Scene:
    """Two servers that know each other as `other`; both hold the same study of three instances in two series."""

    here: httpx.Client
    there: httpx.Client
    study: str
    query: str = ""

    def path(self, template: str) -> str:
        """The path of a route for what is stored here."""
        if template.startswith("/queries"):
            return template.format(id=self.query, index=0)
        if template.startswith(("/peers", "/modalities", "/dicom-web")):
            return re.sub(r"\{\w+\}", "other", template)
        level = template.split("/")[1]
        return template.format(id=self.first(level)) if "{" in template else template

    def first(self, level: str) -> str:
        """An identifier of a level."""
        below = f"/studies/{self.study}/{level}" if level in ("series", "instances") else f"/{level}"
        found = self.here.get(below).json()[0]
        return str(found["ID"] if isinstance(found, dict) else found)


def _study(scene: Scene) -> dict[str, Any]:
    return {"Resources": [scene.study]}


def _uid(_: Scene) -> dict[str, Any]:
    return {"Level": "Study", "Resources": [{"StudyInstanceUID": Instance(1).study_instance_uid}]}


def _nothing(_: Scene) -> dict[str, Any]:
    return {}


def _replace(_: Scene) -> dict[str, Any]:
    return {"Replace": {"StudyDescription": "x", "PatientID": "new", "SeriesDescription": "y"}, "Force": True}


def _replace_series(_: Scene) -> dict[str, Any]:
    return {"Replace": {"SeriesDescription": "y"}}


def _all_of_it(scene: Scene) -> dict[str, Any]:
    return {"Resources": [scene.study], "Level": "Study", "Replace": {"StudyDescription": "x"}}


def _one_series(scene: Scene) -> dict[str, Any]:
    return {"Series": [scene.first("series")]}


def _another_study(scene: Scene) -> dict[str, Any]:
    added = scene.here.post("/instances", content=Instance(1, study=2).file()).json()
    return {"Resources": [added["ParentSeries"]]}


def _wado(_: Scene) -> dict[str, Any]:
    return {"Resources": [{"Study": Instance(1).study_instance_uid}]}


def _uri(_: Scene) -> dict[str, Any]:
    return {"Uri": f"/studies/{Instance(1).study_instance_uid}"}


def _cases() -> Iterator[Case]:
    for level in ("patients", "studies", "series"):
        yield Case(f"/{level}/{{id}}/anonymize", "ResourceModification", _CHANGED_ONE, _nothing)
        body = _replace_series if level == "series" else _replace
        yield Case(f"/{level}/{{id}}/modify", "ResourceModification", _CHANGED_ONE, body)
        yield Case(f"/{level}/{{id}}/archive", "Archive", _PACKED, _nothing)
        yield Case(f"/{level}/{{id}}/media", "Media", _PACKED, _nothing)
    yield Case("/tools/bulk-anonymize", "ResourceModification", _CHANGED, _study)
    yield Case("/tools/bulk-modify", "ResourceModification", _CHANGED, _all_of_it)
    yield Case("/tools/create-archive", "Archive", _PACKED, _study)
    yield Case("/tools/create-media", "Media", _PACKED, _study)
    yield Case("/tools/create-media-extended", "Media", _PACKED, _study)
    yield Case("/studies/{id}/split", "SplitStudy", _REGROUPED | {"TargetStudyUID"}, _one_series)
    yield Case("/studies/{id}/merge", "MergeStudy", _REGROUPED, _another_study)
    yield Case("/modalities/{id}/store", "DicomModalityStore", _SENT | {"LocalAet", "RemoteAet"}, _study)
    yield Case("/modalities/{id}/move", "DicomMoveScu", _RETRIEVED | {"TargetAet"}, _uid)
    yield Case("/modalities/{id}/get", "DicomGetScu", _RETRIEVED, _uid)
    yield Case("/queries/{id}/retrieve", "DicomMoveScu", _RETRIEVED | {"TargetAet"}, _nothing)
    yield Case("/queries/{id}/answers/{index}/retrieve", "DicomMoveScu", _RETRIEVED | {"TargetAet"}, _nothing)
    yield Case("/peers/{id}/store", "OrthancPeerStore", _SENT | {"Compress", "Peer", "Size", "SizeMB"}, _study)
    yield Case("/tools/bulk-delete", "DeleteResources", None, _study)
    for path in ("/tools", *(f"/{level}/{{id}}" for level in ("patients", "studies", "series", "instances"))):
        yield Case(f"{path}/reconstruct", "Reconstruct", None, _nothing)
    stowed = {"InstancesCount", "NetworkSizeMB", "Resources", "Server"}
    yield Case("/dicom-web/servers/{name}/stow", "DicomWebStowClient", stowed, _study)
    received = {"Instances", "NetworkUsageMB", "ReceivedInstancesCount"}
    yield Case("/dicom-web/servers/{name}/retrieve", "DicomWebWadoRetrieveClient", received, _wado)
    yield Case("/dicom-web/servers/{name}/wado", "DicomWebWadoRetrieveClient", received, _uri)


CASES = list(_cases())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    started: list[Running] = []
    allowed = {f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")}
    try:
        for name in ("HERE", "THERE"):
            started.append(start(tmp_path_factory.mktemp(name), {"DicomAet": name, "JobsHistorySize": 100, **allowed}))
        for server in started:
            server.wait_until_ready()
        yield started
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def scene(servers: list[Running]) -> Iterator[Scene]:
    one, other = servers
    with one.client() as here, other.client() as there:
        for client, remote, name in ((here, other, "THERE"), (there, one, "HERE")):
            for patient in client.get("/patients").json():
                client.delete(f"/patients/{patient}").raise_for_status()
            for number in range(3):
                stored = client.post("/instances", content=Instance(number, series=1 + number % 2).file()).json()
            client.put("/modalities/other", json=[name, "127.0.0.1", remote.dicom_port]).raise_for_status()
            client.put("/modalities/self", json=["HERE", "127.0.0.1", one.dicom_port]).raise_for_status()
            client.put("/peers/other", json=[remote.url]).raise_for_status()
            client.put("/dicom-web/servers/other", json={"Url": f"{remote.url}/dicom-web/"}).raise_for_status()
        made = Scene(here, there, str(stored["ParentStudy"]))
        found = here.post("/modalities/other/query", json={"Level": "Study", "Query": {"PatientID": "P1"}}).json()
        made.query = found["ID"]
        yield made


@pytest.mark.parametrize("case", CASES, ids=[case.template for case in CASES])
def test_a_route_answers_with_a_job_that_tells_of_its_work(scene: Scene, case: Case) -> None:
    parameters = {"Asynchronous": True, "Priority": 7, "UserData": {"mine": [1, None]}}
    answer = scene.here.post(scene.path(case.template), json={**case.body(scene), **parameters})
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["ID"]
    assert answer.json()["Path"].endswith(f"/jobs/{job_id}")
    while (job := scene.here.get(f"/jobs/{job_id}").json())["State"] in ("Pending", "Running"):
        pass
    assert (job["State"], job["ErrorDescription"]) == ("Success", "Success"), job
    assert (job["Type"], job["Priority"], job["Progress"]) == (case.kind, 7, 100)
    assert job["UserData"] == {"mine": [1, None]}
    assert job.keys() == FIELDS
    if case.content is not None:
        assert job["Content"].keys() == case.content
    if case.content == _PACKED:
        assert scene.here.get(f"/jobs/{job_id}/archive").content.startswith(b"PK")


def test_no_route_is_left_out(servers: list[Running]) -> None:
    with servers[0].client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    taking = {path for path, methods in paths.items() if '"Asynchronous"' in str(methods).replace("'", '"')}
    assert taking - {case.template for case in CASES} == set()
