"""Peers as they are called: the value that `OrthancPeers` gave, as a server of the HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amonsul.archive.peer_list import Peers
from amonsul.archive.peers import Peer, parse_peer
from amonsul.clients.http import Answer, Body, HttpClient, RemoteRefusal, Session, WebServer
from amonsul.errors import AmonsulError, NetworkProtocolError, UnknownResource

CONNECTIONS: Final = 4
"""To a server at once, for one job that sends."""
INSTANCES: Final = "instances"
"""Where a peer takes instances, below the root of its API."""
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
"""Of instances, as Orthanc sends them; what reads them knows them by their first bytes."""


@dataclass(frozen=True, slots=True)
class PeerClient:
    """Calls peers by name.

    Attributes:
        known: the peers there are.
    """

    known: Peers
    http: HttpClient

    def session(self, name: str, kept: object = None) -> Session:
        """A session with a peer, for one thread at a time.

        Args:
            name: of the peer.
            kept: the peer as JSON, for when there is none of this name any more.

        Raises:
            UnknownResource: there is none of this name.
            ParameterOutOfRange: its URL is none that may be called.
        """
        try:
            peer = self.known.get(name)
        except UnknownResource:
            if kept is None:
                raise
            peer = parse_peer(kept)
        return self.http.session(web_server(peer))

    def system(self, name: str) -> Answer:
        """What a peer tells of itself.

        Raises:
            UnknownResource: there is none of this name.
            NetworkProtocolError: it cannot be reached, or refuses.
        """
        with self.session(name) as session:
            return session.require("GET", "system")

    def store(self, name: str, file: bytes | memoryview) -> Answer:
        """Send one file.

        Raises:
            UnknownResource: there is none of this name.
            NetworkProtocolError: it cannot be reached, or refuses.
        """
        with self.session(name) as session:
            try:
                return session.require("POST", INSTANCES, Body.of(file, MEDIA_TYPE))
            except RemoteRefusal as error:
                raise RemoteRefusal.of(f"Cannot send DICOM to remote peer: {name}", error.status) from error


def web_server(peer: Peer) -> WebServer:
    """A remote as the HTTP client wants it."""
    return WebServer(
        peer.url,
        peer.username,
        peer.password,
        peer.http_headers,
        peer.certificate_file,
        peer.certificate_key_file,
        peer.certificate_key_password,
        peer.timeout_s,
        peer.is_key_in_token,
    )


def may_pass(error: AmonsulError) -> bool:
    """A server that is not there, or has too much to do, may come back; one that refuses will refuse again."""
    if isinstance(error, RemoteRefusal):
        return error.status >= 500 or error.status in (408, 429)
    return isinstance(error, NetworkProtocolError)
