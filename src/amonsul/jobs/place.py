"""Where a process is, so that others on the same machine can tell at once that it is gone.

After a crash the server is started again on the same machine as a rule, and its jobs should go on at once and not after
a lease has run out. The place names the boot of the machine, the namespace of process numbers (containers have their
own), the number of the process and the moment it started, which together never come twice. About a process elsewhere
nothing can be told.
"""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Final

_LINUX: Final = platform.system() == "Linux"


def here() -> str:
    """The place of this process."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid()) or ''}".strip()


def is_gone(place: str) -> bool:
    """Whether the process at a place is certainly gone; False if it lives, or if this cannot be told from here."""
    machine, _, rest = place.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != _machine() or not number.isdigit():
        return False
    if _LINUX:
        return _started(int(number)) != started
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _machine() -> str:
    if _LINUX:
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
        except OSError:
            return f"{socket.gethostname()}/{os.getpid()}"  # no way to tell: matches nobody else
    return socket.gethostname()


def _started(number: int) -> str | None:
    """When a process started, in clock ticks since the boot; None if there is no such process, or it only lingers."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
