"""How much memory the server needs."""

from __future__ import annotations

from pathlib import Path

from tests.integration.server.dicom_client import Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, serving

AT_REST_MB = 120


def test_at_rest_it_needs_less_than_120_mb(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with server.client() as client, Peer(server.dicom_port, AE_TITLE) as peer:
            assert client.get("/system").status_code == 200
            peer.associate()
            assert peer.store(Instance(1)) == 0
        print(f"{server.resident_mb():.0f} MB at rest")
        assert server.resident_mb() < AT_REST_MB
