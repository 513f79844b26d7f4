"""What is measured: one row for each kind of work, with the ratio that is the goal."""

from __future__ import annotations

from bench import dicomweb, images, reading, retrieve_load, storing
from bench.plan import Row

ROWS: tuple[Row, ...] = (*storing.ROWS, *reading.ROWS, *dicomweb.ROWS, *images.ROWS, *retrieve_load.ROWS)
