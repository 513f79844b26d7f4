"""DicomWebStowClient: stored instances go to a DICOMweb server (STOW-RS).

A step is a request with as many instances as the bounds allow; the checkpoint is how many were sent, and in how many
bytes. A request that was sent and not yet counted when the job stopped is sent again, which its receiver takes for the
same.

The job knows its server by name and asks for the rest when it runs, so that no password is kept with it; one without
secrets is kept with it, too, see `orthanc_peer_store`. Headers that whoever asked for the job gave are kept with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from amonsul.archive import read
from amonsul.archive.context import Archive
from amonsul.archive.read import StoredAttachment
from amonsul.clients import dicomweb
from amonsul.clients.dicomweb import File
from amonsul.clients.http import RemoteRefusal
from amonsul.database import sending
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import NetworkProtocolError, UnknownResource
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.kinds.dicom_modality_store import Reference
from amonsul.jobs.peers import may_pass

_LOOKED_UP_AT_ONCE = 1000


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
        server = client.server(arguments.server, arguments.kept)
        with client.session(server) as session:
            for batch, files in _batches(archive, client, arguments, running, done):
                if files:
                    outcome = dicomweb.store(session, files, arguments.headers, is_chunked=server.is_chunked)
                    size += outcome.sent
                    for sop_instance_uid, reason in outcome.refused.items():
                        with running.item(arguments.permissive):
                            raise RemoteRefusal.of(f"{sop_instance_uid} was not stored: {reason}", outcome.status)
                done += batch
                running.content["NetworkSizeMB"] = str(size >> 20)
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


def _batches(
    archive: Archive, client: DicomWebClient, arguments: StowClient, running: Running, done: int
) -> Iterator[tuple[int, Sequence[File]]]:
    """How many instances are next, and those of them that are there."""
    files: list[File] = []
    taken = size = 0
    for instance_id, sop_instance_uid in _described(archive, arguments.instances[done:]):
        file = None
        with running.item(arguments.permissive):
            file = _file(archive, instance_id, sop_instance_uid, running)
        is_full = client.max_instances and len(files) >= client.max_instances
        if file is not None and files and (is_full or (client.max_size and size + file.size > client.max_size)):
            yield taken, files
            files, taken, size = [], 0, 0
        taken += 1
        if file is not None:
            files.append(file)
            size += file.size
    if taken:
        yield taken, files


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
