"""The DICOM port: accepts connections, counts them, and stops them in order.

Accepting never waits for a peer: a connection costs a few objects until it asks for an association. Associations are
limited in number, over all and by address; who comes too many is told so with an A-ASSOCIATE-RJ. One more than that is
let in per address if all it proposes is verification, so that a C-ECHO tells a busy server from a dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Sequence

from amonsul.crossing import Crossing
from amonsul.dimse_server.association import READ_BUFFER_SIZE, AssociationProtocol, House, SpoolBudget
from amonsul.dimse_server.echo import VERIFICATION_SOP_CLASS
from amonsul.dimse_server.service import Lane, Service, ServiceTable
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches
from amonsul.protocols.upper_layer.pdu import (
    AAssociateRj,
    AAssociateRq,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
)

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_NEGOTIATORS = 4
"""Threads for negotiation, apart from those of the services so that no amount of work delays it."""

_PATIENT_THREADS = 32
"""Queries, and likewise retrievals, that are answered at once: twice what one address may have open."""

_TOO_MANY = AAssociateRj(
    RejectResult.TRANSIENT,
    RejectSource.SERVICE_PROVIDER_PRESENTATION,
    PresentationRejectReason.LOCAL_LIMIT_EXCEEDED,
)


class DicomServer:
    """Serves DICOM associations on the running event loop.

    Args:
        settings: fixed for the life of the server.
        switches: asked anew for every association.
        services: what is served, e.g. `[EchoService(), StoreService(blobs.spool, ingest)]`.
        crossing: the threads of services in the prompt lane; the caller closes it after `stop`.
    """

    def __init__(
        self, settings: DimseSettings, switches: DimseSwitches, services: Sequence[Service], crossing: Crossing
    ) -> None:
        self._settings = settings
        self._negotiators = Crossing("dicom-negotiation", _NEGOTIATORS)
        self._patient = {
            lane: Crossing(f"dicom-{lane.value}", _PATIENT_THREADS) for lane in (Lane.QUERIES, Lane.RETRIEVALS)
        }
        self._house = House(
            settings,
            switches,
            ServiceTable(services),
            {Lane.PROMPT: crossing, **self._patient},
            self._negotiators,
            self,
            SpoolBudget(settings.max_spooled_in_memory),
            memoryview(bytearray(READ_BUFFER_SIZE)),
        )
        self._server: asyncio.Server | None = None
        self._port = settings.port
        self._peers: set[AssociationProtocol] = set()
        self._silent: dict[AssociationProtocol, None] = {}  # without association, the oldest first
        self._admitted: set[AssociationProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._is_stopping = False
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken, or the address is not ours.
        """
        listening = _listening_socket(self._settings.host, self._settings.port)
        self._port = int(listening.getsockname()[1])
        if self._settings.tls is not None:
            self._settings.tls.sslobject_class = _TellingTls
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: AssociationProtocol(self._house),
                sock=listening,
                backlog=_BACKLOG,
                ssl=self._settings.tls,
                ssl_handshake_timeout=None if self._settings.tls is None else self._settings.artim_timeout_s,
            )
        except BaseException:
            listening.close()
            raise
        logger.info("DICOM server %s listens on port %d", self._settings.ae_title, self._port)

    @property
    def port(self) -> int:
        """The port listened on, also where the settings say 0."""
        return self._port

    @property
    def associations(self) -> int:
        """How many associations are open now."""
        return len(self._admitted)

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Stop listening, let requests in progress end, abort every association; harmless twice.

        What has not ended within `timeout_s` is cut off: its sender gets no answer and knows that it must send again.
        """
        self._is_stopping = True
        deadline = asyncio.get_running_loop().time() + timeout_s
        if self._server is not None:
            self._server.close()
            self._server = None
        for peer in list(self._peers):
            peer.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), timeout_s)
        for peer in list(self._peers):
            peer.cut_off("the server stops")
        await self._all_gone.wait()
        if self._house.tasks:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            _, unfinished = await asyncio.wait(self._house.tasks, timeout=left)
            for task in unfinished:
                task.cancel()
        for threads in (self._negotiators, *self._patient.values()):
            threads.close(1.0)

    # Doorkeeper

    def connected(self, peer: AssociationProtocol) -> None:
        """Note a connection; if there are too many without association, close the oldest of them."""
        self._peers.add(peer)
        self._all_gone.clear()
        self._silent[peer] = None
        if len(self._silent) > self._settings.max_silent_connections:
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.cut_off("too many connections without association")

    def admit(self, peer: AssociationProtocol, request: AAssociateRq) -> AAssociateRj | None:
        """Count an association, or refuse it."""
        allowed_more = int(
            all(context.abstract_syntax == VERIFICATION_SOP_CLASS for context in request.presentation_contexts)
        )
        settings = self._settings
        if (
            self._is_stopping
            or len(self._admitted) >= settings.max_associations + allowed_more
            or self._by_address[peer.remote_ip] >= settings.max_associations_per_address + allowed_more
        ):
            return _TOO_MANY
        self._silent.pop(peer, None)
        self._admitted.add(peer)
        self._by_address[peer.remote_ip] += 1
        return None

    def disconnected(self, peer: AssociationProtocol) -> None:
        """Forget a connection."""
        self._silent.pop(peer, None)
        if peer in self._admitted:
            self._admitted.discard(peer)
            self._by_address[peer.remote_ip] -= 1
            if not self._by_address[peer.remote_ip]:
                del self._by_address[peer.remote_ip]
        self._peers.discard(peer)
        if not self._peers:
            self._all_gone.set()


class _TellingTls(ssl.SSLObject):
    """TLS of one connection. A handshake that fails is told, for event loops keep it to themselves."""

    def do_handshake(self) -> None:
        """Take the next step of the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            logger.warning("the TLS handshake with a peer failed: %s", error.reason or error)
            raise


def _listening_socket(host: str, port: int) -> socket.socket:
    """Bind an address; without one, every IPv4 and IPv6 address, or every IPv4 address where there is no IPv6."""
    if not host:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):
                return _bind(socket.AF_INET6, ("::", port), dual_stack=True)
        return _bind(socket.AF_INET, ("0.0.0.0", port))
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return _bind(family, address)


def _bind(family: socket.AddressFamily, address: object, *, dual_stack: bool = False) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # both are inherited by what is accepted
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if dual_stack:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)  # type: ignore[arg-type]
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
