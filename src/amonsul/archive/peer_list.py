"""The peers that are known now, see `archive.remote_list`; the option for the database is `OrthancPeersInDatabase`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from amonsul.archive.peers import Peer, parse_peer
from amonsul.archive.remote_list import RemoteList
from amonsul.database.modalities import PEERS
from amonsul.errors import AmonsulError, InexistentFile, InexistentItem, UnknownResource

_FILES: Final = ("CertificateFile", "CertificateKeyFile")


class Peers(RemoteList[Peer]):
    """What `/peers` shows and changes."""

    SCOPE = PEERS

    def _encode(self, remote: Peer) -> dict[str, object]:
        return remote.to_json()

    def _decode(self, value: object) -> Peer:
        return kept_peer(value)

    def _unknown(self, name: str) -> AmonsulError:
        return UnknownResource(f"No peer with symbolic name: {name}")

    def _not_removable(self, name: str) -> AmonsulError:
        return InexistentItem(f"Unknown Orthanc peer: {name}")


def kept_peer(value: object) -> Peer:
    """A peer as it was kept; a certificate that is gone since hinders only whoever needs it."""
    try:
        return parse_peer(value)
    except InexistentFile:
        assert isinstance(value, dict)
        bare = parse_peer({name: each for name, each in value.items() if name not in _FILES})
        certificate, key = (str(value.get(name, "")) for name in _FILES)
        return replace(bare, certificate_file=certificate, certificate_key_file=key)
