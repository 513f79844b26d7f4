"""DicomWebWadoRetrieveClient: instances of a DICOMweb server are brought here (WADO-RS).

A step is a piece of an answer; the checkpoint is how many requests are dealt with, and what they brought. A request
that broke off is made again from its beginning: what came already is met again and not stored twice. How the job knows
its server, see `dicom_web_stow_client`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from amonsul.archive.context import Archive
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.spool import Spooled
from amonsul.clients import dicomweb
from amonsul.clients.dicomweb import Arrived
from amonsul.dicom.levels import OrthancId
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.peers import may_pass

_MAX_INSTANCE: Final = 16 << 30
STORED_AT_ONCE: Final = 4
"""By one job; they share the waits for the disk."""
_STEPS: Final = 100
"""Units of progress of one request."""


@dataclass(frozen=True, slots=True)
class WadoRetrieveClient:
    """Arguments.

    Attributes:
        server: its name.
        kept: all of it as JSON, if there is no secret in it.
        targets: what to request, paths below the root of the server with their arguments.
        headers: of each request, besides those of the server.
    """

    server: str
    kept: object
    targets: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    permissive: bool = False


def wado_retrieve_client(archive: Archive, client: DicomWebClient) -> Kind[WadoRetrieveClient]:
    """The kind, with what it works with."""

    def run(arguments: WadoRetrieveClient, running: Running) -> Iterator[Progress]:
        begin, count, size = running.checkpoint or (0, 0, 0)
        total = len(arguments.targets) * _STEPS
        content = running.content
        server = client.server(arguments.server, arguments.kept)
        headers = dict(arguments.headers)
        if server.is_universal:
            headers = {"Accept": dicomweb.ANY_TRANSFER_SYNTAX, **headers}
        new_spool = partial(archive.blobs.spool, _MAX_INSTANCE)
        with (
            client.session(server) as session,
            contextlib.closing(_Intake(archive, running, arguments, count)) as intake,
        ):
            for number, target in enumerate(arguments.targets[begin:], begin):
                checkpoint = (number, intake.count, size)
                arrived = Arrived(0, None)
                try:
                    with (
                        running.item(arguments.permissive),
                        contextlib.closing(dicomweb.retrieve(session, target, headers, new_spool)) as answer,
                    ):
                        for arrived in answer:
                            if arrived.file is not None:
                                intake.take(arrived.file)
                            _tell(content, intake.count, size + arrived.size)
                            yield Progress(number * _STEPS + _part(arrived), total, checkpoint)
                    intake.settle()
                finally:
                    content["Instances"] = list(intake.received)
                size += arrived.size
                _tell(content, intake.count, size)
                yield Progress((number + 1) * _STEPS, total, (number + 1, intake.count, size), durable=True)

    return Kind("DicomWebWadoRetrieveClient", WadoRetrieveClient, run, lambda _: {}, may_pass=may_pass)


class _Intake:
    """Stores instances, some at once, while further ones come; they are counted in order.

    Attributes:
        received: what is stored, in order of arrival.
        count: how often something was.
    """

    def __init__(self, archive: Archive, running: Running, arguments: WadoRetrieveClient, count: int) -> None:
        self.received: dict[OrthancId, None] = dict.fromkeys(running.content.get("Instances", ()))
        self.count = count
        self._archive = archive
        self._running = running
        self._permissive = arguments.permissive
        self._pool = ThreadPoolExecutor(STORED_AT_ONCE, "wado-retrieve")
        self._storing: deque[Future[OrthancId | None]] = deque()

    def take(self, file: Spooled) -> None:
        """Store an instance; wait for an earlier one if there are enough."""
        self._storing.append(self._pool.submit(self._store, file))
        self.settle(STORED_AT_ONCE)

    def settle(self, left: int = 0) -> None:
        """Wait until no more than so many are being stored.

        Raises:
            AmonsulError: one was refused, and the job is not permissive.
        """
        while len(self._storing) > left:
            with self._running.item(self._permissive):
                instance_id = self._storing.popleft().result()
                if instance_id is not None:
                    self.received[instance_id] = None
                    self.count += 1

    def close(self) -> None:
        """Wait until nothing is being stored any more."""
        self._pool.shutdown()

    def _store(self, file: Spooled) -> OrthancId | None:
        """Store an instance; None if it is not let in."""
        try:
            ingested = ingest(self._archive, file, InternalOrigin("Plugins"))
        finally:
            file.discard()
        return None if ingested.status is IngestStatus.FILTERED_OUT else ingested.instance_id


def _tell(content: dict[str, Any], count: int, size: int) -> None:
    content.update({"NetworkUsageMB": str(size >> 20), "ReceivedInstancesCount": str(count)})


def _part(arrived: Arrived) -> int:
    return _STEPS * arrived.size // arrived.expected if arrived.expected else 0
