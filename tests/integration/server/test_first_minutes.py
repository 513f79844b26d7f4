"""What a new user does: send a folder with storescu, look at what it became, import, check, delete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, run_cli, serving

NAMES = ("CT_small.dcm", "MR_small.dcm", "SC_rgb_small_odd.dcm", "examples_overlay.dcm")


def folder_of_images(tmp_path: Path) -> Path:
    """A folder with a few of pydicom's files."""
    folder = tmp_path / "images" / "below"
    folder.mkdir(parents=True)
    for name in NAMES:
        found = get_testdata_file(name)
        assert isinstance(found, str)
        shutil.copy(found, folder / name)
    return folder.parent


def test_storescu_of_a_folder_then_reading_it_back(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    with serving(tmp_path, None, "--trace") as server, server.client() as client:
        port = str(server.dicom_port)
        storescu = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
        assert storescu, "DCMTK is not installed"
        sent = subprocess.run(
            [storescu, "-aec", AE_TITLE, "+sd", "+r", "127.0.0.1", port, str(images)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (sent.returncode, sent.stderr) == (0, "")
        instances = client.get("/instances", params={"expand": ""}).json()
        assert len(instances) == len(NAMES)
        ct = dcmread(images / "below" / "CT_small.dcm")
        (found,) = client.post(
            "/tools/find", json={"Level": "Instance", "Query": {"SOPInstanceUID": ct.SOPInstanceUID}}
        ).json()
        tags = client.get(f"/instances/{found}/simplified-tags").json()
        assert tags["PatientID"] == ct.PatientID
        (tmp_path / "copy.dcm").write_bytes(client.get(f"/instances/{found}/file").content)
        assert dcmread(tmp_path / "copy.dcm").PixelData == ct.PixelData
        study = client.get(f"/instances/{found}/study").json()
        assert client.delete(f"/studies/{study['ID']}").status_code == 200
        assert client.get(f"/instances/{found}").status_code == 404
        assert client.get("/statistics").json()["CountInstances"] == len(NAMES) - 1
        assert str(ct.PatientName) not in server.log
        assert str(ct.PatientID) not in server.log


def test_no_patient_data_and_no_password_is_in_the_log(tmp_path: Path) -> None:
    options = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "canary-password"}}
    with serving(tmp_path, options, "--trace") as server, server.client() as client:
        alice = ("alice", "canary-password")
        assert client.post("/instances", content=Instance(1).file(), auth=alice).status_code == 200
        assert client.post("/instances", content=Instance(1).file()[:-100], auth=alice).status_code == 400
        assert client.post("/tools/find", content=b'{"CANARY', auth=alice).status_code == 400
        assert client.get("/instances/CANARY^PATIENT", auth=("alice", "canary-wrong")).status_code == 401
        server.stop()
    for canary in ("CANARY", "canary", "YWxpY2U6"):
        assert canary not in server.log


def test_an_import_is_counted_and_can_be_repeated(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    (images / "notes.txt").write_text("not DICOM")
    (images / "empty").touch()
    (tmp_path / "configuration.json").write_text('{"StorageDirectory": "storage"}')
    first = run_cli("import", "images", "configuration.json", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert _counts(first.stdout) == {"files read": 6, "stored": 4, "stored already": 0, "not DICOM": 2, "failed": 0}
    again = run_cli("import", "images", "configuration.json", cwd=tmp_path)
    assert _counts(again.stdout)["stored already"] == 4
    checked = run_cli("fsck", "--md5", "configuration.json", cwd=tmp_path)
    assert (checked.returncode, "0 differences" in checked.stdout) == (0, True)


def test_an_import_beside_a_running_server_shows_in_it(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    with serving(tmp_path) as server, server.client() as client:
        imported = run_cli("import", str(images), str(tmp_path / "configuration.json"), cwd=tmp_path)
        assert imported.returncode == 0, imported.stderr
        assert client.get("/statistics").json()["CountInstances"] == len(NAMES)


def test_fsck_finds_both_ways_and_repairs(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path)
    (tmp_path / "configuration.json").write_text('{"StorageDirectory": "storage"}')
    assert run_cli("import", str(images), "configuration.json", cwd=tmp_path).returncode == 0
    blobs = [file for file in (tmp_path / "storage" / "blobs").rglob("*") if file.is_file()]
    assert len(blobs) == len(NAMES)
    shutil.copy(blobs[0], blobs[0].with_name(blobs[0].name[:-12] + "0" * 12))
    blobs[1].unlink()
    found = run_cli("fsck", "configuration.json", cwd=tmp_path)
    assert found.returncode == 1
    assert "missing: " in found.stdout
    assert "orphan: " in found.stdout
    assert run_cli("fsck", "--repair", "configuration.json", cwd=tmp_path).returncode == 0
    assert run_cli("fsck", "--md5", "configuration.json", cwd=tmp_path).returncode == 0


def _counts(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        name, _, count = line.strip().rpartition(" ")
        if name.strip() in ("files read", "stored", "stored already", "not DICOM", "failed"):
            found[name.strip()] = int(count.replace(",", ""))
    return found
