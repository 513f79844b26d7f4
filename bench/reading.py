"""Rows that read and search over REST."""

from __future__ import annotations

import json

from bench import http_load
from bench.plan import Plan, Row, gets
from bench.processes import Measured
from bench.servers import Server


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
    Row("system", "GET /system", 0.4, gets(lambda _plan: ["/system"])),
    Row("series", "GET /series/{id}", 0.4, gets(lambda plan: [f"/series/{i.series_id}" for i in plan.spread(500)])),
    Row(
        "simplified-tags",
        "GET /instances/{id}/simplified-tags",
        1,
        gets(lambda plan: [f"/instances/{i.instance_id}/simplified-tags" for i in plan.spread(500)]),
    ),
    Row("statistics", "GET /statistics", 3, gets(lambda _plan: ["/statistics"])),
    Row("studies", "GET /studies?expand, page of 100", 2, gets(_study_pages)),
    Row("changes", "GET /changes, page of 100", 1.5, gets(_change_pages)),
    Row("find", "POST /tools/find, wildcard name, 50 expanded", 3, _find),
)
