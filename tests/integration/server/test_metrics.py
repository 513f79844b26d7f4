"""What a running server tells Prometheus."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.dicom_files import instance_file
from tests.integration.server.dicom_client import Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, serving

PAGE = "/tools/metrics-prometheus"


def metrics(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Value of each sample by its name and labels."""
    answer = client.get(PAGE)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_both_doors_ingest_the_index_and_the_archive_are_counted(tmp_path: Path) -> None:
    data = instance_file(PatientName="Nobody^Knows", PatientID="secret-number")
    with serving(tmp_path) as server, server.client() as client:
        stored = client.post("/instances", content=data).json()
        client.get(f"/series/{stored['ParentSeries']}")
        client.get("/series/nothing")
        client.get("/no/such/route")
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()
            assert peer.echo() == 0
            assert peer.store(Instance(7, 1, 1)) == 0
            told = metrics(client)
            peer.release()
        text = client.get(PAGE).text

    def value(name: str, **labels: str) -> float:
        return told[name, frozenset(labels.items())]

    assert [value(f"orthanc_count_{level}") for level in ("patients", "studies", "series", "instances")] == [2] * 4
    assert value("orthanc_last_change") == 8
    assert value("amonsul_http_responses_total", method="POST", route="/instances", status="200") == 1
    for status in ("200", "404"):
        assert value("amonsul_http_responses_total", method="GET", route="/series/{id}", status=status) == 1
    assert value("amonsul_http_responses_total", method="", route="", status="404") == 1
    assert value("amonsul_http_request_duration_seconds_count", method="GET", route="/series/{id}") == 2
    assert value("amonsul_http_body_bytes_total", direction="received") == len(data)
    for operation in ("C-ECHO", "C-STORE"):
        assert value("amonsul_dimse_responses_total", operation=operation, outcome="success") == 1
    assert value("amonsul_associations") == 1
    assert value("amonsul_association_requests_total", outcome="accepted") == 1
    assert value("amonsul_ingested_instances_total", status="Success") == 2
    for stage in ("spool", "scan", "blob", "index", "publish"):
        assert value("amonsul_ingest_stage_seconds_count", stage=stage) == 2
    assert value("amonsul_database_group_size_sum") >= 2
    assert value("amonsul_jobs", state="Running") == 0
    assert value("orthanc_storage_written_bytes") > len(data)

    for told_by_others in ("Nobody", "secret", "nothing", "/no/such", stored["ParentSeries"], "TESTER"):
        assert told_by_others not in text


def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    with serving(tmp_path, {"MetricsEnabled": False}) as server, server.client() as client:
        assert client.get(PAGE).content == b""
        client.put("/tools/metrics", content="1")
        assert metrics(client)["orthanc_count_patients", frozenset()] == 0
