"""The HTTP edge: the only asynchronous file of `web`.

A request is read here with bounds in size and time, then crosses into a thread at one line (`_run`), and its answer is
written back. While a body trickles in it occupies no thread: pieces are kept in memory while they are few, and go to
the file of their spool some at a time. A client that is too slow is given up, one that goes away while its answer is
being streamed ends the stream.

The server below (`protocol.py`, uvicorn) has already bounded the request line and the headers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, TypeVar

from amonsul import measures
from amonsul.blobs.spool import Spool, Spooled
from amonsul.crossing import Crossing
from amonsul.errors import AmonsulError, PayloadTooLarge
from amonsul.web.auth import SECURITY_HEADERS, UNAUTHORIZED, Gate, TooManyFailures
from amonsul.web.cors import Cors
from amonsul.web.dispatch import Call, Dispatcher
from amonsul.web.routing import Body
from amonsul.web.settings import WebSettings
from amonsul.web.streams import Batch, Then, close, gather
from amonsul.web.values import Request, Response, Stream, empty, parse_query

logger = logging.getLogger(__name__)

# Any: ASGI messages are dictionaries whose members depend on their type.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

_NO_BODY = Spooled.of(b"")
_WRITE_SIZE = 256 << 10
_KEPT_WHEN_SCARCE = 64 << 10
_LINGER_SIZE = 16 << 20
_IGNORED_SIZE = 1 << 20
_WRITE_TIMEOUT_S = 60.0
_CLOSE = ((b"connection", b"close"),)
_TOO_SLOW = empty(408, _CLOSE)
_BAD_LENGTH = empty(400, _CLOSE)


class ClientGone(Exception):
    """The connection was closed before the request was complete."""


class Application:
    """The ASGI callable.

    Args:
        settings: of the edge.
        dispatcher: finds and calls the handlers.
        gate: lets requests in.
        spool: makes a spool with a bound in bytes.
        crossing: the threads in which handlers run.
        logins: the threads in which passwords are checked; few, since a check is expensive on purpose.
    """

    def __init__(
        self,
        settings: WebSettings,
        dispatcher: Dispatcher,
        gate: Gate,
        spool: Callable[[int], Spool],
        crossing: Crossing,
        logins: Crossing,
    ) -> None:
        self._limits = settings.limits
        self._dispatcher = dispatcher
        self._gate = gate
        self._spool = spool
        self._crossing = crossing
        self._logins = logins
        self._cors = Cors(settings.dicom_web)
        self._bodies_in_memory = 0
        self._headers = SECURITY_HEADERS if settings.keep_alive else (*SECURITY_HEADERS, *_CLOSE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        headers = _headers_of(scope)
        declared = _declared_length(headers)
        shared = self._cors.allowed(scope["method"], headers, scope["raw_path"])
        try:
            response, unread = await self._respond(scope, headers, declared, receive, is_shared=shared is not None)
        except ClientGone:
            return
        if shared is not None:
            response = dataclasses.replace(response, headers=(*response.headers, *shared))
        if unread and (declared is None or not 0 <= declared <= _IGNORED_SIZE):
            response = dataclasses.replace(response, headers=(*response.headers, *_CLOSE))
            if isinstance(response.body, bytes):
                await self._send_and_linger(send, receive, response, response.body)
                return
        await self._send(send, receive, response, scope["method"])

    async def _respond(
        self,
        scope: Message,
        headers: Mapping[bytes, bytes],
        declared: int | None,
        receive: Receive,
        *,
        is_shared: bool,
    ) -> tuple[Response, bool]:
        """The answer, and whether a body was left unread."""
        has_body = declared != 0
        method: str = scope["method"]
        client = scope["client"]
        remote_ip: str = client[0] if client else ""
        refused = self._gate.refuse(method, headers, remote_ip, from_allowed_page=is_shared)
        if refused is not None:
            measures.http_refused(refused.status)
            return refused, has_body
        if is_shared and (preflight := self._cors.preflight(method, headers)) is not None:
            return preflight, has_body
        username = ""
        if self._gate.credentials is not None:
            login = await self._login(headers, remote_ip)
            if isinstance(login, Response):
                measures.http_refused(login.status)
                return login, has_body
            username = login
        call = self._dispatcher.find(method, scope["raw_path"])
        if isinstance(call, Response):
            measures.http_refused(call.status)
            return call, has_body
        if declared is not None and declared < 0:
            return _BAD_LENGTH, True
        query = parse_query(raw) if (raw := scope["query_string"]) else {}
        if not has_body or call.route.body is Body.NONE:
            request = Request(
                call.route.method, call.uri, call.params, query, headers, _NO_BODY, remote_ip, username, raw
            )
            return await self._answer(call, request), has_body
        start = time.perf_counter()
        body = await self._collect(receive, call, method, declared)
        if isinstance(body, Response):
            return body, True
        measures.HTTP_RECEIVED.inc(body.size)
        if call.route.body is Body.LARGE:
            measures.SPOOL_SECONDS.observe(time.perf_counter() - start)
        request = Request(call.route.method, call.uri, call.params, query, headers, body, remote_ip, username, raw)
        held = 0 if body.path else body.size
        self._bodies_in_memory += held
        try:
            return await self._answer(call, request), False
        finally:
            self._bodies_in_memory -= held

    async def _answer(self, call: Call, request: Request) -> Response:
        """Have the handler called where it may be."""
        start = time.perf_counter()
        if call.route.inline:
            response = self._dispatcher.answer(call, request)
        else:
            response = await self._run(partial(self._dispatcher.answer, call, request))
        measures.http_answered(call.route.method, call.route.template, response.status, time.perf_counter() - start)
        return response

    async def _run(self, work: Callable[[], T]) -> T:
        """The line at which a request leaves the event loop."""
        return await self._crossing.run(work)

    async def _run_to_the_end(self, work: Callable[[], T]) -> T:
        """The same, for what is closed afterwards: a caller that is cancelled waits until the thread lets go."""
        running = asyncio.ensure_future(self._run(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    # ------------------------------------------------------------------------------------------------ credentials

    async def _login(self, headers: Mapping[bytes, bytes], remote_ip: str) -> str | Response:
        credentials = self._gate.credentials
        header = headers.get(b"authorization")
        if credentials is None or header is None:
            return UNAUTHORIZED
        if (user := credentials.remembered(header)) is not None:
            return user
        try:
            user = await self._logins.run(partial(credentials.check, header, remote_ip))
        except TooManyFailures as error:
            return empty(429, ((b"retry-after", b"%d" % (int(error.wait_s) + 1)),))
        return UNAUTHORIZED if user is None else user

    # ------------------------------------------------------------------------------------------------ bodies

    async def _collect(self, receive: Receive, call: Call, method: str, declared: int | None) -> Spooled | Response:
        """The body of a request, or the answer to one that is too large or too slow."""
        small = call.route.body is Body.SMALL
        limit = self._limits.maximum_json_size if small else self._limits.maximum_size
        if declared is not None and declared > limit:
            error: AmonsulError = PayloadTooLarge(f"{declared} bytes, at most {limit} are accepted")
            return self._dispatcher.refuse(error, method, call.uri)
        spool = self._spool(limit)
        try:
            async with asyncio.timeout(None) as deadline:
                await self._fill(spool, receive, deadline)
        except AmonsulError as error:
            await self._run(spool.discard)
            return self._dispatcher.refuse(error, method, call.uri)
        except TimeoutError:
            await self._run(spool.discard)
            return _TOO_SLOW
        except BaseException:
            spool.discard()
            raise
        return spool.finish()

    async def _fill(self, spool: Spool, receive: Receive, deadline: asyncio.Timeout) -> None:
        limits = self._limits
        now = asyncio.get_running_loop().time
        start = now()
        received = 0
        pending: list[bytes] = []
        pending_size = 0
        held = 0  # what this body adds to all bodies in memory
        try:
            while True:
                by_rate = start + limits.grace_s + received / limits.minimum_rate
                deadline.reschedule(min(by_rate, now() + limits.idle_timeout_s))
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                more: bool = message.get("more_body", False)
                received += len(chunk)
                if not pending and spool.fits_in_memory(len(chunk)):
                    spool.write(chunk)
                    held += len(chunk)
                    self._bodies_in_memory += len(chunk)
                    if self._bodies_in_memory > limits.memory and spool.in_memory > _KEPT_WHEN_SCARCE:
                        deadline.reschedule(None)
                        await self._run_to_the_end(spool.spill)
                        self._bodies_in_memory -= held
                        held = 0
                else:
                    pending.append(chunk)
                    pending_size += len(chunk)
                    if pending_size >= _WRITE_SIZE or not more:
                        deadline.reschedule(None)
                        await self._run_to_the_end(partial(_write_all, spool, pending))
                        pending, pending_size = [], 0
                if not more:
                    return
        finally:
            self._bodies_in_memory -= held

    # ------------------------------------------------------------------------------------------------ answers

    async def _send(self, send: Send, receive: Receive, response: Response, method: str) -> None:
        body = response.body
        if isinstance(body, Stream):
            await self._send_stream(send, receive, response, body, method)
            return
        await send(self._start(response, len(body)))
        await send({"type": "http.response.body", "body": body})
        measures.HTTP_SENT.inc(len(body))

    def _start(self, response: Response, length: int | None) -> Message:
        own = response.headers
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        if response.content_type is not None:
            headers.append((b"content-type", response.content_type))
        if own:
            headers += own
            names = {name for name, _ in own}
            headers += [header for header in self._headers if header[0] not in names]
        else:
            headers += self._headers
        return {"type": "http.response.start", "status": response.status, "headers": headers}

    async def _send_stream(self, send: Send, receive: Receive, response: Response, stream: Stream, method: str) -> None:
        """Write a body in pieces; stop when the client goes away or reads too slowly."""
        gone = asyncio.ensure_future(_wait_until_gone(receive))
        now = asyncio.get_running_loop().time
        coming: asyncio.Future[Batch] | None = None
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S) as deadline:
                await send(self._start(response, stream.length))
                while method != "HEAD" and not gone.done():
                    deadline.reschedule(None)
                    coming = coming or self._gathering(stream)
                    batch = await asyncio.shield(coming)
                    # The next one is made while this one is sent.
                    coming = self._gathering(stream) if batch.then is Then.MORE else None
                    deadline.reschedule(now() + _WRITE_TIMEOUT_S)
                    for piece in batch.pieces:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        measures.HTTP_SENT.inc(len(piece))
                    if batch.then is Then.END:
                        break
                    if batch.then is Then.PAUSE:
                        deadline.reschedule(None)
                        await asyncio.wait([gone], timeout=stream.pause_s)
                if not gone.done():
                    await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            logger.info("an answer was given up: its client does not read it")
        except Exception as error:  # the status line is out: all that is left is to cut the connection
            logger.error("an answer was cut short by %s: %s", type(error).__name__, getattr(error, "details", ""))
        finally:
            gone.cancel()
            if coming is not None:  # made for nothing; what came of it is asked so that nobody complains of it
                await asyncio.wait([coming])
                if not coming.cancelled():
                    coming.exception()
            await self._run(partial(close, stream.chunks))

    def _gathering(self, stream: Stream) -> asyncio.Future[Batch]:
        return asyncio.ensure_future(self._run(partial(gather, stream.chunks)))

    async def _send_and_linger(self, send: Send, receive: Receive, response: Response, body: bytes) -> None:
        """Answer, then read on for a moment before closing: closing at once would take the answer away again."""
        await send(self._start(response, len(body)))
        await send({"type": "http.response.body", "body": body, "more_body": True})
        dropped = 0
        try:
            async with asyncio.timeout(self._limits.linger_s):
                while dropped < _LINGER_SIZE:
                    message = await receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _write_all(spool: Spool, chunks: list[bytes]) -> None:
    for chunk in chunks:
        spool.write(chunk)


def _headers_of(scope: Message) -> dict[bytes, bytes]:
    """Headers by name, the last of several; those of Accept are one list (RFC 9110 §5.3)."""
    pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]
    headers = dict(pairs)
    if len(headers) < len(pairs) and b"accept" in headers:
        headers[b"accept"] = b", ".join(value for name, value in pairs if name == b"accept")
    return headers


def _declared_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Bytes of the body: 0 without one, None if it comes in chunks, negative if the header makes no sense."""
    if b"transfer-encoding" in headers:
        return None
    value = headers.get(b"content-length")
    if value is None:
        return 0
    return int(value) if value.isdigit() and len(value) < 20 else -1
