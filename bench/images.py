"""Rows over pixel data: files, images, archives, anonymisation."""

from __future__ import annotations

from bench import http_load
from bench.plan import Plan, Row, gets_of_series
from bench.processes import Measured
from bench.servers import Server


def _anonymise(server: Server, plan: Plan) -> Measured:
    series = plan.stored_series(server, 100)
    path = f"/series/{series[0].series_id}/anonymize"
    request = http_load.post(path, server.host, (b"{}",), "application/json")
    return http_load.for_seconds(server.http_port, [request], 1, plan.seconds)


ROWS = (
    Row(
        "file",
        "GET /instances/{id}/file 512 KB",
        0.7,
        gets_of_series(100, lambda series: [f"/instances/{i.instance_id}/file" for i in series]),
    ),
    Row(
        "preview",
        "GET /instances/{id}/preview PNG 512 x 512, 4 connections",
        5,
        gets_of_series(100, lambda series: [f"/instances/{i.instance_id}/preview" for i in series], 4),
    ),
    Row(
        "archive",
        "GET /series/{id}/archive, 100 x 512 KB",
        6,
        gets_of_series(100, lambda series: [f"/series/{series[0].series_id}/archive"], 1),
    ),
    Row("anonymise", "POST /series/{id}/anonymize, 100 x 512 KB", 1.5, _anonymise),
)
