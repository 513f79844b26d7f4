"""The DICOM port: accepts connections, counts them, and stops them in order."""

from __future__ import annotations

from collections.abc import Sequence

from amonsul.crossing import Crossing
from amonsul.dimse_server.service import Service
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches


class DicomServer:
    """Serves DICOM associations on the running event loop.

    Args:
        settings: fixed for the life of the server.
        switches: asked anew for every association.
        services: what is served, e.g. `[EchoService(), StoreService(blobs.spool, ingest)]`.
        crossing: the threads that services run in; the caller closes it after `stop`.
    """

    def __init__(
        self, settings: DimseSettings, switches: DimseSwitches, services: Sequence[Service], crossing: Crossing
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken, or the address is not ours.
        """
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port listened on, also where the settings say 0."""
        raise NotImplementedError

    @property
    def associations(self) -> int:
        """How many associations are open now."""
        raise NotImplementedError

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Stop listening, let requests in progress end, abort every association; harmless twice.

        What has not ended within `timeout_s` is cut off: its sender gets no answer and knows that it must send again.
        """
        raise NotImplementedError
