"""Putting the edge together, and uvicorn around it. `app.py` runs what comes out of here on its event loop."""

from __future__ import annotations

import errno
import resource
import socket
import ssl
import time
from collections.abc import Sequence

import uvicorn

from amonsul.crossing import Crossing
from amonsul.web.asgi import Application
from amonsul.web.auth import Gate, bind_addresses
from amonsul.web.dispatch import Dispatcher
from amonsul.web.protocol import BoundedProtocol
from amonsul.web.routes import FOLDERS, routes
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from amonsul.web.tls import ssl_context

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_FILES_KEPT_FREE = 256
_LOGIN_THREADS = 2


def build_application(services: Services, crossing: Crossing) -> Application:
    """The ASGI callable over the table of routes.

    Args:
        services: what handlers work with.
        crossing: the threads in which they run; whoever made them ends them.
    """
    settings = services.settings
    return Application(
        settings,
        Dispatcher(services, routes(settings), FOLDERS),
        Gate(settings, time.monotonic),
        services.archive.blobs.spool,
        crossing,
        Crossing("login", _LOGIN_THREADS),
    )


def server_config(application: Application, settings: WebSettings) -> uvicorn.Config:
    """How uvicorn serves the application. The caller opens the sockets (`listening_sockets`).

    Raises:
        BadTlsSettings: the certificate or the ciphers cannot be used.
    """

    class Protocol(BoundedProtocol):
        header_timeout_s = settings.limits.header_timeout_s
        maximum_connections = connection_cap(settings.maximum_connections)

    context: ssl.SSLContext | None = None if settings.tls is None else ssl_context(settings.tls)
    return uvicorn.Config(
        application,
        port=settings.port,
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_timeout_s,
        ssl_context_factory=None if context is None else (lambda _config, _default: context),
    )


def listening_sockets(settings: WebSettings) -> Sequence[socket.socket]:
    """Sockets bound and listening on every address of the settings that this machine has.

    Raises:
        OSError: the port is taken, or none of the addresses exists.
    """
    opened: list[socket.socket] = []
    missing: OSError | None = None
    for address in bind_addresses(settings):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # a machine without IPv6
            missing = error
            continue
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = opened[0].getsockname()[1] if opened else settings.port
            listener.bind((address, port))
            listener.listen(2048)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            if error.errno not in _NO_SUCH_ADDRESS or settings.bind_addresses:
                for other in opened:
                    other.close()
                raise
            missing = error
            continue
        opened.append(listener)
    if not opened:
        raise missing or OSError("no address to listen on")
    return opened


def connection_cap(wanted: int) -> int:
    """How many connections fit into the open files of this process, after raising that limit as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _FILES_KEPT_FREE
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(soft - _FILES_KEPT_FREE, soft // 4, 4))
