"""One upper layer connection: bytes in, events out; commands in, bytes out (PS3.8 §9.2).

    connection.transport_connected(now)
    connection.receive_data(data, now)            # b"" means that the peer closed
    for event in connection.events(): ...         # AssociationRequested, Pdv, ReleaseRequested, Aborted, …
    connection.accept(answer)                     # or reject, send_p_data, release, answer_release, abort
    transport.write(connection.data_to_send())
    ... at connection.artim_deadline: connection.time_passed(now)
    ... if connection.must_close: close the transport

What may happen when is in `state_machine`; nothing here decides it. A PDU is refused by its header where its length
or type cannot be; A-ASSOCIATE, A-RELEASE and A-ABORT bodies are collected and decoded whole; P-DATA is never collected:
whatever has arrived of a fragment is given on as a view of the caller's own bytes, so the length of a PDU costs no
memory. Data is handled when `events` is iterated, not before: a caller that stops iterating has stopped the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from amonsul.protocols.upper_layer.errors import AbortReason, LimitExceeded, LocalProtocolError, PduError
from amonsul.protocols.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    ConnectionLost,
    Released,
    ReleaseRequested,
    UpperLayerEvent,
)
from amonsul.protocols.upper_layer.pdu import (
    PDU_HEADER,
    PDV_HEADER,
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AbortSource,
    AcseRejectReason,
    AReleaseRp,
    AReleaseRq,
    Pdu,
    PduType,
    Pdv,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    decode,
    encode_p_data,
    read_pdv_header,
)
from amonsul.protocols.upper_layer.state_machine import (
    TRANSITIONS,
    Action,
    Effect,
    Event,
    State,
    next_state_of,
)

MAX_CONTROL_PDU_LENGTH = 1 << 20
"""Longest body of any PDU but P-DATA-TF."""

MAX_DATA_PDU_LENGTH = 16 << 20
"""Longest body of a P-DATA-TF, unless a longer one was negotiated; those who exceed their share a little are let be."""

_EVENT_OF_PDU = {
    PduType.A_ASSOCIATE_RQ: Event.A_ASSOCIATE_RQ_PDU,
    PduType.A_ASSOCIATE_AC: Event.A_ASSOCIATE_AC_PDU,
    PduType.A_ASSOCIATE_RJ: Event.A_ASSOCIATE_RJ_PDU,
    PduType.P_DATA_TF: Event.P_DATA_TF_PDU,
    PduType.A_RELEASE_RQ: Event.A_RELEASE_RQ_PDU,
    PduType.A_RELEASE_RP: Event.A_RELEASE_RP_PDU,
    PduType.A_ABORT: Event.A_ABORT_PDU,
}

_TAKES_DATA = (State.STA6, State.STA7)

_PDU_HEADER_SIZE = PDU_HEADER.size
_PDV_HEADER_SIZE = PDV_HEADER.size


class Connection:
    """The state of one connection, for either side.

    Args:
        is_requestor: whether this side asks for the association.
        max_pdu_length: longest P-DATA-TF body that this side will have offered to take.
        artim_timeout_s: see `artim_deadline`.

    Attributes:
        state: as PS3.8 names it; Sta1 again when all is over.
        artim_deadline: when to call `time_passed`, on the clock that `now` comes from; None while ARTIM does not run.
        must_close: the transport connection is to be closed, after `data_to_send` is sent.
        request: the A-ASSOCIATE-RQ, once sent or received.
        answer: the A-ASSOCIATE-AC, once sent or received.
    """

    def __init__(self, *, is_requestor: bool, max_pdu_length: int = 131072, artim_timeout_s: float = 10.0) -> None:
        self.state = State.STA1
        self.artim_deadline: float | None = None
        self.must_close = False
        self.request: AAssociateRq | None = None
        self.answer: AAssociateAc | None = None
        self._is_requestor = is_requestor
        self._max_data_length = max(max_pdu_length, MAX_DATA_PDU_LENGTH)
        self._artim_timeout_s = artim_timeout_s
        self._now = 0.0
        self._out: list[bytes] = []
        self._issued: deque[UpperLayerEvent] = deque()
        self._input = memoryview(b"")  # what the caller gave last and is not consumed
        self._at = 0
        self._closed_by_peer = False
        self._partial = bytearray()  # the beginning of a header or a body that is not complete
        self._pdu_type: int | None = None  # of the body that is being collected
        self._body_left = 0  # bytes of the P-DATA-TF that is being read, or of a body to collect
        self._fragment_left = 0  # bytes of the fragment that is being read
        self._skip_left = 0  # bytes of a body that nobody wants
        self._is_deaf = False  # the peer's framing is lost: nothing it sends can be read any more
        self._context_id = 0
        self._is_command = False
        self._is_last = False

    # What happens to the transport

    def transport_connected(self, now: float) -> None:
        """The connection is open: as acceptor await a request, as requestor send ours."""
        self._now = now
        if not self._is_requestor:
            self._apply(TRANSITIONS[self.state, Event.TRANSPORT_CONNECTION_INDICATION])
        elif self.request is not None and self.state is State.STA4:
            self._apply(TRANSITIONS[self.state, Event.TRANSPORT_CONNECTED], pdu=self.request)
        else:
            raise LocalProtocolError("connected before A-ASSOCIATE was requested")

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take bytes from the peer, none if it closed; iterate `events` to have them handled.

        The bytes must stay as they are until `events` is exhausted, or `retain` is called.
        """
        self._now = now
        if not data:
            self._closed_by_peer = True
        elif self._at < len(self._input):
            self._input = memoryview(bytes(self._input[self._at :]) + data)
            self._at = 0
        else:
            self._input = memoryview(data)
            self._at = 0

    def retain(self) -> None:
        """Copy what `events` has not got to, so that the caller may use its buffer again."""
        self._input = memoryview(bytes(self._input[self._at :]))
        self._at = 0

    def time_passed(self, now: float) -> None:
        """Let ARTIM expire, if it is time."""
        self._now = now
        if self.artim_deadline is not None and now >= self.artim_deadline:
            self.artim_deadline = None
            action = TRANSITIONS.get((self.state, Event.ARTIM_EXPIRED))
            if action is not None:
                self._apply(action)

    def data_to_send(self) -> bytes:
        """What is to be written now; it is the caller's from then on."""
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return data

    # Commands of the service user; each raises LocalProtocolError where the state does not allow it

    def associate(self, request: AAssociateRq) -> None:
        """Ask for an association: open a transport connection, then call `transport_connected`."""
        action = self._allowed(Event.A_ASSOCIATE_REQUEST)
        self.request = request
        self._apply(action)

    def accept(self, answer: AAssociateAc) -> None:
        """Accept the association that the peer asked for."""
        action = self._allowed(Event.A_ASSOCIATE_RESPONSE_ACCEPT)
        self.answer = answer
        self._apply(action, pdu=answer)

    def reject(self, answer: AAssociateRj, now: float) -> None:
        """Refuse it."""
        self._now = now
        self._apply(self._allowed(Event.A_ASSOCIATE_RESPONSE_REJECT), pdu=answer)

    def send_p_data(self, pdvs: Iterable[Pdv]) -> None:
        """Send one P-DATA-TF. The caller keeps to the peer's maximum length."""
        action = self._allowed(Event.P_DATA_REQUEST)
        self._out.append(encode_p_data(pdvs))
        self.state = action.next_state

    def send_encoded_p_data(self, pdus: bytes) -> None:
        """Send P-DATA-TF PDUs that are encoded already."""
        action = self._allowed(Event.P_DATA_REQUEST)
        self._out.append(pdus)
        self.state = action.next_state

    def begin_p_data(self) -> None:
        """Make sure that P-DATA-TF PDUs can be sent now, by somebody who writes them to the transport himself."""
        self.state = self._allowed(Event.P_DATA_REQUEST).next_state

    def release(self) -> None:
        """Ask to release the association."""
        self._apply(self._allowed(Event.A_RELEASE_REQUEST), pdu=AReleaseRq())

    def answer_release(self, now: float) -> None:
        """Agree to a release."""
        self._now = now
        self._apply(self._allowed(Event.A_RELEASE_RESPONSE), pdu=AReleaseRp())

    def abort(self, now: float) -> None:
        """Abort the association as its user."""
        self._now = now
        self._apply(self._allowed(Event.A_ABORT_REQUEST))

    @property
    def is_established(self) -> bool:
        """Whether the association exists and nobody has begun to end it."""
        return self.state is State.STA6

    # Events

    def events(self) -> Iterator[UpperLayerEvent]:
        """Handle what has arrived, event by event."""
        while True:
            if self._issued:
                yield self._issued.popleft()
            elif self._fragment_left:
                available = len(self._input) - self._at
                if not available:
                    break
                yield self._fragment(available)
            elif not self._step():
                break
        if self._closed_by_peer and self._at >= len(self._input):
            self._closed_by_peer = False
            action = TRANSITIONS.get((self.state, Event.TRANSPORT_CLOSED))
            if action is not None:
                self._apply(action, indication=ConnectionLost())
            self.must_close = True
            while self._issued:
                yield self._issued.popleft()

    def _fragment(self, available: int) -> Pdv:
        length = min(self._fragment_left, available)
        start = self._at
        self._at = end = start + length
        self._fragment_left -= length
        self._body_left -= length
        if self._fragment_left:
            return Pdv(self._context_id, self._is_command, False, self._input[start:end])
        return Pdv(self._context_id, self._is_command, self._is_last, self._input[start:end])

    def _step(self) -> bool:
        """Read the next header or body. False if there is not enough for it."""
        if self._is_deaf:
            self._at = len(self._input)
            return False
        if self._skip_left:
            skipped = min(self._skip_left, len(self._input) - self._at)
            self._at += skipped
            self._skip_left -= skipped
            return skipped > 0
        if self._pdu_type is not None:
            body = self._take(self._body_left)
            if body is None:
                return False
            pdu_type, self._pdu_type, self._body_left = self._pdu_type, None, 0
            self._receive_body(pdu_type, body)
        elif self._body_left:
            header = self._take(min(_PDV_HEADER_SIZE, self._body_left))
            if header is None:
                return False
            self._receive_pdv_header(header)
        else:
            header = self._take(_PDU_HEADER_SIZE)
            if header is None:
                return False
            self._receive_pdu_header(*PDU_HEADER.unpack(header))
        return True

    def _take(self, count: int) -> memoryview | None:
        """The next `count` bytes, if they are there; what is there of them is kept otherwise."""
        at, available = self._at, len(self._input) - self._at
        if not self._partial and available >= count:
            self._at = at + count
            return self._input[at : at + count]
        missing = count - len(self._partial)
        if available < missing:
            self._partial += self._input[at:]
            self._at = len(self._input)
            return None
        self._partial += self._input[at : at + missing]
        self._at = at + missing
        taken = memoryview(bytes(self._partial))
        self._partial = bytearray()
        return taken

    def _receive_pdu_header(self, pdu_type: int, length: int) -> None:
        if pdu_type == PduType.P_DATA_TF:
            if length > self._max_data_length:
                self._lose_framing(f"P-DATA-TF of {length} bytes")
            elif length == 0:
                self._receive_invalid(PduError("P-DATA-TF without a presentation data value"))
            elif self.state in _TAKES_DATA:  # DT-2 and AR-6: the state does not change
                self._body_left = length
            else:
                self._skip_left = length
                self._receive(Event.P_DATA_TF_PDU, None)
        elif length > MAX_CONTROL_PDU_LENGTH:
            self._lose_framing(f"PDU type {pdu_type:02X}H of {length} bytes")
        elif pdu_type not in _EVENT_OF_PDU:
            self._skip_left = length
            self._receive_invalid(PduError(f"PDU type {pdu_type:02X}H", AbortReason.UNRECOGNIZED_PDU))
        else:
            self._pdu_type, self._body_left = pdu_type, length

    def _receive_pdv_header(self, header: memoryview) -> None:
        try:
            length, self._context_id, control = read_pdv_header(header, self._body_left)
        except PduError as error:
            self._skip_left, self._body_left = self._body_left - len(header), 0
            self._receive_invalid(error)
            return
        self._is_command, self._is_last = bool(control & 1), bool(control & 2)
        self._body_left -= _PDV_HEADER_SIZE
        self._fragment_left = length
        if not length:
            self._issued.append(Pdv(self._context_id, self._is_command, True, b""))

    def _receive_body(self, pdu_type: int, body: memoryview) -> None:
        try:
            pdu = decode(pdu_type, body)
        except LimitExceeded as error:
            if self.state is State.STA2 and pdu_type == PduType.A_ASSOCIATE_RQ:
                self._refuse(RejectSource.SERVICE_PROVIDER_PRESENTATION, PresentationRejectReason.LOCAL_LIMIT_EXCEEDED)
            else:
                self._receive_invalid(error)
        except PduError as error:
            self._receive_invalid(error)
        else:
            self._receive(_EVENT_OF_PDU[PduType(pdu_type)], pdu)

    def _receive(self, event: Event, pdu: Pdu | None) -> None:
        action = TRANSITIONS.get((self.state, event))
        if action is None:  # Sta1 and Sta4 have no transport connection to receive from
            return
        if action is Action.AA_1 or action is Action.AA_8:
            self._abort_by_provider(action, AbortReason.UNEXPECTED_PDU, f"{event.name} in {self.state.name}")
            return
        if action is Action.AE_6 and isinstance(pdu, AAssociateRq):
            if not pdu.protocol_version & 1:  # the only version there is (PS3.8 §9.3.2)
                reason = AcseRejectReason.PROTOCOL_VERSION_NOT_SUPPORTED
                self._refuse(RejectSource.SERVICE_PROVIDER_ACSE, reason)
                return
            self.request = pdu
        elif action is Action.AE_3 and isinstance(pdu, AAssociateAc):
            self.answer = pdu
        self._apply(action, indication=_indication_of(pdu))

    def _receive_invalid(self, error: PduError) -> None:
        action = TRANSITIONS.get((self.state, Event.INVALID_PDU))
        if action is not None:
            self._abort_by_provider(action, error.reason, str(error))

    def _lose_framing(self, details: str) -> None:
        self._is_deaf = True
        self._receive_invalid(PduError(details))

    def _refuse(self, source: RejectSource, reason: int) -> None:
        self._apply(Action.AE_6R, pdu=AAssociateRj(RejectResult.PERMANENT, source, reason))

    def _abort_by_provider(self, action: Action, reason: AbortReason, details: str) -> None:
        source = AbortSource.SERVICE_USER if action is Action.AA_1 else AbortSource.SERVICE_PROVIDER
        self._apply(action, indication=Aborted(source, reason, by_us=True, details=details), reason=reason)
        if action is Action.AA_1:  # the table has no indication for it: no association was asked for
            self._issued.append(Aborted(source, reason, by_us=True, details=details))

    # Carrying out actions

    def _allowed(self, event: Event) -> Action:
        action = TRANSITIONS.get((self.state, event))
        if action is None:
            raise LocalProtocolError(f"{event.name} in {self.state.name}")
        return action

    def _apply(
        self,
        action: Action,
        *,
        pdu: Pdu | None = None,
        indication: UpperLayerEvent | None = None,
        reason: AbortReason = AbortReason.NOT_SPECIFIED,
    ) -> None:
        for effect in action.effects:
            match effect:
                case Effect.SEND:
                    if pdu is not None:
                        self._out.append(pdu.encode())
                case Effect.SEND_USER_ABORT:
                    self._out.append(AAbort(AbortSource.SERVICE_USER).encode())
                case Effect.SEND_PROVIDER_ABORT:
                    self._out.append(AAbort(AbortSource.SERVICE_PROVIDER, reason).encode())
                case Effect.INDICATE:
                    if indication is not None:
                        self._issued.append(indication)
                case Effect.START_ARTIM:
                    self.artim_deadline = self._now + self._artim_timeout_s
                case Effect.STOP_ARTIM:
                    self.artim_deadline = None
                case Effect.CLOSE:
                    self.must_close = True
                case Effect.CONNECT:
                    pass  # the caller does so on its own after `associate`
        self.state = next_state_of(action, is_requestor=self._is_requestor)
        if self.state not in _TAKES_DATA and (self._fragment_left or self._body_left) and self._pdu_type is None:
            # a P-DATA-TF that is being read when the association ends: its rest is of no interest
            self._skip_left, self._body_left, self._fragment_left = self._body_left - len(self._partial), 0, 0
            self._partial = bytearray()


def _indication_of(pdu: Pdu | None) -> UpperLayerEvent | None:
    match pdu:
        case AAssociateRq():
            return AssociationRequested(pdu)
        case AAssociateAc():
            return AssociationAccepted(pdu)
        case AAssociateRj():
            return AssociationRejected(pdu)
        case AReleaseRq():
            return ReleaseRequested()
        case AReleaseRp():
            return Released()
        case AAbort():
            return Aborted(pdu.source, pdu.reason)
        case _:
            return None
