"""Whatever a remote answers, the client finds an answer in it or an error of the network, and nothing else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from amonsul.clients.association import Association
from amonsul.errors import NetworkProtocolError
from amonsul.protocols.dimse.commands import CEchoRq, CEchoRsp, CFindRq, CFindRsp
from amonsul.protocols.dimse.messages import encode_message
from amonsul.protocols.upper_layer.items import AnsweredContext, ContextResult, ProposedContext, UserInformation
from amonsul.protocols.upper_layer.pdu import AAbort, AAssociateAc, AAssociateRj, AAssociateRq, AReleaseRp, AReleaseRq

EXPLICIT, FIND = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.2.2.1"
REQUEST = AAssociateRq("REMOTE", "AMONSUL", (ProposedContext(1, FIND, (EXPLICIT,)),), UserInformation(131072))
ACCEPTED = AAssociateAc(
    "REMOTE", "AMONSUL", (AnsweredContext(1, ContextResult.ACCEPTANCE, EXPLICIT),), UserInformation(16384)
).encode()
WHOLE = [
    encode_message(1, CEchoRsp(1, 0), None, 16384),
    encode_message(1, CFindRsp(1, 0xFF00, FIND, has_data_set=True), b"\x08\0\x05\0CS\x02\0AB", 16384),
    encode_message(1, CFindRsp(1, 0, FIND), None, 16384),
    encode_message(1, CEchoRq(1), None, 16384),
    AReleaseRq().encode(),
    AReleaseRp().encode(),
    AAbort(2, 1).encode(),
    AAssociateRj(1, 1, 1).encode(),
    ACCEPTED,
]


def converse(answer: bytes) -> None:
    """Ask for an association, search, and release, with a remote that has said everything in advance."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(NetworkProtocolError):
            association = Association.over(ours, REQUEST, 131072, 5.0)
            context = association.find_context(FIND)
            if context is None:
                association.release()
                return
            association.send(context, CFindRq(1, FIND), [b"\x08\0\x05\0CS\x02\0AB"])
            for _ in range(5):
                response = association.expect_response(association.receive(), 1)
                if response.has_data_set:
                    association.receive_identifier()
            association.release()


@given(st.binary(max_size=300))
def test_noise(answer: bytes) -> None:
    converse(answer)


@given(st.binary(max_size=300))
def test_noise_after_the_association_is_accepted(answer: bytes) -> None:
    converse(ACCEPTED + answer)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """Whole PDUs in any order, some bytes of them changed."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(WHOLE), max_size=5))))
    for place, value in _changes(draw, len(data)):
        data[place] = value
    return bytes(data)


def _changes(draw: st.DrawFn, length: int) -> Iterator[tuple[int, int]]:
    if length:
        yield from draw(st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), max_size=4))


@given(bent())
def test_bent_pdus(answer: bytes) -> None:
    converse(answer)


@given(bent())
def test_bent_pdus_after_the_association_is_accepted(answer: bytes) -> None:
    converse(ACCEPTED + answer)
