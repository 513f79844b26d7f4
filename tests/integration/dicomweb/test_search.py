from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.dicomweb.parts import parts_of
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.rest.serving import serving_archive

Model = Mapping[str, Any]  # Any: the DICOM JSON Model, looked into by the tests


def store(client: httpx.Client, *files: bytes) -> None:
    for file in files:
        assert client.post("/instances", content=file).status_code == 200


def search(client: httpx.Client, path: str) -> list[Model]:
    answer = client.get(f"/dicom-web/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    found: list[Model] = answer.json()
    return found


def values(models: list[Model], tag: str) -> list[object]:
    return sorted(model[tag]["Value"][0] for model in models)


@pytest.fixture
def filled(client: httpx.Client) -> httpx.Client:
    requested = Dataset()
    requested.ScheduledProcedureStepID = "SPS1"
    requested.RequestedProcedureID = "RP1"
    names = {1: "Smith^John", 2: "Smyth^Jon", 3: "Müller^Jörg"}
    for patient, name in names.items():
        for study in (1, 2):
            for instance in (1, 2):
                attributes: dict[str, object] = {"PatientName": name}
                if patient == 1:
                    attributes["RequestAttributesSequence"] = Sequence([requested])
                store(client, dicom_file(patient, study, 1, instance, attributes=attributes))
    store(client, dicom_file(1, 1, 2, 1, attributes={"Modality": "MR", "PatientName": names[1]}))
    return client


def test_a_study_has_what_the_standard_requires(filled: httpx.Client) -> None:
    (found,) = search(filled, f"studies?StudyInstanceUID={ROOT}.1.1")
    assert found["00080061"]["Value"] == ["CT", "MR"]
    assert found["00201206"]["Value"] == [2]
    assert found["00201208"]["Value"] == [3]
    assert found["00081190"]["Value"] == [f"{filled.base_url}/dicom-web/studies/{ROOT}.1.1".replace("//d", "/d")]
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Smith^John"}]}
    assert list(found) == sorted(found)


def test_a_series_and_an_instance_have_it_too(filled: httpx.Client) -> None:
    (series,) = search(filled, f"studies/{ROOT}.1.1/series?Modality=MR")
    assert series["0020000E"]["Value"] == [f"{ROOT}.1.1.2"]
    assert series["00201209"] == {"vr": "IS", "Value": [1]}
    instances = search(filled, f"studies/{ROOT}.1.1/series/{ROOT}.1.1.1/instances")
    assert values(instances, "00200013") == [1, 2]
    assert all(one["00280010"]["Value"] == [4] and one["00080056"]["Value"] == ["ONLINE"] for one in instances)
    assert len(search(filled, f"studies/{ROOT}.1.1/instances")) == 3
    assert len(search(filled, "instances")) == 13
    assert len(search(filled, "series")) == 7


def test_names_match_as_they_sound_if_that_is_asked_for(filled: httpx.Client) -> None:
    assert len(search(filled, "studies?PatientName=Smith^John")) == 2
    assert len(search(filled, "studies?PatientName=Smith^John&fuzzymatching=true")) == 4
    assert len(search(filled, "studies?PatientName=mueler&fuzzymatching=true")) == 2
    assert len(search(filled, "studies?PatientName=smyt&fuzzymatching=false")) == 0


def test_wildcards_count_in_a_search_by_sound(filled: httpx.Client) -> None:
    assert len(search(filled, "studies?PatientName=*MITH*&fuzzymatching=true")) == 2
    assert len(search(filled, "studies?PatientName=*smyt*&fuzzymatching=true")) == 2


def test_keys_lead_into_sequences(filled: httpx.Client) -> None:
    found = search(filled, "series?RequestAttributesSequence.ScheduledProcedureStepID=SPS1")
    assert values(found, "0020000E") == [f"{ROOT}.1.1.1", f"{ROOT}.1.2.1"]
    assert search(filled, "series?00400275.00400009=nope") == []
    (one,) = search(filled, "series?00400275.00400009=SPS*&limit=1&offset=1")
    assert one["00400275"]["Value"][0]["00400009"]["Value"] == ["SPS1"]


def test_fields_are_included_by_name_tag_path_or_all(filled: httpx.Client) -> None:
    uid = f"studies/{ROOT}.1.1/series?SeriesInstanceUID={ROOT}.1.1.1"
    plain = search(filled, uid)[0]
    assert "00180060" not in plain
    assert search(filled, f"{uid}&includefield=KVP&includefield=00080008")[0]["00180060"]["Value"] == ["120"]
    study = search(
        filled, f"studies?StudyInstanceUID={ROOT}.1.1&includefield=RequestAttributesSequence.RequestedProcedureID"
    )
    assert study[0]["00400275"]["Value"] == [{"00401001": {"vr": "SH", "Value": ["RP1"]}}]
    everything = search(filled, f"instances?SOPInstanceUID={ROOT}.1.1.1.1&includefield=all")[0]
    assert everything["00180060"]["Value"] == ["120"]
    assert "7FE00010" not in everything


def test_lists_ranges_wildcards_order_and_pages(filled: httpx.Client) -> None:
    assert len(search(filled, f"studies?StudyInstanceUID={ROOT}.1.1,{ROOT}.2.2")) == 2
    assert len(search(filled, "studies?ModalitiesInStudy=MR,US")) == 1
    assert len(search(filled, "studies?StudyDate=20240102-")) == 3
    assert len(search(filled, "studies?PatientID=P?&AccessionNumber=A1*")) == 2
    ordered = search(filled, "studies?orderby=-AccessionNumber&limit=2&offset=1")
    assert [one["00080050"]["Value"][0] for one in ordered] == ["A31", "A22"]


def test_labels_are_a_key(filled: httpx.Client) -> None:
    study = filled.post("/tools/lookup", content=f"{ROOT}.2.1").json()[0]["ID"]
    filled.put(f"/studies/{study}/labels/urgent")
    assert values(search(filled, "studies?Labels=urgent"), "0020000D") == [f"{ROOT}.2.1"]
    assert len(search(filled, "studies?Labels=urgent&LabelsConstraint=None")) == 5


def test_the_same_in_xml(filled: httpx.Client) -> None:
    answer = filled.get(
        "/dicom-web/studies?PatientID=P1", headers={"accept": 'multipart/related; type="application/dicom+xml"'}
    )
    parts = parts_of(answer)
    assert [headers["content-type"] for headers, _ in parts] == ["application/dicom+xml"] * 2
    assert all(b"NativeDicomModel" in data for _, data in parts)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/dicom+json;q=0, */*", "multipart/related"),
        ("application/dicom+xml;q=0.5, application/json;q=0.4", "multipart/related"),
        ("application/dicom+xml;q=0, */*", "application/dicom+json"),
        ("text/html", "application/dicom+json"),
        ("image/png, multipart/related", "application/dicom+json"),
    ],
)
def test_answers_are_json_unless_xml_is_wanted(client: httpx.Client, accept: str, kind: str) -> None:
    store(client, dicom_file())
    answer = client.get("/dicom-web/studies", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind


def test_several_lines_of_accept_are_one_list(client: httpx.Client) -> None:
    store(client, dicom_file())
    lines = [("accept", "application/dicom+xml"), ("accept", "application/dicom+json;q=0.1")]
    for wanted in (lines, lines[::-1]):
        answer = client.get("/dicom-web/studies", headers=wanted)
        assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"')


@pytest.mark.parametrize("plus", ["+", "%2B"])
def test_media_types_in_the_query_go_first(client: httpx.Client, plus: str) -> None:
    store(client, dicom_file())
    for path in ("studies", f"studies/{ROOT}.1.1/metadata"):
        url = f"/dicom-web/{path}?accept=application/dicom{plus}"
        kinds = [
            client.get(url + name, headers={"accept": "image/png"}).headers["content-type"].partition(";")[0]
            for name in ("json", "xml")
        ]
        assert kinds == ["application/dicom+json", "multipart/related"]


def test_a_limit_of_the_server_is_told(services: Services) -> None:
    limited = Services(services.archive, WebSettings(dicom_web=DicomWebSettings(maximum_results=2)))
    with serving_archive(limited) as served, httpx.Client(base_url=served.url) as client:
        store(client, *(dicom_file(patient) for patient in (1, 2, 3)))
        answer = client.get("/dicom-web/studies")
        assert len(answer.json()) == 2
        assert answer.headers["warning"].startswith("299 ")
        assert "warning" not in client.get("/dicom-web/studies?limit=1").headers
        assert "warning" not in client.get("/dicom-web/studies?offset=1").headers


@pytest.mark.parametrize("query", ["", "RequestAttributesSequence.RequestedProcedureID=RP1"])
def test_a_limit_of_searches_elsewhere_is_told_too(services: Services, query: str) -> None:
    requested = Dataset()
    requested.RequestedProcedureID = "RP1"
    attributes = {"RequestAttributesSequence": Sequence([requested])}
    information = dataclasses.replace(services.information, limit_find_results=2)
    with (
        serving_archive(Services(services.archive, information=information)) as served,
        httpx.Client(base_url=served.url) as client,
    ):
        store(client, *(dicom_file(patient, attributes=attributes) for patient in (1, 2, 3)))
        answer = client.get(f"/dicom-web/series?{query}")
        assert len(answer.json()) == 2
        assert answer.headers["warning"].startswith("299 ")
        assert "warning" not in client.get(f"/dicom-web/series?{query}&offset=1").headers
        assert "warning" not in client.get(f"/dicom-web/series?{query}&limit=1").headers


def test_one_item_must_match_all_keys_of_a_sequence(client: httpx.Client) -> None:
    items = []
    for number in (1, 2):
        item = Dataset()
        item.RequestedProcedureID = f"RP{number}"
        item.ScheduledProcedureStepID = f"SPS{number}"
        items.append(item)
    store(client, dicom_file(attributes={"RequestAttributesSequence": Sequence(items)}))
    path = "series?RequestAttributesSequence.RequestedProcedureID=RP1&00400275.ScheduledProcedureStepID="
    assert len(search(client, path + "SPS1")) == 1
    assert len(search(client, path + "SPS2")) == 0
    assert len(search(client, path)) == 1


@pytest.mark.parametrize(("sensitive", "count"), [(True, 0), (False, 1)])
def test_case_in_sequences_matters_if_the_operator_says_so(services: Services, sensitive: bool, count: int) -> None:
    item = Dataset()
    item.PersonName = "Doe^Jane"
    settings = WebSettings(dicom_web=DicomWebSettings(qido_case_sensitive=sensitive))
    with serving_archive(Services(services.archive, settings)) as served, httpx.Client(base_url=served.url) as client:
        store(client, dicom_file(attributes={"VerifyingObserverSequence": Sequence([item])}))
        assert len(search(client, "instances?VerifyingObserverSequence.PersonName=DOE^JANE")) == count


def test_urls_of_odd_identifiers_lead_to_what_they_name(client: httpx.Client) -> None:
    store(client, dicom_file(attributes={"StudyInstanceUID": "1.2 3", "SeriesInstanceUID": "1.2?4"}))
    for path in ("studies", "series", "instances"):
        (found,) = search(client, path)
        (url,) = found["00081190"]["Value"]
        assert len(client.get(f"{url}/metadata").json()) == 1


def test_a_page_takes_a_fixed_number_of_statements(
    client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(client, *(dicom_file(patient, 1, 1, 1) for patient in range(1, 21)))
    with services.archive.database.read() as tx:
        kind = type(tx)
    asked: list[str] = []
    original = kind.all

    def counting(self: object, sql: str, /, **params: object) -> object:
        asked.append(sql)
        return original(self, sql, **params)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "all", counting)
    for path in ("studies", "series", "instances"):
        counts = []
        for limit in (1, 20):
            asked.clear()
            assert len(search(client, f"{path}?PatientID=P*&includefield=all&limit={limit}")) == limit
            counts.append(len(asked))
        assert counts[0] == counts[1] <= 8


@pytest.mark.parametrize(
    "query", ["StudyDate=2023*", "limit=a", "StudyDate=1-2-3", "LabelsConstraint=x", "orderby=KVP up"]
)
def test_nonsense_is_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/dicom-web/studies?{query}").status_code == 400
