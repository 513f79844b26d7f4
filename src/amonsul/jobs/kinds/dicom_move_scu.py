"""DicomMoveScu: a modality is asked to send resources somewhere, by C-MOVE.

A step is a response of the modality; the checkpoint is the number of resources that are dealt with. A resource that was
under way when the job stopped is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE, DicomClient
from amonsul.dicom.levels import Level
from amonsul.jobs import retrieval
from amonsul.jobs.arrivals import MoveArrivals
from amonsul.jobs.failures import may_pass
from amonsul.jobs.kind import Kind, Progress, Running


@dataclass(frozen=True, slots=True)
class MoveScu:
    """Arguments.

    Attributes:
        remote: with what the client changed of it for this once.
        local_aet: ours.
        target_aet: to where.
        queries: the resources, see `retrieval`.
        form: how the client wants to see them.
    """

    remote: Modality
    local_aet: str
    target_aet: str
    level: Level
    queries: tuple[Mapping[str, str], ...]
    form: str = "Short"
    permissive: bool = False
    description: str = "REST API"


def move_scu(archive: Archive, client: DicomClient, arrivals: MoveArrivals) -> Kind[MoveScu]:
    """The kind, with what it works with."""

    def run(arguments: MoveScu, running: Running) -> Iterator[Progress]:
        total = len(arguments.queries)
        details = running.content["Details"]
        model = PATIENT_ROOT_MOVE if arguments.level is Level.PATIENT else STUDY_ROOT_MOVE
        for number in range(int(running.checkpoint or 0), total):
            query = arguments.queries[number]
            retrieval.check(arguments.level, query)
            message_id = client.new_message_id()
            with arrivals.awaiting(arguments.local_aet, message_id) as arrived:
                subs = client.move(
                    arguments.remote,
                    model,
                    retrieval.identifier(arguments.level, query, archive.dictionary, archive.default_encoding),
                    arguments.target_aet,
                    message_id=message_id,
                    is_cancelled=lambda: running.stopping,
                )
                yield from retrieval.follow(running, number, total, subs, details[number], arguments.permissive)
            details[number]["ReceivedInstancesIds"] = list(arrived)
            yield retrieval.finished(number, total, running)

    def content(arguments: MoveScu) -> dict[str, object]:
        return {
            "Description": arguments.description,
            "Details": retrieval.details(arguments.queries),
            "LocalAet": arguments.local_aet,
            "Query": retrieval.shown_queries(arguments.queries, arguments.form, archive.dictionary),
            "RemoteAet": arguments.remote.ae_title,
            "TargetAet": arguments.target_aet,
        }

    return Kind("DicomMoveScu", MoveScu, run, content, may_pass=may_pass, answer_payload=retrieval.answer_payload)
