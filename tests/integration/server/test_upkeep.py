"""What a real server does by itself: stable resources over a restart, webhooks, starting again, large limits."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import httpx

from tests.contract.dicom_files import instance_file
from tests.integration.server.running import START_S, Running, serving

SECRET = "a long random text"


def wait_for_change(client: httpx.Client, change_type: str, orthanc_id: str) -> None:
    """Return when the log tells a change of a resource."""
    with client.stream("GET", f"/changes/stream?since=0&type={change_type}", timeout=START_S) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:])["ID"] == orthanc_id:
                return
    raise AssertionError("the stream ended")


def stable_changes(client: httpx.Client) -> list[str]:
    page = client.get("/changes?type=StableSeries;StableStudy;StablePatient").json()
    return sorted(change["ChangeType"] for change in page["Changes"])


def test_a_restart_neither_loses_nor_repeats_that_a_resource_is_stable(tmp_path: Path) -> None:
    options = {"StableAge": 1}
    with serving(tmp_path, options) as server, server.client() as client:
        first = client.post("/instances", content=instance_file(1)).json()["ParentPatient"]
        wait_for_change(client, "StablePatient", first)
        second = client.post("/instances", content=instance_file(2)).json()["ParentPatient"]
        server.kill()
    with serving(tmp_path, options) as server, server.client() as client:
        wait_for_change(client, "StablePatient", second)
        third = client.post("/instances", content=instance_file(3)).json()["ParentPatient"]
        wait_for_change(client, "StablePatient", third)
        assert stable_changes(client) == ["StablePatient"] * 3 + ["StableSeries"] * 3 + ["StableStudy"] * 3
        assert client.get(f"/patients/{first}").json()["IsStable"]
        assert server.stop() == 0


def wait_until_ready_again(server: Running) -> None:
    with server._said:
        assert server._said.wait_for(
            lambda: sum("is ready" in line for line in server.lines) == 2 or server._ended(), timeout=START_S
        )
    assert not server._ended(), server.log


def test_a_server_starts_again_on_request_with_what_its_files_say(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with server.client() as client:
            stored = client.post("/instances", content=instance_file(1)).json()
            assert client.put("/tools/default-encoding", content=b"Utf8").text == "Utf8"
            assert client.post("/tools/reset").json() == {}
        wait_until_ready_again(server)
        with server.client() as client:
            assert client.get("/tools/default-encoding").text == "Latin1"
            assert client.get(stored["Path"]).status_code == 200
            assert client.post("/tools/shutdown").json() == {}
        assert server.process.wait(START_S) == 0


@contextmanager
def receiving() -> Iterator[tuple[str, Queue[tuple[bool, list[str]]]]]:
    """A receiver of webhooks: its URL, and for each request whether it is genuine and the types of changes."""
    told: Queue[tuple[bool, list[str]]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signed = self.headers["X-Amonsul-Timestamp"].encode() + b"." + body
            expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            is_genuine = hmac.compare_digest(self.headers["X-Amonsul-Signature"], expected)
            self.send_response(204)
            self.end_headers()
            told.put((is_genuine, [change["ChangeType"] for change in json.loads(body)["Changes"]]))

        def log_message(self, *_: object) -> None:
            pass

    receiver = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{receiver.server_address[1]}/changed", told
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def let_leases_end(folder: Path) -> None:
    """A minute later: what the servers that are gone held for themselves is free."""
    with contextlib.closing(sqlite3.connect(folder / "storage" / "index.db")) as index, index:
        index.execute("UPDATE webhooks SET lease = 0")


def test_a_webhook_is_told_what_happened_while_the_server_was_killed(tmp_path: Path) -> None:
    with receiving() as (url, told):
        hook = {"Url": url, "Secret": SECRET, "Types": ["NewStudy", "UpdatedMetadata"]}
        options = {"Amonsul": {"Webhooks": {"ris": hook}}}
        with serving(tmp_path, options) as server, server.client() as client:
            study = client.post("/instances", content=instance_file(1)).json()["ParentStudy"]
            assert told.get(timeout=START_S) == (True, ["NewStudy"])
        let_leases_end(tmp_path)
        with socket.socket() as nobody, contextlib.ExitStack() as stack:
            nobody.bind(("127.0.0.1", 0))  # and does not listen, nor can anybody else
            nowhere = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
            away = {"Amonsul": {"Webhooks": {"ris": {**hook, "Url": nowhere}}}}
            server = stack.enter_context(serving(tmp_path, away))
            client = stack.enter_context(server.client())
            client.put(f"/studies/{study}/metadata/1024", content=b"x")
            server.wait_for("is tried again")
            client.delete(f"/studies/{study}")
            server.kill()
        let_leases_end(tmp_path)
        with serving(tmp_path, options):
            # Delivery is at least once: what the first server told just before it ended may be told again, in order.
            assert told.get(timeout=START_S) in (
                (True, ["UpdatedMetadata"]),
                (True, ["NewStudy", "UpdatedMetadata"]),
            )
