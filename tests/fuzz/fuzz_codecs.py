"""Fuzz target of the codecs: `python tests/fuzz/fuzz_codecs.py -max_total_time=300 CORPUS`.

CORPUS is a folder that the run adds to; `--seed CORPUS` fills it with frames to begin with. `--count N` tries N changed
frames without a fuzzer, as the tests do with fewer, and prints how many processes died of them.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["amonsul.imaging"]):
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from amonsul.imaging.worker import WorkerPool, WorkerSettings
    from tests.fuzz.codec_checks import Deaths, check_bytes, mutated, seeds


def count(number: int, folder: Path | None) -> None:
    chance, deaths, decoded, tried, start = random.Random(0), Deaths(folder), 0, 0, time.monotonic()
    logging.getLogger("amonsul.imaging.worker").addHandler(deaths)
    every = list(seeds())
    pool = WorkerPool(WorkerSettings(processes=1))
    while tried < number:
        deaths.current = mutated(chance.choice(every), chance)
        decoded += check_bytes(deaths.current, pool)
        tried += 1
    pool.close()
    print(f"{tried} frames in {time.monotonic() - start:.0f} s: {decoded} decoded, {deaths.count} processes died")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        corpus = Path(sys.argv[2])
        corpus.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds()):
            (corpus / f"{index}").write_bytes(seed)
    elif sys.argv[1:2] == ["--count"]:
        count(int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    else:
        with_processes = WorkerPool(WorkerSettings(processes=1))
        atheris.Setup(sys.argv, lambda data: check_bytes(data, with_processes))
        atheris.Fuzz()
