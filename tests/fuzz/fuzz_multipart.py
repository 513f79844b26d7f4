"""Fuzz target of the multipart reader: `python tests/fuzz/fuzz_multipart.py -max_total_time=300 CORPUS`.

CORPUS is a folder that the run adds to; `--seed CORPUS` fills it with bodies to begin with. Whatever fails becomes a
test in `tests/unit/protocols`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["amonsul.protocols"]):
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.fuzz.multipart_checks import check_bytes, seeds


def check(data: bytes) -> None:
    if data:
        check_bytes(data)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"{number}").write_bytes(seed)
    else:
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()
