"""The user side of DICOM: what we ask of other systems, in blocking calls.

    client = DicomClient(ScuSettings(ae_title="AMONSUL"))
    client.echo(modality)
    for outcome in client.store(modality, instances): ...
    for answer in client.find(modality, model, identifier): ...

Contexts are proposed so that whatever is to be sent can be sent in the transfer syntax that it has. Associations that
stored something are kept for a while for the next time; all others are made for one question, because a remote may
answer differently tomorrow and a broken association would look like a broken remote. Nothing here knows of the archive:
instances come as iterators of bytes, and go to a callable.
"""

from __future__ import annotations

import itertools
import logging
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from pydicom.dataset import Dataset

from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients.association import AcceptedContext, Association, Message, Received
from amonsul.clients.pool import AssociationPool
from amonsul.dicom.elements import DataSet
from amonsul.dicom.encoding import encode_data_set
from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, data_set_of, file_head
from amonsul.dicom.scanner import scan_data_set
from amonsul.dicom.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_valid,
    transfer_syntax,
)
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    InternalError,
    NetworkProtocolError,
    NoPresentationContext,
    RemoteCannotProcess,
    RemoteFailure,
)
from amonsul.protocols.dimse.commands import (
    CCancelRq,
    CEchoRq,
    CFindRq,
    CGetRq,
    CGetRsp,
    CMoveRq,
    CMoveRsp,
    CStoreRq,
    CStoreRsp,
    NActionRq,
    NEventReportRq,
    NEventReportRsp,
    Response,
)
from amonsul.protocols.dimse.statuses import Category, FindStatus, Status, StorageStatus, category
from amonsul.protocols.upper_layer.items import MAX_UID_LENGTH, ProposedContext, RoleSelection, UserInformation
from amonsul.protocols.upper_layer.pdu import MAX_CONTEXTS, AAssociateRq

logger = logging.getLogger(__name__)

VERIFICATION: Final = "1.2.840.10008.1.1"
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"

_UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_COMPRESSED: Final = tuple(
    f"1.2.840.10008.1.2.{end}"
    for end in (
        *("4.70", "4.57", "4.50", "4.51", "4.80", "4.81", "4.90", "4.91", "4.201", "4.202", "4.203", "5"),
        *("4.100", "4.101", "4.102", "4.103"),
    )
)
"""What images may be compressed with, for what comes by C-GET."""

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_COMMON_CLASSES: Final = tuple(
    _STORAGE + end
    for end in (
        *("2", "4", "7", "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2.1", "2.2", "3.1", "4.1", "4.2", "4.3"),
        *("6.1", "6.2", "7.1", "7.2", "7.3", "7.4", "11.1", "11.2", "12.1", "12.1.1", "12.2", "12.2.1", "13.1.3"),
        *("20", "30", "66", "66.1", "66.2", "66.4", "66.5", "77.1.1", "77.1.2", "77.1.3", "77.1.4", "77.1.5.1"),
        *("77.1.5.4", "77.1.6", "88.11", "88.22", "88.33", "88.34", "88.59", "88.65", "88.67", "104.1", "104.2"),
        *("104.3", "128", "128.1", "130", "481.1", "481.2", "481.3", "481.4", "481.5", "481.8", "9.1.1", "9.1.2"),
    )
)
"""What is seen in practice, the commonest first."""

_ALSO_PROPOSED: Final = 24
"""Common classes that a storing association proposes beyond what it needs now, so that it can be used again."""

_MAX_DRAINED_ANSWERS: Final = 10_000

_REPORT_WAIT_S: Final = 0.2
"""Time that a remote has to report on an action in the same association; later it needs one of its own."""


