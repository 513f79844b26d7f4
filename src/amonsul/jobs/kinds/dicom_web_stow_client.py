"""DicomWebStowClient: stored instances go to a DICOMweb server (STOW-RS).

A step is a request with as many instances as the bounds allow. Some requests are on their way at once, each on a
connection that is kept for the next; they are counted in order, and the checkpoint is how many instances were sent, and
in how many bytes. A request that was sent and not yet counted when the job stopped is sent again, which its receiver
takes for the same.

The job knows its server by name and asks for the rest when it runs, so that no password is kept with it; one without
secrets is kept with it, too, see `orthanc_peer_store`. Headers that whoever asked for the job gave are kept with it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from amonsul.archive import read
from amonsul.archive.context import Archive
from amonsul.archive.read import StoredAttachment
from amonsul.clients import dicomweb
from amonsul.clients.dicomweb import File
from amonsul.clients.http import RemoteRefusal, Session
from amonsul.database import sending
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import AmonsulError, NetworkProtocolError, UnknownResource
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.kinds.dicom_modality_store import Reference
from amonsul.jobs.peers import CONNECTIONS, may_pass

_LOOKED_UP_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class StowClient:
    """Arguments.

    Attributes:
        server: its name.
        kept: all of it as JSON, if there is no secret in it.
        resources: as named.
        instances: to send, in this order.
        headers: of each request, besides those of the server.
    """

    server: str
    kept: object
    resources: tuple[Reference, ...]
    instances: tuple[OrthancId, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    permissive: bool = False


def stow_client(archive: Archive, client: DicomWebClient) -> Kind[StowClient]:
    """The kind, with what it works with."""

    def run(arguments: StowClient, running: Running) -> Iterator[Progress]:
        total = len(arguments.instances)
        done, size = running.checkpoint or (0, 0)
        sender = _Sender(client, arguments)
        waiting: deque[tuple[_Batch, Future[_Outcome]]] = deque()
        with contextlib.ExitStack() as stack:
            stack.callback(sender.close)
            pool = ThreadPoolExecutor(CONNECTIONS, "stow")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            following = _batches(archive, client, arguments.instances[done:], running)
            while done < total:
                while len(waiting) < CONNECTIONS and (batch := next(following, None)) is not None:
                    waiting.append((batch, pool.submit(sender.send, batch)))
                batch, sending_it = waiting.popleft()
                outcome = sending_it.result()
                size += outcome.sent
                running.content["NetworkSizeMB"] = str(size >> 20)
                for error in (*batch.missing, *outcome.errors):
                    with running.item(arguments.permissive):
                        raise error
                done += batch.instances
                yield Progress(done, total, (done, size))

    return Kind("DicomWebStowClient", StowClient, run, _content, may_pass=may_pass)


def _content(arguments: StowClient) -> dict[str, object]:
    resources: dict[str, list[str]] = {}
    if arguments.instances:
        resources["Instances"] = list(arguments.instances)
    for reference in arguments.resources:
        if reference.type_name != Level.INSTANCE.type_name:
            level = Level[reference.type_name.upper()]
            resources.setdefault(level.collection.capitalize(), []).append(reference.orthanc_id)
    return {
        "InstancesCount": str(len(arguments.instances)),
        "Resources": resources or None,
        "Server": arguments.server,
    }


# ---------------------------------------------------------------------------------------------------- requests


@dataclass(slots=True)
class _Batch:
    """What goes in one request.

    Attributes:
        instances: how many it is about.
        files: those of them that are there, and why the others are `missing`.
        size: of the files in bytes.
    """

    instances: int = 0
    files: list[File] = field(default_factory=list)
    missing: list[AmonsulError] = field(default_factory=list)
    size: int = 0

    def has_room(self, file: File, client: DicomWebClient) -> bool:
        """Whether a file may go along; one always may."""
        if not self.files:
            return True
        if client.max_instances and len(self.files) >= client.max_instances:
            return False
        return not client.max_size or self.size + file.size <= client.max_size


def _batches(
    archive: Archive, client: DicomWebClient, instance_ids: Sequence[OrthancId], running: Running
) -> Iterator[_Batch]:
    batch = _Batch()
    for instance_id, sop_instance_uid in _described(archive, instance_ids):
        try:
            file = _file(archive, instance_id, sop_instance_uid, running)
        except AmonsulError as error:
            batch.missing.append(error)
        else:
            if not batch.has_room(file, client):
                yield batch
                batch = _Batch()
            batch.files.append(file)
            batch.size += file.size
        batch.instances += 1
    if batch.instances:
        yield batch


def _described(archive: Archive, instance_ids: Sequence[OrthancId]) -> Iterator[tuple[OrthancId, str | None]]:
    """Each instance with its SOP Instance UID, None if it is gone."""
    for start in range(0, len(instance_ids), _LOOKED_UP_AT_ONCE):
        some = instance_ids[start : start + _LOOKED_UP_AT_ONCE]
        with archive.database.read() as tx:
            uids = {each.orthanc_id: each.sop_instance_uid for each in sending.described(tx, some)}
        for instance_id in some:
            yield instance_id, uids.get(instance_id)


def _file(archive: Archive, instance_id: OrthancId, sop_instance_uid: str | None, running: Running) -> File:
    if sop_instance_uid is None:
        raise UnknownResource(f"there is no instance {instance_id}")
    stored = read.attachment(archive, Level.INSTANCE, instance_id)
    return File(sop_instance_uid, stored.size, lambda: _chunks(stored, running))


def _chunks(stored: StoredAttachment, running: Running) -> Iterable[bytes]:
    for chunk in stored.chunks():
        if running.stopping:
            raise NetworkProtocolError("the job was asked to stop")
        yield chunk


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a request; `sent` in bytes."""

    sent: int = 0
    errors: Sequence[AmonsulError] = ()


class _Sender:
    """Sends requests from several threads, each of which has a session of its own."""

    def __init__(self, client: DicomWebClient, arguments: StowClient) -> None:
        self._client = client
        self._headers = arguments.headers
        self._server = client.server(arguments.server, arguments.kept)
        self._lock = threading.Lock()
        self._idle: list[Session] = []

    def send(self, batch: _Batch) -> _Outcome:
        """Send one."""
        if not batch.files:
            return _Outcome()
        try:
            session = self._take()
            try:
                stored = dicomweb.store(session, batch.files, self._headers, is_chunked=self._server.is_chunked)
            finally:
                with self._lock:
                    self._idle.append(session)
        except AmonsulError as error:
            return _Outcome(errors=[error] * len(batch.files))
        refused = stored.refused.items()
        return _Outcome(
            stored.sent, [RemoteRefusal.of(f"{uid} was not stored: {reason}", stored.status) for uid, reason in refused]
        )

    def close(self) -> None:
        """Close all connections; nothing is on its way any more."""
        for session in self._idle:
            session.close()

    def _take(self) -> Session:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._client.session(self._server)
