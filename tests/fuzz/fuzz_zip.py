"""Fuzz target of uploaded ZIP archives: `python tests/fuzz/fuzz_zip.py -max_total_time=300 CORPUS`.

CORPUS is a folder that the run adds to; `--seed CORPUS` fills it with archives to begin with. `--count N` tries N
changed archives and a fifth as many names without a fuzzer, as the tests do with fewer.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["amonsul.web.rest.uploads", "zipfile"]):
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.fuzz.zip_checks import archive_in, check_names, check_upload, mutated, names, narrow_bounds, seeds


def count(number: int) -> None:
    chance, start, taken = random.Random(0), time.monotonic(), 0
    every = list(seeds())
    with tempfile.TemporaryDirectory() as name, archive_in(Path(name)) as archive, narrow_bounds():
        for tried in range(number):
            taken += check_upload(mutated(chance.choice(every), chance), archive, Path(name))
            if tried % 5 == 0:
                check_names(names(chance), tried, archive)
    print(f"{number} archives in {time.monotonic() - start:.0f} s: {taken} taken; {number // 5} names; none outside")


def main() -> None:
    if sys.argv[1:2] == ["--seed"]:
        corpus = Path(sys.argv[2])
        corpus.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds()):
            (corpus / f"{index}").write_bytes(seed)
    elif sys.argv[1:2] == ["--count"]:
        count(int(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as name, archive_in(Path(name)) as archive, narrow_bounds():
            atheris.Setup(sys.argv, lambda data: check_upload(data, archive, Path(name)))
            atheris.Fuzz()


if __name__ == "__main__":
    main()
