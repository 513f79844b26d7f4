"""`/storage-commitment` and what asks for it: what is refused, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from amonsul.archive.modalities import Modality
from amonsul.dicom.commitment import Reference
from amonsul.errors import NetworkProtocolError
from amonsul.web.services import Remotes
from tests.integration.rest.dicom_files import ROOT
from tests.integration.rest.test_modalities import server, store

ASKED = "/modalities/known/storage-commitment"


class Asked:
    """Stands for what asks modalities."""

    def __init__(self) -> None:
        self.requests: list[tuple[Modality, str, tuple[Reference, ...]]] = []
        self.is_away = False

    def commit(self, remote: Modality, transaction_uid: str, references: Sequence[Reference]) -> None:
        if self.is_away:
            raise NetworkProtocolError("away")
        self.requests.append((remote, transaction_uid, tuple(references)))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def http(tmp_path: Path, asked: Asked) -> Iterator[httpx.Client]:
    def change(remotes: Remotes) -> Remotes:
        return replace(remotes, commit=asked.commit)

    with server(tmp_path / "storage", change=change) as client:
        yield client


def test_resources_and_instances_are_asked_for_together_and_once(http: httpx.Client, asked: Asked) -> None:
    one, two = store(http, 1), store(http, 2)
    study = http.get(f"/instances/{one}/study").json()["ID"]
    uids = [http.get(f"/instances/{each}/simplified-tags").json() for each in (one, two)]
    body = {
        "Resources": [two, study],
        "DicomInstances": [[uids[0]["SOPClassUID"], uids[0]["SOPInstanceUID"]], ["1.2.3", f"{ROOT}.99"]],
        "LocalAet": "OTHER",
        "Timeout": 7,
    }
    answer = http.post(ASKED, json=body).json()
    ((remote, transaction, references),) = asked.requests
    assert answer == {"ID": transaction, "Path": f"/storage-commitment/{transaction}"}
    assert (remote.ae_title, remote.local_aet, remote.timeout_s) == ("KNOWN", "OTHER", 7)
    expected = {Reference(each["SOPClassUID"], each["SOPInstanceUID"]) for each in uids}
    assert len(references) == 3
    assert set(references) == expected | {Reference("1.2.3", f"{ROOT}.99")}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"Resources": "nope"}, 400),
        ({"Resources": ["nope"]}, 404),
        ({"Resources": [7]}, 404),
        ({"DicomInstances": {}}, 400),
        ({"DicomInstances": ["1.2"]}, 400),
        ({"DicomInstances": [["1.2"]]}, 400),
        ({"DicomInstances": [["1.2", 3]]}, 400),
        ({"DicomInstances": [{"SOPClassUID": "1.2"}]}, 400),
        ({"DicomInstances": [["not", "uids"]]}, 400),
        ({"DicomInstances": [["1.2", "1.3"]], "Timeout": "soon"}, 400),
    ],
)
def test_bad_requests_ask_for_nothing(http: httpx.Client, asked: Asked, body: object, status: int) -> None:
    assert http.post(ASKED, json=body).status_code == status
    assert asked.requests == []


def test_a_modality_that_is_away_is_told(http: httpx.Client, asked: Asked) -> None:
    asked.is_away = True
    answer = http.post(ASKED, json={"DicomInstances": [["1.2", "1.3"]]})
    assert (answer.status_code, answer.json()["Details"]) == (500, "away")


def test_unknown_modalities_and_transactions(http: httpx.Client) -> None:
    assert http.post("/modalities/nobody/storage-commitment", json={}).status_code == 404
    assert http.get("/storage-commitment/1.2.3").status_code == 404
    assert http.post("/storage-commitment/1.2.3/remove").status_code == 404
