"""DIMSE messages out of P-DATA fragments, and back (PS3.7 §6.3, PS3.8 Annex E).

Fragments come in; each complete command set becomes a message. Its data set is not collected here: what arrives of it
is given on as it is, so a 4 GB instance never sits in memory. The fragments of one message follow each other, first
those of the command, then those of the data set, all in one presentation context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from amonsul.protocols.dimse.commands import (
    AnyResponse,
    CCancelRq,
    Command,
    Request,
    decode,
    encode,
)
from amonsul.protocols.upper_layer.pdu import PDU_HEADER, PDV_HEADER, PduType, Pdv

MAX_COMMAND_LENGTH = 1 << 16
"""Longest command set taken, in bytes; those in use have a few hundred."""

UNLIMITED_PDU_LENGTH = 131072
"""Length of the PDUs sent to a peer that sets no limit."""

MIN_PDU_LENGTH = 16
"""Shortest maximum length of a peer that we are ready to serve."""

_PDV_OVERHEAD = PDV_HEADER.size


class MessageError(Exception):
    """Fragments that make no message: the association cannot go on."""


class CommandReceived(NamedTuple):
    """A complete command; its data set, if it `has_data_set`, follows."""

    context_id: int
    command: Command


class DataSetFragment(NamedTuple):
    """A part of the data set of the last command; an empty last one is possible."""

    data: memoryview | bytes
    is_last: bool


class MessageReader:
    """Makes messages of the fragments of one association."""

    def __init__(self, max_command_length: int = MAX_COMMAND_LENGTH) -> None:
        self._max_command_length = max_command_length
        self._command = bytearray()
        self._context_id: int | None = None  # of the message that is not complete
        self._expects_data_set = False

    @property
    def is_idle(self) -> bool:
        """Whether no message is half received."""
        return self._context_id is None

    def receive(self, pdv: Pdv) -> CommandReceived | DataSetFragment | None:
        """Take the next fragment, or a part of one; None if it completes nothing.

        Raises:
            MessageError: it cannot follow what came before, or the command set is too long.
            MalformedCommand: the command set cannot be read.
        """
        context_id, is_command, is_last, data = pdv
        if self._context_id is None:
            self._context_id = context_id
        elif context_id != self._context_id:
            raise MessageError(f"presentation context {context_id} within a message in {self._context_id}")
        if is_command == self._expects_data_set:
            raise MessageError("a command fragment within a data set" if is_command else "a data set without command")
        if not is_command:
            if is_last:
                self._context_id, self._expects_data_set = None, False
            return DataSetFragment(data, is_last)
        if len(self._command) + len(data) > self._max_command_length:
            raise MessageError(f"a command set of more than {self._max_command_length} bytes")
        if not is_last:
            self._command += data
            return None
        if self._command:
            data = bytes(self._command) + data
            self._command = bytearray()
        command = decode(data)
        if command.has_data_set:
            self._expects_data_set = True
        else:
            self._context_id = None
        return CommandReceived(context_id, command)


def message_parts(
    context_id: int,
    command: Request | AnyResponse | CCancelRq,
    data_set: Iterable[bytes | memoryview] | None,
    max_pdu_length: int,
) -> Iterator[list[bytes | memoryview]]:
    """A message as P-DATA-TF PDUs in parts; the data set is drawn as they are."""
    yield from fragment_parts(context_id, True, (encode(command),), max_pdu_length)
    if data_set is not None:
        yield from fragment_parts(context_id, False, data_set, max_pdu_length)


def encode_message(
    context_id: int,
    command: Request | AnyResponse | CCancelRq,
    data_set: bytes | None,
    max_pdu_length: int,
) -> bytes:
    """Encode a message as P-DATA-TF PDUs no longer than the peer takes (0: any), to be sent in one piece."""
    assert command.has_data_set == (data_set is not None)
    out = list(fragments(context_id, True, (encode(command),), max_pdu_length))
    if data_set is not None:
        out += fragments(context_id, False, (data_set,), max_pdu_length)
    return b"".join(out)


def fragments(
    context_id: int, is_command: bool, chunks: Iterable[bytes | memoryview], max_pdu_length: int
) -> Iterator[bytes]:
    """Cut a command or a data set into P-DATA-TF PDUs of one fragment each, as long as the peer takes them.

    The chunks may be of any size; they are drawn as the PDUs are.
    """
    return map(b"".join, fragment_parts(context_id, is_command, chunks, max_pdu_length))


def fragment_parts(
    context_id: int, is_command: bool, chunks: Iterable[bytes | memoryview], max_pdu_length: int
) -> Iterator[list[bytes | memoryview]]:
    """The same with the PDUs in parts, for those who put several of them together and copy once."""
    room = (max_pdu_length or UNLIMITED_PDU_LENGTH) - _PDV_OVERHEAD
    room -= room & 1  # fragments are of even length (PS3.8 Annex E)
    pending: list[bytes | memoryview] = []
    size = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while size + len(view) > room:  # not before more is known to follow: the last fragment must be marked
            head = room - size
            yield [*_pdu_head(context_id, is_command, False, room), *pending, view[:head]]
            view = view[head:]
            pending, size = [], 0
        if view:
            pending.append(view)
            size += len(view)
    yield [*_pdu_head(context_id, is_command, True, size), *pending]


def _pdu_head(context_id: int, is_command: bool, is_last: bool, size: int) -> tuple[bytes, bytes]:
    """Headers of a PDU with one fragment of `size` bytes."""
    return (
        PDU_HEADER.pack(PduType.P_DATA_TF, size + _PDV_OVERHEAD),
        PDV_HEADER.pack(size + 2, context_id, is_command | is_last << 1),
    )
