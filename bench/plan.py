"""How much work a measurement is, and a row: one kind of work with the ratio that is its goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench import http_load
from bench.instances import Instance, collection, data_set, file_header, pixels
from bench.processes import Measured
from bench.servers import Server

ROWS_512K = 512
"""512 x 512 pixels of 16 bits."""


@dataclass(slots=True)
class Plan:
    """How much work a measurement is.

    Attributes:
        indexed: instances in the index before anything is measured.
        seconds: of a measurement that repeats requests.
        stored: instances of 512 KB in a measurement that stores.
        stored_small: instances of 4 KB in one.
        next_patient: number of the next patient that has not been stored anywhere.
        series: what `stored_series` has stored, by the port of the server and the length.
    """

    indexed: int
    seconds: float
    stored: int
    stored_small: int
    next_patient: int = 1_000_000
    series: dict[tuple[int, int], list[Instance]] = field(default_factory=dict)

    @property
    def studies(self) -> int:
        """Studies in the index: 10 instances each."""
        return max(1, self.indexed // 10)

    def initial(self) -> Iterator[Instance]:
        """What is in the index first: 2 series of 5 instances in a study, a patient each."""
        return collection(self.studies, 1, 2, 5)

    def fresh(self, count: int) -> list[Instance]:
        """Instances of a study of their own."""
        self.next_patient += 1
        return list(collection(1, 1, 1, count, self.next_patient))

    def spread(self, count: int) -> list[Instance]:
        """So many instances from all over the index."""
        instances = list(self.initial())
        return instances[:: max(1, len(instances) // count)][:count]

    def stored_series(self, server: Server, count: int) -> list[Instance]:
        """A series of so many instances of 512 KB that the server has; stored now, the first time it is asked for."""
        key = (server.http_port, count)
        if key not in self.series:
            self.series[key] = self.fresh(count)
            post_all(server, self.series[key], ROWS_512K, 2)
        return self.series[key]


Measure = Callable[[Server, "Plan"], Measured]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work."""

    name: str
    what: str
    goal: float
    measure: Measure


def fill_index(server: Server, plan: Plan) -> Measured:
    """Store the initial instances."""
    instances = list(plan.initial())
    return post_all(server, instances, 0, 4)


def post_all(server: Server, instances: list[Instance], rows: int, connections: int) -> Measured:
    """Upload instances with so many rows and columns, none for no pixel data."""
    block = pixels(rows) if rows else b""

    def requests(number: int) -> Iterator[http_load.Pieces]:
        for instance in instances[number::connections]:
            body = (file_header(instance) + data_set(instance, rows), *([block] if block else []))
            yield http_load.post("/instances", server.host, body)

    return http_load.once(server.http_port, requests, connections)


def gets(make: Callable[[Plan], list[str]], connections: int = 2, accept: str = "*/*") -> Measure:
    """GET the paths in turn for the seconds of the plan."""

    def measure(server: Server, plan: Plan) -> Measured:
        requests = [http_load.get(path, server.host, accept) for path in make(plan)]
        return http_load.for_seconds(server.http_port, requests, connections, plan.seconds)

    return measure


def gets_of_series(
    length: int, make: Callable[[list[Instance]], list[str]], connections: int = 2, accept: str = "*/*"
) -> Measure:
    """The same with the paths that a stored series of so many instances of 512 KB has."""

    def measure(server: Server, plan: Plan) -> Measured:
        series = plan.stored_series(server, length)
        return gets(lambda _plan: make(series), connections, accept)(server, plan)

    return measure