class Remote(Protocol):
    """A system to speak to; `archive.modalities.Modality` is one."""

    @property
    def ae_title(self) -> str:
        """Its AE title."""
        ...

    @property
    def host(self) -> str:
        """Name or address."""
        ...

    @property
    def port(self) -> int:
        """TCP port."""
        ...

    @property
    def use_dicom_tls(self) -> bool:
        """Whether to speak TLS."""
        ...

    @property
    def local_aet(self) -> str:
        """Our AE title towards it; empty for the usual one."""
        ...

    @property
    def timeout_s(self) -> int:
        """Longest wait for its answers; 0 for the usual one."""
        ...

    @property
    def allow_transcoding(self) -> bool:
        """Whether what is sent may be transcoded."""
        ...


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """On whose behalf instances are sent (PS3.7 §9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to be sent.

    Attributes:
        file: opens the whole Part 10 file and gives it in pieces; the file meta information is left out on the way.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    file: Callable[[], Iterable[bytes | memoryview]]


OnEvent = Callable[[NEventReportRq, DataSet], int]
"""Takes an event that was reported, answers the status."""

Transcode = Callable[[Outgoing, Sequence[str]], Outgoing]
"""Gives an instance in one of some transfer syntaxes; raises AmonsulError if it cannot."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    Attributes:
        status: of the C-STORE-RSP; a failure status of ours where nothing was sent.
        comment: of the remote.
        error: why nothing was sent: no context was accepted, it could not be transcoded, the file is gone.
    """

    instance: Outgoing
    status: int
    comment: str = ""
    error: AmonsulError | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the remote has it; warnings count as success (PS3.4 Table B.2-1)."""
        return self.error is None and category(self.status) in (Category.SUCCESS, Category.WARNING)

    def raise_failure(self, remote: Remote) -> None:
        """Raise what went wrong, if anything did.

        Raises:
            AmonsulError: `error`.
            RemoteFailure: the remote refused.
        """
        if self.error is not None:
            raise self.error
        if not self.is_stored:
            raise RemoteFailure.of("C-STORE", f'AET "{remote.ae_title}"', self.status, self.comment)


