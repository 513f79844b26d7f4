"""Several processes of one installation: what clients set at one holds for all, until the last of them ends; and what
one leaves undone another finishes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.server.instances import Instance
from tests.integration.server.running import serving

PEER = ["http://127.0.0.1:1/"]


@pytest.fixture
def options(shared_options: dict[str, object]) -> dict[str, object]:
    """One configuration for all of them."""
    return {
        **shared_options,
        "OrthancPeers": {"configured": PEER},
        "DicomModalities": {"configured": ["AET", "127.0.0.1", 104]},
    }


def remotes(client: httpx.Client) -> tuple[list[str], list[str]]:
    return client.get("/peers").json(), client.get("/modalities").json()


def test_remotes_and_switches_hold_until_the_last_process_ends(tmp_path: Path, options: dict[str, object]) -> None:
    with serving(tmp_path / "one", options) as one, one.client() as at_one:
        at_one.put("/peers/added", json=PEER).raise_for_status()
        at_one.delete("/modalities/configured").raise_for_status()
        at_one.put("/tools/default-encoding", content="Greek").raise_for_status()
        with serving(tmp_path / "two", options) as two, two.client() as at_two:
            assert remotes(at_two) == (["added", "configured"], [])
            assert at_two.get("/tools/default-encoding").text == "Greek"
            assert at_one.get("/tools/default-encoding").text == "Greek"
            at_two.put("/modalities/another", json=["B", "127.0.0.1", 105]).raise_for_status()
            assert one.stop() == 0
            assert remotes(at_two) == (["added", "configured"], ["another"])
            with serving(tmp_path / "one", options) as again, again.client() as client:
                assert remotes(client) == remotes(at_two)
                two.kill()
                assert remotes(client) == (["added", "configured"], ["another"])
                assert again.stop() == 0
    with serving(tmp_path / "one", options) as anew, anew.client() as client:
        assert remotes(client) == (["configured"], ["configured"])
        assert client.get("/tools/default-encoding").text == "Latin1"


def test_a_killed_server_leaves_nothing_to_the_next_run(tmp_path: Path, options: dict[str, object]) -> None:
    with serving(tmp_path, options) as server, server.client() as client:
        client.put("/peers/added", json=PEER).raise_for_status()
        server.kill()
    with serving(tmp_path, options) as server, server.client() as client:
        assert remotes(client) == (["configured"], ["configured"])


JOBS, EACH = 20, 12


class Receiver(ThreadingHTTPServer):
    """A peer that takes the first instances of every study and then makes everybody wait until it is told otherwise.

    Attributes:
        taken: how often it took each instance, by its bytes.
        waiting: studies of which somebody waits.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, instances: list[Instance]) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.known = {instance.file(): instance for instance in instances}
        self.taken: Counter[bytes] = Counter()
        self.waiting: set[int] = set()
        self.changed = threading.Condition()
        self.is_open = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def take(self, body: bytes) -> None:
        """Take an instance, now or later."""
        study = self.known[body].study
        with self.changed:
            if sum(count for file, count in self.taken.items() if self.known[file].study == study) >= EACH // 3:
                self.waiting.add(study)
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.is_open)
            self.taken[body] += 1

    def wait_for_everybody(self) -> None:
        """Return when all jobs are in the middle."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.waiting) == JOBS, timeout=100)

    def open(self) -> None:
        """Let everybody go on."""
        with self.changed:
            self.is_open = True
            self.changed.notify_all()


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
        except OSError:  # the sender was killed
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving(instances: list[Instance]) -> Iterator[Receiver]:
    receiver = Receiver(instances)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.open()
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def test_another_process_finishes_the_jobs_of_one_that_was_killed_amid_them(
    tmp_path: Path, options: dict[str, object]
) -> None:
    studies = {study: [Instance(number, study=study) for number in range(EACH)] for study in range(JOBS)}
    options |= {"ConcurrentJobs": JOBS, "JobsHistorySize": 2 * JOBS}
    with (
        receiving([instance for instances in studies.values() for instance in instances]) as receiver,
        serving(tmp_path / "doomed", options) as doomed,
        doomed.client() as client,
    ):
        client.put("/peers/held", json=[receiver.url]).raise_for_status()
        acknowledged: dict[str, int] = {}
        for instances in studies.values():
            for instance in instances:
                study = client.post("/instances", content=instance.file()).json()["ParentStudy"]
            asked = client.post("/peers/held/store", json={"Resources": [study], "Asynchronous": True})
            acknowledged[asked.json()["ID"]] = sum(len(instance.file()) for instance in instances)
        receiver.wait_for_everybody()
        with serving(tmp_path / "heir", options) as heir, heir.client() as there:
            assert {job["State"] for job in there.get("/jobs?expand").json()} == {"Running"}
            doomed.kill()
            receiver.open()
            found: dict[str, dict[str, Any]] = {}  # JSON of any kind
            while not found or {"Pending", "Running", "Retry"} & {job["State"] for job in found.values()}:
                found = {job["ID"]: job for job in there.get("/jobs?expand").json()}
            assert found.keys() == acknowledged.keys()
            assert {job["State"] for job in found.values()} == {"Success"}
            for job_id, job in found.items():
                content = job["Content"]
                assert (content["InstancesCount"], content["FailedInstancesCount"]) == (EACH, 0)
                assert int(content["Size"]) == acknowledged[job_id]
            assert receiver.taken.keys() == receiver.known.keys()
            assert max(receiver.taken.values()) <= 2
