"""DicomModalityStore: stored instances go to a modality by C-STORE.

A step is an instance. The checkpoint is the number of those that are done; an instance that was sent and not yet
counted when the job stopped is sent again, which its receiver takes for the same. Instances that were deleted meanwhile
fail like those that the modality refuses. If a storage commitment is to follow, it is asked for when all are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import DicomClient, MoveOriginator
from amonsul.dicom.commitment import Reference as CommitmentReference
from amonsul.dicom.levels import OrthancId
from amonsul.errors import UnknownResource
from amonsul.jobs.commitment import Commit
from amonsul.jobs.failures import may_pass
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.outgoing import outgoing

_AT_ONCE = 500
"""Instances that are looked up together."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource that a client named; `type_name` as in the REST API."""

    orthanc_id: str
    type_name: str


@dataclass(frozen=True, slots=True)
class ModalityStore:
    """Arguments.

    Attributes:
        remote: with what the client changed of it for this once.
        local_aet: ours, for show.
        resources: as named.
        instances: to send, in this order.
        move_originator_aet, move_originator_id: sent along if the first is not empty.
        storage_commitment_transaction_uid: of the commitment that follows; empty for none.
    """

    remote: Modality
    local_aet: str
    resources: tuple[Reference, ...]
    instances: tuple[OrthancId, ...]
    permissive: bool = False
    move_originator_aet: str = ""
    move_originator_id: int = 0
    storage_commitment_transaction_uid: str = ""
    description: str = "REST API"


def modality_store(archive: Archive, client: DicomClient, commit: Commit | None = None) -> Kind[ModalityStore]:
    """The kind, with what it works with; without `commit` no commitment follows."""

    def run(arguments: ModalityStore, running: Running) -> Iterator[Progress]:
        total = len(arguments.instances)
        done = int(running.checkpoint or 0)
        originator = None
        if arguments.move_originator_aet:
            originator = MoveOriginator(arguments.move_originator_aet, arguments.move_originator_id)
        while done < total:
            ids = arguments.instances[done : done + _AT_ONCE]
            found = outgoing(archive, ids)
            outcomes = client.store(
                arguments.remote,
                list(found.values()),
                move_originator=originator,
                is_cancelled=lambda: running.stopping,
            )
            for instance_id in ids:
                with running.item(arguments.permissive):
                    if instance_id not in found:
                        raise UnknownResource(f"the instance {instance_id} was deleted meanwhile")
                    outcome = next(outcomes, None)
                    if outcome is None:  # something is asked of the job, or an earlier instance took the association
                        break
                    outcome.raise_failure(arguments.remote)
                done += 1
                yield Progress(done, total, done)
            else:
                continue
            yield Progress(done, total, done)
        if arguments.storage_commitment_transaction_uid and commit is not None:
            references = []
            for start in range(0, total, _AT_ONCE):
                found = outgoing(archive, arguments.instances[start : start + _AT_ONCE])
                references += [
                    CommitmentReference(each.sop_class_uid, each.sop_instance_uid) for each in found.values()
                ]
            commit(arguments.remote, arguments.storage_commitment_transaction_uid, references)

    def content(arguments: ModalityStore) -> dict[str, object]:
        shown: dict[str, object] = {
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "InstancesCount": len(arguments.instances),
            "LocalAet": arguments.local_aet,
            "RemoteAet": arguments.remote.ae_title,
        }
        if arguments.resources:
            shown["ParentResources"] = [each.orthanc_id for each in arguments.resources]
            shown["Resources"] = [{"ID": each.orthanc_id, "Type": each.type_name} for each in arguments.resources]
        if arguments.move_originator_aet:
            shown["MoveOriginatorAET"] = arguments.move_originator_aet
            shown["MoveOriginatorID"] = arguments.move_originator_id
        if arguments.storage_commitment_transaction_uid:
            shown["StorageCommitmentTransactionUID"] = arguments.storage_commitment_transaction_uid
        return shown

    return Kind("DicomModalityStore", ModalityStore, run, content, may_pass=may_pass, max_attempts=1)