@dataclass(frozen=True, slots=True)
class SubOperations:
    """How far a C-MOVE or C-GET is (PS3.4 §C.4.2.1.6); numbers that the remote did not give are None.

    Attributes:
        status: pending, or that of the final response; failures are raised.
    """

    status: int
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    comment: str = ""

    @property
    def is_final(self) -> bool:
        """Whether no more comes."""
        return category(self.status) is not Category.PENDING


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes the instances of a C-GET.

    Attributes:
        spool: makes the spool of one instance.
        store: takes a whole file in; answers the DIMSE status.
    """

    spool: Callable[[], Spool]
    store: Callable[[Spooled], int]


@dataclass(frozen=True, slots=True)
class ScuSettings:
    """How we speak to others.

    Attributes:
        ae_title: ours (`DicomAet`).
        timeout_s: longest wait for a connection and for each answer; 0 for any (`DicomScuTimeout`).
        association_close_delay_s: how long an association is kept for the next use (`DicomAssociationCloseDelay`).
        max_pdu_length: what we take in one PDU.
        preferred_transfer_syntax: proposed first (`DicomScuPreferredTransferSyntax`).
        tls: for remotes with `UseDicomTls`; None if there are no certificates.
        may_be_link_local: speak to remotes at addresses where clouds keep their credentials, see `web_address`.
    """

    ae_title: str = "ORTHANC"
    timeout_s: float = 10.0
    association_close_delay_s: float = 5.0
    max_pdu_length: int = 131072
    preferred_transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN
    tls: ssl.SSLContext | None = None
    may_be_link_local: bool = False


class DicomClient:
    """Speaks to other DICOM systems; may be used from any thread.

    Args:
        transcode: for remotes that do not take the transfer syntax of an instance; None never transcodes.
    """

    def __init__(self, settings: ScuSettings, transcode: Transcode | None = None) -> None:
        self._settings = settings
        self._transcode = transcode
        self._pool = AssociationPool(settings.association_close_delay_s)
        self._message_ids = itertools.cycle(range(1, 0x10000))
        preferred = (settings.preferred_transfer_syntax, *_UNCOMPRESSED)
        self._uncompressed = tuple(
            dict.fromkeys(uid for uid in preferred if uid in (*_UNCOMPRESSED, EXPLICIT_VR_BIG_ENDIAN))
        )

    def close(self) -> None:
        """Release all associations that are kept."""
        self._pool.close()

    # C-ECHO

    def echo(self, remote: Remote) -> None:
        """Ask a remote whether it is there (PS3.4 Annex A).

        Raises:
            NetworkProtocolError: it is not.
            RemoteFailure: it answers with a failure.
        """
        with self._association(remote, [(VERIFICATION, self._uncompressed)]) as association:
            context = _context(association, VERIFICATION)
            message_id = self._next_message_id()
            association.send(context, CEchoRq(message_id))
            _check("C-ECHO", association, association.receive_response(message_id))

    # C-STORE

    def store(
        self,
        remote: Remote,
        instances: Sequence[Outgoing],
        *,
        move_originator: MoveOriginator | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome]:
        """Send instances, one outcome for each in their order; ends early when `is_cancelled`.

        An instance that fails does not hold up the others. While the remote works at one, the outcome of that before
        is given if it was stored, and the next is made ready.

        Raises:
            NetworkProtocolError: no association, or it was lost; outcomes that were given are certain, the instance
                after them is not.
        """
        for batch in self._batches(instances):
            with self._storing(remote, batch) as hold:
                yield from self._store_batch(hold, remote, batch, move_originator, is_cancelled)
            if is_cancelled():
                return

    def _store_batch(
        self,
        hold: _Hold,
        remote: Remote,
        batch: Sequence[Outgoing],
        originator: MoveOriginator | None,
        is_cancelled: Callable[[], bool],
    ) -> Iterator[Outcome]:
        def prepare(instance: Outgoing | None) -> _Ready | Outcome | None:
            return self._prepare(hold.association, remote, instance, originator)

        ready = prepare(batch[0])
        outcome: Outcome | None = None  # of the instance before, not given yet
        for instance, following in zip(batch, [*batch[1:], None], strict=True):
            if is_cancelled():
                break
            current, before, outcome = ready, outcome, None
            if before is not None and not before.is_stored:  # who stops at the first failure sends nothing more
                yield before
                before = None
            try:
                if isinstance(current, _Ready):
                    hold.send(current)
                    if before is not None:
                        yield before
                        before = None
                    ready = prepare(following)
                    outcome = hold.receive_outcome(current)
            except NetworkProtocolError:
                if not hold.is_stale:
                    if before is not None:
                        yield before
                    raise
                hold.renew()
                current = prepare(instance)
                if isinstance(current, _Ready):
                    hold.send(current)
                    outcome = hold.receive_outcome(current)
                ready = prepare(following)
            except AmonsulError as error:  # the file could not be read to its end: that took the association
                outcome = Outcome(instance, StorageStatus.CANNOT_UNDERSTAND, error=error)
                hold.renew()
                ready = prepare(following)
            if before is not None:
                yield before
            if isinstance(current, Outcome):
                outcome = current
                ready = prepare(following)
        if outcome is not None:
            yield outcome

    def _batches(self, instances: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
        """Runs of instances that need no more contexts than one association has."""
        batch: list[Outgoing] = []
        needed: set[tuple[str, str]] = set()
        for instance in instances:
            own = set(self._contexts_of(instance.sop_class_uid, instance.transfer_syntax_uid))
            if batch and len(needed | own) > MAX_CONTEXTS:
                yield batch
                batch, needed = [], set()
            needed |= own
            batch.append(instance)
        if batch:
            yield batch

    def _contexts_of(self, sop_class_uid: str, transfer_syntax_uid: str) -> Iterator[tuple[str, str]]:
        """As it is, and what can stand in for that: each apart, since a remote chooses one of those in a context."""
        yield sop_class_uid, transfer_syntax_uid
        for stand_in in self._uncompressed:
            yield sop_class_uid, stand_in

    @contextmanager
    def _storing(self, remote: Remote, batch: Sequence[Outgoing]) -> Iterator[_Hold]:
        needed = dict.fromkeys((instance.sop_class_uid, instance.transfer_syntax_uid) for instance in batch)
        key = (remote.host, remote.port, remote.ae_title, self._calling(remote), remote.use_dicom_tls)
        timeout_s = remote.timeout_s or self._settings.timeout_s

        def open_new() -> Association:
            return self._open(remote, self._storage_contexts(needed))

        kept = self._pool.take(key, needed.keys())
        hold = _Hold(open_new, kept)
        if kept is not None:
            kept.set_timeout(timeout_s)
        else:
            hold.renew()
        try:
            yield hold
        except NetworkProtocolError:
            hold.association.abort()
            raise
        except BaseException:
            if hold.awaits:  # what is due would be taken for the answer to a later request
                hold.association.abort()
            self._pool.give_back(key, hold.association)
            raise
        self._pool.give_back(key, hold.association)

    def _storage_contexts(self, needed: Iterable[tuple[str, str]]) -> list[tuple[str, tuple[str, ...]]]:
        """What is needed now, and common classes, so that the association can be used again."""
        sendable = [need for need in needed if all(map(_is_sendable, need))]
        own = dict.fromkeys(context for need in sendable for context in self._contexts_of(*need))
        proposals = [(sop_class_uid, (transfer_syntax_uid,)) for sop_class_uid, transfer_syntax_uid in own]
        classes = {sop_class_uid for sop_class_uid, _ in own}
        also = [uid for uid in _COMMON_CLASSES[:_ALSO_PROPOSED] if uid not in classes]
        return [*proposals, *((uid, self._uncompressed) for uid in also)][:MAX_CONTEXTS]

    def _prepare(
        self, association: Association, remote: Remote, instance: Outgoing | None, originator: MoveOriginator | None
    ) -> _Ready | Outcome | None:
        """Choose how an instance is sent and make it ready; an outcome if it cannot be sent."""
        if instance is None:
            return None
        try:
            if not _is_sendable(instance.sop_instance_uid):
                raise BadFileFormat("an instance whose SOP Instance UID cannot be written into a command")
            context = association.find_context(instance.sop_class_uid, instance.transfer_syntax_uid)
            if context is not None:
                return self._ready(association, context, instance, instance, originator)
            accepted = {
                context.transfer_syntax: context
                for context in association.contexts.values()
                if context.abstract_syntax == instance.sop_class_uid
            }
            if not accepted:
                raise NoPresentationContext(
                    f"Cannot C-Store an instance of SOPClassUID {instance.sop_class_uid}, the destination has not "
                    "accepted any TransferSyntax for this SOPClassUID."
                )
            if self._transcode is None or not remote.allow_transcoding:
                raise NetworkProtocolError(
                    "No valid presentation context was negotiated for SOP class UID "
                    f"[{instance.sop_class_uid}] and transfer syntax [{instance.transfer_syntax_uid}] while sending to "
                    f"modality [{remote.ae_title}]"
                )
            wanted = [uid for uid in (*self._uncompressed, *accepted) if uid in accepted]
            transcoded = self._transcode(instance, wanted)
            context = accepted[transcoded.transfer_syntax_uid]
            return self._ready(association, context, instance, transcoded, originator)
        except AmonsulError as error:
            return Outcome(instance, StorageStatus.CANNOT_UNDERSTAND, error=error)

    def _ready(
        self,
        association: Association,
        context: AcceptedContext,
        instance: Outgoing,
        sent: Outgoing,
        originator: MoveOriginator | None,
    ) -> _Ready:
        message_id = self._next_message_id()
        command = CStoreRq(
            message_id,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            0,
            originator.ae_title if originator is not None else None,
            originator.message_id if originator is not None else None,
        )
        return _Ready(instance, message_id, association.prepare(context, command, opened(sent)))

    # C-FIND

    def find(
        self,
        remote: Remote,
        model: str,
        identifier: Dataset,
        *,
        default_charset: str = "ISO_IR 100",
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[DataSet]:
        """Search; answers come one by one as the remote gives them. Leaving the iterator cancels the search.

        The model is a SOP class of C-FIND; the identifier holds the keys (PS3.4 §C.4.1.1.3). Answers without Specific
        Character Set are read in the default one.

        Raises:
            NoPresentationContext: the remote does not serve this model.
            NetworkProtocolError: no association, or it was lost.
            RemoteFailure: the search failed; answers that were given stand.
        """
        proposed = (
            [model] if model == MODALITY_WORKLIST_FIND else [PATIENT_ROOT_FIND, STUDY_ROOT_FIND, MODALITY_WORKLIST_FIND]
        )
        with self._association(remote, [(uid, self._uncompressed) for uid in proposed]) as association:
            context = _context(association, model)
            message_id = self._next_message_id()
            keys = encode_data_set(identifier, context.transfer_syntax)
            association.send(context, CFindRq(message_id, model), keys)
            is_done = False
            try:
                while not is_done:
                    response = association.expect_response(association.receive(), message_id)
                    answer = association.receive_identifier() if response.has_data_set else None
                    is_done = category(response.status) is not Category.PENDING
                    if is_done:
                        if response.status != Status.CANCEL:
                            _check("C-FIND", association, response)
                    elif answer is not None:
                        yield scan_data_set(answer, context.transfer_syntax, default_charset=default_charset)
                    if not is_done and is_cancelled():
                        break
            finally:
                if not is_done and association.is_open:
                    _cancel(association, context, message_id)

    # C-MOVE and C-GET

    def move(
        self,
        remote: Remote,
        model: str,
        identifier: Dataset,
        destination: str,
        *,
        message_id: int | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[SubOperations]:
        """Have a remote send instances to an AE title; yields each pending response, and the final one.

        The model is a SOP class of C-MOVE; a message ID from `new_message_id` is for whoever wants to know it before.

        Raises:
            NoPresentationContext: the remote does not serve this model.
            NetworkProtocolError: no association, or it was lost.
            RemoteFailure: the whole failed.
        """
        proposed = [(uid, self._uncompressed) for uid in (PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE)]
        with self._association(remote, proposed) as association:
            context = _context(association, model)
            message_id = message_id or self._next_message_id()
            keys = encode_data_set(identifier, context.transfer_syntax)
            association.send(context, CMoveRq(message_id, model, destination), keys)
            is_cancelling = False
            while True:
                response = association.expect_response(association.receive(), message_id)
                if response.has_data_set:
                    association.receive_data_set(None)
                progress = _suboperations("C-MOVE", association, response)
                with _unless_left(association, progress):
                    yield progress
                if progress.is_final:
                    return
                if not is_cancelling and is_cancelled():
                    association.send(context, CCancelRq(message_id))
                    is_cancelling = True

    def get(
        self,
        remote: Remote,
        model: str,
        identifier: Dataset,
        receiver: Receiver,
        *,
        sop_classes: Sequence[str] = (),
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[SubOperations]:
        """Have a remote send instances to us over the same association; yields each response, the final one last.

        What may come has to be said before: the SOP classes if they are known, else those that are common.

        Raises:
            NoPresentationContext: the remote does not serve this model.
            NetworkProtocolError: no association, or it was lost.
            RemoteFailure: the whole failed.
        """
        expected = tuple(dict.fromkeys(sop_classes))[: MAX_CONTEXTS // 2] or _COMMON_CLASSES
        proposals: list[tuple[str, tuple[str, ...]]] = [(model, self._uncompressed)]
        proposals += [(uid, self._uncompressed) for uid in expected]
        proposals += [(uid, _COMPRESSED) for uid in expected[: MAX_CONTEXTS - len(proposals)]]
        roles = tuple(RoleSelection(uid, scu=False, scp=True) for uid in expected)
        with self._association(remote, proposals, roles) as association:
            context = _context(association, model)
            message_id = self._next_message_id()
            keys = encode_data_set(identifier, context.transfer_syntax)
            association.send(context, CGetRq(message_id, model), keys)
            is_cancelling = False
            while True:
                received = association.receive()
                if isinstance(received.command, CStoreRq):
                    is_expected = received.context.abstract_syntax in expected
                    self._receive(association, received.context, received.command, remote, receiver, is_expected)
                    continue
                response = association.expect_response(received, message_id)
                if response.has_data_set:
                    association.receive_data_set(None)
                progress = _suboperations("C-GET", association, response)
                with _unless_left(association, progress):
                    yield progress
                if progress.is_final:
                    return
                if not is_cancelling and is_cancelled():
                    association.send(context, CCancelRq(message_id))
                    is_cancelling = True

    def _receive(
        self,
        association: Association,
        context: AcceptedContext,
        request: CStoreRq,
        remote: Remote,
        receiver: Receiver,
        is_expected: bool,
    ) -> None:
        """Take one instance of a C-GET in, and answer."""
        sop_class_uid, sop_instance_uid = request.affected_sop_class_uid, request.affected_sop_instance_uid
        status = int(StorageStatus.CANNOT_UNDERSTAND)
        if is_valid(sop_class_uid) and is_valid(sop_instance_uid) and is_expected:
            spool = receiver.spool()
            try:
                spool.write(file_head(sop_class_uid, sop_instance_uid, context.transfer_syntax, remote.ae_title))
                association.receive_data_set(spool)
                status = receiver.store(spool.finish())
            except NetworkProtocolError:
                raise
            except AmonsulError as error:
                if not association.is_open:
                    raise
                status = error.dimse_status
            finally:
                spool.discard()
        else:
            association.receive_data_set(None)
        response = CStoreRsp(request.message_id, status, sop_class_uid, sop_instance_uid)
        association.send(context, response)

    def new_message_id(self) -> int:
        """A message ID that this client does not use again soon."""
        return self._next_message_id()

    # N-ACTION and N-EVENT-REPORT

    def n_action(
        self,
        remote: Remote,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        information: Dataset,
        on_event: OnEvent | None = None,
    ) -> None:
        """Request an action (PS3.7 §10.1.4).

        Args:
            remote: of whom.
            sop_class_uid: what it is about.
            sop_instance_uid: likewise.
            action_type_id: which action.
            information: of the action.
            on_event: takes reports that come on the same association, before the response or shortly after it.

        Raises:
            NetworkProtocolError: no association, or it was lost before the response.
            RemoteFailure: the remote refuses.
        """
        request = NActionRq(self._next_message_id(), sop_class_uid, sop_instance_uid, action_type_id)
        if on_event is None:
            self._perform("N-ACTION", remote, sop_class_uid, request, information, ())
            return
        with self._association(remote, [(sop_class_uid, self._uncompressed)]) as association:
            context = _context(association, sop_class_uid)
            association.send(context, request, encode_data_set(information, context.transfer_syntax))
            while isinstance((received := association.receive()).command, NEventReportRq):
                _take_event(association, received, on_event)
            response = association.expect_response(received, request.message_id)
            if response.has_data_set:
                association.receive_data_set(None)
            _check("N-ACTION", association, response)
            try:
                while association.waits_for_more(_REPORT_WAIT_S):
                    received = association.receive()
                    if not isinstance(received.command, NEventReportRq):
                        raise NetworkProtocolError(f"{association.name} sent a {type(received.command).__name__}")
                    _take_event(association, received, on_event)
            except NetworkProtocolError as error:  # what was asked is answered; the report may still come otherwise
                logger.info("after an N-ACTION: %s", error)
                association.abort()

    def n_event_report(
        self, remote: Remote, sop_class_uid: str, sop_instance_uid: str, event_type_id: int, information: Dataset
    ) -> None:
        """Report an event (PS3.7 §10.1.1), which is a matter of the provider: its role is proposed.

        Raises:
            NetworkProtocolError: no association, or it was lost.
            RemoteFailure: the remote refuses.
        """
        request = NEventReportRq(self._next_message_id(), sop_class_uid, sop_instance_uid, event_type_id)
        roles = (RoleSelection(sop_class_uid, scu=False, scp=True),)
        self._perform("N-EVENT-REPORT", remote, sop_class_uid, request, information, roles)

    def _perform(
        self,
        name: str,
        remote: Remote,
        sop_class_uid: str,
        request: NActionRq | NEventReportRq,
        information: Dataset,
        roles: tuple[RoleSelection, ...],
    ) -> None:
        with self._association(remote, [(sop_class_uid, self._uncompressed)], roles) as association:
            context = _context(association, sop_class_uid)
            association.send(context, request, encode_data_set(information, context.transfer_syntax))
            _check(name, association, association.receive_response(request.message_id))

    # Associations

    def _next_message_id(self) -> int:
        return next(self._message_ids)

    def _calling(self, remote: Remote) -> str:
        return remote.local_aet or self._settings.ae_title

    @contextmanager
    def _association(
        self,
        remote: Remote,
        proposals: Sequence[tuple[str, tuple[str, ...]]],
        roles: tuple[RoleSelection, ...] = (),
    ) -> Iterator[Association]:
        """An association for one question."""
        with self._open(remote, proposals, roles) as association:
            yield association

    def _open(
        self,
        remote: Remote,
        proposals: Sequence[tuple[str, tuple[str, ...]]],
        roles: tuple[RoleSelection, ...] = (),
    ) -> Association:
        settings = self._settings
        tls = None
        if remote.use_dicom_tls:
            tls = settings.tls
            if tls is None:
                raise NetworkProtocolError(
                    f'{remote.ae_title} is to be reached over TLS, for which "DicomTlsCertificate", '
                    '"DicomTlsPrivateKey" and "DicomTlsTrustedCertificates" must be set'
                )
        request = AAssociateRq(
            remote.ae_title,
            self._calling(remote),
            tuple(
                ProposedContext(2 * place + 1, abstract_syntax, transfer_syntaxes)
                for place, (abstract_syntax, transfer_syntaxes) in enumerate(proposals)
            ),
            UserInformation(
                max_pdu_length=settings.max_pdu_length,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                roles=roles,
            ),
        )
        logger.debug("asking %s@%s:%d for an association", remote.ae_title, remote.host, remote.port)
        timeout_s = remote.timeout_s or settings.timeout_s
        return Association.open(
            (remote.host, remote.port),
            request,
            settings.max_pdu_length,
            tls,
            timeout_s,
            may_be_link_local=settings.may_be_link_local,
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance that can be sent now."""

    instance: Outgoing
    message_id: int
    message: Message


