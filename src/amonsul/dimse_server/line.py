"""The way from a service in its thread to the association on the event loop, and what runs there.

On a plain TCP connection the thread writes to the socket itself, for the loop has nothing to say until the last
answer, and waits where the peer takes nothing. Under TLS it hands encoded PDUs over and waits until the loop has
written them and the peer takes more. That wait is the flow control of everything that streams: one batch is under way
at a time, so a hundred thousand answers cost the memory of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from amonsul.clients.wire import JOINED, SIDE_BY_SIDE, Part, SocketWriter, batches
from amonsul.dimse_server.service import Answer, AssociationLost, Context, Exchange, Prepared, Service
from amonsul.errors import AmonsulError, InternalError
from amonsul.protocols.dimse.commands import Request, Response
from amonsul.protocols.dimse.messages import encode_message, message_parts
from amonsul.protocols.dimse.statuses import Category, category

logger = logging.getLogger(__name__)

BATCH_SIZE: Final = 64 << 10
"""Bytes of answers that are sent together."""

BATCH_TIME_S: Final = 0.05
"""Longest time that an answer waits for company."""


class ServiceLine:
    """One exchange's hold on its association.

    Args:
        loop: where the association lives.
        transmit: writes PDUs; called on the loop, which then calls `ready`.
        max_pdu_length: the peer's.
        message_id: of the request that is being answered.
        abandon: ends the association; called on the loop.
        link: duplicate of a socket to which nobody else writes until the line is closed; None writes by `transmit`.
        stall_timeout_s: longest time for which the peer may take nothing of what is written to `link`.

    Attributes:
        is_writing: PDUs are being written to `link`, or were not written to their end: nothing may follow them.
        last_sent: when PDUs were last written to `link`, on the clock of the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transmit: Callable[[bytes], None],
        max_pdu_length: int,
        message_id: int,
        abandon: Callable[[], None] = lambda: None,
        link: socket.socket | None = None,
        stall_timeout_s: float = 0.0,
    ) -> None:
        self.message_id = message_id
        self.is_writing = False
        self.last_sent = 0.0
        self._link = link
        self._writer = SocketWriter(link, stall_timeout_s) if link is not None else None
        self._abandon = abandon
        self._loop = loop
        self._transmit = transmit
        self._max_pdu_length = max_pdu_length
        self._gate = threading.Event()
        self._gate.set()
        self._is_cancelled = False
        self._is_lost = False
        self.outcome = Category.FAILURE
        """Of the last answer; what ended without one failed."""
        self._awaited_message_id: int | None = None
        self._responses: queue.SimpleQueue[Response | None] = queue.SimpleQueue()

    # On the event loop

    @property
    def awaits_peer(self) -> bool:
        """Whether the peer owes a response to something asked of it."""
        return self._awaited_message_id is not None and not self.is_writing

    def cancel(self) -> None:
        """The peer wants no more answers."""
        self._is_cancelled = True

    def lose(self) -> None:
        """The association is over."""
        self._is_cancelled = self._is_lost = True
        self._responses.put(None)
        self._gate.set()
        if self.is_writing and self._link is not None:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)  # wakes the thread, if it waits for the peer

    def close(self) -> None:
        """Give the socket back; the service has ended."""
        if self._link is not None:
            self._link.close()

    def ready(self) -> None:
        """What was handed over is written, and there is room for more."""
        self._gate.set()

    def deliver(self, response: Response) -> bool:
        """Pass on a response of the peer; False if nobody waits for it."""
        if response.message_id_being_responded_to != self._awaited_message_id:
            return False
        self._awaited_message_id = None
        self._responses.put(response)
        return True

    # In the thread of the service

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer sent C-CANCEL or is gone."""
        return self._is_cancelled

    def send(self, pdus: bytes) -> None:
        """Write PDUs, or have them written, as soon as the peer takes more than it was sent before.

        Raises:
            AssociationLost: there is nobody to write to.
        """
        self._send([pdus], len(pdus))

    def prepare(self, context: Context, request: Request, data_set: Iterable[Part] | None) -> Prepared:
        """Make the beginning of a message to the peer.

        Raises:
            AmonsulError: the beginning of the data set cannot be read.
        """
        pdus = message_parts(context.context_id, request, data_set, self._max_pdu_length)
        made = batches(pdus, JOINED if self._writer is None else SIDE_BY_SIDE)
        return Prepared(request.message_id, itertools.chain((next(made),), made))

    def ask(self, message: Prepared) -> None:
        """Send a request to the peer.

        A data set that cannot be read to its end takes the association with it: half a message cannot be mended.
        """
        self._awaited_message_id = message.message_id
        try:
            for parts, size in message.batches:
                self._send(parts, size)
        except AmonsulError as error:
            logger.warning("a data set cannot be sent to its end: %s", error)
            self._end_association()
            raise AssociationLost from error

    def response(self) -> Response:
        """Wait for the response to what was asked last."""
        response = self._responses.get()
        if response is None:
            raise AssociationLost
        return response

    def _send(self, parts: list[Part], size: int) -> None:
        if self._writer is None:
            self._hand_over(b"".join(parts))
            return
        self.is_writing = True  # before the look at `_is_lost`: `lose` looks at them in the other order
        if self._is_lost:
            raise AssociationLost
        try:
            self._writer.write(parts, size)
        except OSError as error:
            logger.info("the peer takes no more: %s", error.strerror or "timeout")
            self._end_association()
            raise AssociationLost from error
        self.last_sent = self._loop.time()
        self.is_writing = False

    def _hand_over(self, pdus: bytes) -> None:
        self._gate.wait()
        self._gate.clear()
        if self._is_lost:
            raise AssociationLost
        try:
            self._loop.call_soon_threadsafe(self._transmit, pdus)
        except RuntimeError:  # the loop is closed
            raise AssociationLost from None

    def _end_association(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._abandon)

    def drive(self, service: Service, exchange: Exchange) -> bytes:
        """Run a service; what it says last is returned, for the loop to write when it takes over again.

        Pending answers are sent in batches; the first one leaves at once, for somebody is waiting for it.
        """
        pending: list[bytes] = []
        size, last_sent = 0, 0.0
        try:
            with _closing(iter(service.serve(exchange))) as answers:
                for response, data_set in answers:
                    message = encode_message(exchange.context.context_id, response, data_set, self._max_pdu_length)
                    pending.append(message)
                    outcome = category(response.status)
                    if outcome is not Category.PENDING:
                        self.outcome = outcome
                        return b"".join(pending)
                    size += len(message)
                    if size >= BATCH_SIZE or time.monotonic() - last_sent >= BATCH_TIME_S:
                        self.send(b"".join(pending))
                        pending, size, last_sent = [], 0, time.monotonic()
            raise InternalError(f"{type(service).__name__} ended without a final answer")
        finally:
            if exchange.data_set is not None:
                exchange.data_set.discard()


@contextlib.contextmanager
def _closing(answers: Iterator[Answer]) -> Iterator[Iterator[Answer]]:
    """Let a generator clean up, in this thread and now, when it is left before its end."""
    try:
        yield answers
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()
