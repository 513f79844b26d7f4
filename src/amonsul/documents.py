"""The pages of `docs/` that are printed from tables: the options, the routes of the REST API, the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amonsul import measures
from amonsul.config.writer import markdown as configuration_page
from amonsul.web.routes import routes
from amonsul.web.routing import Route
from amonsul.web.settings import WebSettings

_REST_INTRODUCTION = """\
# REST API

*This page is printed from the table of routes (`make docs`). A running server describes the same at `/openapi.json`,
and shows it at `/docs`.*

Paths, fields and status codes are those of Orthanc. A refusal carries a JSON body that says why (`Message`, `Details`,
`HttpStatus`, `OrthancStatus`…), unless `HttpDescribeErrors` is off.
"""


_METRICS_INTRODUCTION = """\
# Metrics

*This page is printed from the table of metrics (`make docs`).*

`GET /tools/metrics-prometheus` answers in the text format of Prometheus. A scrape configuration:

```yaml
scrape_configs:
  - job_name: amonsul
    metrics_path: /tools/metrics-prometheus
    basic_auth: { username: alice, password: … }
    static_configs: [{ targets: ["localhost:8042"] }]
```

Names that begin with `orthanc_` are those that dashboards for Orthanc know. Orthanc's averages of durations over a few
seconds are histograms here, so that Prometheus computes any average and percentile. Where Orthanc has threads and
caches that do not exist here, there is no metric.

Numbers are those of one process, since it started; what there is (resources, sizes, jobs) is asked of the index when
somebody looks. `route` is the template of a line of the [REST API](rest-api.md), such as `/series/{id}`, `operation` a
DIMSE service, `outcome` a class of status. No label holds what a client or a data set says. `process_*` (CPU time,
memory, open files) come in addition.

`MetricsEnabled` and `PUT /tools/metrics` decide whether the page shows anything. Counting goes on in any case: it takes
two to three microseconds of a request.

| Metric | Kind | Labels | Meaning |
|---|---|---|---|
"""


def pages() -> Mapping[str, str]:
    """Content of each page by the name of its file."""
    return {"configuration.md": configuration_page(), "rest-api.md": rest_page(), "metrics.md": metrics_page()}


def metrics_page() -> str:
    """`docs/metrics.md`."""
    lines = (f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.what} |\n" for each in measures.METRICS)
    return _METRICS_INTRODUCTION + "".join(lines)


def rest_page() -> str:
    """`docs/rest-api.md`."""
    table = routes(WebSettings())
    lines = [_REST_INTRODUCTION]
    for tag in dict.fromkeys(route.tag for route in table):
        lines += [f"## {tag}", ""]
        for route in table:
            if route.tag == tag:
                lines += _route(route)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _route(route: Route) -> Iterator[str]:
    more = f" {route.help}" if route.help else ""
    yield f"- **`{route.method} {route.template}`**: {route.summary.rstrip('.')}.{more}"
    for parameter in route.parameters:
        sign = "?" if parameter.place == "query" else ""
        yield f"  - `{sign}{parameter.name}`: {parameter.help}"
    for field in route.fields:
        yield f"  - field `{field.name}`: {field.help}"
