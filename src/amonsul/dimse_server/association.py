"""One connection to the DICOM port, on the event loop: bytes to `Connection`, events to services, answers back.

    socket → Connection → Pdv → MessageReader → command, then its data set → Spool → service in a thread → answers

The data set is written to its spool right here while it stays in memory: that is a copy of bytes, cheaper than a
thread hop for every PDU. What would touch a file is collected into batches of a megabyte and written in a thread,
and meanwhile nothing is read from the peer. The same holds while a request is being answered: C-CANCEL, responses
and aborts are read, a further request waits, and everything behind it stays in the peer's socket.

All connections share one buffer to read into, since what is read is used up before the next read; only what has to
wait is copied. A silent connection costs no buffer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, cast

from amonsul import measures
from amonsul.blobs.spool import Spool, Spooled
from amonsul.crossing import Crossing
from amonsul.dimse_server.echo import VERIFICATION_SOP_CLASS
from amonsul.dimse_server.line import ServiceLine
from amonsul.dimse_server.negotiation import Accepted, is_allowed, negotiate
from amonsul.dimse_server.service import Association, AssociationLost, Context, Exchange, Lane, Service, ServiceTable
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches
from amonsul.errors import AmonsulError, CannotStore
from amonsul.protocols.dimse.commands import (
    CCancelRq,
    CEchoRq,
    CFindRq,
    CGetRq,
    CMoveRq,
    CStoreRq,
    InvalidRq,
    MalformedCommand,
    NActionRq,
    NEventReportRq,
    Request,
    Response,
    refuse,
)
from amonsul.protocols.dimse.messages import (
    CommandReceived,
    DataSetFragment,
    MessageError,
    MessageReader,
    encode_message,
)
from amonsul.protocols.dimse.statuses import Category, Status
from amonsul.protocols.upper_layer.connection import Connection
from amonsul.protocols.upper_layer.events import (
    Aborted,
    AssociationRequested,
    ConnectionLost,
    ReleaseRequested,
    UpperLayerEvent,
)
from amonsul.protocols.upper_layer.pdu import (
    AAssociateRj,
    AAssociateRq,
    Pdv,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
)
from amonsul.protocols.upper_layer.state_machine import TRANSITIONS, Event, State

logger = logging.getLogger(__name__)

READ_BUFFER_SIZE: Final = 256 << 10

_FILE_BATCH_SIZE: Final = 1 << 20
"""Bytes of a data set that cross into a thread together, to be written to a file."""

_EVENTS_PER_TURN: Final = 1000
"""Fragments handled before other connections get their turn."""

_LAST_WORDS_SIZE: Final = 1 << 20
"""Bytes read, and thrown away, from a peer that goes on sending after the end of the association."""

_STALL_TIMEOUT_S: Final = 60.0
"""Longest time for which a peer may not take what we send, where the settings give none."""

_CONGESTED: Final = AAssociateRj(
    RejectResult.TRANSIENT,
    RejectSource.SERVICE_PROVIDER_PRESENTATION,
    PresentationRejectReason.TEMPORARY_CONGESTION,
)

_OPERATIONS: Final[Mapping[type[Request | InvalidRq], str]] = {
    CEchoRq: "C-ECHO",
    CFindRq: "C-FIND",
    CGetRq: "C-GET",
    CMoveRq: "C-MOVE",
    CStoreRq: "C-STORE",
    NActionRq: "N-ACTION",
    NEventReportRq: "N-EVENT-REPORT",
}
"""What requests are called in the metrics."""

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class SpoolBudget:
    """Memory that unfinished data sets take together, and may take."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def allows(self, size: int) -> bool:
        """Whether `size` bytes more are within the limit."""
        return self.used + size <= self._limit


