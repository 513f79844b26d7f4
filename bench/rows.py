"""What is measured: one row for each kind of work, with the ratio that is the goal.

A row is asked for one figure of one server at a time. Rows that store take instances of their own each time, so that
nothing is stored twice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import dimse_load, http_load
from bench.instances import Instance, collection, data_set, file_header, pixels
from bench.processes import Measured
from bench.servers import AE_TITLE, Server

_ROWS_512K = 512  # 512 x 512 pixels of 16 bits


@dataclass(slots=True)
class Plan:
    """How much work a measurement is.

    Attributes:
        indexed: instances in the index before anything is measured.
        seconds: of a measurement that repeats requests.
        stored: instances of 512 KB in a measurement that stores.
        stored_small: instances of 4 KB in one.
        next_patient: number of the next patient that has not been stored anywhere.
    """

    indexed: int
    seconds: float
    stored: int
    stored_small: int
    next_patient: int = 1_000_000

    @property
    def studies(self) -> int:
        """Studies in the index: 10 instances each."""
        return max(1, self.indexed // 10)

    def initial(self) -> Iterator[Instance]:
        """What is in the index first: 2 series of 5 instances in a study, a patient each."""
        return collection(self.studies, 1, 2, 5)

    def fresh(self, count: int) -> list[Instance]:
        """Instances of a study of their own."""
        self.next_patient += 1
        return list(collection(1, 1, 1, count, self.next_patient))


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work."""

    name: str
    what: str
    goal: float
    measure: Callable[[Server, Plan], Measured]


def fill_index(server: Server, plan: Plan) -> Measured:
    """Store the initial instances."""
    instances = list(plan.initial())
    return _post(server, instances, 0, 4)


def _post(server: Server, instances: list[Instance], rows: int, connections: int) -> Measured:
    block = pixels(rows) if rows else b""

    def requests(number: int) -> Iterator[http_load.Pieces]:
        for instance in instances[number::connections]:
            body = (file_header(instance) + data_set(instance, rows), *([block] if block else []))
            yield http_load.post("/instances", server.host, body)

    return http_load.once(server.http_port, requests, connections)


def _post_512k(connections: int) -> Callable[[Server, Plan], Measured]:
    return lambda server, plan: _post(server, plan.fresh(plan.stored), _ROWS_512K, connections)


def _post_4k(server: Server, plan: Plan) -> Measured:
    return _post(server, plan.fresh(plan.stored_small), 0, 4)


def _c_store(associations: int) -> Callable[[Server, Plan], Measured]:
    def measure(server: Server, plan: Plan) -> Measured:
        return dimse_load.store(
            server.dicom_port, AE_TITLE, plan.fresh(plan.stored), _ROWS_512K, pixels(_ROWS_512K), associations
        )

    return measure


def _storescu(server: Server, plan: Plan) -> Measured:
    """DCMTK's storescu as installed; the start of the program is in the figure."""
    instances = plan.fresh(max(20, plan.stored // 2))
    block = pixels(_ROWS_512K)
    program = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("DCMTK is not installed (apt install dcmtk)")
    with tempfile.TemporaryDirectory(prefix="bench-storescu-") as name:
        for instance in instances:
            head = file_header(instance) + data_set(instance, _ROWS_512K)
            (Path(name) / f"{instance.instance:05d}.dcm").write_bytes(head + block)
        command = [program, "+sd", "-aec", AE_TITLE, "127.0.0.1", str(server.dicom_port), name]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    return Measured(seconds, (seconds / len(instances),) * len(instances))


def _gets(make: Callable[[Plan], list[str]], connections: int = 2) -> Callable[[Server, Plan], Measured]:
    def measure(server: Server, plan: Plan) -> Measured:
        requests = [http_load.get(path, server.host) for path in make(plan)]
        return http_load.for_seconds(server.http_port, requests, connections, plan.seconds)

    return measure


def _spread(plan: Plan, count: int) -> list[Instance]:
    """So many instances from all over the index."""
    instances = list(plan.initial())
    return instances[:: max(1, len(instances) // count)][:count]


def _find(server: Server, plan: Plan) -> Measured:
    requests = []
    for hundred in range(max(1, plan.studies // 100)):  # names end in five digits: each pattern has a hundred matches
        body = {"Level": "Study", "Expand": True, "Limit": 50, "Query": {"PatientName": f"*NUMBER{hundred:03d}*"}}
        requests.append(http_load.post("/tools/find", server.host, (json.dumps(body).encode(),), "application/json"))
    return http_load.for_seconds(server.http_port, requests, 2, plan.seconds)


def _study_pages(plan: Plan) -> list[str]:
    return [f"/studies?expand&since={since}&limit=100" for since in range(0, max(1, plan.studies - 100), 100)]


def _change_pages(plan: Plan) -> list[str]:
    return [f"/changes?since={since}&limit=100" for since in range(0, plan.indexed, 500)]


ROWS = (
    Row("cstore-1", "C-STORE 512 KB, 1 association", 2, _c_store(1)),
    Row("cstore-4", "C-STORE 512 KB, 4 associations", 1.5, _c_store(4)),
    Row("storescu", "C-STORE 512 KB, storescu as installed", 3, _storescu),
    Row("post-1", "POST /instances 512 KB, 1 connection", 1.3, _post_512k(1)),
    Row("post-4", "POST /instances 512 KB, 4 connections", 1.3, _post_512k(4)),
    Row("post-small", "POST /instances 4 KB, 4 connections", 1.3, _post_4k),
    Row("system", "GET /system", 0.4, _gets(lambda _plan: ["/system"])),
    Row("series", "GET /series/{id}", 0.4, _gets(lambda plan: [f"/series/{i.series_id}" for i in _spread(plan, 500)])),
    Row(
        "simplified-tags",
        "GET /instances/{id}/simplified-tags",
        1,
        _gets(lambda plan: [f"/instances/{i.instance_id}/simplified-tags" for i in _spread(plan, 500)]),
    ),
    Row("statistics", "GET /statistics", 3, _gets(lambda _plan: ["/statistics"])),
    Row("studies", "GET /studies?expand, page of 100", 2, _gets(_study_pages)),
    Row("changes", "GET /changes, page of 100", 1.5, _gets(_change_pages)),
    Row("find", "POST /tools/find, wildcard name, 50 expanded", 3, _find),
)
