"""Further DICOM servers, of the whole server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.dimse.qr_door import STUDY_ROOT_FIND, find
from tests.integration.server.dicom_client import Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import serving, start

OPTIONS = {
    "DicomAlwaysAllowFind": True,
    "MultitenantDicom": {
        "Servers": [
            {"AET": "RED", "Port": 0, "Labels": ["red"]},
            {"AET": "BLUE", "Port": 0, "Labels": ["blue"], "LabelsStoreLevels": ["Patient", "Study"], "Locales": "C"},
        ]
    },
}


def port_of(log: str, ae_title: str) -> int:
    """Where one of the servers listens."""
    found = re.search(rf"DICOM server {ae_title} listens on port (\d+)", log)
    assert found is not None
    return int(found[1])


def test_each_tenant_has_its_own_door(tmp_path: Path) -> None:
    with serving(tmp_path, OPTIONS) as server, server.client() as client:
        ports = {name: port_of(server.log, name) for name in ("RED", "BLUE", "TESTED")}
        assert len(set(ports.values())) == 3
        red, blue = Instance(1), Instance(1, study=2)
        for name, instance in (("RED", red), ("BLUE", blue)):
            with Peer(ports[name], name) as peer:
                peer.associate()
                assert peer.echo() == 0
                assert peer.store(instance) == 0
        found = {}
        for name, port in ports.items():
            status, answers = find(port, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}, STUDY_ROOT_FIND)
            assert status == 0
            assert {answer.RetrieveAETitle for answer in answers} == {name}
            found[name] = {str(answer.StudyInstanceUID) for answer in answers}
        everything = {red.study_instance_uid, blue.study_instance_uid}
        assert found == {"RED": {red.study_instance_uid}, "BLUE": {blue.study_instance_uid}, "TESTED": everything}
        metadata = client.get(f"/instances/{red.orthanc_id}/metadata?expand").json()
        assert (metadata["Origin"], metadata["RemoteAET"], metadata["CalledAET"]) == ("DicomProtocol", "TESTER", "RED")
        assert client.get(f"/instances/{red.orthanc_id}/labels").json() == ["red"]
        assert client.get(f"/instances/{blue.orthanc_id}/labels").json() == []
        assert client.get(f"/instances/{blue.orthanc_id}/patient").json()["Labels"] == ["blue"]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "one", OPTIONS) as server:
        taken = port_of(server.log, "RED")
        second = start(tmp_path / "two", {"MultitenantDicom": {"Servers": [{"AET": "RED", "Port": taken}]}})
        try:
            second.wait_for("MultitenantDicom.Servers")
        finally:
            second.kill()


@pytest.mark.parametrize("label", ["", "with space", "x" * 65])
def test_a_label_that_is_none_is_refused_at_start(tmp_path: Path, label: str) -> None:
    second = start(tmp_path, {"MultitenantDicom": {"Servers": [{"AET": "RED", "Port": 0, "Labels": [label]}]}})
    try:
        second.wait_for("is no label")
    finally:
        second.kill()
