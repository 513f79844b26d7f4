"""Codecs in processes of their own: a small pool that is started when needed and ended when idle.

A codec that crashes, loops or eats memory takes its process along and nothing else: whoever asked gets BadFileFormat,
the next frame gets a new process. What comes back is bytes of a length that was known before; neither side can make
the other run or allocate anything (`worker_process`).
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy
import orjson

from amonsul import measures
from amonsul.errors import AmonsulError, BadFileFormat, InternalError, NotImplementedHere, PayloadTooLarge, Unavailable
from amonsul.imaging.pixel_format import MAX_DECODED_BYTES, PixelFormat
from amonsul.imaging.pixels import Pixels, sample_type
from amonsul.imaging.worker_protocol import HEAD, MAX_PARAMETERS, TAKEN, Parameters, receive_exactly, send_message

_log = logging.getLogger(__name__)

_ERRORS: Mapping[str, type[AmonsulError]] = {
    kind.__name__: kind for kind in (BadFileFormat, NotImplementedHere, PayloadTooLarge, InternalError)
}
_PHOTOMETRIC_INTERPRETATIONS = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_PARTIAL", "YBR_PARTIAL_420")
)
_PROCESS = "amonsul.imaging.worker_process"  # by name: importing it would load all codecs here
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How many processes, and how far each may go.

    Attributes:
        processes: that decode or encode at once at most; further calls wait in line.
        idle_s: a process without work ends after so many seconds.
        task_cpu_s: CPU time of one frame.
        task_s: time of one frame on the clock, e.g. when the machine is overloaded.
        address_space_bytes: of one process; 0 for no limit.
        memory_bytes: of all frames at work, with what becomes of them; a larger one is worked at alone.
    """

    processes: int = 2
    idle_s: float = 60.0
    task_cpu_s: int = 30
    task_s: float = 120.0
    address_space_bytes: int = 6 << 30
    memory_bytes: int = 256 << 20


