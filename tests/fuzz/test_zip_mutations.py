from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz.zip_checks import archive_in, check_names, check_upload, mutated, names, narrow_bounds, seeds

EACH = 100
NAMES = 150


def test_broken_archives_are_refused_or_taken_within_bounds(tmp_path: Path) -> None:
    chance, taken, tried = random.Random(10), 0, 0
    with archive_in(tmp_path) as archive, narrow_bounds():
        for seed in seeds():
            check_upload(seed, archive, tmp_path)
            for _ in range(EACH):
                tried += 1
                taken += check_upload(mutated(seed, chance), archive, tmp_path)
    assert 0 < taken < tried


def test_names_of_archives_stay_inside_whatever_an_instance_calls_itself(tmp_path: Path) -> None:
    chance = random.Random(11)
    with archive_in(tmp_path) as archive:
        for number in range(NAMES):
            check_names(names(chance), number, archive)
