"""The DICOMweb servers we know by name: what `DicomWeb.Servers` and `/dicom-web/servers/{name}` hold.

They are written as peers are. What else is to be known of a server stands among its properties, `true` and `false` as
such or as `"1"` and `"0"`, which is how properties are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amonsul.archive.peer_list import kept_peer
from amonsul.archive.peers import Peer, parse_named, parse_peer
from amonsul.archive.remote_list import RemoteList
from amonsul.database.modalities import DICOM_WEB_SERVERS
from amonsul.errors import AmonsulError, BadFileFormat, InexistentItem, ParameterOutOfRange

_CHUNKED, _DELETE, _UNIVERSAL = "ChunkedTransfers", "HasDelete", "HasWadoRsUniversalTransferSyntax"
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class DicomWebServer:
    """One DICOMweb server.

    Attributes:
        remote: how it is reached.
        is_chunked: it takes requests in chunks, whose length is not told beforehand.
        has_delete: it deletes what it is told to.
        is_universal: it understands `transfer-syntax=*`, each instance as it is stored (PS3.18 §8.7.3.5.2).
    """

    remote: Peer
    is_chunked: bool = True
    has_delete: bool = False
    is_universal: bool = True

    @classmethod
    def of(cls, remote: Peer) -> DicomWebServer:
        """Find what is to be known of it among its properties.

        Raises:
            BadFileFormat: a property is neither true nor false.
        """
        return cls(
            remote,
            is_chunked=_flag(remote, _CHUNKED, True),
            has_delete=_flag(remote, _DELETE, False),
            is_universal=_flag(remote, _UNIVERSAL, True),
        )

    @property
    def operations(self) -> list[str]:
        """What can be asked of it."""
        return ["get", "retrieve", "stow", "wado", "qido", *(["delete"] if self.has_delete else [])]

    def describe(self) -> dict[str, object]:
        """What `/dicom-web/servers?expand` answers; no secrets."""
        texts = {name: _shown(value) for name, value in self.remote.properties.items()}
        return {**self.remote.describe(), **texts}


def parse_server(value: object, folder: Path | None = None) -> DicomWebServer:
    """Read a server from either JSON form.

    Args:
        value: parsed JSON.
        folder: where relative names of files count from; the current one unless given.

    Raises:
        AmonsulError: as `parse_peer`.
    """
    return DicomWebServer.of(parse_peer(value, folder))


def parse_servers(value: object, folder: Path | None = None) -> dict[str, DicomWebServer]:
    """Read the `DicomWeb.Servers` option: an object of servers by name.

    Raises:
        AmonsulError: as `parse_peer`; the details name the server.
    """
    return parse_named(value, "DICOMweb server", lambda entry: parse_server(entry, folder))


class DicomWebServers(RemoteList[DicomWebServer]):
    """What `/dicom-web/servers` shows and changes; the option for the database is `DicomWeb.ServersInDatabase`."""

    SCOPE = DICOM_WEB_SERVERS

    def _encode(self, remote: DicomWebServer) -> dict[str, object]:
        return remote.remote.to_json()

    def _decode(self, value: object) -> DicomWebServer:
        return kept_server(value)

    def _unknown(self, name: str) -> AmonsulError:
        return InexistentItem(f"Inexistent server: {name}")

    def _not_removable(self, name: str) -> AmonsulError:
        return ParameterOutOfRange(f"Unknown DICOMweb server: {name}")


def kept_server(value: object) -> DicomWebServer:
    """A server as it was kept."""
    return DicomWebServer.of(kept_peer(value))


def _flag(remote: Peer, name: str, default: bool) -> bool:
    value = remote.properties.get(name, default)
    if isinstance(value, str):
        value = _FLAGS.get(value.lower())
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if value is None else str(value)
