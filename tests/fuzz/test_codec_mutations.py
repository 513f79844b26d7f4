from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from amonsul.imaging.worker import WorkerPool, WorkerSettings
from tests.fuzz.codec_checks import Deaths, check_bytes, mutated, seeds

EACH = 25
MAX_DEATHS = 0
"""In the inputs of this test, which are the same in every run."""


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WorkerSettings(processes=1))
    yield made
    made.close()


def test_broken_frames_of_every_kind_are_decoded_or_refused(pool: WorkerPool) -> None:
    chance, deaths, decoded, tried = random.Random(5), Deaths(), 0, 0
    log = logging.getLogger("amonsul.imaging.worker")
    log.addHandler(deaths)
    try:
        for seed in seeds():
            assert check_bytes(seed, pool)
            for _ in range(EACH):
                tried += 1
                decoded += check_bytes(mutated(seed, chance), pool)
            assert check_bytes(seed, pool), "a broken frame leaves the process as it was"
    finally:
        log.removeHandler(deaths)
    assert 0 < decoded < tried
    assert deaths.count <= MAX_DEATHS
