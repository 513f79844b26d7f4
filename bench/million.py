"""`python -m bench million`: the same searches and stores in a small and in a large index, in turn.

Both indexes are loaded first (`bench.loading`), unless they are in the folder already. Then each search is asked of
both by one client, as a function of the archive in this process and over HTTP of a server each, and instances are
stored into the large index and into an empty one. The table shows p50 and p95 of both and their ratio; nothing is
asserted. CPU time is shown beside, for the clock says little on a machine with other work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import DatabaseSettings, PostgresSettings, SqliteSettings, open_database
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import Match, Range, SingleValue, WildCard
from amonsul.dicom.query import Constraint, Query
from bench import http_load
from bench.instances import Instance, data_set, file_header
from bench.loading import FEW_LABEL, MANY_LABEL, copy_to_postgresql, load_sqlite, study, study_date
from bench.servers import Server, amonsul
from tests.postgresql_server import running_postgresql

_PATIENT_NAME, _PATIENT_ID, _STUDY_DATE = Tag(0x00100010), Tag(0x00100020), Tag(0x00080020)
_INDEX_FILE = "index.db"
_VARIANTS = 100
_PAGE = 50
_IN_SERIES = 50


@dataclass(frozen=True, slots=True)
class Search:
    """One search, as the archive takes it and as an HTTP client asks it."""

    query: Query
    path: str
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of search, with many searches of it for an index of a size."""

    name: str
    searches: Callable[[int], list[Search]]


@dataclass(slots=True)
class Size:
    """One index and how it is asked."""

    studies: int
    settings: DatabaseSettings
    archive: Archive
    server: Server


