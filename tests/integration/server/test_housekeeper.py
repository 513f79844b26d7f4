"""A real server whose settings changed: killed in the middle, its housekeeper goes on and loses nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import httpx
import pydicom

from tests.integration.rest.dicom_files import dicom_file
from tests.integration.server.running import run_cli, serving

SERIES = 8
PATIENCE_S = 120.0
"""Longest wait for something that must happen; no test passes or fails by it."""
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
CHANGED: Mapping[str, object] = {
    "StorageCompression": True,
    "IngestTranscoding": JPEG_LOSSLESS,
    "ExtraMainDicomTags": {"Instance": ["Rows"]},
    "Housekeeper": {"Enable": True, "ThrottleDelay": 1},
}


def processed(client: httpx.Client) -> int:
    """Change up to which everything has its form."""
    status = client.get("/housekeeper/status").json()
    assert set(status) >= {"LastChangeToProcess", "LastProcessedConfiguration", "LastTimeStarted"}
    return int(status["LastProcessedChange"])


def pixels(client: httpx.Client) -> dict[str, bytes]:
    """Of all instances."""
    return {
        instance: pydicom.dcmread(BytesIO(client.get(f"/instances/{instance}/file").content)).pixel_array.tobytes()
        for instance in client.get("/instances").json()
    }


def test_changed_settings_reach_what_is_stored_over_a_kill(tmp_path: Path, shared_options: dict[str, object]) -> None:
    with serving(tmp_path, shared_options) as server, server.client() as client:
        assert client.get("/housekeeper/status").status_code == 404
        for number in range(1, SERIES + 1):
            file = dicom_file(series=number, instance=number, pixels=16)
            assert client.post("/instances", content=file).status_code == 200
        before = pixels(client)
        assert server.stop() == 0
    options = {**shared_options, **CHANGED}
    with serving(tmp_path, options) as server, server.client() as client:
        give_up = time.monotonic() + PATIENCE_S
        while processed(client) == 0:
            assert time.monotonic() < give_up
        assert pixels(client) == before
        server.kill()
    in_haste = {**options, "Housekeeper": {"Enable": True, "ThrottleDelay": 0}}
    with serving(tmp_path, in_haste) as server, server.client() as client:
        give_up = time.monotonic() + PATIENCE_S
        while client.get("/housekeeper/status").json()["JobID"] is not None:
            assert time.monotonic() < give_up
        assert pixels(client) == before
        for instance in before:
            assert client.get(f"/instances/{instance}/metadata/TransferSyntax").text == JPEG_LOSSLESS
            assert client.get(f"/instances/{instance}/attachments/dicom/is-compressed").text == "1"
            assert client.get(f"/instances/{instance}").json()["MainDicomTags"]["Rows"] == "16"
        configuration = client.get("/housekeeper/status").json()["LastProcessedConfiguration"]
        assert (configuration["IngestTranscoding"], configuration["StorageCompressionEnabled"]) == (JPEG_LOSSLESS, True)
        assert server.stop() == 0
    checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