class _Hold:
    """The association that a run of C-STORE has, and may have to replace once if it was kept too long."""

    def __init__(self, open_new: Callable[[], Association], kept: Association | None) -> None:
        self._open_new = open_new
        self._association = kept
        self.is_stale = kept is not None  # it was kept, and nothing came of it yet: the remote may have left it
        self.awaits = False  # a response is due

    @property
    def association(self) -> Association:
        if self._association is None:
            raise InternalError("no association")
        return self._association

    def renew(self) -> None:
        self._association = self._open_new()
        self.is_stale = self.awaits = False

    def send(self, ready: _Ready) -> None:
        if self.association.has_news():
            self._replace_left()
        self.awaits = True
        self.association.send_prepared(ready.message)

    def _replace_left(self) -> None:
        """The remote left the association while nothing was sent: making an instance ready may take minutes.

        What was made ready goes out on a new one, if the remote agrees to the same things again.
        """
        left, new = self.association, self._open_new()
        if not new.agrees_with(left):
            new.release()
            return
        left.abort()
        self._association = new

    def receive_outcome(self, ready: _Ready) -> Outcome:
        response = self.association.receive_response(ready.message_id)
        self.awaits = self.is_stale = False
        comment = response.error_comment if isinstance(response, CStoreRsp) else None
        return Outcome(ready.instance, response.status, comment or "")


