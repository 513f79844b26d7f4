"""`/modalities` and `/queries` over real sockets, with pynetdicom on the other side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset

from amonsul.archive.context import Archive, ArchiveSettings
from amonsul.archive.modalities import Modality
from amonsul.archive.modality_list import Modalities
from amonsul.archive.remote_list import forget_run
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.clients.dimse import DicomClient, ScuSettings
from amonsul.database import open_database
from amonsul.database.presence import open_presence
from amonsul.database.settings import SqliteSettings
from amonsul.jobs.arrivals import MoveArrivals
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds.dicom_get_scu import get_scu
from amonsul.jobs.kinds.dicom_modality_store import modality_store
from amonsul.jobs.kinds.dicom_move_scu import move_scu
from amonsul.web.services import Remotes, Services
from tests.integration.clients.peers import PATIENCE_S, Pynetdicom, dcmqrscp, free_port, orthanc, pynetdicom_server
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.rest.serving import serving_archive

CONFIGURED = {"known": Modality("KNOWN", "127.0.0.1", 104)}


@contextmanager
def server(
    folder: Path,
    *,
    in_database: bool = False,
    settings: ArchiveSettings | None = None,
    change: Callable[[Remotes], Remotes] = lambda remotes: remotes,
) -> Iterator[httpx.Client]:
    """A whole server but for the DICOM door, over an archive in a folder."""
    folder.mkdir(exist_ok=True)
    where = SqliteSettings(folder / "index.db", synchronous=False)
    database = open_database(where)
    presence = open_presence(where)
    presence.enter(lambda: forget_run(database))
    archive = Archive(database, FilesystemBlobs(folder, sync=False), settings=settings or ArchiveSettings())
    client = DicomClient(ScuSettings(ae_title="AMONSUL", timeout_s=PATIENCE_S))
    kinds = Kinds(
        (modality_store(archive, client), move_scu(archive, client, MoveArrivals()), get_scu(archive, client))
    )
    engine = JobEngine(archive, kinds)
    engine.start()
    modalities = Modalities(database, CONFIGURED, in_database=in_database)
    remotes = change(Remotes(modalities, client, ae_title="AMONSUL"))
    try:
        services = Services(archive, jobs=engine, others=remotes)
        with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as http:
            yield http
    finally:
        engine.stop()
        client.close()
        presence.leave(lambda: None)
        database.close()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    with server(tmp_path / "storage") as client:
        yield client


def add(http: httpx.Client, name: str, modality: Modality) -> None:
    http.put(f"/modalities/{name}", json=modality.to_json()).raise_for_status()


def store(http: httpx.Client, instance: int = 1) -> str:
    answer = http.post("/instances", content=dicom_file(instance=instance))
    answer.raise_for_status()
    return str(answer.json()["ID"])


def study_answer(number: int) -> Dataset:
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = "STUDY"
    answer.PatientID = "P1"
    answer.PatientName = "Müller^Ω"
    answer.StudyInstanceUID = f"1.2.{number}"
    answer.AccessionNumber = ""
    return answer


# ------------------------------------------------------------------------------------------------- known ones


def test_modalities_are_added_changed_and_removed(http: httpx.Client) -> None:
    assert http.get("/modalities").json() == ["known"]
    assert http.put("/modalities/new", json=["NEW", "host", 104]).status_code == 200
    assert http.get("/modalities").json() == ["known", "new"]
    assert http.get("/modalities/new/configuration").json()["AET"] == "NEW"
    http.put("/modalities/known", json={"AET": "OTHER", "Host": "h", "Port": 1, "Timeout": 7})
    assert http.get("/modalities?expand").json()["known"]["Timeout"] == 7
    for name in ("known", "new"):
        assert http.delete(f"/modalities/{name}").status_code == 200
        assert http.delete(f"/modalities/{name}").status_code == 404
    assert http.get("/modalities").json() == []


def test_what_was_added_is_gone_after_the_end_of_the_server(tmp_path: Path) -> None:
    with server(tmp_path / "storage") as http:
        http.put("/modalities/new", json=["NEW", "host", 104])
        http.delete("/modalities/known")
        assert http.get("/modalities").json() == ["new"]
    with server(tmp_path / "storage") as http:
        assert http.get("/modalities").json() == ["known"]


def test_another_process_of_the_same_index_sees_what_was_added(tmp_path: Path) -> None:
    with server(tmp_path / "storage") as one, server(tmp_path / "storage") as other:
        one.put("/modalities/new", json=["NEW", "host", 104])
        assert other.get("/modalities").json() == ["known", "new"]


def test_modalities_in_the_database_stay(tmp_path: Path) -> None:
    with server(tmp_path / "storage", in_database=True) as http:
        assert http.get("/modalities").json() == []
        http.put("/modalities/new", json=["NEW", "host", 104, "GE"])
    with server(tmp_path / "storage", in_database=True) as http:
        assert http.get("/modalities/new/configuration").json()["Manufacturer"] == "GE"
        http.delete("/modalities/new")
    with server(tmp_path / "storage", in_database=True) as http:
        assert http.get("/modalities").json() == []


# ------------------------------------------------------------------------------------------------- sending


def test_a_series_is_sent_and_the_job_shows_it(http: httpx.Client) -> None:
    for instance in (1, 2, 3):
        store(http, instance=instance)
    (series,) = http.get("/series").json()
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        answer = http.post("/modalities/peer/store", content=series).json()
    assert (answer["InstancesCount"], answer["FailedInstancesCount"], answer["RemoteAet"]) == (3, 0, "PYNETDICOM")
    assert [uid for uid, _, _ in peer.stored] == [f"{ROOT}.1.1.1.{number}" for number in (1, 2, 3)]


def test_one_refused_instance_fails_the_job_unless_it_is_permissive(http: httpx.Client) -> None:
    instances = [store(http, instance=number) for number in (1, 2, 3)]
    (series,) = http.get("/series").json()
    peer = Pynetdicom(store_status=lambda uid: 0xA700 if uid.endswith(".2") else 0)
    with pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        answer = http.post("/modalities/peer/store", json={"Resources": [series]})
        assert answer.status_code == 500
        assert answer.json()["ErrorPayload"] == {"Content": {"DimseErrorStatus": 0xA700}, "Type": "Dimse"}
        assert len(peer.stored) == 2
        permissive = http.post("/modalities/peer/store", json={"Resources": instances, "Permissive": True})
        assert permissive.json()["FailedInstancesCount"] == 1
        assert len(peer.stored) == 5


def test_a_permissive_job_tries_every_instance_of_a_remote_that_is_not_there(http: httpx.Client) -> None:
    instances = [store(http, instance=number) for number in (1, 2, 3)]
    add(http, "nobody", Modality("NOBODY", "127.0.0.1", free_port()))
    answer = http.post("/modalities/nobody/store", json={"Resources": instances, "Permissive": True})
    assert answer.json()["FailedInstancesCount"] == 3
    assert http.post("/modalities/nobody/store", json=instances).status_code == 500


@pytest.mark.parametrize("what", ["move", "get", "store"])
def test_a_remote_that_is_not_there_is_tried_again_if_that_is_wanted(http: httpx.Client, what: str) -> None:
    instance = store(http)
    add(http, "nobody", Modality("NOBODY", "127.0.0.1", free_port()))
    resources = [instance] if what == "store" else [{"StudyInstanceUID": "1.2.3"}]
    body = {"Level": "Study", "Resources": resources, "Asynchronous": True, "MaximumAttempts": 2, "Permissive": True}
    job = http.post(f"/modalities/nobody/{what}", json=body).json()["ID"]
    while (state := http.get(f"/jobs/{job}").json()["State"]) in ("Pending", "Running"):
        pass
    assert state == "Retry"
    assert http.post(f"/jobs/{job}/cancel").status_code == 200


def test_a_request_can_change_where_to_and_as_whom(http: httpx.Client) -> None:
    instance = store(http)
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "elsewhere", Modality("NOBODY", "127.0.0.1", 1))
        body = {
            "Resources": [instance],
            "CalledAet": "CALLED",
            "Host": modality.host,
            "Port": modality.port,
            "LocalAet": "ME",
            "MoveOriginatorAet": "MOVER",
            "MoveOriginatorID": 5,
        }
        answer = http.post("/modalities/elsewhere/store", json=body).json()
    assert (answer["LocalAet"], answer["RemoteAet"], answer["MoveOriginatorAET"]) == ("ME", "CALLED", "MOVER")
    assert peer.originators == [("MOVER", 5)]


@pytest.mark.parametrize("name", ["LocalAet", "CalledAet", "MoveOriginatorAet"])
@pytest.mark.parametrize("title", ["A" * 17, "A\\B", "Ü", 7])
def test_what_is_no_ae_title_is_refused(http: httpx.Client, name: str, title: object) -> None:
    assert http.post("/modalities/known/store", json={"Resources": [], name: title}).status_code == 400


def test_a_file_is_sent_without_being_stored(http: httpx.Client) -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        answer = http.post("/modalities/peer/store-straight", content=dicom_file())
    assert answer.json()["SOPInstanceUID"] == f"{ROOT}.1.1.1.1"
    assert len(peer.stored) == 1
    assert http.get("/instances").json() == []


def test_exports_are_noted_if_that_is_wanted(tmp_path: Path) -> None:
    peer = Pynetdicom()
    logging = server(tmp_path / "storage", change=lambda remotes: replace(remotes, logs_exports=True))
    with logging as http, pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        store(http)
        (series,) = http.get("/series").json()
        http.post("/modalities/peer/store", content=series)
        (export,) = http.get("/exports").json()["Exports"]
    assert (export["RemoteModality"], export["ResourceType"], export["PatientID"]) == ("peer", "Series", "P1")
    assert export["SeriesInstanceUID"] == f"{ROOT}.1.1.1"


# ------------------------------------------------------------------------------------------------- searching


def test_a_search_is_remembered_even_by_the_next_server(tmp_path: Path) -> None:
    peer = Pynetdicom(find_answers=[study_answer(1), study_answer(2)])
    with pynetdicom_server(peer) as modality:
        with server(tmp_path / "storage", in_database=True) as http:
            add(http, "peer", modality)
            body = {"Level": "Study", "Query": {"PatientName": "M*", "StudyDate": "20240101-"}, "Timeout": 9}
            path = http.post("/modalities/peer/query", json=body).json()["Path"]
        with server(tmp_path / "storage", in_database=True) as http:
            assert http.get(f"{path}/query?simplify").json() == {"PatientName": "M*", "StudyDate": "20240101-"}
            assert http.get(f"{path}/answers").json() == ["0", "1"]
            content = http.get(f"{path}/answers/1/content?simplify").json()
            assert (content["PatientName"], content["StudyInstanceUID"]) == ("Müller^Ω", "1.2.2")
            http.post(f"{path}/answers/1/query-series", json={"Query": {"Modality": "CT"}})
            assert http.delete(path).status_code == 200
            assert http.get(path).status_code == 404
    first, second = peer.identifiers
    assert (first.QueryRetrieveLevel, first.PatientName, first.StudyDate) == ("STUDY", "M*", "20240101-")
    assert (second.QueryRetrieveLevel, second.StudyInstanceUID, second.Modality) == ("SERIES", "1.2.2", "CT")


def test_only_the_newest_searches_are_kept(tmp_path: Path) -> None:
    peer = Pynetdicom(find_answers=[study_answer(1)])
    forgetful = server(tmp_path / "storage", change=lambda remotes: replace(remotes, queries_kept=2))
    with forgetful as http, pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        ids = [http.post("/modalities/peer/query", json={"Level": "Study", "Query": {}}).json()["ID"] for _ in range(4)]
        assert http.get("/queries").json() == ids[-2:]


def test_what_does_not_belong_to_a_level_is_not_asked_unless_the_client_insists(http: httpx.Client) -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        query = {"PatientID": "P", "SeriesDescription": "x", "NumberOfStudyRelatedInstances": ""}
        http.post("/modalities/peer/query", json={"Level": "Study", "Query": query})
        http.post("/modalities/peer/query", json={"Level": "Study", "Query": query, "Normalize": False})
    assert ["SeriesDescription" in identifier for identifier in peer.identifiers] == [False, True]
    assert all("NumberOfStudyRelatedInstances" in identifier for identifier in peer.identifiers)


@pytest.mark.parametrize(
    ("manufacturer", "date", "name"),
    [("Generic", "*", "*"), ("GenericNoWildcardInDates", "", "*"), ("GenericNoUniversalWildcard", "", "")],
)
def test_makes_that_stumble_over_wildcards_get_none(
    http: httpx.Client, manufacturer: str, date: str, name: str
) -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "peer", replace(modality, manufacturer=manufacturer))
        http.post(
            "/modalities/peer/query", json={"Level": "Study", "Query": {"StudyDate": "*", "PatientName": "*"}}
        ).raise_for_status()
    (identifier,) = peer.identifiers
    assert (identifier.StudyDate or "", str(identifier.PatientName)) == (date, name)


def test_names_beyond_latin_1_are_asked_in_utf_8(http: httpx.Client) -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality:
        add(http, "peer", modality)
        for name in ("Müller*", "山田*"):
            http.post("/modalities/peer/query", json={"Level": "Study", "Query": {"PatientName": name}})
    latin, japanese = peer.identifiers
    assert (latin.SpecificCharacterSet, str(latin.PatientName)) == ("ISO_IR 100", "Müller*")
    assert (japanese.SpecificCharacterSet, str(japanese.PatientName)) == ("ISO_IR 192", "山田*")


def test_answers_without_character_set_are_in_the_default_one(tmp_path: Path) -> None:
    answer = study_answer(1)
    del answer.SpecificCharacterSet
    answer.PatientName = "Áâã"  # in Latin 1 the bytes of the Greek ones
    settings = ArchiveSettings(default_encoding="ISO_IR 126")
    with pynetdicom_server(Pynetdicom(find_answers=[answer])) as modality, server(tmp_path, settings=settings) as http:
        add(http, "peer", modality)
        path = http.post("/modalities/peer/query", json={"Level": "Study"}).json()["Path"]
        assert http.get(f"{path}/answers/0/content?simplify").json()["PatientName"] == "Αβγ"
        (worklist,) = http.post("/modalities/peer/find-worklist", json={"PatientName": ""}).json()
        assert worklist["PatientName"] == "Αβγ"


# ------------------------------------------------------------------------------------------------- retrieving


@pytest.mark.parametrize("kind", ["DCMTK", "Orthanc"])
def test_what_was_found_is_brought_back(http: httpx.Client, tmp_path: Path, kind: str) -> None:
    start = dcmqrscp if kind == "DCMTK" else orthanc
    with start(tmp_path / "archive") as modality:
        add(http, "peer", modality)
        instances = [store(http, instance=number) for number in (1, 2, 3)]
        http.post("/modalities/peer/store", json=instances).raise_for_status()
        (study,) = http.get("/studies").json()
        http.delete(f"/studies/{study}").raise_for_status()
        body = {"Level": "Study", "Query": {"PatientID": "P1", "StudyInstanceUID": ""}}
        path = http.post("/modalities/peer/query", json=body).json()["Path"]
        answer = http.post(f"{path}/answers/0/retrieve", json={"RetrieveMethod": "C-GET"})
        assert answer.status_code == 200, answer.text
        (detail,) = answer.json()["Details"]
        assert sorted(detail["ReceivedInstancesIds"]) == sorted(instances)
        assert http.get("/studies").json() == [study]
        direct = {
            "Level": "Series",
            "Resources": [{"StudyInstanceUID": f"{ROOT}.1.1", "SeriesInstanceUID": f"{ROOT}.1.1.1"}],
        }
        assert http.post("/modalities/peer/get", json=direct).json()["Details"][0]["DimseErrorStatus"] == 0


def test_a_resource_without_its_identifier_is_not_asked_for(http: httpx.Client) -> None:
    with pynetdicom_server(Pynetdicom()) as modality:
        add(http, "peer", modality)
        answer = http.post("/modalities/peer/move", json={"Level": "Study", "Resources": [{"PatientID": "P"}]})
    assert answer.status_code == 400
    assert answer.json()["ErrorPayload"]["Type"] == "RetrieveJob"
