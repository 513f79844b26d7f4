"""Processes for codecs: they do the same as the codecs here, and their end harms nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest

from amonsul.errors import BadFileFormat, InternalError, NotImplementedHere, PayloadTooLarge, Unavailable
from amonsul.imaging import decoders, encoders, worker
from amonsul.imaging.pixel_format import PixelFormat
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
    WRITABLE,
)
from amonsul.imaging.worker import WorkerPool, WorkerSettings

from .builders import landscape

PIXELS = Pixels(landscape(32, 40, 8), "MONOCHROME2", 8)
FORMAT = PixelFormat(32, 40, 1, "MONOCHROME2", 8, 8, 7, False)
BAD_PROCESS = "tests.unit.imaging.bad_process"  # found from the root of the repository
FRAME = encoders.encode(JPEG_LS_LOSSLESS, PIXELS, 90)


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerPool]:
    pool = WorkerPool(WorkerSettings(processes=2))
    yield pool
    pool.close()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WorkerSettings(processes=1))
    yield made
    made.close()


@pytest.mark.parametrize("syntax", WRITABLE)
@pytest.mark.parametrize("colours", [1, 3])
def test_a_worker_does_what_the_codecs_do_here(shared: WorkerPool, syntax: str, colours: int) -> None:
    name = "RGB" if colours == 3 else "MONOCHROME2"
    pixels = Pixels(landscape(32, 40, 8, samples_per_pixel=colours), name, 8)
    frame = shared.encode(syntax, pixels, 80)
    assert frame == encoders.encode(syntax, pixels, 80)
    if syntax == DEFLATED_IMAGE_FRAME:
        return  # decoded where it is asked for
    pixel_format = PixelFormat(32, 40, colours, WRITABLE[syntax].stored_as(name), 8, 8, 7, False)
    theirs, ours = shared.decode(syntax, frame, pixel_format), decoders.decode(syntax, frame, pixel_format)
    assert numpy.array_equal(theirs.samples, ours.samples)
    assert theirs.samples.dtype == ours.samples.dtype
    assert theirs.photometric_interpretation == ours.photometric_interpretation


@pytest.mark.parametrize(("bits", "is_signed"), [(1, False), (12, False), (12, True), (32, True)])
def test_types_come_through(shared: WorkerPool, bits: int, is_signed: bool) -> None:
    samples = landscape(8, 8, bits, is_signed)
    pixels = Pixels(samples, "MONOCHROME2", bits, bits == 1)
    allocated = 1 if bits == 1 else samples.dtype.itemsize * 8
    frame = shared.encode(RLE_LOSSLESS, pixels, 90)
    pixel_format = PixelFormat(8, 8, 1, "MONOCHROME2", allocated, bits, bits - 1, is_signed)
    found = shared.decode(RLE_LOSSLESS, frame, pixel_format)
    assert numpy.array_equal(found.samples, samples)
    assert (found.samples.dtype, found.is_packed, found.bits) == (samples.dtype, bits == 1, bits)


def test_no_process_is_started_before_it_is_needed(pool: WorkerPool) -> None:
    assert pool.process_ids == ()
    pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    assert len(pool.process_ids) == 1


def test_refusals_come_through_and_the_process_goes_on(pool: WorkerPool) -> None:
    with pytest.raises(BadFileFormat, match="cut off"):
        pool.decode(JPEG_LS_LOSSLESS, FRAME[:30], FORMAT)
    before = pool.process_ids
    with pytest.raises(NotImplementedHere):
        pool.decode("1.2.3", FRAME, FORMAT)
    with pytest.raises(BadFileFormat):
        pool.decode(JPEG_BASELINE, b"", FORMAT)
    with pytest.raises((BadFileFormat, InternalError)):
        pool.encode(JPEG_BASELINE, Pixels(numpy.zeros((2, 2), numpy.float64), "MONOCHROME2", 8), 90)
    assert pool.process_ids == before


def test_frames_too_large_are_refused_before_any_process_sees_them(pool: WorkerPool) -> None:
    with pytest.raises(PayloadTooLarge):
        pool.decode(JPEG_BASELINE, FRAME, PixelFormat(65535, 65535, 1, "MONOCHROME2", 8, 8, 7, False))
    assert pool.process_ids == ()


def test_a_process_that_died_while_idle_is_replaced_unnoticed(pool: WorkerPool) -> None:
    pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    first = pool.process_ids
    os.kill(first[0], signal.SIGKILL)
    assert numpy.array_equal(pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT).samples, PIXELS.samples)
    assert pool.process_ids != first


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setattr(worker, "_PROCESS", BAD_PROCESS)
    made = WorkerPool(WorkerSettings(processes=1, task_cpu_s=0))
    yield made
    made.close()


@pytest.mark.parametrize("frame", [b"crash", b"exit", b"loop", b"too much", b"noise"])
def test_a_frame_that_ends_or_corrupts_its_process_is_refused_and_the_next_one_decoded(
    bad: WorkerPool, frame: bytes
) -> None:
    bad.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    first = bad.process_ids
    with pytest.raises(BadFileFormat, match="crash"):
        bad.decode(JPEG_LS_LOSSLESS, frame, FORMAT)
    assert bad.process_ids == ()
    assert numpy.array_equal(bad.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT).samples, PIXELS.samples)
    assert bad.process_ids != first


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"bomb", InternalError),
        (b"unknown error", InternalError),
        (b"too little", BadFileFormat),
        (b"another colour", BadFileFormat),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(bad: WorkerPool, frame: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        bad.decode(JPEG_LS_LOSSLESS, frame, FORMAT)
    assert numpy.array_equal(bad.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT).samples, PIXELS.samples)


def test_a_frame_that_takes_too_much_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PROCESS", BAD_PROCESS)
    pool = WorkerPool(WorkerSettings(processes=1, task_s=0.5))
    with pytest.raises(BadFileFormat, match="too long"):
        pool.decode(JPEG_LS_LOSSLESS, b"loop", FORMAT)
    assert pool.process_ids == ()
    pool.close()


def test_memory_beyond_the_limit_is_not_to_be_had() -> None:
    large = Pixels(numpy.zeros((9000, 9000), numpy.uint16), "MONOCHROME2", 16)
    pool = WorkerPool(WorkerSettings(processes=1, address_space_bytes=300 << 20))
    with pytest.raises((BadFileFormat, InternalError)):
        pool.encode(RLE_LOSSLESS, large, 90)
    assert numpy.array_equal(pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT).samples, PIXELS.samples)
    pool.close()


def test_a_process_that_does_not_start_makes_the_codecs_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PROCESS", "amonsul.imaging.nothing_here")
    pool = WorkerPool(WorkerSettings(processes=1))
    with pytest.raises(Unavailable):
        pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    pool.close()


def test_many_threads_share_few_processes(shared: WorkerPool) -> None:
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda _: shared.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT), range(40)))
    assert all(numpy.array_equal(pixels.samples, PIXELS.samples) for pixels in found)
    assert len(shared.process_ids) <= 2


def test_idle_processes_end() -> None:
    pool = WorkerPool(WorkerSettings(processes=1, idle_s=0.01))
    pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    ended = threading.Event()
    for _ in range(1000):
        if not pool.process_ids:
            break
        ended.wait(0.02)
    assert pool.process_ids == ()
    assert numpy.array_equal(pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT).samples, PIXELS.samples)
    pool.close()


def test_a_closed_pool_does_nothing_more(pool: WorkerPool) -> None:
    pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)
    pool.close()
    assert pool.process_ids == ()
    with pytest.raises(Unavailable):
        pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT)


CONFINED = """
import os, socket, sys
sys.argv = ["worker", '{"address_space_bytes": 0, "task_cpu_s": 1}']
from amonsul.imaging import worker_process
def attempt(name, call):
    try:
        call()
    except OSError:
        return
    os.write(1, name.encode() + b" ")
os.write(1, b"attempted: ")
worker_process._warm_up()
worker_process._confine(0)
attempt("socket", socket.socket)
attempt("open", lambda: os.open("/etc/hostname", os.O_RDONLY))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("write", lambda: os.open("/tmp/should-not-be-there", os.O_WRONLY | os.O_CREAT))
"""


def test_a_worker_can_open_start_and_signal_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONFINED],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.stdout.startswith(b"attempted: "), done.stderr
    allowed = set(done.stdout.split()[1:])
    assert allowed <= (set() if sys.platform == "linux" else {b"fork", b"exec", b"kill"})


def test_frames_beyond_the_memory_wait_for_each_other() -> None:
    pool = WorkerPool(WorkerSettings(processes=2, memory_bytes=1))
    try:
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda _: pool.decode(JPEG_LS_LOSSLESS, FRAME, FORMAT), range(24)))
        assert all(numpy.array_equal(pixels.samples, PIXELS.samples) for pixels in done)
        assert len(pool.process_ids) == 1, "another one was never needed"
    finally:
        pool.close()
