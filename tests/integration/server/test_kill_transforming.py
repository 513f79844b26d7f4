"""A server that is killed while it anonymises goes on at the next start: no instance twice, none missing."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.integration.rest.dicom_files import dicom_file
from tests.integration.server.running import run_cli, serving

INSTANCES = 100


@pytest.mark.slow
@pytest.mark.parametrize("keep_source", [True, False], ids=["keeping", "moving"])
def test_an_anonymisation_survives_kills(tmp_path: Path, keep_source: bool) -> None:
    chance = random.Random(1)
    with serving(tmp_path) as server, server.client() as client:
        for number in range(INSTANCES):
            stored = client.post("/instances", content=dicom_file(instance=number + 1)).raise_for_status().json()
        request = {"Asynchronous": True, "KeepSource": keep_source}
        answer = client.post(f"/studies/{stored['ParentStudy']}/anonymize", json=request)
        job = answer.raise_for_status().json()["Path"]
        time.sleep(chance.uniform(0, 0.5))  # the moment is the point: any will do
        server.kill()
    for _ in range(2):
        with serving(tmp_path) as server:
            time.sleep(chance.uniform(0, 0.3))
            server.kill()

    with serving(tmp_path) as server, server.client() as client:
        while (state := client.get(job).json())["State"] in ("Pending", "Running", "Retry"):
            time.sleep(0.05)
        assert state["State"] == "Success", state
        assert client.get(f"{state['Content']['Path']}/statistics").json()["CountInstances"] == INSTANCES
        assert client.get("/statistics").json()["CountInstances"] == INSTANCES * (1 + keep_source)
        changes = client.get("/changes?limit=10000").json()["Changes"]
        assert [each["ChangeType"] for each in changes].count("AnonymizedStudy") == 1
        assert server.stop() == 0
    checked = run_cli("fsck", str(tmp_path / "configuration.json"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