def main(arguments: Sequence[str]) -> None:
    """Run as the arguments say."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    with contextlib.ExitStack() as stack:
        if options.folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-million-")))
        else:
            folder = Path(options.folder)
        places = _places(folder, [0, *options.studies], options.database, stack, console)
        empty, *sizes = [_open(studies, where, folder, stack) for studies, where in places]
        if "searches" in options.parts:
            _search(sizes, options.rounds, console)
        if "stores" in options.parts:
            _store(empty, sizes[-1], options.stored, options.rounds, console)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS='million …'", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--studies", type=int, nargs="+", default=[1000, 1_000_000], help="the smallest size first")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each size (default: %(default)s)")
    parser.add_argument("--stored", type=int, default=1000, help="instances of 4 KB stored by a turn")
    parser.add_argument("--parts", nargs="+", choices=["searches", "stores"], default=["searches", "stores"])
    parser.add_argument("--folder", help="keeps the SQLite indexes for another run; otherwise all is removed")
    return parser.parse_args(arguments)


def _places(
    folder: Path, sizes: Sequence[int], database: str, stack: contextlib.ExitStack, console: Console
) -> list[tuple[int, DatabaseSettings]]:
    """An index of each size, loaded."""
    postgresql = None
    if database == "postgresql":
        postgresql = stack.enter_context(running_postgresql(["max_wal_size=8GB", "shared_buffers=2GB"], folder))
    places: list[tuple[int, DatabaseSettings]] = []
    for size in sizes:
        sqlite = SqliteSettings(folder / str(size) / _INDEX_FILE)
        start = time.perf_counter()
        if not sqlite.path.exists():
            sqlite.path.parent.mkdir(parents=True)
            load_sqlite(sqlite, size)
        if postgresql is None:
            places.append((size, sqlite))
        else:
            copied = PostgresSettings(postgresql.new_database())
            copy_to_postgresql(sqlite, copied)
            places.append((size, copied))
        console.print(f"{size:,} studies in the index, after {time.perf_counter() - start:.0f} s")
    return places


def _open(studies: int, where: DatabaseSettings, folder: Path, stack: contextlib.ExitStack) -> Size:
    database = open_database(where)
    stack.callback(database.close)
    options: dict[str, object] = {}
    match where:
        case SqliteSettings(path):
            options["IndexDirectory"] = str(path.parent)
        case PostgresSettings(conninfo):
            options["PostgreSQL"] = {"EnableIndex": True, "ConnectionUri": conninfo}
    server = stack.enter_context(amonsul(folder, options))
    return Size(studies, where, Archive(database, MemoryBlobs()), server)


# ---------------------------------------------------------------------------------------------------- searches


def _numbers(studies: int) -> list[int]:
    """Studies from all over an index."""
    return [1 + studies * variant // _VARIANTS for variant in range(_VARIANTS)]


def _find(name: str, tag: Tag, match: Match, text: str, limit: int) -> Search:
    body = {"Level": "Study", "Expand": True, "Limit": limit, "Query": {name: text}}
    query = Query(Level.STUDY, (Constraint(tag, match, case_sensitive=False),), limit=limit)
    return Search(query, "/tools/find", json.dumps(body).encode())


def _pages(_studies: int) -> list[Search]:
    return [Search(Query(Level.STUDY, limit=100), "/studies?expand&since=0&limit=100")]


def _found_pages(_studies: int) -> list[Search]:
    body = {"Level": "Study", "Expand": True, "Limit": 100, "Query": {}}
    return [Search(Query(Level.STUDY, limit=100), "/tools/find", json.dumps(body).encode())]


def _qido_pages(_studies: int) -> list[Search]:
    return [Search(Query(Level.STUDY, limit=100), "/dicom-web/studies?limit=100")]


def _patterns(studies: int) -> list[str]:
    """Of names, about a hundred of each; numbers have five digits or more."""
    if studies < 10_000:
        return [f"*NUMBER00{digit}*" for digit in range(10)]
    return [f"*NUMBER{number}*" for number in range(1101, 9999, 8898 // _VARIANTS)]


def _names(studies: int) -> list[Search]:
    return [_find("PatientName", _PATIENT_NAME, WildCard(each), each, _PAGE) for each in _patterns(studies)]


def _qido_names(studies: int) -> list[Search]:
    return [
        Search(one.query, f"/dicom-web/studies?PatientName={quote(pattern, safe='*')}&limit={_PAGE}")
        for one, pattern in zip(_names(studies), _patterns(studies), strict=True)
    ]


def _periods(studies: int) -> list[tuple[str, str]]:
    """With some fifty studies or more: half a year of a small index, a day of a large one."""
    if studies < 10_000:
        return [(f"{year}0101", f"{year}0728") for year in range(2015, 2025)]
    return [(study_date(number), study_date(number)) for number in _numbers(studies)]


def _dates(studies: int) -> list[Search]:
    return [
        _find("StudyDate", _STUDY_DATE, Range(low, high), f"{low}-{high}", _PAGE) for low, high in _periods(studies)
    ]


def _months(studies: int) -> list[Search]:
    """With thousands of studies in a large index."""
    months = [(f"{year}{month:02}01", f"{year}{month:02}28") for year in range(2015, 2025) for month in range(1, 13)]
    periods = _periods(studies) if studies < 10_000 else months
    return [_find("StudyDate", _STUDY_DATE, Range(low, high), f"{low}-{high}", _PAGE) for low, high in periods]


def _patients(studies: int) -> list[Search]:
    identifiers = [study(number).patient_id for number in _numbers(studies)]
    return [_find("PatientID", _PATIENT_ID, SingleValue(each), each, 0) for each in identifiers]


def _labelled(label: str) -> Callable[[int], list[Search]]:
    def searches(_studies: int) -> list[Search]:
        body = {"Level": "Study", "Expand": True, "Limit": _PAGE, "Query": {}, "Labels": [label]}
        query = Query(Level.STUDY, labels=frozenset([label]), limit=_PAGE)
        return [Search(query, "/tools/find", json.dumps(body).encode())]

    return searches


KINDS = (
    Kind("/studies?expand, page of 100", _pages),
    Kind("/tools/find, page of 100", _found_pages),
    Kind("QIDO-RS studies, page of 100", _qido_pages),
    Kind("wildcard name, 50 of 100", _names),
    Kind("QIDO-RS wildcard name, 50 of 100", _qido_names),
    Kind("date range, 50", _dates),
    Kind("date range of a month, 50", _months),
    Kind("PatientID", _patients),
    Kind("label of 50 studies", _labelled(FEW_LABEL)),
    Kind("label of half of all, 50", _labelled(MANY_LABEL)),
)


@dataclass(slots=True)
class _Times:
    """Milliseconds of calls: on the clock, and of CPU in this process."""

    clock: list[float]
    cpu: list[float]

    def shown(self) -> str:
        """P50 and p95, and p50 of the CPU time."""
        cpu = f" (CPU {_part(self.cpu, 0.5):.2f})" if self.cpu else ""
        return f"{_part(self.clock, 0.5):.2f} / {_part(self.clock, 0.95):.2f}{cpu}"


def _part(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def _search(sizes: Sequence[Size], rounds: int, console: Console) -> None:
    heads = [f"{size.studies:,}" for size in sizes]
    table = Table("Search", "by", *heads, "ratio", title="p50 / p95 in ms, one client")
    for kind in KINDS:
        for way, measure in (("function", _call), ("HTTP", _request)):
            times = {size.studies: _Times([], []) for size in sizes}
            for turn in range(rounds + 1):
                for size in sizes:
                    searches = kind.searches(size.studies)
                    done = measure(size, [searches[number % len(searches)] for number in range(_VARIANTS)])
                    if turn:  # the first one warms up
                        times[size.studies].clock += done.clock
                        times[size.studies].cpu += done.cpu
            first, last = times[sizes[0].studies], times[sizes[-1].studies]
            ratio = _part(last.clock, 0.5) / _part(first.clock, 0.5)
            table.add_row(kind.name, way, *(each.shown() for each in times.values()), f"{ratio:.2f}")
    console.print(table)


def _call(size: Size, searches: Sequence[Search]) -> _Times:
    times = _Times([], [])
    for search in searches:
        clock, cpu = time.perf_counter(), time.process_time()
        find.find(size.archive, search.query)
        times.cpu.append((time.process_time() - cpu) * 1e3)
        times.clock.append((time.perf_counter() - clock) * 1e3)
    return times


def _request(size: Size, searches: Sequence[Search]) -> _Times:
    host = size.server.host
    requests = [
        http_load.get(search.path, host)
        if search.body is None
        else http_load.post(search.path, host, (search.body,), "application/json")
        for search in searches
    ]
    measured = http_load.once(size.server.http_port, lambda _number: iter(requests), 1)
    return _Times([seconds * 1e3 for seconds in measured.latencies], [])


# ---------------------------------------------------------------------------------------------------- stores


def _store(empty: Size, full: Size, count: int, rounds: int, console: Console) -> None:
    """Store new studies into both, in turn."""
    table = Table(
        "Store", "empty", f"{full.studies:,}", "ratio", title="instances of 4 KB per second, CPU of the server"
    )
    first = int(time.time())  # a kept index has what earlier runs stored
    for connections, in_series in ((1, _IN_SERIES), (4, _IN_SERIES), (4, 1)):
        rates: dict[int, list[float]] = {empty.studies: [], full.studies: []}
        cpu: dict[int, list[float]] = {empty.studies: [], full.studies: []}
        for _ in range(rounds):
            first += count
            instances = [Instance(first + number // in_series, 1, 1, number % in_series + 1) for number in range(count)]
            for size in (empty, full):
                before = _cpu_s(size.server)
                rates[size.studies].append(_post(size, instances, connections))
                cpu[size.studies].append((_cpu_s(size.server) - before) / count * 1e6)
        low, high = _part(rates[empty.studies], 0.5), _part(rates[full.studies], 0.5)
        shown = [f"{_part(rates[n], 0.5):.0f} ({_part(cpu[n], 0.5):.0f} µs)" for n in (empty.studies, full.studies)]
        what = f"series of {in_series}" if in_series > 1 else "a new patient each"
        table.add_row(f"POST /instances, {connections} connections, {what}", *shown, f"{high / low:.2f}")
    console.print(table)


def _post(size: Size, instances: Sequence[Instance], connections: int) -> float:
    def requests(number: int) -> Iterator[http_load.Pieces]:
        for instance in instances[number::connections]:
            yield http_load.post("/instances", size.server.host, (file_header(instance), data_set(instance, 0)))

    return http_load.once(size.server.http_port, requests, connections).per_second


def _cpu_s(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(sys.argv[1:])
