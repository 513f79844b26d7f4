"""DicomWebWadoRetrieveClient: instances of a DICOMweb server are brought here (WADO-RS).

A step is a piece of an answer; the checkpoint is how many requests are dealt with, and what they brought. A request
that broke off is made again from its beginning: what came already is met again and not stored twice. How the job knows
its server, see `dicom_web_stow_client`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
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
        received: dict[OrthancId, None] = dict.fromkeys(content.get("Instances", ()))
        server = client.server(arguments.server, arguments.kept)
        headers = dict(arguments.headers)
        if server.is_universal:
            headers = {"Accept": dicomweb.ANY_TRANSFER_SYNTAX, **headers}
        new_spool = partial(archive.blobs.spool, _MAX_INSTANCE)
        with client.session(server) as session:
            for number, target in enumerate(arguments.targets[begin:], begin):
                checkpoint = (number, count, size)
                arrived = Arrived(0, None)
                try:
                    with (
                        running.item(arguments.permissive),
                        contextlib.closing(dicomweb.retrieve(session, target, headers, new_spool)) as answer,
                    ):
                        for arrived in answer:
                            if arrived.file is not None:
                                with running.item(arguments.permissive):
                                    if (instance_id := _store(archive, arrived.file)) is not None:
                                        received[instance_id] = None
                                        count += 1
                            _tell(content, count, size + arrived.size)
                            yield Progress(number * _STEPS + _part(arrived), total, checkpoint)
                finally:
                    content["Instances"] = list(received)
                size += arrived.size
                _tell(content, count, size)
                yield Progress((number + 1) * _STEPS, total, (number + 1, count, size), durable=True)

    return Kind("DicomWebWadoRetrieveClient", WadoRetrieveClient, run, lambda _: {}, may_pass=may_pass)


def _store(archive: Archive, file: Spooled) -> OrthancId | None:
    """Store an instance; None if it is not let in."""
    try:
        ingested = ingest(archive, file, InternalOrigin("Plugins"))
    finally:
        file.discard()
    return None if ingested.status is IngestStatus.FILTERED_OUT else ingested.instance_id


def _tell(content: dict[str, Any], count: int, size: int) -> None:
    content.update({"NetworkUsageMB": str(size >> 20), "ReceivedInstancesCount": str(count)})


def _part(arrived: Arrived) -> int:
    return _STEPS * arrived.size // arrived.expected if arrived.expected else 0
