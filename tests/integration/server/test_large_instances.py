"""An instance that is larger than the memory it may add: stored, read, archived, transcoded on every way.

What is measured is the largest resident set of the server since it was told to forget the last one, as Linux counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy
import pytest

from tests.integration.server.running import Running, serving
from tests.unit.imaging.builders import image, landscape

ADDED_MB = 64
SIDE, FRAMES = 1024, 96  # of 16 bits: 192 MB
JPEG_LS, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
DEFLATED = "1.2.840.10008.1.2.1.99"
INSTANCE = "studies/1.2.3/series/1.2.3.1/instances/1.2.3.4"
DICOM = "multipart/related;type=application/dicom;transfer-syntax=*"


@contextmanager
def adds_little(server: Running, what: str) -> Iterator[None]:
    """The server grows by less than the bound while something is done."""
    folder = Path(f"/proc/{server.process.pid}")
    before = server.resident_mb()
    (folder / "clear_refs").write_text("5")  # the peak begins anew (proc(5))
    yield
    status = dict(line.split(":", 1) for line in (folder / "status").read_text("utf-8").splitlines())
    peak = int(status["VmHWM"].split()[0]) * 1024 / 1e6
    print(f"{what}: {peak - before:.0f} MB")
    assert peak - before < ADDED_MB, what


def large() -> bytes:
    frame = landscape(SIDE, SIDE, 12)
    return image(numpy.stack([numpy.roll(frame, 31 * number) for number in range(FRAMES)]), BitsStored=12, HighBit=11)


def swallow(client: httpx.Client, path: str) -> int:
    """Download and forget; the number of bytes."""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        return sum(len(chunk) for chunk in answer.iter_raw(1 << 20))


def upload(client: httpx.Client, data: bytes) -> dict[str, str]:
    """In pieces, so that this process is the only one that has it all."""
    pieces = (data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20))
    answer = client.post("/instances", content=pieces, headers={"content-length": str(len(data))})
    found: dict[str, str] = answer.raise_for_status().json()
    return found


@pytest.mark.slow
def test_a_large_instance_adds_little_memory_on_every_way(tmp_path: Path) -> None:
    data = large()
    with (
        serving(tmp_path, {"DicomWeb": {"Enable": True}}) as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
    ):
        client.post("/instances", content=image(landscape(64, 64, 12), SOPInstanceUID="1.2.3.9")).raise_for_status()
        with adds_little(server, "storing"):
            stored = upload(client, data)
        file, series = f"/instances/{stored['ID']}/file", f"/series/{stored['ParentSeries']}"
        with adds_little(server, "reading"):
            assert swallow(client, file) == len(data)
        with adds_little(server, "reading as an array"):
            assert swallow(client, f"/instances/{stored['ID']}/numpy") > len(data)
        with adds_little(server, "reading the pixels"):
            assert swallow(client, f"/instances/{stored['ID']}/content/7fe0-0010/0") == SIDE * SIDE * 2 * FRAMES
        with adds_little(server, "retrieving"):
            assert swallow(client, f"/dicom-web/{INSTANCE}?accept={DICOM}") > len(data)
            assert swallow(client, f"/dicom-web/{INSTANCE}/bulk/7fe00010") > SIDE * SIDE * 2 * FRAMES
        with adds_little(server, "archiving"):
            swallow(client, f"{series}/archive")
        for syntax in (JPEG_LS, DEFLATED):
            with adds_little(server, f"transcoding to {syntax}"):
                swallow(client, f"{file}?transcode={syntax}")
        with adds_little(server, "transcoding into an archive"):
            swallow(client, f"{series}/archive?transcode={RLE}")


@pytest.mark.slow
def test_a_large_instance_that_is_transcoded_on_the_way_in_adds_little_memory(tmp_path: Path) -> None:
    data = large()
    with (
        serving(tmp_path, {"IngestTranscoding": RLE}) as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
    ):
        client.post("/instances", content=image(landscape(64, 64, 12), SOPInstanceUID="1.2.3.9")).raise_for_status()
        with adds_little(server, "transcoding on the way in"):
            stored = upload(client, data)
        assert client.get(f"/instances/{stored['ID']}/metadata/TransferSyntax").text == RLE
        with adds_little(server, "transcoding back"):
            assert swallow(client, f"/instances/{stored['ID']}/file?transcode=1.2.840.10008.1.2.1") > SIDE * SIDE * 2


@pytest.mark.slow
def test_compressing_a_large_file_adds_little_memory(tmp_path: Path) -> None:
    data = large()
    with (
        serving(tmp_path, {"StorageCompression": True}) as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
    ):
        client.post("/instances", content=image(landscape(64, 64, 12), SOPInstanceUID="1.2.3.9")).raise_for_status()
        with adds_little(server, "compressing on the way in"):
            stored = upload(client, data)
        attachment = f"/instances/{stored['ID']}/attachments/dicom"
        for operation in ("uncompress", "compress", "verify-md5"):
            with adds_little(server, operation):
                client.post(f"{attachment}/{operation}").raise_for_status()
        with adds_little(server, "inflating"):
            assert swallow(client, f"{attachment}/data") == len(data)
