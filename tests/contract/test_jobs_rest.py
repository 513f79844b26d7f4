"""Jobs as clients of the REST API see them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from amonsul.archive.context import Archive
from amonsul.archive.find import list_ids
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import SqliteSettings, open_database
from amonsul.database.jobs import State
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import BadFileFormat, JobCanceled, NetworkProtocolError
from amonsul.jobs.commands import Command
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds.delete_resources import DeleteResources, Doomed, delete_resources
from amonsul.jobs.settings import JobsSettings
from amonsul.web.rest.jobs import JobParameters, answer, parse_parameters
from amonsul.web.services import Services
from tests.contract.storing import store_instance
from tests.integration.rest.serving import serving_archive
from tests.unit.jobs.stage import DIMSE_PAYLOAD, PATIENCE_S, Play, Script, Theatre, until, until_state


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    database = open_database(SqliteSettings(tmp_path / "index.db", synchronous=False))
    made = Theatre(database)
    yield made
    made.close()
    database.close()


@pytest.fixture
def engine(theatre: Theatre) -> JobEngine:
    return theatre.engine()


@pytest.fixture
def services(theatre: Theatre, engine: JobEngine) -> Services:
    return Services(theatre.archive, jobs=engine)


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as http:
        yield http


def _time(text: str) -> datetime:
    assert len(text) == len("20240101T120000.123456")
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%f")


def test_a_server_without_jobs(client: httpx.Client) -> None:
    for path in ("/jobs", "/jobs?expand"):
        listed = client.get(path)
        assert (listed.json(), listed.headers["content-type"]) == ([], "application/json; charset=utf-8")


def test_an_unknown_job(client: httpx.Client) -> None:
    unknown = client.get("/jobs/nope")
    assert (unknown.status_code, unknown.content) == (404, b"")
    for command in ("cancel", "pause", "resume", "resubmit"):
        refused = client.post(f"/jobs/nope/{command}")
        assert (refused.status_code, refused.content) == (400, b"")
    deleted = client.delete("/jobs/nope")
    assert deleted.status_code == 404
    assert deleted.headers["content-type"] == "text/plain"
    assert deleted.json() == {
        "Details": "No job found with this id: nope",
        "HttpError": "Not Found",
        "HttpStatus": 404,
        "Message": "Accessing an inexistent item",
        "Method": "DELETE",
        "OrthancError": "Accessing an inexistent item",
        "OrthancStatus": 7,
        "Uri": "/jobs/nope",
    }


def test_methods_of_the_list(client: httpx.Client) -> None:
    refused = client.post("/jobs")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "GET", b"")


def test_every_field_of_a_job_that_succeeded(client: httpx.Client, engine: JobEngine) -> None:
    job_id = engine.submit(Script(("ok",)), priority=10, user_data="mine")
    engine.wait(job_id)
    job = client.get(f"/jobs/{job_id}").json()
    assert _time(job["CreationTime"]) <= _time(job["CompletionTime"]) <= _time(job["Timestamp"])
    assert isinstance(job["EffectiveRuntime"], float)
    for moment in ("CreationTime", "CompletionTime", "Timestamp", "EffectiveRuntime"):
        del job[moment]
    assert job == {
        "Content": {"Description": "REST API", "FailedInstancesCount": 0, "Result": "done"},
        "ErrorCode": 0,
        "ErrorDescription": "Success",
        "ErrorDetails": "",
        "ID": job_id,
        "Priority": 10,
        "Progress": 100,
        "State": "Success",
        "Type": "Script",
        "UserData": "mine",
    }
    assert client.get("/jobs").json() == [job_id]
    (expanded,) = client.get("/jobs?expand").json()
    assert expanded["ID"] == job_id


def test_every_field_of_a_job_that_failed(client: httpx.Client, engine: JobEngine) -> None:
    job_id = engine.submit(Script(("ok", "dimse")))
    until_state(engine, job_id, State.FAILURE)
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["State"], job["Progress"]) == ("Failure", 50)
    assert (job["ErrorCode"], job["ErrorDescription"]) == (9, "Error in the network protocol")
    assert (job["ErrorDetails"], job["ErrorPayload"]) == ("the remote refused", DIMSE_PAYLOAD)
    assert "UserData" not in job


def test_a_running_job_tells_when_it_will_be_done(client: httpx.Client, engine: JobEngine, theatre: Theatre) -> None:
    job_id = engine.submit(Play(steps=12))
    theatre.stage.await_job("play")
    waiting = client.get(f"/jobs/{job_id}").json()
    assert (waiting["State"], waiting["Progress"]) == ("Running", 0)
    assert not waiting.keys() & {"EstimatedTimeOfArrival", "CompletionTime", "ErrorPayload"}
    theatre.stage.let("play")
    theatre.stage.await_job("play", 1)
    running = client.get(f"/jobs/{job_id}").json()
    assert (running["State"], running["Progress"]) == ("Running", 8)
    assert _time(running["EstimatedTimeOfArrival"]) >= _time(running["Timestamp"])


def test_commands(client: httpx.Client, engine: JobEngine, theatre: Theatre) -> None:
    job_id = engine.submit(Play())
    theatre.stage.await_job("play")
    for command, status in (("resume", 400), ("resubmit", 400), ("pause", 200)):
        done = client.post(f"/jobs/{job_id}/{command}", content=b"")
        assert done.status_code == status
        if status == 200:
            assert (done.json(), done.headers["content-type"]) == ({}, "application/json")
    assert client.delete(f"/jobs/{job_id}").status_code == 404
    theatre.stage.let("play")
    until(lambda: client.get(f"/jobs/{job_id}").json()["State"] == "Paused")
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 200
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["State"], job["ErrorCode"], job["ErrorDescription"]) == ("Failure", 37, "This job was canceled")
    deleted = client.delete(f"/jobs/{job_id}")
    assert (deleted.status_code, deleted.content, deleted.headers["content-type"]) == (200, b"", "text/plain")
    assert client.get(f"/jobs/{job_id}").status_code == 404


def test_lists_are_filtered_and_paged(client: httpx.Client, engine: JobEngine) -> None:
    good = engine.run(Script()).job_id
    bad = engine.submit(Script(("refuse",)))
    until_state(engine, bad, State.FAILURE)
    assert client.get("/jobs?state=Failure").json() == [bad]
    assert client.get("/jobs?state=success;Failure&type=Script").json() == [good, bad]
    assert client.get("/jobs?type=Other").json() == []
    assert client.get("/jobs?since=1&limit=5").json() == [bad]
    assert [job["ID"] for job in client.get("/jobs?expand&limit=1").json()] == [good]
    assert client.get("/jobs?state=Nope").status_code == 400
    assert client.get("/jobs?limit=-1").status_code == 400


def test_ended_jobs_are_purged(client: httpx.Client, engine: JobEngine, theatre: Theatre) -> None:
    engine.run(Script())
    bad = engine.submit(Script(("refuse",)))
    until_state(engine, bad, State.FAILURE)
    running = engine.submit(Play())
    theatre.stage.await_job("play")
    assert client.post("/jobs/purge?state=Failure").json() == {"Count": 1}
    assert client.post("/jobs/purge").json() == {"Count": 1}
    assert client.get("/jobs").json() == [running]


def test_files_made_by_jobs(client: httpx.Client, engine: JobEngine) -> None:
    job_id = engine.run(Script(("output",))).job_id
    whole = client.get(f"/jobs/{job_id}/archive")
    assert (whole.content, whole.headers["content-type"]) == (b"step 0", "application/zip")
    assert whole.headers["content-disposition"] == 'filename="Archive.zip"'
    named = client.get(f"/jobs/{job_id}/archive?filename=job.zip")
    assert named.headers["content-disposition"] == 'filename="job.zip"'
    part = client.get(f"/jobs/{job_id}/archive", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"step")
    unknown = client.get(f"/jobs/{job_id}/nope")
    assert (unknown.status_code, unknown.json()["Details"]) == (404, "Job has no such output: nope")
    deleted = client.delete(f"/jobs/{job_id}/archive")
    assert (deleted.status_code, deleted.content, deleted.headers["content-type"]) == (200, b"", "text/plain")
    assert client.get(f"/jobs/{job_id}/archive").json()["Details"] == "Job has no such output: archive"


# -------------------------------------------------------------------------------------------- asking for a job


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        ({}, JobParameters(True)),
        ("text", JobParameters(True)),
        ({"Asynchronous": True}, JobParameters(False)),
        ({"Asynchronous": False}, JobParameters(True)),
        ({"Synchronous": False}, JobParameters(False)),
        ({"Synchronous": True, "Asynchronous": True}, JobParameters(True)),
        ({"Permissive": True, "Priority": -5}, JobParameters(True, True, -5)),
        ({"UserData": {"a": 1}, "MaximumAttempts": 3}, JobParameters(True, user_data={"a": 1}, max_attempts=3)),
        ({"UserData": None}, JobParameters(True)),
    ],
)
def test_what_a_body_says_about_its_job(body: object, parameters: JobParameters) -> None:
    assert parse_parameters(body) == parameters


@pytest.mark.parametrize("name", ["Asynchronous", "Synchronous", "Permissive"])
@pytest.mark.parametrize("value", [1, "yes", None, []])
def test_a_flag_that_is_none(name: str, value: object) -> None:
    with pytest.raises(BadFileFormat, match=f"Boolean value expected in field: {name}"):
        parse_parameters({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Priority", value) for value in ("5", 1.5, None, True, 1 << 31)),
        *(("MaximumAttempts", value) for value in (0, 101, "1", True)),
    ],
)
def test_a_number_that_is_none(name: str, value: object) -> None:
    with pytest.raises(BadFileFormat, match=f"Integer value expected in field: {name}"):
        parse_parameters({name: value})


def _json(services: Services, arguments: object, body: object) -> Any:
    response = answer(services, arguments, parse_parameters(body))
    assert (response.status, response.content_type) == (200, b"application/json; charset=utf-8")
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


def test_a_synchronous_call_is_answered_with_the_content(services: Services) -> None:
    content = _json(services, Script(), {"Synchronous": True})
    assert content == {"Description": "REST API", "FailedInstancesCount": 0, "Result": "done"}
    with pytest.raises(NetworkProtocolError):
        answer(services, Script(("refuse",)), parse_parameters({}))


def test_an_asynchronous_call_is_answered_with_the_job(services: Services, engine: JobEngine) -> None:
    told = _json(services, Script(), {"Asynchronous": True, "Priority": 3, "UserData": [1]})
    assert told == {"ID": told["ID"], "Path": f"/jobs/{told['ID']}"}
    job = engine.wait(told["ID"])
    assert (job.priority, job.user_data) == (3, [1])


def test_attempts_may_be_asked_for(services: Services, engine: JobEngine) -> None:
    told = _json(services, Script(("flaky",)), {"Asynchronous": True, "MaximumAttempts": 2})
    assert until_state(engine, told["ID"], State.RETRY).attempt == 1


# ------------------------------------------------------------------------------------------- a kind: deleting


class Broom:
    """An engine that can delete, and something to delete: two patients of two series of three instances."""

    def __init__(self, folder: Path) -> None:
        self.archive = Archive(open_database(SqliteSettings(folder / "other.db", synchronous=False)), MemoryBlobs())
        for patient in (1, 2):
            for series in (1, 2):
                for instance in (1, 2, 3):
                    store_instance(self.archive, patient, series=series, instance=instance)
        self.engine = JobEngine(self.archive, Kinds([delete_resources(self.archive)]), JobsSettings())

    def ids(self, level: Level) -> list[OrthancId]:
        return list_ids(self.archive, level)


@pytest.fixture
def broom(tmp_path: Path) -> Iterator[Broom]:
    made = Broom(tmp_path)
    yield made
    made.engine.stop(PATIENCE_S)
    made.archive.database.close()


def test_resources_are_deleted_at_every_level(broom: Broom) -> None:
    patient, series = broom.ids(Level.PATIENT)[0], broom.ids(Level.SERIES)[2]
    instance, nowhere = broom.ids(Level.INSTANCE)[9], OrthancId("nowhere")
    job = broom.engine.run(
        DeleteResources(
            (
                Doomed(Level.PATIENT, patient),
                Doomed(Level.STUDY, nowhere),
                Doomed(Level.SERIES, series),
                Doomed(Level.INSTANCE, instance),
                Doomed(Level.INSTANCE, instance),
            )
        )
    )
    assert job.state is State.SUCCESS
    assert job.content["Resources"] == [
        {"ID": patient, "Type": "Patient"},
        {"ID": nowhere, "Type": "Study"},
        {"ID": series, "Type": "Series"},
        {"ID": instance, "Type": "Instance"},
        {"ID": instance, "Type": "Instance"},
    ]
    assert [len(broom.ids(level)) for level in Level] == [1, 1, 1, 2]
    assert list(broom.archive.blobs.scan()) != []
    assert len(list(broom.archive.blobs.scan())) == 2


def test_bulk_deletion_in_the_background(broom: Broom) -> None:
    patient, series = broom.ids(Level.PATIENT)[0], broom.ids(Level.SERIES)[3]
    named = ["nowhere", patient, {"Level": "Series", "ID": series}]
    services = Services(broom.archive, jobs=broom.engine)
    with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        told = client.post("/tools/bulk-delete", json={"Resources": named, "Asynchronous": True}).json()
        broom.engine.start()
        job = broom.engine.wait(told["ID"])
        assert job.content["Resources"] == [{"ID": patient, "Type": "Patient"}, {"ID": series, "Type": "Series"}]
        assert len(broom.ids(Level.SERIES)) == 1
        for wrong in ("text", [1], [{"ID": series}], [{"Level": "Nope", "ID": series}]):
            refused = client.post("/tools/bulk-delete", json={"Resources": wrong})
            assert (refused.status_code, refused.json()["OrthancStatus"]) == (400, 8)
        last = {"Level": "Series", "ID": broom.ids(Level.SERIES)[0]}
        assert client.post("/tools/bulk-delete", json={"Resources": [last]}).content == b""
    assert broom.ids(Level.PATIENT) == []


def test_a_deletion_can_be_ended_between_two_series(broom: Broom) -> None:
    """Ended after the first one: the database tells when it is gone."""
    asked = threading.Event()
    write = broom.archive.database.write

    def write_and_cancel(work: Any) -> Any:
        result = write(work)
        running = broom.engine.identifiers(states=[State.RUNNING])
        if running and len(list_ids(broom.archive, Level.SERIES)) == 3 and not asked.is_set():
            asked.set()
            broom.engine.command(running[0], Command.CANCEL)
        return result

    broom.archive.database.write = write_and_cancel  # type: ignore[method-assign]  # to be there at the moment
    with pytest.raises(JobCanceled):
        broom.engine.run(DeleteResources((Doomed(Level.PATIENT, broom.ids(Level.PATIENT)[0]),)))
    assert len(broom.ids(Level.SERIES)) == 3


def test_a_deletion_goes_on_where_it_was(broom: Broom) -> None:
    one, two = broom.ids(Level.PATIENT)
    job_id = broom.engine.submit(DeleteResources((Doomed(Level.PATIENT, one), Doomed(Level.PATIENT, two))))
    broom.archive.database.write(
        lambda transaction: transaction.run("UPDATE jobs SET checkpoint = '1', done = 1, total = 2")
    )
    broom.engine.start()
    assert broom.engine.wait(job_id).state is State.SUCCESS
    assert broom.ids(Level.PATIENT) == [one]
