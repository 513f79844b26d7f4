"""The tables of docs/interoperability.md, printed from the list of what the tests do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

PEERS = ("DCMTK", "pynetdicom", "Orthanc")
PAGE = Path(__file__).parents[3] / "docs" / "interoperability.md"


R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True)
class Cell(Generic[R_co]):
    """One conversation that a test has.

    Attributes:
        service: the row.
        peer: the other side.
        tls: over TLS.
        run: has it.
    """

    service: str
    peer: str
    tls: bool
    run: R_co

    def __str__(self) -> str:
        return f"{self.service} {self.peer}{' TLS' if self.tls else ''}"


def table(cells: Sequence[Cell[object]]) -> str:
    """The rows in the order of the cells; a dash where the other side has no such service."""
    lines = ["| Service | " + " | ".join(PEERS) + " |", "|---" * (len(PEERS) + 1) + "|"]
    for service in dict.fromkeys(cell.service for cell in cells):
        row = [service]
        for peer in PEERS:
            tls = {cell.tls for cell in cells if (cell.service, cell.peer) == (service, peer)}
            row.append("yes, also over TLS" if tls == {False, True} else "yes" if False in tls else "–")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def section(title: str, page: str) -> str:
    """The table under a heading of the page."""
    after = page.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(line for line in after.splitlines() if line.startswith("|"))
