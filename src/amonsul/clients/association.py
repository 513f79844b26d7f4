"""One association that we asked for, over one socket, in blocking calls.

    with Association.open(address, request, tls, timeout_s) as association:
        association.send(context_id, CEchoRq(message_id))
        response, data_set = association.receive_response(message_id)

`Connection` and `MessageReader` do the protocol; this file reads and writes their bytes, and waits no longer than
it was told. Whatever goes wrong ends the association with an error that says whose fault it was; it is never used
again after that.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from amonsul.clients.web_address import connect
from amonsul.clients.wire import JOINED, PUT_AWAY_PER_S, SIDE_BY_SIDE, Batch, SocketWriter, batches
from amonsul.errors import NetworkProtocolError
from amonsul.protocols.dimse.commands import (
    AnyResponse,
    CCancelRq,
    Command,
    MalformedCommand,
    Request,
    Response,
)
from amonsul.protocols.dimse.messages import (
    MIN_PDU_LENGTH,
    CommandReceived,
    DataSetFragment,
    MessageError,
    MessageReader,
    message_parts,
)
from amonsul.protocols.upper_layer.connection import Connection
from amonsul.protocols.upper_layer.errors import LocalProtocolError
from amonsul.protocols.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    ConnectionLost,
    Released,
    ReleaseRequested,
    UpperLayerEvent,
)
from amonsul.protocols.upper_layer.items import ContextResult
from amonsul.protocols.upper_layer.pdu import AAssociateRj, AAssociateRq, Pdv, RejectSource, UserRejectReason

logger = logging.getLogger(__name__)

_READ_SIZE: Final = 256 << 10
_RELEASE_TIMEOUT_S: Final = 5.0
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
MAX_IDENTIFIER_SIZE: Final = 16 << 20
"""Longest data set of an answer that is kept in memory, in bytes."""

_REASONS: Final[Mapping[tuple[int, int], str]] = {
    (RejectSource.SERVICE_USER, UserRejectReason.NO_REASON): "no reason given",
    (RejectSource.SERVICE_USER, UserRejectReason.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED): "application context",
    (RejectSource.SERVICE_USER, UserRejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED): "calling AE title not recognized",
    (RejectSource.SERVICE_USER, UserRejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED): "called AE title not recognized",
    (RejectSource.SERVICE_PROVIDER_ACSE, 2): "protocol version not supported",
    (RejectSource.SERVICE_PROVIDER_PRESENTATION, 1): "temporary congestion",
    (RejectSource.SERVICE_PROVIDER_PRESENTATION, 2): "local limit exceeded",
}
"""PS3.8 Table 9-21."""


class Sink(Protocol):
    """Where a data set goes."""

    def write(self, chunk: bytes | memoryview) -> object:
        """Take the next bytes; they are valid during the call only."""


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that the remote accepted."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Received:
    """A command; its data set, if it has one, is to be read next."""

    context: AcceptedContext
    command: Command


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose beginning is made; the rest is when it is sent."""

    batches: Iterator[Batch]