class WorkerPool:
    """Codecs that cannot harm the server; may be called from any thread. Satisfies `codecs.Codecs`."""

    def __init__(self, settings: WorkerSettings = WorkerSettings()) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []
        self._count = 0  # of processes, idle or busy
        self._bytes = 0  # of frames at work
        self._is_closed = False
        self._reaper: threading.Timer | None = None

    def decode(self, transfer_syntax_uid: str, frame: memoryview | bytes, pixel_format: PixelFormat) -> Pixels:
        """As `decoders.decode`, elsewhere.

        Raises:
            BadFileFormat: also when the codec ended its process, or took too long.
            Unavailable: the pool is closed, or no process can be started.
        """
        samples_type = sample_type(pixel_format.bits_allocated, pixel_format.is_signed)
        shape: tuple[int, ...] = (pixel_format.rows, pixel_format.columns)
        if pixel_format.samples_per_pixel > 1:
            shape += (pixel_format.samples_per_pixel,)
        size = pixel_format.samples_per_frame * samples_type.itemsize
        if size > MAX_DECODED_BYTES:
            raise PayloadTooLarge(f"A decoded frame would take {size} bytes")
        description = asdict(pixel_format) | {"sample_kind": pixel_format.sample_kind.value}
        task: Parameters = {
            "task": "decode",
            "syntax": transfer_syntax_uid,
            "format": description,
            "decoded_bytes": size,
        }
        said, samples = self._run(task, frame, size)
        photometric_interpretation = said.get("photometric_interpretation")
        if len(samples) != size or photometric_interpretation not in _PHOTOMETRIC_INTERPRETATIONS:
            raise BadFileFormat("A decoder gave something else than the frame")
        return Pixels(
            numpy.frombuffer(samples, samples_type).reshape(shape),
            photometric_interpretation,
            pixel_format.bits_stored,
            pixel_format.bits_allocated == 1,
        )

    def encode(self, transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
        """As `encoders.encode`, elsewhere.

        Raises:
            As `decode`.
        """
        samples = numpy.ascontiguousarray(pixels.samples)
        task: Parameters = {
            "task": "encode",
            "syntax": transfer_syntax_uid,
            "quality": quality,
            "type": samples.dtype.str,
            "shape": list(samples.shape),
            "photometric_interpretation": pixels.photometric_interpretation,
            "bits": pixels.bits,
            "is_packed": pixels.is_packed,
            "decoded_bytes": samples.nbytes,
        }
        return bytes(self._run(task, samples.view(numpy.uint8).data.cast("B"), samples.nbytes * 4 + (1 << 16))[1])

    def close(self) -> None:
        """End all processes; those at work end with their frame."""
        with self._changed:
            self._is_closed = True
            idle, self._idle = self._idle, []
            self._count -= len(idle)
            if self._reaper is not None:
                self._reaper.cancel()
            self._changed.notify_all()
        for worker in idle:
            worker.end()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the idle processes."""
        with self._changed:
            return tuple(worker.process.pid for worker in self._idle)

    def _run(self, task: Parameters, payload: memoryview | bytes, max_result: int) -> tuple[Parameters, bytearray]:
        try:
            with measures.CODEC_SECONDS.time():
                return self._run_once(task, payload, max_result)
        except _NotTaken:  # the process died while it was idle
            try:
                with measures.CODEC_SECONDS.time():
                    return self._run_once(task, payload, max_result)
            except _NotTaken as error:
                raise Unavailable("The processes of the codecs do not start") from error

    def _run_once(self, task: Parameters, payload: memoryview | bytes, max_result: int) -> tuple[Parameters, bytearray]:
        size = len(payload) + min(max_result, int(task["decoded_bytes"]))
        worker = self._take(size)
        is_alive = False
        try:
            with measures.CODECS_BUSY.track_inprogress():
                said, result = worker.run(task, payload, max_result, self._settings.task_s)
            is_alive = True
        except (EOFError, OSError, ValueError) as error:
            code = worker.end()
            measures.CODEC_CRASHES.inc()
            _log.warning(
                "A codec ended its process (%s, exit code %s) in %s", type(error).__name__, code, task["syntax"]
            )
            raise BadFileFormat("A frame made its codec crash, or took too long") from error
        finally:
            self._give_back(worker, is_alive, size)
        if "error" in said:
            raise _ERRORS.get(str(said["error"]), InternalError)(str(said.get("details", "")))
        return said, result

    def _take(self, size: int) -> _Worker:
        """A process for a frame of so many bytes."""
        with self._changed:
            while True:
                if self._is_closed:
                    raise Unavailable("The codecs are closed")
                if self._bytes and self._bytes + size > self._settings.memory_bytes:
                    self._changed.wait()
                    continue
                while self._idle:
                    worker = self._idle.pop()
                    if worker.process.poll() is None:
                        self._bytes += size
                        return worker
                    worker.end()
                    self._count -= 1
                if self._count < self._settings.processes:
                    self._count += 1
                    self._bytes += size
                    break
                self._changed.wait()
        try:
            return _Worker(self._settings)
        except OSError as error:
            with self._changed:
                self._count -= 1
                self._bytes -= size
                self._changed.notify_all()
            raise Unavailable("No process can be started for a codec") from error

    def _give_back(self, worker: _Worker, is_alive: bool, size: int) -> None:
        with self._changed:
            self._bytes -= size
            if is_alive and not self._is_closed:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
                self._arm_reaper()
                self._changed.notify_all()  # those who wait do not all wait for the same
                return
            self._count -= 1
            self._changed.notify_all()
        worker.end()

    def _arm_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = threading.Timer(self._settings.idle_s, self._reap)
            self._reaper.daemon = True
            self._reaper.start()

    def _reap(self) -> None:
        """End what has been idle long enough; look again later if anything is left."""
        with self._changed:
            self._reaper = None
            now = time.monotonic()
            tired = [worker for worker in self._idle if now - worker.idle_since >= self._settings.idle_s]
            self._idle = [worker for worker in self._idle if worker not in tired]
            self._count -= len(tired)
            if self._count and not self._is_closed:
                self._arm_reaper()
        for worker in tired:
            worker.end()


class _NotTaken(Exception):
    """The process was gone before it had the task."""


class _Worker:
    """One process and the socket to it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.idle_since = 0.0
        self.process: subprocess.Popen[bytes]
        self.channel, theirs = socket.socketpair()
        with theirs:
            for end in (self.channel, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            environment["OPENBLAS_NUM_THREADS"] = "1"
            limits = {"address_space_bytes": settings.address_space_bytes, "task_cpu_s": settings.task_cpu_s}
            self.process = subprocess.Popen(
                [sys.executable, "-m", _PROCESS, orjson.dumps(limits).decode()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )

    def run(
        self, task: Parameters, payload: memoryview | bytes, max_result: int, seconds: float
    ) -> tuple[Parameters, bytearray]:
        """Hand in one task and wait.

        Raises:
            _NotTaken: the process was gone already.
            EOFError, OSError, ValueError: the process is gone, too slow, or does not keep to the protocol.
        """
        self.channel.settimeout(seconds)
        try:
            send_message(self.channel, task, payload)
            receive_exactly(self.channel, len(TAKEN))
        except (EOFError, ConnectionError) as error:
            raise _NotTaken from error
        said_length, result_length = HEAD.unpack(receive_exactly(self.channel, HEAD.size))
        if said_length > MAX_PARAMETERS or result_length > max_result:
            raise ValueError("too much")
        said = orjson.loads(receive_exactly(self.channel, said_length))
        if not isinstance(said, dict):
            raise ValueError("no object")
        return said, receive_exactly(self.channel, result_length)

    def end(self) -> int | None:
        """End the process now; its exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()
