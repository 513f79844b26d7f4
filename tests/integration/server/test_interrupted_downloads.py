"""A client that goes away in the middle of a download leaves nothing working for it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest

from tests.integration.server.running import Running, serving
from tests.unit.imaging.builders import image

CUTS = 40
CUT_AFTER = 25_000
THREADS = 2
INSTANCES = 12


def cut(server: Running, path: str) -> None:
    """Ask, take some of the answer and go away."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.http_port}\r\n\r\n".encode())
        received = 0
        while received < CUT_AFTER:
            data = connection.recv(CUT_AFTER - received)
            assert data, "the answer is shorter than what was to be cut"
            received += len(data)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_downloads_that_are_cut_keep_no_thread_and_no_job(tmp_path: Path, is_streamed: bool) -> None:
    options = {"HttpThreadsCount": THREADS, "SynchronousZipStream": is_streamed, "DicomWeb": {"Enable": True}}
    with serving(tmp_path, options) as server, server.client() as client:
        noise = numpy.random.default_rng(1)
        for number in range(INSTANCES):
            samples = noise.integers(0, 1 << 16, (1024, 1024), numpy.uint16)
            stored = client.post("/instances", content=image(samples, SOPInstanceUID=f"1.2.3.1.{number}")).json()
        instance, series = stored["ID"], stored["ParentSeries"]
        paths = [
            f"/series/{series}/archive",
            f"/series/{series}/media",
            f"/series/{series}/archive?transcode=1.2.840.10008.1.2.1.99",
            "/dicom-web/studies/1.2.3/series/1.2.3.1",
            f"/instances/{instance}/file",
        ]
        for number in range(CUTS):
            cut(server, paths[number % len(paths)])
            assert client.get("/system").status_code == 200
        with ThreadPoolExecutor(THREADS) as threads:  # a thread that still worked would be missing here
            sizes = list(threads.map(lambda _: len(client.get(paths[0]).raise_for_status().content), range(THREADS)))
        assert len(set(sizes)) == 1
        assert client.get("/statistics").json()["CountInstances"] == INSTANCES
        jobs = client.get("/jobs?expand").json()
        assert [job["ID"] for job in jobs if job["State"] in ("Running", "Pending")] == []
    assert "Traceback" not in server.log
