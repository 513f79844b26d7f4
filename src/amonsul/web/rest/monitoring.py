"""GET /tools/metrics-prometheus: what `amonsul.measures` has counted, and how much there is now."""

from __future__ import annotations

from typing import Final

from amonsul import measures
from amonsul.archive import changes, statistics
from amonsul.database.jobs import State
from amonsul.web.services import Services
from amonsul.web.values import Request, Response

_TEXT: Final = b"text/plain; version=0.0.4"
_MIB: Final = 1 << 20


def prometheus(services: Services, _request: Request) -> Response:
    """GET /tools/metrics-prometheus; nothing while metrics are switched off."""
    if not services.switches.metrics_enabled.get():
        return Response(200, _TEXT)
    _ask(services)
    return Response(200, _TEXT, measures.text())


def _ask(services: Services) -> None:
    """Set what is asked only when somebody looks."""
    stored = statistics.system(services.archive)
    measures.PATIENTS.set(stored.patients)
    measures.STUDIES.set(stored.studies)
    measures.SERIES.set(stored.series)
    measures.INSTANCES.set(stored.instances)
    measures.DISK_SIZE_MB.set(stored.disk_size / _MIB)
    measures.UNCOMPRESSED_SIZE_MB.set(stored.uncompressed_size / _MIB)
    measures.LAST_CHANGE.set(changes.last(services.archive).last)
    if services.jobs is None:
        return
    by_state = services.jobs.counts()
    for state, count in by_state.items():
        measures.JOBS.labels(state.value).set(count)
    measures.JOBS_PENDING.set(by_state[State.PENDING])
    measures.JOBS_RUNNING.set(by_state[State.RUNNING])
    measures.JOBS_SUCCESS.set(by_state[State.SUCCESS])
    measures.JOBS_FAILED.set(by_state[State.FAILURE])
