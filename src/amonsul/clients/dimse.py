"""The user side of DICOM: what we ask of other systems, in blocking calls.

    client = DicomClient(ScuSettings(ae_title="AMONSUL"))
    client.echo(modality)
    for outcome in client.store(modality, instances): ...
    for answer in client.find(modality, model, identifier): ...

A call takes an association from the pool or opens one, and gives it back; it is released when nobody used it for
`association_close_delay_s`. Contexts are proposed so that whatever is to be sent can be sent in the transfer syntax that
it has. Nothing here knows of the archive: instances come as iterators of bytes, and go to a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from amonsul.errors import NotImplementedHere


class Remote(Protocol):
    """A system to speak to; `archive.modalities.Modality` is one."""

    @property
    def ae_title(self) -> str:
        """Its AE title."""
        ...

    @property
    def host(self) -> str:
        """Name or address."""
        ...

    @property
    def port(self) -> int:
        """TCP port."""
        ...

    @property
    def use_dicom_tls(self) -> bool:
        """Whether to speak TLS."""
        ...

    @property
    def local_aet(self) -> str:
        """Our AE title towards it; empty for the usual one."""
        ...

    @property
    def timeout_s(self) -> int:
        """Longest wait for its answers; 0 for the usual one."""
        ...


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """On whose behalf instances are sent (PS3.7 §9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to be sent.

    Attributes:
        file: opens the whole Part 10 file and gives it in pieces; the file meta information is left out on the way.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    file: Callable[[], Iterable[bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    Attributes:
        status: of the C-STORE-RSP; a failure status of ours where nothing was sent (`error` says why).
        error: what went wrong on this side: no context was accepted, the file is gone.
    """

    instance: Outgoing
    status: int
    comment: str = ""
    error: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether the remote has it; warnings count as success (PS3.4 Table B.2-1)."""
        return not self.error and (self.status == 0 or self.status & 0xF000 == 0xB000)


class DicomClient:
    """Speaks to other DICOM systems; may be used from any thread."""

    def store(
        self,
        remote: Remote,
        instances: Sequence[Outgoing],
        *,
        move_originator: MoveOriginator | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome]:
        """Send instances, one outcome for each in their order; ends early when `is_cancelled`.

        An instance that fails does not hold up the others. Whether uncompressed forms may stand in where the remote
        does not take the transfer syntax is the client's `transcode`.

        Raises:
            NetworkProtocolError: no association, or it was lost; outcomes that were given are certain, the instance
                after them is not.
        """
        raise NotImplementedHere
