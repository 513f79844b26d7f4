"""Retrievals and queries whose peers do nothing hold up neither each other nor anything else."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from pydicom import Dataset

from amonsul.dicom.encoding import encode_data_set
from amonsul.protocols.dimse.commands import CFindRq, CGetRq, CStoreRsp
from amonsul.protocols.upper_layer.items import ProposedContext, RoleSelection, UserInformation
from amonsul.protocols.upper_layer.pdu import AAssociateAc, AAssociateRq
from tests.integration.dimse.dicom_door import CT, EXPLICIT, IMPLICIT, VERIFICATION, Peer, check_echo, sample
from tests.integration.dimse.qr_door import STUDY_ROOT_FIND, STUDY_ROOT_GET, QrDoor, dataset, open_qr_door

STALLED = 12
"""More than the door of these tests has threads in the prompt lane."""

STUDY = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1"})


def encoded(identifier: Dataset) -> bytes:
    return b"".join(bytes(piece) for piece in encode_data_set(identifier, EXPLICIT))


def begin_get(peer: Peer) -> None:
    """Ask for a study, wait until its first instance comes, and leave it lying."""
    contexts = (ProposedContext(1, STUDY_ROOT_GET, (EXPLICIT,)), ProposedContext(3, CT, (EXPLICIT,)))
    information = UserInformation(max_pdu_length=16384, roles=(RoleSelection(CT, scu=False, scp=True),))
    peer.send(AAssociateRq("AMONSUL", "PEER", contexts, information).encode())
    assert isinstance(peer.receive(), AAssociateAc)
    peer.send_message(1, CGetRq(1, STUDY_ROOT_GET), encoded(STUDY))
    assert peer.socket.recv(1, socket.MSG_PEEK)


def check_find(qr: QrDoor) -> None:
    with Peer(qr.port) as peer:
        peer.associate((STUDY_ROOT_FIND, EXPLICIT))
        peer.send_message(1, CFindRq(1, STUDY_ROOT_FIND), encoded(STUDY))
        assert getattr(peer.receive_command(), "status", None) == 0xFF00


def check_store(qr: QrDoor) -> None:
    with Peer(qr.port) as peer:
        peer.associate((VERIFICATION, IMPLICIT), (CT, EXPLICIT))
        for pdu in sample().pdus():
            peer.send(pdu)
        response = peer.receive_command()
        assert isinstance(response, CStoreRsp)
        assert response.status == 0


def test_retrievals_that_stall_leave_everything_else_quick(tmp_path: Path) -> None:
    with open_qr_door(tmp_path) as qr, contextlib.ExitStack() as peers:
        qr.add_instance(pixels=bytes(32 << 20))  # more than the buffers of a connection
        for _ in range(STALLED):
            begin_get(peers.enter_context(Peer(qr.port)))
        check_store(qr)
        check_find(qr)
        check_echo(qr.port)


def test_a_retrieval_ends_with_its_peer_also_while_it_is_being_written_to(tmp_path: Path) -> None:
    with open_qr_door(tmp_path) as qr:
        qr.add_instance(pixels=bytes(32 << 20))
        for _ in range(3):
            with Peer(qr.port) as peer:
                begin_get(peer)
        assert qr.door is not None
        qr.door.until(lambda server: server.associations == 0)
        check_echo(qr.port)
