"""C-GET (PS3.4 §C.4.3): what is asked for comes back on the same association, by C-STORE the other way round.

An instance is sent in the transfer syntax in which it is stored if the peer took a context for that, else transcoded
into one that it took. What cannot be sent, and what the peer refuses, is counted and does not stop the others.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from amonsul.archive.context import Archive
from amonsul.clients.dimse import Outgoing, Transcode, opened
from amonsul.dicom.levels import OrthancId
from amonsul.dicom.query import View
from amonsul.dimse_server.negotiation import UNCOMPRESSED
from amonsul.dimse_server.query import PATIENT_ROOT, STUDY_ROOT, InvalidIdentifier, QuerySettings, read_identifier
from amonsul.dimse_server.retrieve import Account, chunks, instances_meant, nothing_done
from amonsul.dimse_server.service import Answer, Context, Exchange, Lane, Prepared, Right, Service
from amonsul.errors import AmonsulError, BadFileFormat, NoPresentationContext
from amonsul.protocols.dimse.commands import CGetRq, CStoreRq, Request
from amonsul.protocols.dimse.statuses import RetrieveStatus, StorageStatus

logger = logging.getLogger(__name__)

Describe = Callable[[Archive, Sequence[OrthancId]], Mapping[OrthancId, Outgoing]]
"""Looks up instances as they are sent (`jobs.outgoing.outgoing`)."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance about to be sent; without message if it cannot be."""

    message: Prepared | None
    sop_instance_uid: str


class GetService(Service):
    """Sends to whoever asks.

    Args:
        archive: what is stored.
        settings: how identifiers are read.
        describe: looks up instances.
        transcode: for peers that do not take the transfer syntax of an instance; None never transcodes.
        view: what those who come here may see; None for everything.
    """

    abstract_syntaxes = frozenset((f"{PATIENT_ROOT}.3", f"{STUDY_ROOT}.3"))
    requests: ClassVar[Mapping[type[Request], Right]] = {CGetRq: Right.GET}
    lane = Lane.RETRIEVALS

    def __init__(
        self,
        archive: Archive,
        settings: QuerySettings,
        describe: Describe,
        transcode: Transcode | None = None,
        view: View | None = None,
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._describe = describe
        self._transcode = transcode
        self._view = view

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        """Send what is meant, one instance after the other."""
        request = exchange.request
        assert isinstance(request, CGetRq)
        try:
            identifier = read_identifier(exchange, self._archive, self._settings)
            instance_ids = instances_meant(self._archive, identifier, needs_level=True, view=self._view)
        except (InvalidIdentifier, BadFileFormat) as error:
            logger.warning("C-GET of %s: %s", exchange.association, error)
            yield nothing_done(request, RetrieveStatus.UNABLE_TO_PROCESS, "not a valid identifier")
            return
        if not instance_ids:
            logger.info("C-GET of %s: nothing matches", exchange.association)
            yield nothing_done(request, RetrieveStatus.UNABLE_TO_PROCESS, "no such resource")
            return
        account = Account(request, exchange.context.transfer_syntax, len(instance_ids))
        message_ids = (number for number in itertools.cycle(range(1, 0x10000)) if number != request.message_id)
        prepared = (self._prepare(exchange, each, message_ids) for each in self._described(instance_ids))
        ready, news = next(prepared, None), False
        while ready is not None:
            if exchange.is_cancelled:
                yield account.cancelled()
                return
            if ready.message is None:
                account.add(StorageStatus.CANNOT_UNDERSTAND, ready.sop_instance_uid, was_sent=False)
                ready = next(prepared, None)
                continue
            exchange.ask(ready.message)
            if news:  # of the one before; the peer has something to do, so this is the time
                yield account.pending()
            following = next(prepared, None)
            account.add(exchange.response().status, ready.sop_instance_uid)
            ready, news = following, True
        if news:
            yield account.pending()
        logger.info(
            "C-GET of %s: %d sent, %d failed",
            exchange.association,
            account.completed + account.warning,
            account.failed,
        )
        yield account.final()

    def _described(self, instance_ids: list[OrthancId]) -> Iterator[Outgoing | None]:
        """The instances; None for one that was deleted meanwhile."""
        for chunk in chunks(instance_ids):
            described = self._describe(self._archive, chunk)
            yield from map(described.get, chunk)

    def _prepare(self, exchange: Exchange, instance: Outgoing | None, message_ids: Iterator[int]) -> _Ready:
        """Choose how an instance is sent and open it, which is done while the peer works at the one before."""
        if instance is None:
            return _Ready(None, "")
        try:
            context, outgoing = self._choose(exchange, instance)
            command = CStoreRq(next(message_ids), outgoing.sop_class_uid, outgoing.sop_instance_uid)
            message = exchange.prepare(context, command, opened(outgoing))
        except AmonsulError as error:
            logger.warning("C-GET of %s: %s not sent: %s", exchange.association, instance.sop_instance_uid, error)
            return _Ready(None, instance.sop_instance_uid)
        return _Ready(message, outgoing.sop_instance_uid)

    def _choose(self, exchange: Exchange, instance: Outgoing) -> tuple[Context, Outgoing]:
        """The context to send in, and what to send in it.

        Raises:
            NoPresentationContext: the peer took none for this SOP class, or not as SCP.
            AmonsulError: the instance cannot be transcoded into what it took.
        """
        accepted = {
            context.transfer_syntax: context
            for context in exchange.association.contexts.values()
            if context.abstract_syntax == instance.sop_class_uid and context.peer_is_scp
        }
        as_it_is = accepted.get(instance.transfer_syntax_uid)
        if as_it_is is not None:
            return as_it_is, instance
        modality = exchange.association.modality
        if not accepted or self._transcode is None or (modality is not None and not modality.allow_transcoding):
            raise NoPresentationContext(
                f"no context for SOP class {instance.sop_class_uid} in transfer syntax {instance.transfer_syntax_uid}"
            )
        wanted = [uid for uid in (*UNCOMPRESSED, *accepted) if uid in accepted]
        transcoded = self._transcode(instance, wanted)
        return accepted[transcoded.transfer_syntax_uid], transcoded
