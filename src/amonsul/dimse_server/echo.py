"""C-ECHO (PS3.7 §9.1.5, PS3.4 Annex A): the answer that we are here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from amonsul.dimse_server.service import Answer, Exchange, Right, Service
from amonsul.protocols.dimse.commands import CEchoRq, CEchoRsp, Request
from amonsul.protocols.dimse.statuses import Status

VERIFICATION_SOP_CLASS: Final = "1.2.840.10008.1.1"


class EchoService(Service):
    """Answered on the event loop, so that no amount of work elsewhere delays it."""

    abstract_syntaxes = frozenset({VERIFICATION_SOP_CLASS})
    requests: ClassVar[Mapping[type[Request], Right]] = {CEchoRq: Right.ECHO}
    blocks = False

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        """Say that we are here."""
        return (Answer(CEchoRsp(exchange.request.message_id, Status.SUCCESS)),)