class Association:
    """An association with a remote, from its acceptance on.

    Attributes:
        name: of the remote, for messages.
        contexts: accepted ones by identifier.
        is_open: whether requests can still be sent.
    """

    def __init__(self, link: socket.socket, connection: Connection, name: str, timeout_s: float) -> None:
        self.name = name
        self.contexts: dict[int, AcceptedContext] = {}
        self.is_open = False
        self._socket = link
        self._connection = connection
        self._reader = MessageReader()
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._timeout_s = timeout_s
        self._max_pdu_length = 0
        self._sent_size = 0  # of the last message, in bytes
        self._tried: frozenset[tuple[str, str]] = frozenset()
        self._peeked: UpperLayerEvent | None = None

    @classmethod
    def open(
        cls,
        address: tuple[str, int],
        request: AAssociateRq,
        max_pdu_length: int,
        tls: ssl.SSLContext | None,
        timeout_s: float,
        *,
        may_be_link_local: bool = False,
    ) -> Self:
        """Connect, and ask for an association. The timeout is for the connection and each wait after it; 0 is none.

        Raises:
            NetworkProtocolError: the remote cannot be reached or may not be, see `web_address`, does not speak the
                protocol, or rejects.
        """
        link = _connect(address, tls, timeout_s, _name(request), may_be_link_local)
        return cls.over(link, request, max_pdu_length, timeout_s)

    @classmethod
    def over(cls, link: socket.socket, request: AAssociateRq, max_pdu_length: int, timeout_s: float) -> Self:
        """Ask for an association over a connection, which is closed if that fails.

        Raises:
            NetworkProtocolError: as `open`.
        """
        connection = Connection(is_requestor=True, max_pdu_length=max_pdu_length)
        association = cls(link, connection, _name(request), timeout_s)
        try:
            association._request(request)
        except BaseException:
            link.close()
            raise
        return association

    def _request(self, request: AAssociateRq) -> None:
        try:
            self._connection.associate(request)
            self._connection.transport_connected(time.monotonic())
            self._flush()
        except LocalProtocolError as error:
            raise NetworkProtocolError(str(error)) from error
        event = self._next_event()
        if isinstance(event, AssociationRejected):
            raise NetworkProtocolError(f"{self._doing('connecting')}: {_describe_rejection(event.answer)}")
        if not isinstance(event, AssociationAccepted):
            raise self._broken(f"no answer to the association request, but {type(event).__name__}")
        proposed = {context.context_id: context for context in request.presentation_contexts}
        for context in event.answer.presentation_contexts:
            offer = proposed.get(context.context_id)
            if context.result is ContextResult.ACCEPTANCE and offer is not None:
                if context.transfer_syntax not in offer.transfer_syntaxes:
                    continue  # nobody can send what was not agreed on
                self.contexts[context.context_id] = AcceptedContext(
                    context.context_id, offer.abstract_syntax, context.transfer_syntax
                )
        self._tried = frozenset(
            (context.abstract_syntax, context.transfer_syntaxes[0])
            for context in request.presentation_contexts
            if len(context.transfer_syntaxes) == 1
        )
        self._max_pdu_length = event.answer.user_information.max_pdu_length
        if 0 < self._max_pdu_length < MIN_PDU_LENGTH:
            raise self._broken(f"it takes PDUs of {self._max_pdu_length} bytes only")
        self.is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, GeneratorExit):
            self.release()
        else:
            self.abort()

    def find_context(self, abstract_syntax: str, *transfer_syntaxes: str) -> AcceptedContext | None:
        """The accepted context for an abstract syntax, in the first of the transfer syntaxes that there is one for."""
        candidates = [context for context in self.contexts.values() if context.abstract_syntax == abstract_syntax]
        if not transfer_syntaxes:
            return candidates[0] if candidates else None
        for transfer_syntax in transfer_syntaxes:
            for context in candidates:
                if context.transfer_syntax == transfer_syntax:
                    return context
        return None

    def covers(self, needed: Iterable[tuple[str, str]]) -> bool:
        """Whether a new association would not do better for these SOP classes and transfer syntaxes."""
        accepted = {(context.abstract_syntax, context.transfer_syntax) for context in self.contexts.values()}
        return all(pair in self._tried or pair in accepted for pair in needed)

    def agrees_with(self, other: Association) -> bool:
        """Whether messages that were prepared for another association can be sent on this one."""
        return self.contexts == other.contexts and self._max_pdu_length == other._max_pdu_length

    def set_timeout(self, timeout_s: float) -> None:
        """Longest wait for each answer from now on; 0 is no limit."""
        self._timeout_s = timeout_s

    # Sending

    def send(
        self,
        context: AcceptedContext,
        command: Request | AnyResponse | CCancelRq,
        data_set: Iterable[bytes | memoryview] | None = None,
    ) -> None:
        """Send a message; the data set is drawn as it is sent.

        Raises:
            NetworkProtocolError: the association is lost. What `data_set` raises aborts it, too.
        """
        self._send(self._batches(context, command, data_set))

    def prepare(
        self,
        context: AcceptedContext,
        command: Request | AnyResponse | CCancelRq,
        data_set: Iterable[bytes | memoryview] | None = None,
    ) -> Message:
        """Make the beginning of a message, which is the whole of most; raises what `data_set` does."""
        made = self._batches(context, command, data_set)
        return Message(itertools.chain((next(made),), made))

    def send_prepared(self, message: Message) -> None:
        """Send it.

        Raises:
            NetworkProtocolError: as `send`.
        """
        self._send(message.batches)

    def _batches(
        self,
        context: AcceptedContext,
        command: Request | AnyResponse | CCancelRq,
        data_set: Iterable[bytes | memoryview] | None,
    ) -> Iterator[Batch]:
        pdus = message_parts(context.context_id, command, data_set, self._max_pdu_length)
        return batches(pdus, JOINED if isinstance(self._socket, ssl.SSLSocket) else SIDE_BY_SIDE)

    def _send(self, made: Iterable[Batch]) -> None:
        if not self.is_open:
            raise NetworkProtocolError(f"{self._doing('speaking')}: the association is over")
        try:
            self._connection.begin_p_data()
            self._write(made)
        except LocalProtocolError as error:
            raise self._broken(str(error)) from error
        except TimeoutError as error:
            raise self._broken("it takes no more data (timeout)") from error
        except OSError as error:
            raise self._lost(error) from error
        except BaseException:
            self.abort()  # a message that is cut short cannot be continued
            raise

    def _write(self, made: Iterable[Batch]) -> None:
        self._sent_size = 0
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(self._timeout_s or None)
            for parts, size in made:
                self._socket.sendall(b"".join(parts))
                self._sent_size += size
        else:
            self._socket.settimeout(0.0)
            writer = SocketWriter(self._socket, self._timeout_s)
            for parts, size in made:
                writer.write(parts, size)
                self._sent_size += size

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if not data:
            return
        try:
            self._socket.settimeout(self._timeout_s or None)
            self._socket.sendall(data)
        except TimeoutError as error:
            raise self._broken("it takes no more data (timeout)") from error
        except OSError as error:
            raise self._lost(error) from error

    # Receiving

    def receive(self) -> Received:
        """Wait for the next command.

        Raises:
            NetworkProtocolError: the association is lost, or nothing came in time.
        """
        while True:
            received = self._receive_pdv()
            if isinstance(received, CommandReceived):
                context = self.contexts.get(received.context_id)
                if context is None:
                    raise self._broken(f"a message in presentation context {received.context_id}, not accepted")
                return Received(context, received.command)
            if isinstance(received, DataSetFragment):
                raise self._broken("a data set without command")

    def receive_data_set(self, sink: Sink | None) -> None:
        """Read the data set of the last command, to its end; nowhere without a sink.

        Raises:
            NetworkProtocolError: the association is lost. What the sink raises aborts it, too.
        """
        while True:
            received = self._receive_pdv()
            if isinstance(received, DataSetFragment):
                if sink is not None:
                    try:
                        sink.write(received.data)
                    except BaseException:
                        self.abort()
                        raise
                if received.is_last:
                    return

    def receive_identifier(self) -> bytes:
        """Read the data set of the last command into memory.

        Raises:
            NetworkProtocolError: the association is lost, or it is too long.
        """
        collected = _Collected()
        self.receive_data_set(collected)
        return bytes(collected.data)

    def receive_response(self, message_id: int) -> Response:
        """Wait for the response to a request; its data set is thrown away.

        Raises:
            NetworkProtocolError: the association is lost, nothing came in time, or something else came.
        """
        received = self.receive()
        response = self.expect_response(received, message_id)
        if response.has_data_set:
            self.receive_data_set(None)
        return response

    def expect_response(self, received: Received, message_id: int) -> Response:
        """A command as the response to a request.

        Raises:
            NetworkProtocolError: it is none.
        """
        command = received.command
        if not isinstance(command, Response) or command.message_id_being_responded_to != message_id:
            raise self._broken(f"{type(command).__name__} where a response to message {message_id} was expected")
        return command

    def waits_for_more(self, timeout_s: float) -> bool:
        """Whether the remote says something more, within a time, after all that was asked of it is answered."""
        if self._peeked is None:
            self._peeked = next(self._connection.events(), None)
        if self._peeked is not None or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0):
            return True
        try:
            readable, _, _ = select.select([self._socket], [], [], timeout_s)
        except (OSError, ValueError):  # ValueError: a descriptor that select cannot take
            return False
        return bool(readable)

    def has_news(self) -> bool:
        """Whether the remote sent anything while nothing was asked of it: it has closed, or wants to."""
        try:
            self._socket.settimeout(0.0)
            if isinstance(self._socket, ssl.SSLSocket):
                return self._socket.pending() > 0 or self._peeks_under_tls()
            return self._socket.recv(1, socket.MSG_PEEK) is not None
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True

    def _peeks_under_tls(self) -> bool:
        raw = socket.socket(fileno=self._socket.fileno())
        try:
            raw.setblocking(False)
            raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            raw.detach()
        return True

    def _receive_pdv(self) -> CommandReceived | DataSetFragment | None:
        event = self._next_event()
        match event:
            case Pdv():
                try:
                    return self._reader.receive(event)
                except (MessageError, MalformedCommand) as error:
                    raise self._broken(str(error)) from error
            case ReleaseRequested():
                with contextlib.suppress(NetworkProtocolError):
                    self._connection.answer_release(time.monotonic())
                    self._flush()
                self._close()
                raise NetworkProtocolError(f"{self._doing('speaking')}: it released the association")
            case _:
                raise self._broken(f"unexpected {type(event).__name__}")

    def _next_event(self) -> UpperLayerEvent:
        deadline = None
        if self._timeout_s:
            deadline = time.monotonic() + self._timeout_s + self._sent_size / PUT_AWAY_PER_S
        while True:
            event, self._peeked = self._peeked, None
            if event is None:
                event = next(self._connection.events(), None)
            if event is None:
                self._read(deadline)
                continue
            if isinstance(event, Aborted):
                if event.by_us:
                    with contextlib.suppress(NetworkProtocolError):
                        self._flush()
                self._close()
                who = "it broke the protocol, " + event.details if event.by_us else "it aborted the association"
                raise NetworkProtocolError(f"{self._doing('speaking')}: {who}")
            if isinstance(event, ConnectionLost):
                self._close()
                raise NetworkProtocolError(f"{self._doing('speaking')}: it closed the connection")
            return event

    def _read(self, deadline: float | None) -> None:
        try:
            if deadline is None:
                self._socket.settimeout(None)
            else:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            count = self._socket.recv_into(self._buffer)
        except TimeoutError as error:
            raise self._broken("no answer in time (timeout)") from error
        except OSError as error:
            raise self._lost(error) from error
        if _QUICKACK is not None:  # a remote that writes in small pieces, with Nagle on, waits for it
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._connection.receive_data(self._buffer[:count], time.monotonic())

    # Ending

    def release(self) -> None:
        """End in order; never raises, and does not wait long."""
        if not self.is_open:
            self._close()
            return
        self._timeout_s = min(self._timeout_s or _RELEASE_TIMEOUT_S, _RELEASE_TIMEOUT_S)
        with contextlib.suppress(NetworkProtocolError, LocalProtocolError):
            self._connection.release()
            self._flush()
            deadline = time.monotonic() + self._timeout_s
            while time.monotonic() < deadline:
                event = self._next_event()
                if isinstance(event, Released):
                    break
                if isinstance(event, ReleaseRequested):
                    self._connection.answer_release(time.monotonic())
                    self._flush()
        self._close()

    def abort(self) -> None:
        """End at once; never raises."""
        if self.is_open:
            with contextlib.suppress(NetworkProtocolError, LocalProtocolError):
                self._connection.abort(time.monotonic())
                self._timeout_s = min(self._timeout_s or 1.0, 1.0)
                self._flush()
        self._close()

    def _close(self) -> None:
        self.is_open = False
        with contextlib.suppress(OSError):
            self._socket.close()

    def _doing(self, what: str) -> str:
        return f"DicomAssociation - {what} to {self.name}"

    def _broken(self, details: str) -> NetworkProtocolError:
        self.abort()
        return NetworkProtocolError(f"{self._doing('speaking')}: {details}")

    def _lost(self, error: OSError) -> NetworkProtocolError:
        """The socket failed; what the remote may have said before is more telling than that."""
        self._close()
        return NetworkProtocolError(f"{self._doing('speaking')}: the connection is lost ({error.strerror or error})")


