"""`python -m bench`: fill both servers, measure every row in turn, print the table. Nothing is asserted.

`python -m bench million` is another measurement: a large index against a small one, see `bench.million`; so is
`python -m bench peers`: sending between servers, see `bench.peers`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from bench import million, peers
from bench.plan import Plan, Row, fill_index
from bench.processes import LoadFailed, Measured
from bench.rows import ROWS
from bench.servers import Server, amonsul, orthanc


def main() -> None:
    """Run the benchmark as the arguments say."""
    others = {"million": million.main, "peers": peers.main}
    if sys.argv[1:] and sys.argv[1] in others:
        others[sys.argv[1]](sys.argv[2:])
        return
    arguments = _arguments()
    rows = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    plan = Plan(arguments.instances, arguments.seconds, arguments.stored, arguments.stored * 5)
    console = Console(width=None if sys.stdout.isatty() else 140)
    starters = {"Orthanc": orthanc, "Amonsul": amonsul}
    names = arguments.only or list(starters)
    with contextlib.ExitStack() as stack:
        folder = Path(arguments.folder) if arguments.folder else Path(tempfile.gettempdir())
        servers = [stack.enter_context(starters[name](folder)) for name in names]
        at_rest = {server.name: server.resident_mb() for server in servers}
        for server in servers:
            filled = fill_index(server, plan)
            console.print(f"{server.name}: {plan.indexed} instances in the index, {filled.per_second:.0f}/s")
        figures: dict[str, dict[str, list[Measured]]] = {}
        for row in rows:
            figures[row.name] = _measure(row, servers, plan, arguments.rounds, console)
        console.print(_table(rows, figures, names))
        for server in servers:
            rest, now = at_rest[server.name], server.resident_mb()
            console.print(f"{server.name}: {rest:.0f} MB of memory at rest before, {now:.0f} MB after")
    load, cores = os.getloadavg()[0], os.cpu_count()
    console.print(f"{arguments.rounds} rounds in turn, operations per second; {cores} cores, load {load:.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measure Amonsul against Debian's Orthanc.")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], help="measure only these")
    parser.add_argument("--instances", type=int, default=20_000, help="in the index first (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=2, help="of each measurement of requests (default: %(default)s)"
    )
    parser.add_argument(
        "--stored", type=int, default=200, help="512 KB instances stored by a measurement (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each server (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=["Orthanc", "Amonsul"], help="start only these servers")
    parser.add_argument("--folder", help="where the servers keep their data (default: the folder for temporary files)")
    return parser.parse_args()


def _measure(row: Row, servers: list[Server], plan: Plan, rounds: int, console: Console) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers:
            try:
                result = row.measure(server, plan)
            except LoadFailed as error:
                console.print(f"{row.name}: {server.name} failed: {str(error).strip().splitlines()[-1]}", markup=False)
                continue
            measured[server.name].append(result)
            latencies = result.latencies
            middle, late = latencies[len(latencies) // 2] * 1e3, latencies[int(len(latencies) * 0.99)] * 1e3
            console.print(
                f"[dim]{row.name} round {number + 1} {server.name}: {result.per_second:.1f}/s, "
                f"p50 {middle:.2f} ms, p99 {late:.2f} ms[/dim]"
            )
    return measured


def _table(rows: list[Row], figures: dict[str, dict[str, list[Measured]]], names: list[str]) -> Table:
    table = Table("Row", "Work", *names, "Ratio", "Goal")
    for row in rows:
        means = {
            name: mean(each.per_second for each in results) for name, results in figures[row.name].items() if results
        }
        shown = [f"{means[name]:,.1f}" if name in means else "–" for name in names]
        ratio = means["Amonsul"] / means["Orthanc"] if {"Amonsul", "Orthanc"} <= means.keys() else None
        mark = "" if ratio is None else ("[green]" if ratio >= row.goal else "[red]")
        table.add_row(row.name, row.what, *shown, "–" if ratio is None else f"{mark}{ratio:.2f}", f"≥ {row.goal:g}")
    return table


if __name__ == "__main__":
    main()
