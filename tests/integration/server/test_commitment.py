"""Storage commitment of the whole server, with pynetdicom and Orthanc on the other side."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import httpx
import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from tests.integration.clients.peers import PATIENCE_S, free_port, orthanc, port_of, serve
from tests.integration.server.instances import SOP_CLASS_UID, Instance
from tests.integration.server.running import AE_TITLE, Running, serving

PUSH_MODEL, PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


@contextlib.contextmanager
def archive_of_others(
    asked: SimpleQueue[Dataset], on_asked: Callable[[Event], None] = lambda _event: None
) -> Iterator[int]:
    """A system that takes instances and requests for commitment; its port."""
    entity = AE("OTHER")
    entity.add_supported_context(PUSH_MODEL)
    entity.add_supported_context(SOP_CLASS_UID, "1.2.840.10008.1.2.1")

    def on_action(event: Event) -> tuple[int, Dataset | None]:
        asked.put(event.action_information)
        on_asked(event)
        return 0, None

    with serve(entity, [(evt.EVT_N_ACTION, on_action), (evt.EVT_C_STORE, lambda _event: 0)]) as server:
        yield port_of(server)


def tell(port: int, report: Dataset) -> None:
    """Report on a commitment, on an association of its own."""
    entity = AE("OTHER")
    entity.add_requested_context(PUSH_MODEL)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    status, _ = association.send_n_event_report(report, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assert status.Status == 0
    association.release()


def options(port: int) -> dict[str, object]:
    return {"DicomModalities": {"other": ["OTHER", "127.0.0.1", port]}}


def until_answered(client: httpx.Client, path: str) -> dict[str, object]:
    """The report, when it is there; no test passes by the time that takes."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found: dict[str, object] = client.get(path).raise_for_status().json()
        if found["Status"] != "Pending":
            return found
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between questions; nothing is decided by it


def store(server: Running, *instances: Instance) -> None:
    for instance in instances:
        httpx.post(f"{server.url}/instances", content=instance.file()).raise_for_status()


def test_a_crash_between_request_and_report_loses_nothing(tmp_path: Path) -> None:
    asked: SimpleQueue[Dataset] = SimpleQueue()
    one, two = Instance(1), Instance(2)
    with archive_of_others(asked) as port:
        with serving(tmp_path, options(port)) as server, server.client() as client:
            store(server, one, two)
            sent = client.post(
                "/modalities/other/store", json={"Resources": [one.orthanc_id], "StorageCommitment": True}
            )
            transaction = sent.raise_for_status().json()["StorageCommitmentTransactionUID"]
            path = f"/storage-commitment/{transaction}"
            assert client.get(path).json() == {"RemoteAET": "OTHER", "Status": "Pending"}
            assert client.post(f"{path}/remove").status_code == 500
            server.kill()
        report = asked.get(timeout=PATIENCE_S)
        assert report.TransactionUID == transaction
        with serving(tmp_path, options(port)) as server, server.client() as client:
            tell(server.dicom_port, report)
            found = client.get(path).json()
            uids = {"SOPClassUID": SOP_CLASS_UID, "SOPInstanceUID": one.sop_instance_uid}
            assert found == {"RemoteAET": "OTHER", "Status": "Success", "Success": [uids], "Failures": []}
            assert client.post(f"{path}/remove").status_code == 200
            assert client.get("/instances").json() == [two.orthanc_id]


def test_a_report_may_come_on_the_association_of_the_request(tmp_path: Path) -> None:
    asked: SimpleQueue[Dataset] = SimpleQueue()
    statuses: SimpleQueue[int] = SimpleQueue()

    def report(event: Event) -> None:
        association, told = event.assoc, event.action_information

        def send() -> None:
            status, _ = association.send_n_event_report(told, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
            statuses.put(int(status.get("Status", -1)))

        threading.Thread(target=send, daemon=True).start()

    with archive_of_others(asked, report) as port, serving(tmp_path, options(port)) as server:
        store(server, Instance(1))
        with server.client() as client:
            answer = client.post("/modalities/other/storage-commitment", json={"Resources": [Instance(1).orthanc_id]})
            path = answer.raise_for_status().json()["Path"]
            assert statuses.get(timeout=PATIENCE_S) == 0
            assert until_answered(client, path)["Status"] == "Success"


def test_a_remote_that_is_away_is_no_transaction(tmp_path: Path) -> None:
    with serving(tmp_path, options(free_port())) as server, server.client() as client:
        store(server, Instance(1))
        body = {"Resources": [Instance(1).orthanc_id]}
        assert client.post("/modalities/other/storage-commitment", json=body).status_code == 500


@contextlib.contextmanager
def both(folder: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of our server and of Orthanc; each of these knows the other."""
    port, http_port = free_port(), free_port()
    known: dict[str, object] = {"DicomModalities": {"amonsul": [AE_TITLE, "127.0.0.1", port]}}
    with orthanc(folder / "orthanc", options=known, http_port=http_port) as modality:
        ours = {"DicomModalities": {"orthanc": ["ORTHANC", "127.0.0.1", modality.port]}, "DicomPort": port}
        with (
            serving(folder / "ours", ours) as server,
            server.client() as client,
            httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=PATIENCE_S) as theirs,
        ):
            yield client, theirs


def commit(client: httpx.Client, name: str, instance: Instance) -> dict[str, object]:
    """Ask another for a commitment, and wait for its report."""
    named = {"SOPClassUID": SOP_CLASS_UID, "SOPInstanceUID": instance.sop_instance_uid}
    answer = client.post(f"/modalities/{name}/storage-commitment", json={"DicomInstances": [named]})
    return until_answered(client, answer.raise_for_status().json()["Path"])


@pytest.mark.parametrize("we_ask", [True, False])
def test_orthanc_and_we_commit_to_each_other(tmp_path: Path, we_ask: bool) -> None:
    here, nowhere = Instance(1), Instance(2)
    with both(tmp_path) as (ours, theirs):
        asker, asked, name = (ours, theirs, "orthanc") if we_ask else (theirs, ours, "amonsul")
        asked.post("/instances", content=here.file()).raise_for_status()
        assert commit(asker, name, here)["Status"] == "Success"
        failed = commit(asker, name, nowhere)
        assert failed["Status"] == "Failure"
        failures = failed["Failures"]
        assert isinstance(failures, list)
        assert [failure["FailureReason"] for failure in failures] == [0x0112]
