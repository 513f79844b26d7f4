"""How much memory the server needs.

`AMONSUL_TEST_STUDY_MB=2048 pytest tests/integration/server/test_memory.py` sends studies of two gigabytes.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.integration.server.dicom_client import Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, serving

AT_REST_MB = 120
INSTANCE_MB = 64
INSTANCES = int(os.environ.get("AMONSUL_TEST_STUDY_MB", "256")) // INSTANCE_MB


def test_at_rest_it_needs_less_than_120_mb(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with server.client() as client, Peer(server.dicom_port, AE_TITLE) as peer:
            assert client.get("/system").status_code == 200
            peer.associate()
            assert peer.store(Instance(1)) == 0
        print(f"{server.resident_mb():.0f} MB at rest")
        assert server.resident_mb() < AT_REST_MB


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        'multipart/related; type="application/dicom"',
        "application/zip",
    ],
)
def test_a_study_is_sent_in_little_memory(tmp_path: Path, accept: str) -> None:
    with serving(tmp_path) as server, server.client() as client:
        for number in range(1, INSTANCES + 1):
            head = Instance(number, size=INSTANCE_MB << 20).file()[: -INSTANCE_MB << 20]
            body = head + random.randbytes(INSTANCE_MB << 20)  # what no ZIP archive makes smaller
            assert client.post("/instances", content=body).status_code == 200
        url = f"/dicom-web/studies/{Instance(1).study_instance_uid}"
        assert client.get(f"{url}/metadata").status_code == 200
        server.forget_peak()
        before_mb = server.resident_mb()
        with client.stream("GET", url, headers={"accept": accept}) as answer:
            assert answer.status_code == 200
            received = sum(map(len, answer.iter_raw(1 << 20)))
        assert received > INSTANCES * INSTANCE_MB << 20
        print(f"{received >> 20} MB were sent with {server.peak_mb() - before_mb:.0f} MB more")
        assert server.peak_mb() - before_mb < 64
