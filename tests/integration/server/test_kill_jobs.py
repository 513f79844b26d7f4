"""Jobs of a real server over `kill -9`: none that was acknowledged is lost, none has its effects twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.integration.server.instances import Instance
from tests.integration.server.running import Running, serving

JOBS = 100


@contextmanager
def running(folder: Path, options: dict[str, object]) -> Iterator[tuple[Running, httpx.Client]]:
    with serving(folder, options) as server, server.client() as client:
        yield server, client


def test_of_a_hundred_jobs_none_is_lost_and_none_done_twice(tmp_path: Path, shared_options: dict[str, object]) -> None:
    """Killed 0 to 100 ms after an acknowledgement until all are, then three times while it works."""
    moments = random.Random(18)
    options = shared_options | {"JobsHistorySize": 2 * JOBS, "ConcurrentJobs": 4}
    acknowledged: list[str] = []
    with running(tmp_path, options) as (_, client):
        originals = {
            client.post("/instances", content=Instance(number, study=study).file()).json()["ParentStudy"]
            for study in (1, 2, 3)
            for number in (1, 2, 3)
        }
    while len(acknowledged) < JOBS:
        with running(tmp_path, options) as (server, client):
            for number in range(min(moments.randrange(10, 40), JOBS - len(acknowledged))):
                study = sorted(originals)[number % 3]
                asked = client.post(f"/studies/{study}/anonymize", json={"Asynchronous": True})
                acknowledged.append(asked.json()["ID"])
            time.sleep(moments.uniform(0, 0.1))  # the moment is what is tested, not waited for
            server.kill()
    for _ in range(3):
        with running(tmp_path, options) as (server, _):
            time.sleep(moments.uniform(0, 0.1))
            server.kill()
    with running(tmp_path, options) as (_, client):
        found: dict[str, dict[str, Any]] = {}  # JSON of any kind
        while not found or {"Pending", "Running", "Retry"} & {job["State"] for job in found.values()}:
            found = {job["ID"]: job for job in client.get("/jobs?expand").json()}
        assert set(acknowledged) == found.keys()
        assert {job["State"] for job in found.values()} == {"Success"}
        made = {job["Content"]["ID"] for job in found.values()}
        assert len(made) == JOBS
        assert set(client.get("/studies").json()) == originals | made
        assert client.get("/statistics").json()["CountInstances"] == 3 * (JOBS + len(originals))
