"""Who brought an instance in: kept with it as metadata and given to the filters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DicomOrigin:
    """A C-STORE (PS3.7 §9.1.1)."""

    remote_ip: str
    remote_aet: str
    called_aet: str


@dataclass(frozen=True, slots=True)
class RestOrigin:
    """A request over HTTP; `username` is empty without authentication."""

    remote_ip: str
    username: str


@dataclass(frozen=True, slots=True)
class InternalOrigin:
    """The server itself: a job, a plugin, a script or the import of a folder.

    `name` is the value of the Origin metadata: `Unknown`, `Plugins`, `Lua`.
    """

    name: str = "Unknown"


Origin = DicomOrigin | RestOrigin | InternalOrigin
