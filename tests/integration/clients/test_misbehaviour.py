"""Remotes that are silent, rude or confused: every one ends in an error that says so, in bounded time."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset

from amonsul.archive.modalities import Modality
from amonsul.clients import association
from amonsul.clients.dimse import STUDY_ROOT_FIND, DicomClient, ScuSettings
from amonsul.errors import NetworkProtocolError
from amonsul.protocols.dimse.commands import CEchoRsp, CFindRsp, FailureRsp, encode
from amonsul.protocols.dimse.messages import encode_message, fragments
from amonsul.protocols.upper_layer.items import AnsweredContext, ContextResult, UserInformation
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AbortSource,
    AReleaseRp,
    AReleaseRq,
)

EXPLICIT = "1.2.840.10008.1.2.1"
Script = Callable[[socket.socket], None]


def read_pdu(link: socket.socket) -> tuple[int, bytes]:
    head = b""
    while len(head) < 6:
        data = link.recv(6 - len(head))
        if not data:
            raise EOFError
        head += data
    length = struct.unpack(">I", head[2:])[0]
    body = b""
    while len(body) < length:
        body += link.recv(length - len(body))
    return head[0], body


def accept(link: socket.socket, **user: int) -> None:
    """Accept the association with all that was proposed."""
    kind, body = read_pdu(link)
    assert kind == 1
    request = AAssociateRq.decode(memoryview(body))
    contexts = tuple(
        AnsweredContext(context.context_id, ContextResult.ACCEPTANCE, context.transfer_syntaxes[0])
        for context in request.presentation_contexts
    )
    information = UserInformation(max_pdu_length=user.get("max_pdu_length", 16384))
    link.sendall(AAssociateAc("REMOTE", "AMONSUL", contexts, information).encode())


def accept_and(*answers: bytes) -> Script:
    """Accept, read the request, and send bytes."""

    def run(link: socket.socket) -> None:
        accept(link)
        read_pdu(link)
        for answer in answers:
            link.sendall(answer)
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, _ = read_pdu(link)
                if kind == 5:
                    link.sendall(AReleaseRp().encode())

    return run


@contextlib.contextmanager
def remote(script: Script) -> Iterator[Modality]:
    """A remote that follows a script with whoever connects first."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with contextlib.suppress(OSError, EOFError):
                link, _ = listening.accept()
                with link:
                    script(link)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Modality("REMOTE", "127.0.0.1", listening.getsockname()[1])
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            assert not thread.is_alive()


def scu(timeout_s: float = 30.0) -> DicomClient:
    return DicomClient(ScuSettings(ae_title="AMONSUL", timeout_s=timeout_s))


def wait_for_end(link: socket.socket) -> None:
    while link.recv(65536):
        pass


def aborts(link: socket.socket) -> None:
    read_pdu(link)
    link.sendall(AAbort(AbortSource.SERVICE_USER).encode())


def rejects(link: socket.socket) -> None:
    read_pdu(link)
    link.sendall(AAssociateRj(1, 1, 7).encode())


def closes(link: socket.socket) -> None:
    read_pdu(link)


def babbles(link: socket.socket) -> None:
    read_pdu(link)
    with contextlib.suppress(OSError):
        link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        wait_for_end(link)


def takes_tiny_pdus(link: socket.socket) -> None:
    accept(link, max_pdu_length=10)
    wait_for_end(link)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (aborts, "aborted"),
        (rejects, "called AE title not recognized"),
        (closes, "closed the connection|connection is lost"),
        (babbles, "broke the protocol"),
        (takes_tiny_pdus, "PDUs of 10 bytes"),
        (accept_and(AAbort(AbortSource.SERVICE_PROVIDER).encode()), "aborted"),
        (accept_and(AReleaseRq().encode()), "released"),
        (accept_and(encode_message(1, CEchoRsp(999, 0), None, 16384)), "a response to message"),
        (accept_and(encode_message(99, CEchoRsp(1, 0), None, 16384)), "context 99"),
        (accept_and(b"".join(fragments(1, False, (b"data",), 16384))), "data set without command"),
        (accept_and(b"".join(fragments(1, True, (b"\xff" * 100,), 16384))), "speaking"),
    ],
)
def test_an_echo_to_a_rude_remote_fails(script: Script, message: str) -> None:
    with remote(script) as modality, pytest.raises(NetworkProtocolError, match=message):
        scu().echo(modality)


@pytest.mark.parametrize("script", [wait_for_end, accept_and()])
def test_a_silent_remote_is_given_up(script: Script) -> None:
    with remote(script) as modality, pytest.raises(NetworkProtocolError, match="in time"):
        scu(timeout_s=0.05).echo(modality)


def test_the_timeout_of_a_modality_goes_before_the_usual_one() -> None:
    with remote(wait_for_end) as modality, pytest.raises(NetworkProtocolError, match="in time"):
        scu(timeout_s=3600).echo(Modality("REMOTE", modality.host, modality.port, timeout_s=1))


def test_an_answer_in_single_bytes_is_an_answer() -> None:
    def run(link: socket.socket) -> None:
        accept(link)
        _, body = read_pdu(link)
        at = body.index(b"\x10\x01\x02\x00\x00\x00") + 6  # element (0000,0110), message ID
        message_id = int.from_bytes(body[at : at + 2], "little")
        for byte in encode_message(1, CEchoRsp(message_id, 0), None, 16384):
            link.sendall(bytes((byte,)))
        read_pdu(link)
        link.sendall(AReleaseRp().encode())

    with remote(run) as modality:
        scu().echo(modality)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "MAX_IDENTIFIER_SIZE", 100_000)

    def run(link: socket.socket) -> None:
        accept(link)
        read_pdu(link)
        read_pdu(link)
        answer = b"".join(fragments(3, True, (_encoded_pending(),), 16384))
        with contextlib.suppress(OSError):
            link.sendall(answer)
            while True:
                link.sendall(next(fragments(3, False, (bytes(16000), bytes(16000)), 16384)))

    with remote(run) as modality, pytest.raises(NetworkProtocolError, match=r"100000 bytes|speaking"):
        list(scu().find(modality, STUDY_ROOT_FIND, Dataset()))


def _encoded_pending() -> bytes:
    return encode(CFindRsp(1, 0xFF00, STUDY_ROOT_FIND, has_data_set=True))


def test_a_failure_of_any_kind_is_told() -> None:
    failure = FailureRsp(0x8030, 1, 0x0122)
    script = accept_and(encode_message(1, failure, None, 16384))
    with remote(script) as modality, pytest.raises(NetworkProtocolError, match="0x0122"):
        scu().echo(modality)
