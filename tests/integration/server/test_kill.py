"""Killed at a random moment under load, the server has lost nothing that it acknowledged, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.server.instances import Instance
from tests.integration.server.oracle import NOTHING_WRONG, Clients, Oracle
from tests.integration.server.running import run_cli, serving

ROUNDS = 10


@pytest.mark.slow
def test_a_kill_under_load_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("AMONSUL_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"AMONSUL_TEST_SEED={seed}")
    chance = random.Random(seed)
    oracle = Oracle()
    for number in range(ROUNDS):
        with serving(tmp_path) as server:
            clients = Clients(server, oracle, first_patient=1 + 100 * number)
            clients.start(rest_writers=4, dicom_writers=4, deleters=1)
            clients.wait_for_acks(1)
            time.sleep(chance.uniform(0.1, 1.5))  # the moment is the point: any will do
            server.kill()
            clients.stop()
        assert oracle.unexpected == []
        with serving(tmp_path) as server, server.client() as client:
            whole = number == ROUNDS - 1
            found = oracle.compare(client, of_patients_from=0 if whole else 1 + 100 * number)
            assert found == NOTHING_WRONG, f"seed {seed}, round {number}"
            instances = set(client.get("/instances").json())
            assert client.get("/statistics").json()["CountInstances"] == len(instances)
            assert server.stop() == 0
        checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
        assert checked.returncode == 0, f"seed {seed}, round {number}: {checked.stdout}"
        assert list((tmp_path / "storage").rglob("*.tmp")) == []
    print(f"{len(oracle.sent)} sent, {len(oracle.acked)} acknowledged, {len(oracle.deleted)} deleted in {ROUNDS} kills")


@pytest.mark.slow
def test_a_graceful_stop_under_load_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    oracle = Oracle()
    with serving(tmp_path) as server:
        clients = Clients(server, oracle, first_patient=1)
        clients.start(rest_writers=4, dicom_writers=4, deleters=1)
        clients.wait_for_acks(200)
        assert server.stop() == 0
        clients.stop()
    checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    with serving(tmp_path) as server, server.client() as client:
        assert oracle.compare(client) == NOTHING_WRONG
        # What was in progress was either finished and told, or not begun.
        assert set(client.get("/instances").json()) - oracle.deleting == oracle.acked - oracle.deleting


@pytest.mark.slow
def test_an_import_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    count = 1500
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05d}.dcm").write_bytes(Instance(number, size=2048).file())
    (tmp_path / "configuration.json").write_text('{"StorageDirectory": "storage"}')
    command = [sys.executable, "-m", "amonsul.cli", "import", "images", "configuration.json"]
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    blobs = tmp_path / "storage" / "blobs"
    while killed.poll() is None and sum(1 for _file in blobs.glob("*/*/*")) < 100:
        time.sleep(0.01)  # it has begun when there are some
    killed.kill()
    killed.wait()
    again = run_cli("import", "images", "configuration.json", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    checked = run_cli("fsck", "--md5", "configuration.json", cwd=tmp_path)
    assert (checked.returncode, "0 differences" in checked.stdout) == (0, True), checked.stdout
    assert sum(1 for _file in blobs.glob("*/*/*")) == count
