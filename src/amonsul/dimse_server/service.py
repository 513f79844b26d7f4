"""What a DICOM service is to the server: which abstract syntaxes, which requests, and how they are answered.

A service is plain blocking code in one file of this package. The server negotiates for it, checks the rights of the
peer, receives the data set of a request into the spool that the service gave, and calls `serve` in a thread.
"""

from __future__ import annotations

from typing import Protocol


class Service(Protocol):
    """To be detailed: see `EchoService` and `StoreService`."""
