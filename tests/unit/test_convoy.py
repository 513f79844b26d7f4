"""Leading, following and going in batches."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from amonsul.convoy import Convoy, Passenger


class Item(Passenger):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.thread = ""


class Recorder:
    """Runs batches, the first one only when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, batch: Sequence[Item]) -> None:
        if not self.batches:
            self.entered.set()
            assert self.go.wait(60)
        self.batches.append([item.number for item in batch])
        for item in batch:
            item.thread = threading.current_thread().name


def test_a_lone_passenger_goes_by_itself() -> None:
    recorder = Recorder()
    recorder.go.set()
    convoy: Convoy[Item] = Convoy(recorder)
    for number in range(3):
        item = Item(number)
        convoy.join(item)
        assert item.thread == threading.current_thread().name
    assert recorder.batches == [[0], [1], [2]]


@pytest.mark.parametrize(("limit", "sizes"), [(64, [1, 10]), (4, [1, 4, 4, 2]), (1, [1] * 11)])
def test_those_who_come_meanwhile_go_together_next(limit: int, sizes: list[int]) -> None:
    recorder = Recorder()
    convoy: Convoy[Item] = Convoy(recorder, limit)
    items = [Item(number) for number in range(11)]
    threads = [threading.Thread(target=convoy.join, args=(item,)) for item in items]
    threads[0].start()
    assert recorder.entered.wait(60)
    for place, thread in enumerate(threads[1:]):
        thread.start()
        while convoy.waiting <= place:
            pass  # it is in line
    recorder.go.set()
    for thread in threads:
        thread.join()
    assert [len(batch) for batch in recorder.batches] == sizes
    assert sorted(number for batch in recorder.batches for number in batch) == list(range(11))
    assert all(item.thread for item in items)


def test_nobody_waits_for_ever_when_a_batch_breaks_its_promise() -> None:
    entered, go = threading.Event(), threading.Event()

    def run(batch: Sequence[Item]) -> None:
        entered.set()
        assert go.wait(60)
        raise KeyboardInterrupt

    convoy: Convoy[Item] = Convoy(run)
    interrupted: list[int] = []

    def join(number: int) -> None:
        try:
            convoy.join(Item(number))
        except KeyboardInterrupt:
            interrupted.append(number)

    threads = [threading.Thread(target=join, args=(number,)) for number in range(4)]
    threads[0].start()
    assert entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    while convoy.waiting < 3:
        pass
    go.set()
    for thread in threads:
        thread.join()
    assert 0 in interrupted
    assert convoy.waiting == 0
