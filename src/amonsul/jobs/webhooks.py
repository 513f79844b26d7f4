"""Webhooks: who is told of changes as they happen (option `Webhooks`).

Each is told of all changes of its types in order, some at a time, by a POST that is signed. One that does not answer
with 2xx is told the same again, later and later, up to five minutes apart; nothing is skipped. A receiver may see a
change twice, after a crash between its answer and our note of it, and tells it by its number.

The signature is the HMAC-SHA256, in hexadecimal digits, of the time stamp, a full stop and the body, under the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from amonsul.archive.changes import CHANGE_TYPES, Change, to_json
from amonsul.clients.web_address import WebAddress, post
from amonsul.database import Database, Transaction, outbox
from amonsul.errors import NetworkProtocolError, ParameterOutOfRange

logger = logging.getLogger(__name__)

_BATCH: Final = 100
_TIMEOUT_S: Final = 10.0
_LEASE_S: Final = 60
_FIRST_WAIT_S: Final = 2
_LONGEST_WAIT_S: Final = 300
_SHORTEST_SECRET: Final = 8


@dataclass(frozen=True, slots=True)
class Webhook:
    """One of the configuration; `types` empty means all changes."""

    name: str
    address: WebAddress
    secret: bytes
    types: frozenset[str]

    @classmethod
    def of(cls, name: str, url: str, secret: str, types: Sequence[str]) -> Webhook:
        """From what the configuration says.

        Raises:
            ParameterOutOfRange: one of the values cannot be used.
        """
        if len(secret) < _SHORTEST_SECRET:
            raise ParameterOutOfRange(f"the secret must have {_SHORTEST_SECRET} characters or more")
        for one in types:
            if one not in CHANGE_TYPES:
                raise ParameterOutOfRange(f"there is no type of changes {one[:80]}")
        return cls(name, WebAddress.parse(url), secret.encode(), frozenset(types))


Post = Callable[[WebAddress, bytes, dict[str, str]], int]


def _post(address: WebAddress, body: bytes, headers: dict[str, str]) -> int:
    return post(address, body, headers, _TIMEOUT_S)


class WebhookSender:
    """Delivers for the webhooks of a process, taking turns with other processes.

    Args:
        database: where the outbox is.
        webhooks: those of the configuration.
        send: how a request is sent; for tests.
        now: wall clock, in seconds; for tests.
    """

    def __init__(
        self,
        database: Database,
        webhooks: Sequence[Webhook],
        send: Post = _post,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._send = send
        self._now = now
        self._owner = uuid.uuid4().hex

    def register(self) -> None:
        """Make the webhooks of the index those of the configuration. Call once, at start."""
        names = {webhook.name for webhook in self._webhooks}
        with self._database.read() as tx:
            if outbox.registered(tx) == names:
                return
        self._database.write(lambda tx: outbox.register(tx, names))

    def tick(self) -> bool:
        """Deliver once to each that waits; answer whether there is more to do at once."""
        more = [self._deliver(webhook) for webhook in self._webhooks]
        return any(more)

    def _deliver(self, webhook: Webhook) -> bool:
        now = int(self._now())
        with self._database.read() as tx:
            if not outbox.is_anything_waiting(tx, webhook.name, self._owner, now):
                return False

        def claim(tx: Transaction) -> outbox.Place | None:
            return outbox.claim(tx, webhook.name, self._owner, now, _LEASE_S)

        place = self._database.write(claim)
        if place is None:
            return False
        with self._database.read() as tx:
            batch = outbox.after(tx, place.cursor, _BATCH)
        if not batch:
            return False
        wanted = [change for change in batch if not webhook.types or change.change_type in webhook.types]
        if wanted and (trouble := self._tell(webhook, wanted)) is not None:
            self._wait(webhook, place.failures, trouble)
            return False
        last = batch[-1].sequence
        return self._database.write(lambda tx: outbox.told(tx, webhook.name, self._owner, last))

    def _tell(self, webhook: Webhook, batch: Sequence[Change]) -> str | None:
        """Send changes; answers what went wrong."""
        body = orjson.dumps({"Changes": [to_json(change) for change in batch], "Webhook": webhook.name})
        stamp = str(int(self._now()))
        signature = hmac.new(webhook.secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Amonsul",
            "X-Amonsul-Timestamp": stamp,
            "X-Amonsul-Signature": f"sha256={signature}",
        }
        try:
            status = self._send(webhook.address, body, headers)
        except NetworkProtocolError as error:
            return error.details or error.message
        return None if 200 <= status < 300 else f"it answered {status}"

    def _wait(self, webhook: Webhook, failures: int, trouble: str) -> None:
        wait_s = min(_FIRST_WAIT_S << min(failures, 20), _LONGEST_WAIT_S)
        logger.warning("webhook %s is tried again in %d seconds: %s", webhook.name, wait_s, trouble)
        # As its owner this process would try again at once, so it lets go of it and leaves the lease.
        until = int(self._now()) + wait_s
        self._database.write(lambda tx: outbox.failed(tx, webhook.name, self._owner, until))
