"""Asking another system to be responsible for instances (PS3.4 Annex J), which jobs and REST clients do alike.

The commitment is written down before the request leaves, because its report may be faster than the response.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from amonsul.archive import commitment
from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import DicomClient
from amonsul.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    CommitmentRequest,
    Reference,
    parse_report,
)
from amonsul.dicom.elements import DataSet
from amonsul.errors import NetworkProtocolError, RemoteFailure
from amonsul.protocols.dimse.commands import NEventReportRq
from amonsul.protocols.dimse.statuses import Status

logger = logging.getLogger(__name__)

Commit = Callable[[Modality, str, Sequence[Reference]], None]
"""Asks a modality for a commitment under a transaction UID.

Raises:
    NetworkProtocolError: it cannot be reached, or refuses.
"""


def committer(archive: Archive, client: DicomClient, *, kept: int, strict: bool) -> Commit:
    """What asks for commitments.

    Args:
        archive: where they are written down.
        client: speaks to the modality.
        kept: how many are remembered (`StorageCommitmentReportsSize`); 0 for all.
        strict: whether case matters in AE titles.
    """

    def commit(remote: Modality, transaction_uid: str, references: Sequence[Reference]) -> None:
        def on_event(request: NEventReportRq, elements: DataSet) -> int:
            if request.affected_sop_class_uid != PUSH_MODEL:
                return Status.NO_SUCH_SOP_CLASS
            commitment.receive(archive, remote.ae_title, parse_report(elements), strict=strict)
            return Status.SUCCESS

        commitment.begin(archive, transaction_uid, remote.ae_title, references, kept=kept)
        asked = CommitmentRequest(transaction_uid, tuple(references)).data_set()
        try:
            client.n_action(remote, PUSH_MODEL, PUSH_MODEL_INSTANCE, REQUEST_COMMITMENT, asked, on_event)
        except RemoteFailure as error:
            commitment.forget(archive, transaction_uid)
            logger.warning("storage commitment %s: %s", transaction_uid, error)
            raise NetworkProtocolError(
                f"Storage commitment - The request cannot be handled by remote AET: {remote.ae_title}"
            ) from error
        except NetworkProtocolError:
            commitment.forget(archive, transaction_uid)
            raise

    return commit
