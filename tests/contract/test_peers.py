"""Which peers are known, over both databases."""

from __future__ import annotations

import pytest

from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.archive.modality_list import Modalities
from amonsul.archive.peer_list import Peers
from amonsul.archive.peers import parse_peer
from amonsul.archive.remote_list import forget_run
from amonsul.clients.http import HttpClient
from amonsul.errors import BadFileFormat, InexistentItem, ReadOnly, UnknownResource
from amonsul.jobs.peers import PeerClient

CONFIGURED = parse_peer(["http://configured"])
ADDED = parse_peer(
    {"Url": "http://added", "Username": "a", "Password": "b", "HttpHeaders": {"c": "d"}, "RemoteSelf": "e"}
)


def test_what_is_changed_lies_over_the_configuration_for_this_run(archive: Archive) -> None:
    one, other = (Peers(archive.database, {"here": CONFIGURED}) for _ in range(2))
    one.put("added", ADDED)
    one.remove("here")
    assert one.all() == other.all() == {"added": ADDED}
    forget_run(archive.database)
    assert one.all() == {"here": CONFIGURED}


def test_the_database_counts_alone_if_it_shall(archive: Archive) -> None:
    one, other = (Peers(archive.database, {"here": CONFIGURED}, in_database=True) for _ in range(2))
    one.put("added", ADDED)
    forget_run(archive.database)
    assert other.all() == {"added": ADDED}
    other.remove("added")
    assert one.all() == {}


@pytest.mark.parametrize("in_database", [False, True])
def test_none_is_changed_where_nothing_may_be(archive: Archive, in_database: bool) -> None:
    Peers(archive.database, {}, in_database=True).put("kept", ADDED)
    peers = Peers(archive.database, {"kept": ADDED}, in_database=in_database, read_only=True)
    with pytest.raises(ReadOnly):
        peers.put("added", ADDED)
    with pytest.raises(ReadOnly):
        peers.remove("kept")
    assert peers.all() == {"kept": ADDED}


@pytest.mark.parametrize("in_database", [False, True])
def test_modalities_are_others(archive: Archive, in_database: bool) -> None:
    peers = Peers(archive.database, {}, in_database=in_database)
    modalities = Modalities(archive.database, {}, in_database=in_database)
    peers.put("a", ADDED)
    modalities.put("b", Modality("B", "h", 1))
    assert (list(peers.all()), list(modalities.all())) == (["a"], ["b"])


def test_what_is_not_there_is_refused(archive: Archive) -> None:
    peers = Peers(archive.database, {})
    with pytest.raises(UnknownResource):
        peers.get("nope")
    with pytest.raises(InexistentItem):
        peers.remove("nope")
    with pytest.raises(BadFileFormat):
        peers.put("no/pe", ADDED)


def test_a_job_goes_on_to_a_peer_that_is_not_known_any_more(archive: Archive) -> None:
    client = PeerClient(Peers(archive.database, {"here": ADDED}), HttpClient())
    assert client.session("here", CONFIGURED.to_json()).url("x") == "http://added/x"
    assert client.session("gone", CONFIGURED.to_json()).url("x") == "http://configured/x"
    with pytest.raises(UnknownResource):
        client.session("gone")
    assert ADDED.has_secrets
    assert not CONFIGURED.has_secrets