def _is_sendable(uid: str) -> bool:
    """Whether a UID can be put into a command or a proposal, be it valid or not: many are not quite (PS3.5 §9.1)."""
    return 0 < len(uid) <= MAX_UID_LENGTH and uid.isascii() and uid.isprintable()


def opened(instance: Outgoing) -> Iterator[bytes | memoryview]:
    """The data set of an instance; its first piece is read now.

    Raises:
        AmonsulError: it is gone, or cannot be read.
    """
    pieces = iter(data_set_of(instance.file()))
    if transfer_syntax(instance.transfer_syntax_uid).is_deflated:
        pieces = _even(pieces)
    first = next(pieces, b"")
    return itertools.chain((first,), pieces)


def _even(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """A deflated data set padded to even length (PS3.5 §A.5), which some files are not."""
    size = 0
    for piece in pieces:
        size += len(piece)
        yield piece
    if size & 1:
        yield b"\0"


def _context(association: Association, abstract_syntax: str) -> AcceptedContext:
    context = association.find_context(abstract_syntax)
    if context is None:
        raise NoPresentationContext(f"Unable to negotiate a presentation context with {association.name}")
    return context


def _take_event(association: Association, received: Received, on_event: OnEvent) -> None:
    """Take one N-EVENT-REPORT, and answer it."""
    request = received.command
    assert isinstance(request, NEventReportRq)
    data = association.receive_identifier() if request.has_data_set else b""
    try:
        status = on_event(request, scan_data_set(data, received.context.transfer_syntax))
    except AmonsulError as error:
        logger.warning("a report of %s: %s", association.name, error)
        status = error.dimse_status
    answer = NEventReportRsp(
        request.message_id,
        status,
        request.affected_sop_class_uid,
        request.affected_sop_instance_uid,
        request.event_type_id,
    )
    association.send(received.context, answer)


def _cancel(association: Association, context: AcceptedContext, message_id: int) -> None:
    """End a search that nobody wants any more (PS3.7 §9.3.2.3): what is under way is read, and thrown away."""
    association.send(context, CCancelRq(message_id))
    for _ in range(_MAX_DRAINED_ANSWERS):
        response = association.receive_response(message_id)
        if category(response.status) is not Category.PENDING:
            return
    association.abort()


def _check(name: str, association: Association, response: Response) -> None:
    if category(response.status) is not Category.FAILURE:
        return
    hint = getattr(response, "error_comment", None) or ""
    if response.status != FindStatus.UNABLE_TO_PROCESS:
        raise RemoteFailure.of(name, association.name, response.status, hint)
    if name == "C-FIND":
        raise RemoteCannotProcess.of(
            name, association.name, response.status, hint or "unable to process - invalid query ?"
        )
    raise RemoteFailure.of(name, association.name, response.status, hint or "unable to process - resource not found ?")


@contextmanager
def _unless_left(association: Association, progress: SubOperations) -> Iterator[None]:
    """Around a yield: whoever leaves a retrieval in the middle ends the association, so that the remote stops, too."""
    try:
        yield
    except GeneratorExit:
        if not progress.is_final:
            association.abort()
        raise


def _suboperations(name: str, association: Association, response: Response) -> SubOperations:
    _check(name, association, response)
    if not isinstance(response, CMoveRsp | CGetRsp):
        raise NetworkProtocolError(f"{association.name} answered a {name} with {type(response).__name__}")
    return SubOperations(
        response.status,
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
        response.error_comment or "",
    )
