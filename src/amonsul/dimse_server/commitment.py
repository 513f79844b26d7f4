"""Storage commitment at the DICOM door (PS3.4 Annex J): requests of others, and reports on our own.

A request is answered at once and left to a job, which looks the instances up and reports on an association of its
own. Asked the same again under one transaction UID while that is under way, nothing more is done: the peer did not
hear the first answer. Other instances under that UID are all refused, in a report of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from amonsul.archive import commitment
from amonsul.archive.context import Archive
from amonsul.blobs.spool import Spool, Spooled
from amonsul.database.jobs import State
from amonsul.dicom.commitment import (
    ALL_STORED,
    FAILURES_EXIST,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    CommitmentRequest,
    parse_report,
    parse_request,
)
from amonsul.dicom.elements import DataSet
from amonsul.dicom.query import View
from amonsul.dicom.scanner import scan_data_set
from amonsul.dimse_server.service import Answer, Association, Context, Exchange, Right, Service
from amonsul.errors import BadFileFormat, InternalError
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kinds.storage_commitment_scp import NAME, CommitmentScp
from amonsul.protocols.dimse.commands import NActionRq, NActionRsp, NEventReportRq, NEventReportRsp, Request
from amonsul.protocols.dimse.statuses import Status

logger = logging.getLogger(__name__)

_UNDER_WAY: Final = tuple(state for state in State if not state.ended)
_MAX_SIZE: Final = 16 << 20
"""Of a request or a report, in bytes: some hundred thousand instances."""

Undertake = Callable[[Association, CommitmentRequest], None]
"""Leaves a request to whoever answers it; returns when that is certain."""


class CommitmentService(Service):
    """Takes requests and reports.

    Args:
        archive: where our own commitments are written down.
        undertake: sees to a request.
        strict_aet_comparison: whether case matters in the AE title of who reports.
    """

    abstract_syntaxes = frozenset((PUSH_MODEL,))
    requests: ClassVar[Mapping[type[Request], Right]] = {
        NActionRq: Right.N_ACTION,
        NEventReportRq: Right.EVENT_REPORT,
    }
    peer_may_be_scp = True

    def __init__(self, archive: Archive, undertake: Undertake, *, strict_aet_comparison: bool = False) -> None:
        self._archive = archive
        self._undertake = undertake
        self._is_strict = strict_aet_comparison

    def open_spool(
        self,
        association: Association,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        request: Request,  # noqa: ARG002
        size_limit: int,
    ) -> Spool:
        """In memory: a list of UIDs."""
        return Spool(_no_file, memory_limit=_MAX_SIZE + 1, size_limit=min(size_limit, _MAX_SIZE))

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        """Answer either."""
        request = exchange.request
        if isinstance(request, NActionRq):
            return (Answer(self._act(exchange, request)),)
        assert isinstance(request, NEventReportRq)
        return (Answer(self._note(exchange, request)),)

    def _act(self, exchange: Exchange, request: NActionRq) -> NActionRsp:
        status: int = Status.SUCCESS
        if request.requested_sop_class_uid != PUSH_MODEL:
            status = Status.NO_SUCH_SOP_CLASS
        elif request.requested_sop_instance_uid != PUSH_MODEL_INSTANCE:
            status = Status.NO_SUCH_SOP_INSTANCE
        elif request.action_type_id != REQUEST_COMMITMENT:
            status = Status.NO_SUCH_ACTION
        else:
            try:
                self._undertake(exchange.association, parse_request(self._elements(exchange)))
            except BadFileFormat as error:
                logger.warning("N-ACTION of %s: %s", exchange.association, error)
                status = Status.INVALID_ARGUMENT_VALUE
        return NActionRsp(
            request.message_id,
            status,
            request.requested_sop_class_uid,
            request.requested_sop_instance_uid,
            request.action_type_id,
        )

    def _note(self, exchange: Exchange, request: NEventReportRq) -> NEventReportRsp:
        status: int = Status.SUCCESS
        if request.affected_sop_class_uid != PUSH_MODEL:
            status = Status.NO_SUCH_SOP_CLASS
        elif request.event_type_id not in (ALL_STORED, FAILURES_EXIST):
            status = Status.NO_SUCH_EVENT_TYPE
        else:
            try:
                report = parse_report(self._elements(exchange))
                reporter = exchange.association.calling_ae_title
                if not commitment.receive(self._archive, reporter, report, strict=self._is_strict):
                    logger.warning("%s reports on an unknown commitment: %s", reporter, report.transaction_uid)
            except BadFileFormat as error:
                logger.warning("N-EVENT-REPORT of %s: %s", exchange.association, error)
                status = Status.INVALID_ARGUMENT_VALUE
        return NEventReportRsp(
            request.message_id,
            status,
            request.affected_sop_class_uid,
            request.affected_sop_instance_uid,
            request.event_type_id,
        )

    def _elements(self, exchange: Exchange) -> DataSet:
        spooled: Spooled | None = exchange.data_set
        if spooled is None:
            raise BadFileFormat("storage commitment without data set")
        with spooled.view() as data:
            return scan_data_set(data, exchange.context.transfer_syntax, self._archive.settings.limits)


def by_job(engine: JobEngine, local_aet: str, view: View | None = None) -> Undertake:
    """Leaves requests to jobs.

    Args:
        engine: runs them.
        local_aet: our AE title towards who asked.
        view: what those who come here may see; None for everything.
    """

    def undertake(association: Association, asked: CommitmentRequest) -> None:
        remote = association.modality
        if remote is None:  # nobody else is allowed to ask
            raise InternalError("storage commitment for an unknown peer")
        under_way = [
            arguments
            for job in engine.page(_UNDER_WAY, (NAME,))
            if job.content.get("TransactionUid") == asked.transaction_uid
            and job.content.get("RemoteAet") == remote.ae_title
            and isinstance(arguments := engine.arguments(job.job_id), CommitmentScp)
        ]
        if any(arguments.references == asked.references for arguments in under_way):
            logger.info("storage commitment %s is under way already", asked.transaction_uid)
            return
        engine.submit(
            CommitmentScp(
                remote,
                local_aet,
                association.called_ae_title,
                association.remote_ip,
                asked.transaction_uid,
                asked.references,
                is_duplicate=bool(under_way),
                view=view,
            )
        )

    return undertake


def _no_file() -> Path:
    raise InternalError("a list of UIDs went to a file")
