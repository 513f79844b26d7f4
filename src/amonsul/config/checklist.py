"""What the operator should know about the safety of a configuration before the doors open.

`refusal` finds what this server does not start with; `findings` lists the rest. What concerns HTTP alone is judged by
the HTTP edge itself (`web.auth`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amonsul.config.reader import Configuration
from amonsul.config.settings import web_settings
from amonsul.web.auth import startup_advice

_HASH: Final = "$argon2"


def refusal(configuration: Configuration) -> str | None:
    """Why the server must not start with this configuration; None if it may."""
    if not configuration.flag("HttpServerEnabled"):
        return None
    return startup_advice(web_settings(configuration)).refusal


def findings(configuration: Configuration) -> list[str]:
    """Warnings, one line each."""
    found: list[str] = []
    if configuration.flag("HttpServerEnabled"):
        web = web_settings(configuration)
        found += startup_advice(web).warnings
        plain = [password for password in web.registered_users.values() if not password.startswith(_HASH)]
        if web.authentication and plain:
            found.append(
                f"RegisteredUsers holds {len(plain)} password(s) in plain text; `amonsul hash-password` makes a hash "
                "to put there instead"
            )
    if configuration.flag("DicomServerEnabled"):
        found += _dicom(configuration)
    if not configuration.flag("SyncStorageArea"):
        found.append("SyncStorageArea is off: a power cut may lose what was acknowledged")
    return found


def _dicom(configuration: Configuration) -> Iterator[str]:
    open_services = [
        service
        for service in ("Find", "FindWorklist", "Get", "Move")
        if configuration.flag(f"DicomAlwaysAllow{service}")
    ]
    if open_services:
        yield f"any DICOM peer may use {', '.join(f'C-{name.upper()}' for name in open_services)} (DicomAlwaysAllow…)"
    if configuration.flag("RemoteAccessAllowed") and configuration.flag("DicomAlwaysAllowStore"):
        yield "any DICOM peer may store (DicomAlwaysAllowStore is on)"
