"""StorageCommitmentScp: somebody asked whether we are responsible for instances, and is told.

Everything is looked at anew whenever the job runs, also when the report could not be delivered before: an instance
that was deleted meanwhile is not committed. A step is a few hundred instances, or a single one if files are read; the
last step is the report. A modality that is away is tried again, later and later, for about a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from amonsul.archive import commitment
from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import DicomClient
from amonsul.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    FailureReason,
    Reference,
    Refusal,
)
from amonsul.dicom.query import View
from amonsul.jobs.failures import may_pass
from amonsul.jobs.kind import Kind, Progress, Running

NAME: Final = "StorageCommitmentScp"

_AT_ONCE: Final = 500
_MAX_ATTEMPTS: Final = 300
"""With five minutes between two of them in the end: about a day."""


@dataclass(frozen=True, slots=True)
class CommitmentScp:
    """Arguments.

    Attributes:
        remote: who asked, and is told.
        local_aet: our AE title towards it.
        called_aet: how it called us.
        is_duplicate: the transaction was going on already; nothing is committed under it again.
        view: what whoever asked may see; None for everything.
    """

    remote: Modality
    local_aet: str
    called_aet: str
    remote_ip: str
    transaction_uid: str
    references: tuple[Reference, ...]
    is_duplicate: bool = False
    view: View | None = None


def storage_commitment_scp(archive: Archive, client: DicomClient, *, checks_files: bool) -> Kind[CommitmentScp]:
    """The kind, with what it works with; `checks_files` has every file read before it is answered for."""

    def run(arguments: CommitmentScp, _: Running) -> Iterator[Progress]:
        total = len(arguments.references) + 1
        step = 1 if checks_files else _AT_ONCE
        failed: dict[Reference, int] = {}
        if arguments.is_duplicate:
            failed = dict.fromkeys(arguments.references, FailureReason.DUPLICATE_TRANSACTION_UID)
        else:
            for start in range(0, total - 1, step):
                some = arguments.references[start : start + step]
                failed |= commitment.failures(archive, some, checks_files=checks_files, view=arguments.view)
                yield Progress(min(start + step, total - 1), total)
        report = CommitmentReport(
            arguments.transaction_uid,
            tuple(reference for reference in arguments.references if reference not in failed),
            tuple(Refusal(reference, failed[reference]) for reference in arguments.references if reference in failed),
        )
        remote = replace(arguments.remote, local_aet=arguments.remote.local_aet or arguments.local_aet)
        client.n_event_report(remote, PUSH_MODEL, PUSH_MODEL_INSTANCE, report.event_type_id, report.data_set())
        yield Progress(total, total)

    def content(arguments: CommitmentScp) -> dict[str, object]:
        return {
            "CalledAet": arguments.called_aet,
            "Description": "",
            "RemoteAet": arguments.remote.ae_title,
            "RemoteIp": arguments.remote_ip,
            "TransactionUid": arguments.transaction_uid,
        }

    return Kind(NAME, CommitmentScp, run, content, may_pass=may_pass, max_attempts=_MAX_ATTEMPTS)
