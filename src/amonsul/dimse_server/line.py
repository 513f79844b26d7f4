"""The way from a service in its thread to the association on the event loop, and what runs there.

The thread hands over encoded PDUs and waits until the loop has written them and the peer takes more: that wait is
the flow control of everything that streams. One batch is under way at a time, so a hundred thousand answers cost the
memory of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from amonsul.dimse_server.service import Answer, AssociationLost, Context, Exchange, Service
from amonsul.errors import AmonsulError, InternalError
from amonsul.protocols.dimse.commands import Request, Response, encode
from amonsul.protocols.dimse.messages import encode_message, fragment_parts, fragments
from amonsul.protocols.dimse.statuses import Category, category

logger = logging.getLogger(__name__)

BATCH_SIZE: Final = 64 << 10
"""Bytes of answers that are sent together."""

DATA_BATCH_SIZE: Final = 256 << 10
"""Bytes of a data set that are sent together."""

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
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transmit: Callable[[bytes], None],
        max_pdu_length: int,
        message_id: int,
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        self.message_id = message_id
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
        return self._awaited_message_id is not None

    def cancel(self) -> None:
        """The peer wants no more answers."""
        self._is_cancelled = True

    def lose(self) -> None:
        """The association is over."""
        self._is_cancelled = self._is_lost = True
        self._responses.put(None)
        self._gate.set()

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
        """Have PDUs written as soon as those before are, and the peer takes more; waits for that, not for these.

        Raises:
            AssociationLost: there is nobody to write to.
        """
        self._gate.wait()
        self._gate.clear()
        if self._is_lost:
            raise AssociationLost
        try:
            self._loop.call_soon_threadsafe(self._transmit, pdus)
        except RuntimeError:  # the loop is closed
            raise AssociationLost from None

    def perform(
        self,
        context: Context,
        request: Request,
        data_set: Iterable[bytes | memoryview] | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request to the peer and wait for its response.

        A data set that cannot be read to its end takes the association with it: half a message cannot be mended.
        """
        self._awaited_message_id = request.message_id
        context_id, longest = context.context_id, self._max_pdu_length
        pending: list[bytes | memoryview] = [*fragments(context_id, True, (encode(request),), longest)]
        size, has_begun = 0, False
        try:
            for parts in fragment_parts(context_id, False, data_set, longest) if data_set is not None else ():
                pending += parts
                size += sum(map(len, parts))
                if size >= DATA_BATCH_SIZE:
                    has_begun = True
                    self.send(b"".join(pending))
                    pending, size = [], 0
        except AmonsulError as error:
            self._awaited_message_id = None
            if not has_begun:
                raise
            logger.warning("a data set cannot be sent to its end: %s", error)
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._abandon)
            raise AssociationLost from error
        if pending:
            self.send(b"".join(pending))
        if meanwhile is not None:
            meanwhile()
        response = self._responses.get()
        if response is None:
            raise AssociationLost
        return response

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
