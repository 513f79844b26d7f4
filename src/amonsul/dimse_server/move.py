"""C-MOVE (PS3.4 §C.4.2): what is asked for is sent to another system, one that the operator has named.

The peer says where to by AE title; only modalities can be destinations, so nobody can make this server connect to a
host of his choice. While instances are sent the peer hears how far it is; or, if the operator wants it so, a job sends
them later and the peer hears at once that all is well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality, find_by_ae_title
from amonsul.clients.dimse import DicomClient, MoveOriginator, Outgoing
from amonsul.dicom.levels import OrthancId
from amonsul.dicom.query import View
from amonsul.dimse_server.query import PATIENT_ROOT, STUDY_ROOT, InvalidIdentifier, QuerySettings, read_identifier
from amonsul.dimse_server.retrieve import Account, chunks, instances_meant, nothing_done
from amonsul.dimse_server.service import Answer, Exchange, Lane, Right, Service
from amonsul.errors import BadFileFormat, NetworkProtocolError
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kinds.dicom_modality_store import ModalityStore
from amonsul.protocols.dimse.commands import CMoveRq, Request
from amonsul.protocols.dimse.statuses import RetrieveStatus, Status, StorageStatus

logger = logging.getLogger(__name__)

_SENT_TOGETHER: Final = 5000
"""Instances that go over one association."""

Describe = Callable[[Archive, Sequence[OrthancId]], Mapping[OrthancId, Outgoing]]
"""Looks up instances as they are sent (`jobs.outgoing.outgoing`)."""

SendLater = Callable[[Modality, tuple[OrthancId, ...], MoveOriginator], None]
"""Leaves instances to a job; returns when that is certain."""


class MoveService(Service):
    """Sends to a third system.

    Args:
        archive: what is stored.
        settings: how identifiers are read.
        modalities: where can be sent to; asked for each request.
        client: sends; each C-MOVE has an association of its own if it keeps none.
        describe: looks up instances.
        strict_aet_comparison: whether case matters in the destination.
        send_later: if given, leaves the sending to a job (`SynchronousCMove` is false).
        view: what those who come here may see; None for everything.
    """

    abstract_syntaxes = frozenset((f"{PATIENT_ROOT}.2", f"{STUDY_ROOT}.2"))
    requests: ClassVar[Mapping[type[Request], Right]] = {CMoveRq: Right.MOVE}
    lane = Lane.RETRIEVALS

    def __init__(
        self,
        archive: Archive,
        settings: QuerySettings,
        modalities: Callable[[], Mapping[str, Modality]],
        client: DicomClient,
        describe: Describe,
        *,
        strict_aet_comparison: bool = False,
        send_later: SendLater | None = None,
        view: View | None = None,
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._modalities = modalities
        self._client = client
        self._describe = describe
        self._is_strict = strict_aet_comparison
        self._send_later = send_later
        self._view = view

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        """Send what is meant to the destination."""
        request = exchange.request
        assert isinstance(request, CMoveRq)
        found = find_by_ae_title(self._modalities(), request.move_destination, strict=self._is_strict)
        if not found:
            logger.warning("C-MOVE of %s to the unknown %s", exchange.association, request.move_destination)
            yield nothing_done(request, RetrieveStatus.MOVE_DESTINATION_UNKNOWN, "unknown move destination")
            return
        try:
            identifier = read_identifier(exchange, self._archive, self._settings)
            instance_ids = instances_meant(self._archive, identifier, needs_level=False, view=self._view)
        except InvalidIdentifier as error:
            logger.warning("C-MOVE of %s: %s", exchange.association, error)
            yield nothing_done(request, RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, "not a valid identifier")
            return
        except BadFileFormat as error:
            logger.warning("C-MOVE of %s: %s", exchange.association, error)
            yield nothing_done(request, RetrieveStatus.UNABLE_TO_PROCESS, "the identifier cannot be read")
            return
        if not instance_ids:
            logger.info("C-MOVE of %s: nothing matches", exchange.association)
            yield nothing_done(request, RetrieveStatus.UNABLE_TO_PROCESS, "no such resource")
            return
        originator = MoveOriginator(exchange.association.calling_ae_title, request.message_id)
        if self._send_later is not None:
            self._send_later(found[0], tuple(instance_ids), originator)
            yield nothing_done(request, Status.SUCCESS)
            return
        yield from self._send(exchange, request, found[0], instance_ids, originator)

    def _send(
        self,
        exchange: Exchange,
        request: CMoveRq,
        remote: Modality,
        instance_ids: list[OrthancId],
        originator: MoveOriginator,
    ) -> Iterator[Answer]:
        account = Account(request, exchange.context.transfer_syntax, len(instance_ids), counts_warnings=False)
        for chunk in chunks(instance_ids, _SENT_TOGETHER):
            described = self._describe(self._archive, chunk)
            for _ in range(len(chunk) - len(described)):  # deleted meanwhile
                account.add(StorageStatus.CANNOT_UNDERSTAND, "", was_sent=False)
            instances = list(described.values())
            done = 0
            try:
                for outcome in self._client.store(
                    remote, instances, move_originator=originator, is_cancelled=lambda: exchange.is_cancelled
                ):
                    if outcome.error is not None:
                        logger.warning("C-MOVE to %s: %s", remote.ae_title, outcome.error)
                    account.add(outcome.status, outcome.instance.sop_instance_uid, was_sent=outcome.error is None)
                    done += 1
                    if account.remaining:
                        yield account.pending()
            except NetworkProtocolError as error:
                logger.warning("C-MOVE of %s to %s failed: %s", exchange.association, remote.ae_title, error)
                for instance in instances[done:]:
                    account.add(StorageStatus.OUT_OF_RESOURCES, instance.sop_instance_uid)
                if account.remaining:
                    account.remaining, account.failed = 0, account.failed + account.remaining
                break
            if exchange.is_cancelled and account.remaining:
                yield account.cancelled()
                return
        logger.info(
            "C-MOVE of %s to %s: %d sent, %d failed",
            exchange.association,
            remote.ae_title,
            account.completed,
            account.failed,
        )
        yield account.final()


def by_job(engine: JobEngine, local_aet: str) -> SendLater:
    """Leaves the sending to a job, which goes on after a restart and over what fails."""

    def send_later(remote: Modality, instance_ids: tuple[OrthancId, ...], originator: MoveOriginator) -> None:
        engine.submit(
            ModalityStore(
                remote,
                local_aet,
                (),
                instance_ids,
                permissive=True,
                move_originator_aet=originator.ae_title,
                move_originator_id=originator.message_id,
                description="C-MOVE",
            )
        )

    return send_later
