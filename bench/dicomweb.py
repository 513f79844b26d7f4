"""Rows over DICOMweb."""

from __future__ import annotations

from collections.abc import Callable

from bench import http_load
from bench.instances import Instance
from bench.plan import Measure, Plan, Row, gets, gets_of_series
from bench.processes import Measured
from bench.servers import Server

_ROOT = "/dicom-web"
_OCTETS = "multipart/related; type=application/octet-stream"
_DICOM = "multipart/related; type=application/dicom"


def _pages(plan: Plan) -> list[str]:
    return [f"{_ROOT}/studies?limit=100&offset={offset}" for offset in range(0, max(1, plan.studies - 100), 100)]


def _patients(plan: Plan) -> list[str]:
    return [f"{_ROOT}/studies?PatientID={instance.patient_id}" for instance in plan.spread(500)]


def _names(plan: Plan) -> list[str]:
    hundreds = range(max(1, plan.studies // 100))
    return [f"{_ROOT}/studies?PatientName=*NUMBER{hundred:03d}*&limit=50" for hundred in hundreds]


def _dates(_plan: Plan) -> list[str]:
    return [f"{_ROOT}/studies?StudyDate=2024{month:02d}01-2024{month:02d}28&limit=50" for month in range(1, 13)]


def _series(instance: Instance) -> str:
    return f"{_ROOT}/studies/{instance.study_uid}/series/{instance.series_uid}"


def _instances(plan: Plan) -> list[str]:
    return [f"{_series(instance)}/instances" for instance in plan.spread(500)]


def _metadata_first() -> Measure:
    """Each series is asked for once, so that nothing that a server keeps from an earlier answer helps it."""
    taken: dict[int, int] = {}

    def measure(server: Server, plan: Plan) -> Measured:
        series = [instance for instance in plan.initial() if instance.instance == 1]
        count = min(300, len(series) // 4)
        start = taken.get(server.http_port, 0)
        taken[server.http_port] = start + count
        chosen = [series[number * 7 % len(series)] for number in range(start, start + count)]
        requests = [http_load.get(f"{_series(instance)}/metadata", server.host) for instance in chosen]
        return http_load.once(server.http_port, lambda number: iter(requests[number::2]), 2)

    return measure


def _metadata_again(plan: Plan) -> list[str]:
    return [f"{_series(instance)}/metadata" for instance in plan.spread(20)]


def _of_instances(ending: str) -> Callable[[list[Instance]], list[str]]:
    return lambda series: [f"{_series(i)}/instances/{i.sop_instance_uid}{ending}" for i in series]


ROWS = (
    Row("qido-page", "QIDO-RS studies, page of 100", 10, gets(_pages)),
    Row("qido-patient", "QIDO-RS studies by PatientID", 2, gets(_patients)),
    Row("qido-name", "QIDO-RS studies by wildcard name, 50", 8, gets(_names)),
    Row("qido-date", "QIDO-RS studies by date range, 50", 8, gets(_dates)),
    Row("qido-instances", "QIDO-RS instances of a series", 10, gets(_instances)),
    Row("wado-metadata", "WADO-RS metadata of 5 instances, first", 3, _metadata_first()),
    Row("wado-metadata-again", "WADO-RS metadata of 5 instances, again", 3, gets(_metadata_again)),
    Row(
        "wado-series",
        "WADO-RS series, 52 MB multipart DICOM",
        1,
        gets_of_series(100, lambda series: [_series(series[0])], 1, _DICOM),
    ),
    Row("wado-frames", "WADO-RS frame 512 KB", 5, gets_of_series(100, _of_instances("/frames/1"), 2, _OCTETS)),
    Row("wado-rendered", "WADO-RS rendered JPEG", 3, gets_of_series(100, _of_instances("/rendered"), 2, "image/jpeg")),
)
