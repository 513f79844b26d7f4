"""What the server counts of itself, to be shown to Prometheus: every metric is declared here and nowhere else.

The parts that do something add to these as they go: at the two edges for each request, in ingest for each stage, in
the database for each group of writes, around each codec. What can be asked for at any moment (how much is stored, jobs,
free threads) is asked when somebody looks (`web/rest/monitoring.py`). Names that begin with `orthanc_` are those that
dashboards for Orthanc know; durations are seconds in histograms.

Labels take few values, all of them ours: templates of routes, names of services, classes of statuses. Nothing that a
client or a data set says becomes a label. The numbers are those of this process, since it started.
"""

from __future__ import annotations

import logging
import time
from typing import Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which tells what `process_` does

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64)


class Declared(NamedTuple):
    """One metric as it is documented."""

    name: str
    kind: str
    what: str
    labels: tuple[str, ...]


METRICS: Final[list[Declared]] = []
"""All that are declared below."""


def _histogram(name: str, what: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    METRICS.append(Declared(name, "histogram", what, labels))
    return Histogram(name, what, labels, registry=REGISTRY, buckets=buckets)


def _counter(name: str, what: str, *labels: str) -> Counter:
    METRICS.append(Declared(f"{name}_total", "counter", what, labels))
    return Counter(name, what, labels, registry=REGISTRY)


def _gauge(name: str, what: str, *labels: str) -> Gauge:
    METRICS.append(Declared(name, "gauge", what, labels))
    return Gauge(name, what, labels, registry=REGISTRY)


# What there is; asked when somebody looks.

PATIENTS: Final = _gauge("orthanc_count_patients", "Patients in the archive")
STUDIES: Final = _gauge("orthanc_count_studies", "Studies in the archive")
SERIES: Final = _gauge("orthanc_count_series", "Series in the archive")
INSTANCES: Final = _gauge("orthanc_count_instances", "Instances in the archive")
DISK_SIZE_MB: Final = _gauge("orthanc_disk_size_mb", "Size of all attachments as stored, in MiB")
UNCOMPRESSED_SIZE_MB: Final = _gauge("orthanc_uncompressed_size_mb", "Size of all attachments uncompressed, in MiB")
LAST_CHANGE: Final = _gauge("orthanc_last_change", "Number of the last change")
JOBS_PENDING: Final = _gauge("orthanc_jobs_pending", "Jobs that wait for their turn")
JOBS_RUNNING: Final = _gauge("orthanc_jobs_running", "Jobs that run")
JOBS_SUCCESS: Final = _gauge("orthanc_jobs_success", "Jobs in the history that succeeded")
JOBS_FAILED: Final = _gauge("orthanc_jobs_failed", "Jobs in the history that failed")
JOBS: Final = _gauge("amonsul_jobs", "Jobs by their state", "state")
UP_TIME_S: Final = _gauge("orthanc_up_time_s", "Seconds since the start")
_started_at: Final = time.monotonic()
UP_TIME_S.set_function(lambda: time.monotonic() - _started_at)
FREE_HTTP_THREADS: Final = _gauge("orthanc_available_http_threads_count", "Threads that no HTTP request occupies")
FREE_DICOM_THREADS: Final = _gauge("orthanc_available_dicom_threads", "Threads that no DIMSE request occupies")
ACTIVE_REQUESTS: Final = _gauge("orthanc_rest_api_active_requests", "HTTP requests in a thread or waiting for one")
ASSOCIATIONS: Final = _gauge("amonsul_associations", "DICOM associations that are open")

# The HTTP door.

HTTP_SECONDS: Final = _histogram(
    "amonsul_http_request_duration_seconds",
    "From the last byte of a request to its answer, waiting for a thread included",
    "method",
    "route",
)
HTTP_RESPONSES: Final = _counter("amonsul_http_responses", "Answers by route and status", "method", "route", "status")
HTTP_BYTES: Final = _counter("amonsul_http_body_bytes", "Bytes of bodies", "direction")
HTTP_RECEIVED: Final = HTTP_BYTES.labels("received")
HTTP_SENT: Final = HTTP_BYTES.labels("sent")

# The DICOM door.

DIMSE_SECONDS: Final = _histogram(
    "amonsul_dimse_request_duration_seconds",
    "From the last byte of a DIMSE request to its last answer, waiting for a thread included",
    "operation",
)
DIMSE_RESPONSES: Final = _counter("amonsul_dimse_responses", "Last answers by class of status", "operation", "outcome")
ASSOCIATION_REQUESTS: Final = _counter("amonsul_association_requests", "Association requests and aborts", "outcome")
ASSOCIATIONS_ACCEPTED: Final = ASSOCIATION_REQUESTS.labels("accepted")
ASSOCIATIONS_REJECTED: Final = ASSOCIATION_REQUESTS.labels("rejected")
ASSOCIATIONS_ABORTED: Final = ASSOCIATION_REQUESTS.labels("aborted")
DICOM_BYTES: Final = _counter("amonsul_dicom_bytes", "Bytes on DICOM connections", "direction")
DICOM_RECEIVED: Final = DICOM_BYTES.labels("received")
DICOM_SENT: Final = DICOM_BYTES.labels("sent")

# Ingest.

INGESTED: Final = _counter("amonsul_ingested_instances", "Instances that came in, by what became of them", "status")
INGEST_SECONDS: Final = _histogram(
    "amonsul_ingest_stage_seconds",
    "Stages of storing: spool (receiving it), scan (its header), blob (to the disk), index (the commit), publish",
    "stage",
)
SPOOL_SECONDS: Final = INGEST_SECONDS.labels("spool")
SCAN_SECONDS: Final = INGEST_SECONDS.labels("scan")
BLOB_SECONDS: Final = INGEST_SECONDS.labels("blob")
INDEX_SECONDS: Final = INGEST_SECONDS.labels("index")
PUBLISH_SECONDS: Final = INGEST_SECONDS.labels("publish")

# The storage and the index.

WRITTEN_BYTES: Final = _gauge("orthanc_storage_written_bytes", "Bytes written to the storage since the start")
READ_BYTES: Final = _gauge("orthanc_storage_read_bytes", "Bytes read from the storage since the start")
DATABASE_WAIT_SECONDS: Final = _histogram(
    "amonsul_database_write_wait_seconds", "How long a write waits until the group it goes in begins"
)
DATABASE_GROUP_SECONDS: Final = _histogram(
    "amonsul_database_group_seconds", "One transaction of writes that go together, its commit included"
)
DATABASE_GROUP_SIZE: Final = _histogram(
    "amonsul_database_group_size", "Writes that went together in one transaction", buckets=_COUNTS
)

# Codecs.

CODEC_SECONDS: Final = _histogram(
    "amonsul_codec_seconds", "One frame decoded or encoded in a process of the codecs, waiting for one included"
)
CODEC_CRASHES: Final = _counter("amonsul_codec_crashes", "Frames that cost a process of the codecs its life")
CODECS_BUSY: Final = _gauge("amonsul_codec_processes_busy", "Processes of the codecs that are at work")

# Logs.

LOGGED_WARNINGS: Final = _gauge("orthanc_logged_warnings_count", "Warnings in the log since the start")
LOGGED_ERRORS: Final = _gauge("orthanc_logged_errors_count", "Errors in the log since the start")


class LogCounter(logging.Handler):
    """Counts what is logged as a warning or an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        (LOGGED_ERRORS if record.levelno >= logging.ERROR else LOGGED_WARNINGS).inc()


_http: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}
_dimse: dict[tuple[str, str], tuple[Histogram, Counter]] = {}
# Looking a metric up by its labels takes longer than counting with it.


def http_answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answer; `route` is the template of the route."""
    key = (method, route, status)
    found = _http.get(key)
    if found is None:
        found = _http[key] = (HTTP_SECONDS.labels(method, route), HTTP_RESPONSES.labels(method, route, str(status)))
    found[0].observe(seconds)
    found[1].inc()


def http_refused(status: int) -> None:
    """Count an answer to a request that was refused before a route was found; method and route are empty."""
    HTTP_RESPONSES.labels("", "", str(status)).inc()


def dimse_answered(operation: str, outcome: str, seconds: float) -> None:
    """Count a DIMSE request that is over, e.g. `C-STORE` with `success`."""
    key = (operation, outcome)
    found = _dimse.get(key)
    if found is None:
        found = _dimse[key] = (DIMSE_SECONDS.labels(operation), DIMSE_RESPONSES.labels(operation, outcome))
    found[0].observe(seconds)
    found[1].inc()


def text() -> bytes:
    """All of it in the text format of Prometheus, version 0.0.4."""
    return generate_latest(REGISTRY)
