"""Rows that store. They take instances of their own each time, so that nothing is stored twice."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import dimse_load
from bench.instances import data_set, file_header, pixels
from bench.plan import ROWS_512K, Plan, Row, post_all
from bench.processes import Measured
from bench.servers import AE_TITLE, Server


def _post_512k(connections: int) -> Callable[[Server, Plan], Measured]:
    return lambda server, plan: post_all(server, plan.fresh(plan.stored), ROWS_512K, connections)


def _post_4k(server: Server, plan: Plan) -> Measured:
    return post_all(server, plan.fresh(plan.stored_small), 0, 4)


def _c_store(associations: int) -> Callable[[Server, Plan], Measured]:
    def measure(server: Server, plan: Plan) -> Measured:
        return dimse_load.store(
            server.dicom_port, AE_TITLE, plan.fresh(plan.stored), ROWS_512K, pixels(ROWS_512K), associations
        )

    return measure


def _storescu(server: Server, plan: Plan) -> Measured:
    """DCMTK's storescu as installed; the start of the program is in the figure."""
    instances = plan.fresh(max(20, plan.stored // 2))
    block = pixels(ROWS_512K)
    program = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("DCMTK is not installed (apt install dcmtk)")
    with tempfile.TemporaryDirectory(prefix="bench-storescu-") as name:
        for instance in instances:
            head = file_header(instance) + data_set(instance, ROWS_512K)
            (Path(name) / f"{instance.instance:05d}.dcm").write_bytes(head + block)
        command = [program, "+sd", "-aec", AE_TITLE, "127.0.0.1", str(server.dicom_port), name]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    return Measured(seconds, (seconds / len(instances),) * len(instances))


ROWS = (
    Row("cstore-1", "C-STORE 512 KB, 1 association", 2, _c_store(1)),
    Row("cstore-4", "C-STORE 512 KB, 4 associations", 1.5, _c_store(4)),
    Row("storescu", "C-STORE 512 KB, storescu as installed", 3, _storescu),
    Row("post-1", "POST /instances 512 KB, 1 connection", 1.3, _post_512k(1)),
    Row("post-4", "POST /instances 512 KB, 4 connections", 1.3, _post_512k(4)),
    Row("post-small", "POST /instances 4 KB, 4 connections", 1.3, _post_4k),
)
