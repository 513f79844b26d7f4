"""Jobs: listed, described, commanded; and how every route that makes one asks for it.

A route that makes a job calls `answer`: the body says whether to wait for its end, and what is answered then is the
content of the job, or its identifier at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amonsul.database.jobs import Job, State
from amonsul.errors import BadFileFormat, BadRequest, InexistentItem, ParameterOutOfRange
from amonsul.jobs.commands import Command
from amonsul.web.files import content_disposition, filename_argument
from amonsul.web.json_body import Json
from amonsul.web.ranges import content_range, parse_range
from amonsul.web.services import Services
from amonsul.web.values import NOT_FOUND, TEXT_TYPE, Request, Response, Stream, empty, json

_PRIORITIES = 1 << 31
_MOST_ATTEMPTS = 100
_SHORT_JSON_TYPE = b"application/json"
_TIME = "%Y%m%dT%H%M%S.%f"


@dataclass(frozen=True, slots=True)
class JobParameters:
    """What a body says about the job that it asks for.

    Attributes:
        synchronous: wait for the end.
        permissive: go on after single failures.
        priority: higher ones go first.
        user_data: JSON that travels along.
        max_attempts: tries, where the remote may come back; None for what the kind of job thinks best.
    """

    synchronous: bool
    permissive: bool = False
    priority: int = 0
    user_data: object = None
    max_attempts: int | None = None


def parse_parameters(body: object, synchronous: bool = True) -> JobParameters:
    """Read Synchronous, Asynchronous, Permissive, Priority, UserData, and MaximumAttempts, which is beyond Orthanc.

    A body that is no object has none of them. Synchronous counts if both it and Asynchronous are given.

    Args:
        body: parsed JSON.
        synchronous: what holds if the body does not say.

    Raises:
        BadFileFormat: a field of a wrong type.
    """
    if not isinstance(body, Mapping):
        return JobParameters(synchronous)
    if "Synchronous" in body:
        synchronous = _flag(body, "Synchronous")
    elif "Asynchronous" in body:
        synchronous = not _flag(body, "Asynchronous")
    attempts = None
    if "MaximumAttempts" in body:
        attempts = _integer(body, "MaximumAttempts", 1, _MOST_ATTEMPTS)
    return JobParameters(
        synchronous,
        "Permissive" in body and _flag(body, "Permissive"),
        _integer(body, "Priority", -_PRIORITIES, _PRIORITIES - 1) if "Priority" in body else 0,
        body.get("UserData"),
        attempts,
    )


def answer(
    services: Services,
    arguments: object,
    parameters: JobParameters,
    finished: Callable[[Job], Response] | None = None,
) -> Response:
    """Run a job, or hand it in, as its parameters say.

    Args:
        services: of the handler.
        arguments: those of the kind of job.
        parameters: from the body.
        finished: the answer to a synchronous call; the content of the job unless given.

    Raises:
        AmonsulError: what a synchronous job failed with.
    """
    begin = services.engine.run if parameters.synchronous else services.engine.submit
    begun: Job | str = begin(
        arguments,
        priority=parameters.priority,
        user_data=parameters.user_data,
        max_attempts=parameters.max_attempts,
    )
    if isinstance(begun, str):
        return json({"ID": begun, "Path": f"/jobs/{begun}"})
    return json(begun.content) if finished is None else finished(begun)


def describe(job: Job) -> dict[str, object]:
    """The JSON of a job."""
    failure, moment = job.failure, datetime.now(UTC)
    described: dict[str, object] = {
        "Content": job.content,
        "CreationTime": job.created_at,
        "EffectiveRuntime": job.runtime_ms / 1000,
        "ErrorCode": failure.code,
        "ErrorDescription": failure.message if failure.code else "Success",
        "ErrorDetails": failure.details,
        "ID": job.job_id,
        "Priority": job.priority,
        "Progress": job.percent,
        "State": job.state.value,
        "Timestamp": moment.strftime(_TIME),
        "Type": job.kind,
    }
    if job.completed_at is not None:
        described["CompletionTime"] = job.completed_at
    if job.state is State.RUNNING and 0 < job.done < job.total:
        remaining_ms = job.runtime_ms * (job.total - job.done) / job.done
        described["EstimatedTimeOfArrival"] = (moment + timedelta(milliseconds=remaining_ms)).strftime(_TIME)
    if failure.payload is not None:
        described["ErrorPayload"] = failure.payload
    if job.user_data is not None:
        described["UserData"] = job.user_data
    return described


def list_jobs(services: Services, request: Request) -> Response:
    """GET /jobs."""
    states = _states(request)
    kinds = [name for name in request.query.get("type", "").split(";") if name]
    since, limit = _natural(request, "since"), _natural(request, "limit")
    if request.flag("expand"):
        return json([describe(job) for job in services.engine.page(states, kinds, since, limit)])
    return json(services.engine.identifiers(states, kinds, since, limit))


def purge_jobs(services: Services, request: Request) -> Response:
    """POST /jobs/purge: forget the ended ones."""
    kinds = [name for name in request.query.get("type", "").split(";") if name]
    return json({"Count": services.engine.purge(_states(request), kinds)})


def get_job(services: Services, request: Request) -> Response:
    """GET /jobs/{id}."""
    try:
        return json(describe(services.engine.get(request.params["id"])))
    except InexistentItem:
        return NOT_FOUND


def delete_job(services: Services, request: Request) -> Response:
    """DELETE /jobs/{id}."""
    services.engine.delete(request.params["id"])
    return Response(200, TEXT_TYPE, b"")


def command_job(command: Command, services: Services, request: Request) -> Response:
    """POST /jobs/{id}/cancel and its like."""
    if not services.engine.command(request.params["id"], command):
        return empty(400)
    return json({}, content_type=b"application/json")


def get_output(services: Services, request: Request) -> Response:
    """GET /jobs/{id}/{name}: a file that the job made."""
    stored = services.engine.output(request.params["id"], request.params["name"])
    name = content_disposition(filename_argument(request, stored.filename))
    interval = parse_range(request.header(b"range"), stored.size)
    if interval is None:
        return Response(200, stored.media_type.encode(), Stream(stored.chunks(), stored.size), (name,))
    start, end = interval
    headers = (name, content_range(start, end, stored.size))
    return Response(206, stored.media_type.encode(), Stream(stored.chunks(start, end), end - start), headers)


def delete_output(services: Services, request: Request) -> Response:
    """DELETE /jobs/{id}/{name}."""
    services.engine.delete_output(request.params["id"], request.params["name"])
    return Response(200, TEXT_TYPE, b"")


def _flag(body: Mapping[str, Json], name: str) -> bool:
    value = body[name]
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


def _integer(body: Mapping[str, Json], name: str, least: int, most: int) -> int:
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadFileFormat(f"Integer value expected in field: {name}")
    return value


def _states(request: Request) -> list[State]:
    names = [name for name in request.query.get("state", "").split(";") if name]
    try:
        return [State(name.capitalize()) for name in names]
    except ValueError:
        raise ParameterOutOfRange(f"Unknown state of jobs: {';'.join(names)[:64]}") from None


def _natural(request: Request, name: str) -> int:
    text = request.query.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f'Argument "{name}" must be a natural number')
    return int(text)