def _name(request: AAssociateRq) -> str:
    return f'AET "{request.called_ae_title}"'


class _Collected:
    """A data set in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, chunk: bytes | memoryview) -> None:
        if len(self.data) + len(chunk) > MAX_IDENTIFIER_SIZE:
            raise NetworkProtocolError(f"an answer of more than {MAX_IDENTIFIER_SIZE} bytes")
        self.data += chunk


def _connect(
    address: tuple[str, int], tls: ssl.SSLContext | None, timeout_s: float, name: str, may_be_link_local: bool
) -> socket.socket:
    doing = f"DicomAssociation - connecting to {name}"
    try:
        link = connect(*address, timeout_s or None, may_be_any=may_be_link_local)
    except TimeoutError as error:
        raise NetworkProtocolError(f"{doing}: no connection in time (timeout)") from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NetworkProtocolError(f"{doing}: TCP Initialization Error: {reason}") from error
    try:
        if tls is None:
            return link
        return tls.wrap_socket(link, suppress_ragged_eofs=True)
    except (OSError, ValueError) as error:
        link.close()
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise NetworkProtocolError(f"{doing}: TLS handshake failed: {reason}") from error


def _describe_rejection(answer: AAssociateRj) -> str:
    result = "rejected" if answer.result == 1 else "rejected for now"
    reason = _REASONS.get((answer.source, answer.reason), f"source {answer.source}, reason {answer.reason}")
    return f"Association {result}: {reason}"
