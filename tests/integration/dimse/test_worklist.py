"""Modality worklists from a folder of files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, build_context

from amonsul.dimse_server.worklist import MODALITY_WORKLIST_FIND, WorklistService, WorklistSettings
from tests.integration.dimse.qr_door import EXPLICIT, Keys, QrDoor, find, open_qr_door


def write(
    folder: Path, name: str, patient_id: str, *steps: tuple[str, str, str, str], patient_name: str = "Work^List"
) -> None:
    """A worklist file; a step is modality, station, date and time."""
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.PatientID, data_set.PatientName = patient_id, patient_name
    data_set.AccessionNumber = f"ACC{patient_id}"
    data_set.ScheduledProcedureStepSequence = []
    for modality, station, date, time in steps:
        step = Dataset()
        step.Modality, step.ScheduledStationAETitle = modality, station
        step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = date, time
        data_set.ScheduledProcedureStepSequence.append(step)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
    data_set.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    data_set.save_as(folder / name, enforce_file_format=True)


def fill(folder: Path) -> None:
    write(folder, "a.wl", "W1", ("CT", "CTSCAN", "20300101", "0900"))
    write(folder, "b.WL", "W2", ("MR", "MRSCAN", "20300102", "1015"), patient_name="Müller^Jörg")
    write(folder, "c.wl", "W3", ("CT", "CTSCAN", "20300103", "1130"), ("US", "USSCAN", "20300104", "08"))
    write(folder, "not a worklist.txt", "W4", ("CT", "CTSCAN", "20300101", "0900"))
    (folder / "broken.wl").write_bytes(b"\0" * 200)
    (folder / "folder.wl").mkdir()
    (folder / "dangling.wl").symlink_to("/nowhere")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three worklists among other things."""
    made = tmp_path / "worklists"
    made.mkdir()
    fill(made)
    return made


@pytest.fixture
def door(folder: Path, tmp_path: Path) -> Iterator[QrDoor]:
    """A server with these worklists."""
    settings = WorklistSettings(folder)
    with open_qr_door(tmp_path, more=lambda archive, queries: WorklistService(archive, queries, settings)) as opened:
        yield opened


def found(port: int, keys: Keys, charset: str = "ISO_IR 192") -> list[str]:
    status, answers = find(port, {"PatientID": "", **keys}, MODALITY_WORKLIST_FIND, charset)
    assert status == 0
    return [answer.PatientID for answer in answers]


def test_what_is_scheduled_is_found(door: QrDoor) -> None:
    def step(**keys: str) -> Keys:
        return {"ScheduledProcedureStepSequence": [keys]}

    port = door.port
    assert found(port, {}) == ["W1", "W2", "W3"]
    assert found(port, {"PatientName": "müller*"}) == ["W2"]
    assert found(port, {"PatientName": "Müller*"}, "ISO_IR 100") == ["W2"]
    assert found(port, {"PatientID": "W1\\W3"}) == ["W1", "W3"]
    assert found(port, {"AccessionNumber": "ACCW?"}) == ["W1", "W2", "W3"]
    assert found(port, step(Modality="CT")) == ["W1", "W3"]
    assert found(port, step(Modality="US", ScheduledStationAETitle="CTSCAN")) == []
    assert found(port, step(ScheduledProcedureStepStartDate="20300102-")) == ["W2", "W3"]
    assert found(port, step(ScheduledProcedureStepStartTime="1000-1200")) == ["W2", "W3"]
    assert found(port, {"PatientWeight": "70"}) == []


def test_start_date_and_time_are_one_range(door: QrDoor) -> None:
    keys = {"ScheduledProcedureStepStartDate": "20300101-20300102", "ScheduledProcedureStepStartTime": "1000-0900"}
    assert found(door.port, {"ScheduledProcedureStepSequence": [keys]}) == []
    keys = {"ScheduledProcedureStepStartDate": "20300101-20300103", "ScheduledProcedureStepStartTime": "0930-1100"}
    assert found(door.port, {"ScheduledProcedureStepSequence": [keys]}) == ["W2"]


def test_only_what_was_asked_for_is_answered(door: QrDoor) -> None:
    keys: Keys = {"PatientID": "W2", "PatientName": "", "ScheduledProcedureStepSequence": [{"Modality": ""}]}
    _, (answer,) = find(door.port, keys, MODALITY_WORKLIST_FIND)
    assert [element.keyword for element in answer] == [
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "ScheduledProcedureStepSequence",
    ]
    (step,) = answer.ScheduledProcedureStepSequence
    assert [element.keyword for element in step] == ["Modality"]
    assert answer.PatientName == "Müller^Jörg"


def test_a_query_without_keys_is_answered(door: QrDoor) -> None:
    opened = AE("TESTER").associate(
        "127.0.0.1", door.port, contexts=[build_context(MODALITY_WORKLIST_FIND, EXPLICIT)], ae_title="AMONSUL"
    )
    empty = Dataset()
    empty.PatientWeight = None
    statuses = [status.Status for status, _ in opened.send_c_find(empty, MODALITY_WORKLIST_FIND)]
    opened.release()
    assert statuses == [0xFF00, 0xFF00, 0xFF00, 0]


def test_files_come_change_and_go(door: QrDoor, folder: Path) -> None:
    assert found(door.port, {}) == ["W1", "W2", "W3"]
    (folder / "a.wl").unlink()
    write(folder, "d.wl", "W5", ("CT", "CTSCAN", "20300101", "0900"))
    write(folder, "c.wl", "W33", ("CT", "CTSCAN", "20300101", "0900"))
    os.utime(folder / "c.wl", ns=(1, 1))
    assert found(door.port, {}) == ["W2", "W33", "W5"]


def test_a_station_sees_its_own_steps_up_to_the_limit(folder: Path, tmp_path: Path) -> None:
    settings = WorklistSettings(folder, filters_issuer_aet=True, limit_answers=1)
    write(folder, "tester.wl", "T1", ("CT", "TESTER", "20300101", "0900"))
    write(folder, "tester2.wl", "T2", ("CT", "OTHER", "20300101", "0900"), ("CT", "TESTER", "20300101", "0900"))
    with open_qr_door(tmp_path, more=lambda archive, queries: WorklistService(archive, queries, settings)) as door:
        assert found(door.port, {}) == ["T1"]
        assert found(door.port, {"PatientID": "T2"}) == ["T2"]
        assert found(door.port, {"PatientID": "W1"}) == []


def test_a_folder_that_is_away_is_a_failure(tmp_path: Path) -> None:
    settings = WorklistSettings(tmp_path / "nowhere")
    with open_qr_door(tmp_path, more=lambda archive, queries: WorklistService(archive, queries, settings)) as door:
        status, answers = find(door.port, {"PatientID": ""}, MODALITY_WORKLIST_FIND)
    assert (status, answers) == (0xA700, [])


def test_dcmtk_findscu(door: QrDoor) -> None:
    keys = ["-k", "PatientName", "-k", "ScheduledProcedureStepSequence[0].Modality=MR"]
    done = subprocess.run(
        ["findscu", "-v", "-W", "-aec", "AMONSUL", *keys, "127.0.0.1", str(door.port)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout + done.stderr).count(b"MRSCAN") == 0
    assert (done.stdout + done.stderr).count(b"ller^J") == 1
