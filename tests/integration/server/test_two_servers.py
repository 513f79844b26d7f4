"""Two real servers that ask each other: everything between the REST API of one and the archive of the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from amonsul.dicom.part10 import data_set_of
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.server.running import Running, start


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """One, and another that knows it; the first calls the second `other`."""
    started: list[Running] = []
    try:
        for name in ("ONE", "OTHER"):
            options = {"DicomAet": name, "DicomAlwaysAllowMove": True, "DicomAlwaysAllowFind": True}
            started.append(start(tmp_path / name, options | {"DicomAlwaysAllowGet": True}))
        for server in started:
            server.wait_until_ready()
        one, other = started
        with one.client() as asking, other.client() as asked:
            asking.put("/modalities/other", json=["OTHER", "127.0.0.1", other.dicom_port]).raise_for_status()
            asked.put("/modalities/one", json=["ONE", "127.0.0.1", one.dicom_port]).raise_for_status()
            yield asking, asked
    finally:
        for server in started:
            server.kill()


def fill(http: httpx.Client, count: int) -> list[str]:
    return [http.post("/instances", content=dicom_file(instance=number + 1)).json()["ID"] for number in range(count)]


def data_set(http: httpx.Client, instance: str) -> bytes:
    return b"".join(bytes(piece) for piece in data_set_of([http.get(f"/instances/{instance}/file").content]))


@pytest.mark.parametrize("method", ["C-MOVE", "C-GET"])
def test_what_is_found_elsewhere_is_brought_here(servers: tuple[httpx.Client, httpx.Client], method: str) -> None:
    asking, asked = servers
    instances = fill(asked, 5)
    assert asking.post("/modalities/other/echo", json={"CheckFind": True}).status_code == 200
    query = {"Level": "Series", "Query": {"PatientID": "P1", "StudyInstanceUID": f"{ROOT}.1.1"}}
    path = asking.post("/modalities/other/query", json=query).json()["Path"]
    assert asking.get(f"{path}/answers").json() == ["0"]
    answer = asking.post(f"{path}/retrieve", json={"RetrieveMethod": method})
    assert answer.status_code == 200, answer.text
    (detail,) = answer.json()["Details"]
    assert sorted(detail["ReceivedInstancesIds"]) == sorted(instances)
    for instance in instances:
        assert data_set(asking, instance) == data_set(asked, instance)


def test_what_is_sent_arrives_as_it_is(servers: tuple[httpx.Client, httpx.Client]) -> None:
    asking, asked = servers
    instances = fill(asking, 5)
    (study,) = asking.get("/studies").json()
    answer = asking.post("/modalities/other/store", json={"Resources": [study], "StorageCommitment": True})
    assert answer.json()["InstancesCount"] == 5
    assert sorted(asked.get("/instances").json()) == sorted(instances)
    metadata = asked.get(f"/instances/{instances[0]}/metadata?expand").json()
    assert (metadata["RemoteAET"], metadata["CalledAET"]) == ("ONE", "OTHER")
