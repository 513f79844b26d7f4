"""DICOMweb servers as they are called: by name, with what the configuration says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amonsul.archive.dicom_web_servers import DicomWebServer, DicomWebServers, kept_server
from amonsul.blobs.spool import Spool
from amonsul.clients import dicomweb
from amonsul.clients.dicomweb import Fetched, Headers, Model
from amonsul.clients.http import HttpClient, Session
from amonsul.errors import InexistentItem
from amonsul.jobs.peers import web_server


@dataclass(frozen=True, slots=True)
class DicomWebClient:
    """Calls DICOMweb servers by name.

    Attributes:
        known: the servers there are.
        max_instances: to send in one request; 0 for no bound (`DicomWeb.StowMaxInstances`).
        max_size: bytes to send in one request, unless one instance has more; 0 for no bound (`DicomWeb.StowMaxSize`).
    """

    known: DicomWebServers
    http: HttpClient
    max_instances: int = 10
    max_size: int = 10 << 20

    def server(self, name: str, kept: object = None) -> DicomWebServer:
        """A server.

        Args:
            name: of the server.
            kept: the server as JSON, for when there is none of this name any more.

        Raises:
            InexistentItem: there is none of this name.
        """
        try:
            return self.known.get(name)
        except InexistentItem:
            if kept is None:
                raise
            return kept_server(kept)

    def session(self, server: DicomWebServer) -> Session:
        """A session with a server, for one thread at a time.

        Raises:
            ParameterOutOfRange: its URL is none that may be called.
        """
        return self.http.session(web_server(server.remote))

    def fetch(self, name: str, target: str, headers: Headers, new_spool: Callable[[], Spool]) -> Fetched:
        """See `clients.dicomweb.fetch`."""
        with self.session(self.server(name)) as session:
            return dicomweb.fetch(session, target, headers, new_spool)

    def search(self, name: str, target: str, headers: Headers) -> list[Model]:
        """See `clients.dicomweb.search`."""
        with self.session(self.server(name)) as session:
            return dicomweb.search(session, target, headers)

    def delete(self, name: str, target: str, headers: Headers) -> None:
        """See `clients.dicomweb.delete`."""
        with self.session(self.server(name)) as session:
            dicomweb.delete(session, target, headers)
