"""DicomGetScu: resources of a modality are brought here by C-GET, over the association that asks for them.

A step is a response of the modality; the checkpoint is the number of resources that are dealt with. What comes is
stored as if the modality had sent it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.archive.ingest import IngestStatus, ingest
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spooled
from amonsul.clients.dimse import PATIENT_ROOT_GET, STUDY_ROOT_GET, DicomClient, Receiver
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.uids import is_valid
from amonsul.jobs import retrieval
from amonsul.jobs.failures import may_pass
from amonsul.jobs.kind import Kind, Progress, Running


@dataclass(frozen=True, slots=True)
class GetScu:
    """Arguments.

    Attributes:
        remote: with what the client changed of it for this once.
        local_aet: ours.
        queries: the resources, see `retrieval`; `SOPClassesInStudy` in one says what to expect.
        form: how the client wants to see them.
    """

    remote: Modality
    local_aet: str
    level: Level
    queries: tuple[Mapping[str, str], ...]
    form: str = "Short"
    permissive: bool = False
    description: str = "REST API"


def get_scu(archive: Archive, client: DicomClient) -> Kind[GetScu]:
    """The kind, with what it works with."""

    def run(arguments: GetScu, running: Running) -> Iterator[Progress]:
        total = len(arguments.queries)
        details = running.content["Details"]
        model = PATIENT_ROOT_GET if arguments.level is Level.PATIENT else STUDY_ROOT_GET
        remote = arguments.remote
        origin = DicomOrigin(
            remote.host, arguments.local_aet, remote.ae_title
        )  # who asked for the association, and whom
        for number in range(int(running.checkpoint or 0), total):
            query = arguments.queries[number]
            retrieval.check(arguments.level, query)
            received: dict[OrthancId, None] = {}
            expected = query.get(retrieval.SOP_CLASSES_IN_STUDY, "").split("\\")

            def store(spooled: Spooled, received: dict[OrthancId, None] = received) -> int:
                ingested = ingest(archive, spooled, origin)
                if ingested.status is IngestStatus.FILTERED_OUT:
                    return ingested.refusal
                received[ingested.instance_id] = None
                return 0

            subs = client.get(
                remote,
                model,
                retrieval.identifier(arguments.level, query, archive.dictionary, archive.default_encoding),
                Receiver(archive.blobs.spool, store),
                sop_classes=tuple(filter(is_valid, expected)),
                is_cancelled=lambda: running.stopping,
            )
            yield from retrieval.follow(running, number, total, subs, details[number], arguments.permissive)
            details[number]["ReceivedInstancesIds"] = list(received)
            yield retrieval.finished(number, total, running)

    def content(arguments: GetScu) -> dict[str, object]:
        return {
            "Description": arguments.description,
            "Details": retrieval.details(arguments.queries),
            "LocalAet": arguments.local_aet,
            "Query": retrieval.shown_queries(arguments.queries, arguments.form, archive.dictionary),
            "RemoteAet": arguments.remote.ae_title,
        }

    return Kind("DicomGetScu", GetScu, run, content, may_pass=may_pass, answer_payload=retrieval.answer_payload)
