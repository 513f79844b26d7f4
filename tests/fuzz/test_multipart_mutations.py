from __future__ import annotations

import random

from tests.fuzz.multipart_checks import check_bytes, seeds


def test_mutated_bodies_are_read_alike_whatever_the_pieces() -> None:
    chance = random.Random(6)
    pieces = [b"\r\n", b"--b0", b"--", b"\n", b": ", b"\r", b"\0", b"--b0--", b" "]
    for seed in seeds():
        for _ in range(1500):
            data = bytearray(seed)
            for _ in range(chance.randrange(1, 6)):
                place = chance.randrange(len(data) + 1)
                if chance.random() < 0.5:
                    data[place:place] = chance.choice(pieces)
                else:
                    del data[place : place + chance.randrange(1, 5)]
            if data:
                check_bytes(bytes(data))
