"""The peers that are known now, see `archive.remote_list`; the option for the database is `OrthancPeersInDatabase`."""

from __future__ import annotations

from amonsul.archive.peers import Peer, parse_peer
from amonsul.archive.remote_list import RemoteList
from amonsul.database.modalities import PEERS
from amonsul.errors import AmonsulError, InexistentFile, InexistentItem, UnknownResource


class Peers(RemoteList[Peer]):
    """What `/peers` shows and changes."""

    SCOPE = PEERS

    def _encode(self, remote: Peer) -> dict[str, object]:
        return remote.to_json()

    def _decode(self, value: object) -> Peer:
        try:
            return parse_peer(value)
        except InexistentFile:  # a certificate that is gone hinders only whoever needs it
            assert isinstance(value, dict)
            names = ("CertificateFile", "CertificateKeyFile")
            bare = parse_peer({name: each for name, each in value.items() if name not in names})
            return Peer(
                bare.url,
                bare.username,
                bare.password,
                bare.http_headers,
                certificate_file=str(value.get(names[0], "")),
                certificate_key_file=str(value.get(names[1], "")),
                certificate_key_password=bare.certificate_key_password,
                timeout_s=bare.timeout_s,
                properties=bare.properties,
            )

    def _unknown(self, name: str) -> AmonsulError:
        return UnknownResource(f"No peer with symbolic name: {name}")

    def _not_removable(self, name: str) -> AmonsulError:
        return InexistentItem(f"Unknown Orthanc peer: {name}")