class Doorkeeper(Protocol):
    """Who counts the connections."""

    def connected(self, peer: AssociationProtocol) -> None:
        """A connection is open."""
        ...

    def admit(self, peer: AssociationProtocol, request: AAssociateRq) -> AAssociateRj | None:
        """Whether there is room for an association; a refusal otherwise."""
        ...

    def disconnected(self, peer: AssociationProtocol) -> None:
        """A connection is closed."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What all connections of a server share."""

    settings: DimseSettings
    switches: DimseSwitches
    services: ServiceTable
    lanes: Mapping[Lane, Crossing]
    negotiators: Crossing
    doorkeeper: Doorkeeper
    budget: SpoolBudget
    buffer: memoryview
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(slots=True)
class _Incoming:
    """A request whose data set is arriving."""

    context: Context
    request: Request | InvalidRq
    service: Service | None
    spool: Spool | None
    began_at: float = field(default_factory=time.perf_counter)
    failure: int = Status.SUCCESS
    received: int = 0
    charged: int = 0
    batch: bytearray = field(default_factory=bytearray)


class AssociationProtocol(asyncio.BufferedProtocol):
    """The connection, from accept to close."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._settings = house.settings
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(
            is_requestor=False,
            max_pdu_length=house.settings.max_pdu_length or 0,
            artim_timeout_s=house.settings.artim_timeout_s,
        )
        self._reader = MessageReader()
        self._association: Association | None = None
        self.remote_ip = ""
        self._remote = "?"
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_activity = 0.0
        self._write_paused_at: float | None = None
        self._is_closed = False
        self._is_stopping = False
        self._eof_sent = False
        self._is_reading_paused = False
        self._last_words = 0
        self._incoming: _Incoming | None = None
        self._is_writing_file = False
        self._is_out_of_turn = False
        self._line: ServiceLine | None = None  # of the exchange that is being answered
        self._waiting: CommandReceived | None = None  # a request that came too early
        self._release_waits = False

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is, start ARTIM."""
        # uvloop's transports keep the interface without deriving from its class
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.remote_ip = str(peer[0]).removeprefix("::ffff:") if peer else ""
        self._remote = f"{self.remote_ip}:{peer[1]}" if peer else "?"
        self._socket = _socket_of(transport)
        self._last_activity = now = self._loop.time()
        self._house.doorkeeper.connected(self)
        self._connection.transport_connected(now)
        self._arm()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """The shared buffer."""
        return self._house.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if self._socket is not None:
            _acknowledge(self._socket)
        measures.DICOM_RECEIVED.inc(nbytes)
        self._last_activity = now = self._loop.time()
        if self._eof_sent:
            self._last_words += nbytes
            if self._last_words > _LAST_WORDS_SIZE:
                self._cut_off()
                return
        self._connection.receive_data(self._house.buffer[:nbytes], now)
        if self._is_held:
            self._connection.retain()
            self._pause_reading()
        else:
            self._pump()

    def eof_received(self) -> bool:
        """The peer sends no more: that ends the association, after what it has sent is handled."""
        self._connection.receive_data(b"", self._loop.time())
        if self._line is not None:
            self._line.cancel()
        if not self._is_held:
            self._pump()
        return not self._connection.must_close

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        """Stop everything that was under way."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._drop_work()
        if self._socket is not None:
            self._socket.detach()
        self._house.doorkeeper.disconnected(self)

    def pause_writing(self) -> None:
        """The peer does not take what we send."""
        self._write_paused_at = self._loop.time()
        self._arm()

    def resume_writing(self) -> None:
        """It does again."""
        self._write_paused_at = None
        if self._line is not None:
            self._line.ready()

    # For the listener

    @property
    def is_busy(self) -> bool:
        """Whether a request is half received or not answered."""
        return self._line is not None or self._incoming is not None or not self._reader.is_idle

    def stop(self) -> None:
        """End the association as soon as no request is in progress."""
        self._is_stopping = True
        if not self.is_busy:
            self._abort_association("the server stops", logging.INFO)
            self._flush()

    def cut_off(self, why: str) -> None:
        """Close the connection without another word."""
        logger.info("closing the connection to %s: %s", self._name, why)
        self._cut_off()

    # Reading

    @property
    def _is_held(self) -> bool:
        """Whether what has arrived must wait."""
        return self._is_writing_file or self._is_out_of_turn or self._waiting is not None

    def _pump(self) -> None:
        """Handle what has arrived, until it is used up or has to wait."""
        left = _EVENTS_PER_TURN
        for event in self._connection.events():
            if type(event) is Pdv:
                self._receive_pdv(event)
            else:
                self._handle(event)
            left -= 1
            if not left:
                self._is_out_of_turn = True
                self._loop.call_soon(self._take_turn)
            if self._is_held:
                self._connection.retain()
                self._pause_reading()
                break
        self._flush()

    def _take_turn(self) -> None:
        self._is_out_of_turn = False
        self._go_on()

    def _go_on(self) -> None:
        """Handle what had to wait, and read on if nothing has to wait any more."""
        if self._is_closed or self._is_held:
            return
        self._pump()
        if not self._is_held and self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and self._transport is not None and not self._transport.is_closing():
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _handle(self, event: UpperLayerEvent) -> None:
        match event:
            case AssociationRequested(request):
                self._start(self._negotiate(request))
            case ReleaseRequested():
                if self._line is None:
                    self._connection.answer_release(self._loop.time())
                else:
                    self._release_waits = True
            case Aborted(by_us=True):
                measures.ASSOCIATIONS_ABORTED.inc()
                logger.warning("aborted the association with %s: %s", self._name, event.details)
                self._drop_work()
            case Aborted():
                measures.ASSOCIATIONS_ABORTED.inc()
                logger.info("%s aborted the association, source %d, reason %d", self._name, event.source, event.reason)
                self._drop_work()
            case ConnectionLost():
                logger.info("%s closed the connection without release", self._name)
                self._drop_work()

    def _receive_pdv(self, pdv: Pdv) -> None:
        try:
            received = self._reader.receive(pdv)
        except (MessageError, MalformedCommand) as error:
            self._abort_association(str(error))
            return
        if type(received) is DataSetFragment:
            self._receive_data_set(received)
        elif type(received) is CommandReceived:
            self._receive_command(received)

    def _receive_command(self, received: CommandReceived) -> None:
        command = received.command
        match command:
            case CCancelRq():
                line = self._line
                if line is not None and line.message_id == command.message_id_being_responded_to:
                    line.cancel()
            case Response():
                if self._line is None or command.has_data_set or not self._line.deliver(command):
                    self._abort_association(f"a response that nobody waits for: {type(command).__name__}")
            case _ if self._line is not None:
                self._waiting = received
            case _:
                self._begin(received.context_id, command)

    # Receiving a request

    def _begin(self, context_id: int, request: Request | InvalidRq) -> None:
        association = self._association
        context = association.contexts.get(context_id) if association is not None else None
        if association is None or context is None:
            self._abort_association(f"a request in presentation context {context_id}, which was not accepted")
            return
        services = self._house.services
        service = services.get(context.abstract_syntax) or services.storage
        if isinstance(request, CEchoRq):  # answered in any context: some peers verify in whichever they have
            service = services.get(VERIFICATION_SOP_CLASS) or service
        incoming = _Incoming(context, request, service, None)
        right = service.requests.get(type(request)) if service is not None and isinstance(request, Request) else None
        if isinstance(request, InvalidRq):
            incoming.failure = request.status
        elif service is None or right is None:
            incoming.failure = Status.UNRECOGNIZED_OPERATION
        elif not is_allowed(right, association.modality, self._settings.always_allowed):
            self._abort_association(f"{self._name} is not allowed to ask for {right.value}")
            return
        elif request.has_data_set:
            try:
                limit = self._settings.max_instance_size
                incoming.spool = service.open_spool(association, context, request, limit)
            except AmonsulError as error:
                incoming.failure = error.dimse_status
        if request.has_data_set:
            self._incoming = incoming
        else:
            self._complete(incoming, None)

    def _receive_data_set(self, fragment: DataSetFragment) -> None:
        incoming, (data, is_last) = self._incoming, fragment
        if incoming is None:
            return
        size = len(data)
        incoming.received += size
        if incoming.received > self._settings.max_instance_size:
            self._abort_association(f"a data set of more than {self._settings.max_instance_size} bytes")
            return
        spool, service = incoming.spool, incoming.service
        if spool is not None and service is not None:
            if not service.is_storage:
                _write(incoming, spool, data)
            elif not incoming.batch and spool.fits_in_memory(size) and self._house.budget.allows(size):
                _write(incoming, spool, data)
                incoming.charged += size
                self._house.budget.used += size
            else:
                self._batch(incoming, spool, data, is_last=is_last)
        if is_last and not self._is_writing_file:
            self._finish(incoming)

    def _batch(self, incoming: _Incoming, spool: Spool, data: memoryview | bytes, *, is_last: bool) -> None:
        incoming.batch += data
        if is_last or len(incoming.batch) >= _FILE_BATCH_SIZE:
            self._is_writing_file = True
            self._start(self._write_file(incoming, spool, is_last=is_last))

    async def _write_file(self, incoming: _Incoming, spool: Spool, *, is_last: bool) -> None:
        batch, incoming.batch = incoming.batch, bytearray()
        try:
            await self._house.lanes[Lane.PROMPT].run(partial(_write_batch, spool, batch))
        except AmonsulError as error:
            incoming.failure = error.dimse_status
            incoming.spool = None
        self._is_writing_file = False
        self._release_budget(incoming)
        if self._incoming is not incoming:  # the association ended meanwhile
            await self._discard(spool)
            return
        if is_last:
            self._finish(incoming)
        self._go_on()

    def _finish(self, incoming: _Incoming) -> None:
        self._incoming = None
        spooled: Spooled | None = None
        if incoming.spool is not None:
            try:
                spooled = incoming.spool.finish()
            except OSError as error:  # some file systems tell at the close that there is no room
                logger.warning("cannot close an incoming file: %s", error.strerror)
                incoming.failure = CannotStore.dimse_status
        self._complete(incoming, spooled)

    # Answering it

    def _complete(self, incoming: _Incoming, spooled: Spooled | None) -> None:
        association, context, request, service = self._association, incoming.context, incoming.request, incoming.service
        start = time.perf_counter()
        if spooled is not None and service is not None and service.is_storage:
            measures.SPOOL_SECONDS.observe(start - incoming.began_at)
        if incoming.failure or service is None or association is None or not isinstance(request, Request):
            self._release_budget(incoming)
            self._answer_failure(context, request, incoming.failure)
            self._count(request, Category.FAILURE, start)
            self._after_answer()
            return
        line = ServiceLine(
            self._loop,
            self._transmit,
            association.max_pdu_length,
            request.message_id,
            self._abandon_association,
            None if service.is_storage or not service.blocks else self._link(),
            self._settings.scp_timeout_s or _STALL_TIMEOUT_S,
        )
        exchange = Exchange(association, context, request, spooled, line)
        if service.blocks:
            self._line = line
            self._start(self._serve(incoming, service, exchange, line, start))
        else:
            self._connection.send_encoded_p_data(line.drive(service, exchange))
            self._count(request, line.outcome, start)
            self._after_answer()

    def _link(self) -> socket.socket | None:
        """A duplicate of the socket, if a thread can write to it: all that was said before is on its way."""
        if self._socket is None or self._transport is None or self._transport.get_write_buffer_size():
            return None
        try:
            link = socket.socket(fileno=os.dup(self._socket.fileno()))
        except OSError:  # no descriptor is left: it goes the other way, too
            return None
        link.settimeout(0.0)
        return link

    @staticmethod
    def _count(request: Request | InvalidRq, outcome: Category, start: float) -> None:
        measures.dimse_answered(_OPERATIONS.get(type(request), "invalid"), outcome.value, time.perf_counter() - start)

    async def _serve(
        self, incoming: _Incoming, service: Service, exchange: Exchange, line: ServiceLine, start: float
    ) -> None:
        request = exchange.request
        last_words, failure = b"", None
        try:
            last_words = await self._house.lanes[service.lane].run(partial(line.drive, service, exchange))
        except AssociationLost:
            pass
        except AmonsulError as error:
            failure = error.dimse_status
            logger.warning("%s of %s failed: %s", type(request).__name__, self._name, error)
        except Exception:  # the edge: a bug in a service fails one request, not the association
            failure = Status.PROCESSING_FAILURE
            logger.exception("%s of %s failed", type(request).__name__, self._name)
        self._line = None
        line.close()
        self._count(request, line.outcome, start)
        self._release_budget(incoming)
        self._last_activity = self._loop.time()
        if self._is_closed:
            return
        if self._may_send_data:
            if failure is not None:
                self._answer_failure(exchange.context, request, failure)
            else:
                self._connection.send_encoded_p_data(last_words)
            self._after_answer()
            self._flush()
        self._go_on()

    def _answer_failure(self, context: Context, request: Request | InvalidRq, status: int) -> None:
        offending = request.offending_element if isinstance(request, InvalidRq) else ()
        response = refuse(request, status, offending)
        max_pdu_length = self._association.max_pdu_length if self._association is not None else 0
        self._connection.send_encoded_p_data(encode_message(context.context_id, response, None, max_pdu_length))

    def _after_answer(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            assert not isinstance(waiting.command, Response | CCancelRq)
            self._begin(waiting.context_id, waiting.command)
        elif self._release_waits:
            self._release_waits = False
            self._connection.answer_release(self._loop.time())
        elif self._is_stopping and not self.is_busy:
            self._abort_association("the server stops", logging.INFO)

    def _transmit(self, pdus: bytes) -> None:
        """Write what a service sends before its last answer, and tell it when to go on."""
        line = self._line
        if line is None:
            return
        if self._is_closed or not self._may_send_data:
            line.lose()
            return
        self._last_activity = self._loop.time()
        self._connection.send_encoded_p_data(pdus)
        self._flush()
        if self._write_paused_at is None:
            line.ready()

    # The association

    async def _negotiate(self, request: AAssociateRq) -> None:
        house = self._house
        outcome: Accepted | AAssociateRj | None = house.doorkeeper.admit(self, request)
        if outcome is None:
            try:
                outcome = await house.negotiators.run(
                    partial(negotiate, request, self.remote_ip, house.settings, house.switches, house.services)
                )
            except AmonsulError as error:  # e.g. the database that knows the modalities is away
                logger.warning("no negotiation with %s@%s: %s", request.calling_ae_title, self._remote, error)
                outcome = _CONGESTED
        if self._is_closed or self._connection.state is not State.STA3:
            return
        now = self._loop.time()
        calling, called = request.calling_ae_title, request.called_ae_title
        if isinstance(outcome, Accepted):
            self._association = outcome.association
            self._connection.accept(outcome.answer)
            measures.ASSOCIATIONS_ACCEPTED.inc()
            logger.info(
                "association from %s to %s: %d of %d presentation contexts accepted",
                self._name,
                called,
                len(outcome.association.contexts),
                len(request.presentation_contexts),
            )
        else:
            self._connection.reject(outcome, now)
            measures.ASSOCIATIONS_REJECTED.inc()
            logger.warning(
                "association from %s@%s to %s rejected: result %d, source %d, reason %d",
                calling,
                self._remote,
                called,
                outcome.result,
                outcome.source,
                outcome.reason,
            )
        self._last_activity = now
        self._flush()
        self._arm()

    def _abort_association(self, why: str, level: int = logging.WARNING) -> None:
        measures.ASSOCIATIONS_ABORTED.inc()
        logger.log(level, "aborting the association with %s: %s", self._name, why)
        self._drop_work()
        if (self._connection.state, Event.A_ABORT_REQUEST) in TRANSITIONS:
            self._connection.abort(self._loop.time())
        elif self._transport is not None:
            self._transport.close()

    def _abandon_association(self) -> None:
        if not self._is_closed:
            self._abort_association("half a message was sent")
            self._flush()

    def _drop_work(self) -> None:
        """Forget the request that was arriving, and tell the service that was answering."""
        self._waiting = None
        self._release_waits = False
        if self._line is not None:
            self._line.lose()
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._release_budget(incoming)
            if incoming.spool is not None and not self._is_writing_file:
                self._start(self._discard(incoming.spool))

    async def _discard(self, spool: Spool) -> None:
        if spool.fits_in_memory(0):
            spool.discard()
        else:
            await self._house.lanes[Lane.PROMPT].run(spool.discard)

    def _release_budget(self, incoming: _Incoming) -> None:
        self._house.budget.used -= incoming.charged
        incoming.charged = 0

    @property
    def _may_send_data(self) -> bool:
        return (self._connection.state, Event.P_DATA_REQUEST) in TRANSITIONS

    @property
    def _name(self) -> str:
        return str(self._association) if self._association is not None else self._remote

    # Writing and timing

    def _flush(self) -> None:
        transport, connection = self._transport, self._connection
        if transport is None or self._is_closed:
            return
        data = connection.data_to_send()
        if (data or connection.must_close) and self._line is not None and self._line.is_writing:
            self._cut_off()  # within a message of the service nothing can be said
            return
        if data and not self._eof_sent:
            transport.write(data)
            measures.DICOM_SENT.inc(len(data))
        if connection.must_close:
            transport.close()
            if transport.get_write_buffer_size():
                self._loop.call_later(self._settings.artim_timeout_s, transport.abort)
        elif connection.state is State.STA13 and not self._eof_sent:
            self._eof_sent = True  # there is nothing to say any more, and what was said must not be lost in a reset
            if transport.can_write_eof():
                transport.write_eof()
            self._arm()

    def _arm(self) -> None:
        """Have `_tick` called when the next deadline may have come."""
        deadline = self._deadline()
        if deadline is None or self._is_closed:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    @property
    def _last_heard_or_spoken(self) -> float:
        return max(self._last_activity, self._line.last_sent) if self._line is not None else self._last_activity

    def _deadline(self) -> float | None:
        deadlines = []
        if self._connection.artim_deadline is not None:
            deadlines.append(self._connection.artim_deadline)
        if self._connection.is_established and self._settings.scp_timeout_s:
            deadlines.append(self._last_heard_or_spoken + self._settings.scp_timeout_s)
        if self._write_paused_at is not None:
            deadlines.append(self._write_paused_at + (self._settings.scp_timeout_s or _STALL_TIMEOUT_S))
        return min(deadlines, default=None)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._connection.time_passed(now)
        timeout_s = self._settings.scp_timeout_s
        if self._write_paused_at is not None and now - self._write_paused_at >= (timeout_s or _STALL_TIMEOUT_S):
            self.cut_off("it does not take what is sent")
            return
        if self._connection.is_established and timeout_s and now - self._last_heard_or_spoken >= timeout_s:
            if self._is_writing_file or (self._line is not None and not self._line.awaits_peer):
                self._last_activity = now  # it is our turn, not the peer's
            else:
                self._abort_association(f"nothing came for {timeout_s:g} s")
        self._flush()
        self._arm()

    def _cut_off(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._house.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._house.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug of ours: let the peer know that nothing will come of it
            logger.error("work for %s failed", self._name, exc_info=error)
            self._is_writing_file = False
            if not self._is_closed:
                self._abort_association("an internal error")
                self._flush()


def _write(incoming: _Incoming, spool: Spool, data: memoryview | bytes) -> None:
    """Append to a spool in memory; what it refuses fails the request when its data set has passed."""
    try:
        spool.write(data)
    except AmonsulError as error:
        spool.discard()
        incoming.failure, incoming.spool = error.dimse_status, None


def _write_batch(spool: Spool, batch: bytearray) -> None:
    """Move a spool to its file, if it is not there yet, and append. In a thread."""
    try:
        if spool.fits_in_memory(0):
            spool.spill()
        spool.write(batch)
    except AmonsulError:
        spool.discard()
        raise


def _socket_of(transport: asyncio.BaseTransport) -> socket.socket | None:
    """The socket of a connection, for `_acknowledge`; it stays the transport's, so `detach` it in the end."""
    wrapped = transport.get_extra_info("socket")
    if _QUICKACK is None or wrapped is None or transport.get_extra_info("ssl_object") is not None:
        return None
    return socket.socket(wrapped.family, wrapped.type, wrapped.proto, fileno=wrapped.fileno())


def _acknowledge(connection: socket.socket) -> None:
    """Do not wait for company with the acknowledgement of what was just read.

    Peers that leave Nagle's algorithm on hold back the end of a message until then. The option does not last, so it
    is set after every read.
    """
    if _QUICKACK is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
