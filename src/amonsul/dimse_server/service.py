"""What a DICOM service is to the server: which abstract syntaxes, which requests, and how they are answered.

A service is plain blocking code in one file of this package. The server negotiates for it, checks the rights of the
peer, receives the data set of a request into the spool that the service gave, and calls `serve` in a thread. `serve`
yields its answers: a single one, or any number of pending ones before the last. It sees a C-CANCEL, an abort and a
lost connection alike as `Exchange.is_cancelled`, and is held up while the peer does not take what was sent.
"""

from __future__ import annotations

import abc
import enum
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from amonsul.archive.modalities import Modality
from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients.wire import Batch
from amonsul.errors import InternalError
from amonsul.protocols.dimse.commands import AnyResponse, Request, Response
from amonsul.protocols.upper_layer.items import UserIdentity
from amonsul.protocols.upper_layer.pdu import AAssociateRq

MAX_IDENTIFIER_SIZE = 1 << 20
"""Longest data set of a request that is not stored, in bytes."""


class Lane(enum.Enum):
    """Which threads a service runs in: whoever waits in one lane, for a peer or for a turn, holds up no other lane."""

    PROMPT = "prompt"
    """One answer, that waits for nobody but the disk; `DicomThreadsCount`."""
    QUERIES = "queries"
    RETRIEVALS = "retrievals"


class Right(enum.Enum):
    """What a peer may be allowed to ask."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    FIND_WORKLIST = "find worklists"
    GET = "get"
    MOVE = "move"
    N_ACTION = "N-ACTION"
    EVENT_REPORT = "N-EVENT-REPORT"


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context.

    `peer_is_scu` and `peer_is_scp` are the roles that the peer may take in it (PS3.7 §D.3.3.4).
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    peer_is_scu: bool = True
    peer_is_scp: bool = False


@dataclass(frozen=True, slots=True)
class Association:
    """What was agreed with a peer.

    Attributes:
        remote_ip: address of the peer, in IPv4 form where it has one.
        contexts: accepted ones by identifier.
        max_pdu_length: longest P-DATA-TF that the peer takes; 0 is any.
        modality: the known one that the peer is, if any.
        user_identity: as the peer gave it; nothing here has verified it.
        extended_negotiations: application information by SOP class, as the peer proposed it.
        request: the proposal whole, for whatever else a service wants to know.
    """

    calling_ae_title: str
    called_ae_title: str
    remote_ip: str
    contexts: Mapping[int, Context]
    max_pdu_length: int
    modality: Modality | None
    user_identity: UserIdentity | None
    extended_negotiations: Mapping[str, bytes]
    request: AAssociateRq

    def __str__(self) -> str:
        return f"{self.calling_ae_title}@{self.remote_ip}"

    def context_for(self, abstract_syntax: str, *transfer_syntaxes: str) -> Context | None:
        """An accepted context for an abstract syntax, in the first of the transfer syntaxes that there is one for."""
        candidates = [context for context in self.contexts.values() if context.abstract_syntax == abstract_syntax]
        if not transfer_syntaxes:
            return candidates[0] if candidates else None
        for transfer_syntax in transfer_syntaxes:
            for context in candidates:
                if context.transfer_syntax == transfer_syntax:
                    return context
        return None


class Answer(NamedTuple):
    """A response, with its data set encoded in the transfer syntax of the context if it has one."""

    response: AnyResponse
    data_set: bytes | None = None


class AssociationLost(Exception):
    """The association ended while a service was still talking; nothing is to be done but to stop."""


class Prepared(NamedTuple):
    """A message whose beginning is made; the rest is when it is sent."""

    message_id: int
    batches: Iterator[Batch]


class Line(Protocol):
    """The way from a service in its thread to the association: what `Exchange` needs of it."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer sent C-CANCEL or is gone."""
        ...

    def prepare(self, context: Context, request: Request, data_set: Iterable[bytes | memoryview] | None) -> Prepared:
        """Make the beginning of a message."""
        ...

    def ask(self, message: Prepared) -> None:
        """Send a request to the peer."""
        ...

    def response(self) -> Response:
        """Wait for the response to it."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its data set, being answered.

    Attributes:
        association: with whom.
        context: the presentation context of the request; answers go into it.
        request: the command.
        data_set: the complete data set; the service takes it over.
    """

    association: Association
    context: Context
    request: Request
    data_set: Spooled | None
    line: Line

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer does not want more: it sent C-CANCEL, or the association is lost."""
        return self.line.is_cancelled

    def prepare(
        self, context: Context, request: Request, data_set: Iterable[bytes | memoryview] | None = None
    ) -> Prepared:
        """Make the beginning of something to ask of the peer on the same association, as C-GET does with each C-STORE.

        Raises:
            AmonsulError: the beginning of the data set cannot be read.
        """
        return self.line.prepare(context, request, data_set)

    def ask(self, message: Prepared) -> None:
        """Send it, once the one before is answered; blocks while the peer does not take it.

        Raises:
            AssociationLost: there is nobody left to answer.
        """
        self.line.ask(message)

    def response(self) -> Response:
        """Wait for the response to what was asked.

        Raises:
            AssociationLost: there is nobody left to answer.
        """
        return self.line.response()


def _no_file() -> Path:
    raise InternalError("an identifier went to a file")


class Service(abc.ABC):
    """Base of the services.

    Attributes:
        abstract_syntaxes: what it is negotiated for.
        requests: what it answers, with the right that each needs.
        is_storage: the abstract syntaxes are storage SOP classes: the options on them apply, and any accepted transfer
            syntax is taken in the order of the proposal. Others are taken uncompressed only.
        peer_may_be_scp: let the peer take the SCP role if it proposes to.
        lane: its threads.
        blocks: `serve` may wait or compute; otherwise it is called on the event loop.
    """

    abstract_syntaxes: frozenset[str]
    requests: ClassVar[Mapping[type[Request], Right]]
    is_storage: ClassVar[bool] = False
    peer_may_be_scp: ClassVar[bool] = False
    lane: ClassVar[Lane] = Lane.PROMPT
    blocks: ClassVar[bool] = True

    def open_spool(
        self,
        association: Association,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        request: Request,  # noqa: ARG002
        size_limit: int,
    ) -> Spool:
        """Where the data set of a request goes; by default to memory, bounded. Called on the event loop.

        Raises:
            AmonsulError: it is not wanted; the request fails with its status after the data set has passed.
        """
        return Spool(_no_file, memory_limit=sys.maxsize, size_limit=min(size_limit, MAX_IDENTIFIER_SIZE))

    def negotiate_extended(self, abstract_syntax: str, information: bytes) -> bytes | None:  # noqa: ARG002
        """Answer an extended negotiation (PS3.7 §D.3.3.5); None leaves it unanswered, which refuses it."""
        return None

    @abc.abstractmethod
    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        """Answer one request.

        Raises:
            AmonsulError: the request fails with its `dimse_status`.
        """


class ServiceTable:
    """The services by abstract syntax."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = tuple(services)
        self._by_abstract_syntax = {
            abstract_syntax: service for service in self._services for abstract_syntax in service.abstract_syntaxes
        }

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services)

    def get(self, abstract_syntax: str) -> Service | None:
        """The one for an abstract syntax."""
        return self._by_abstract_syntax.get(abstract_syntax)

    @property
    def storage(self) -> Service | None:
        """The one that takes instances, and so unknown SOP classes."""
        return next((service for service in self._services if service.is_storage), None)
