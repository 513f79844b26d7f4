"""The pool of threads behind the event loops."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable
from functools import partial

import pytest

from amonsul.crossing import Crossing


def test_every_call_gets_its_own_answer() -> None:
    crossing = Crossing("test", 4)

    async def many() -> list[int]:
        return list(await asyncio.gather(*(crossing.run(partial(operator.mul, number, 2)) for number in range(5_000))))

    try:
        assert asyncio.run(many()) == [number * 2 for number in range(5_000)]
    finally:
        crossing.close()


def test_calls_at_once_run_at_once() -> None:
    crossing = Crossing("test", 4)
    together = threading.Barrier(4)

    def meet() -> int:
        together.wait(30)
        return threading.get_ident()

    async def at_once() -> set[int]:
        return set(await asyncio.gather(*(crossing.run(meet) for _ in range(4))))

    try:
        assert len(asyncio.run(at_once())) == 4
        assert len(asyncio.run(at_once())) == 4  # also when all of them have to be woken
    finally:
        crossing.close()


def test_more_calls_than_threads_wait_in_line() -> None:
    crossing = Crossing("test", 2)
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1

    async def many() -> None:
        await asyncio.gather(*(crossing.run(work) for _ in range(500)))

    try:
        asyncio.run(many())
    finally:
        crossing.close()
    assert 1 <= most <= 2


@pytest.mark.parametrize("call", [lambda: 1 // 0, lambda: [][1]])
def test_what_a_call_raises_is_raised_to_its_awaiter(call: Callable[[], object]) -> None:
    crossing = Crossing("test", 1)
    try:
        with pytest.raises((ZeroDivisionError, IndexError)):
            asyncio.run(crossing.run(call))
    finally:
        crossing.close()


def test_closing_ends_the_threads_after_what_was_handed_in() -> None:
    crossing = Crossing("test", 3)
    done: list[int] = []

    async def hand_in() -> None:
        await asyncio.gather(*(crossing.run(partial(done.append, number)) for number in range(100)))

    asyncio.run(hand_in())
    crossing.close()
    assert sorted(done) == list(range(100))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]
