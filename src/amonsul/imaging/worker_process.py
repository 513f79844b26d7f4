"""The inside of a worker: a process that decodes and encodes frames and can do nothing else.

It reads a task from the socket that is its standard input, answers, and ends when the other side closes. Before the
first task it gives up what a codec gone wrong could use: no more memory than allowed, no file or socket can be opened,
nothing can be written, started or traced, and each task has its share of CPU time. Codecs are loaded before that.

Messages are those of `worker_protocol`.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import signal
import socket
import struct
import sys

import numpy
import orjson

from amonsul.errors import AmonsulError, InternalError
from amonsul.imaging import decoders, encoders
from amonsul.imaging.pixel_format import PixelFormat, SampleKind
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.syntaxes import WRITABLE
from amonsul.imaging.worker_protocol import HEAD, TAKEN, Parameters, receive_exactly, send_message


def main() -> None:
    """Serve tasks until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = orjson.loads(sys.argv[1])
    channel = socket.socket(fileno=0)
    _warm_up()
    _confine(settings["address_space_bytes"])
    try:
        while True:
            lengths = HEAD.unpack(receive_exactly(channel, HEAD.size))
            parameters = orjson.loads(receive_exactly(channel, lengths[0]))
            payload = receive_exactly(channel, lengths[1])
            channel.sendall(TAKEN)
            _allow_cpu(settings["task_cpu_s"])
            send_message(channel, *_answer(parameters, payload))
    except (EOFError, ConnectionError):
        pass


def _answer(parameters: Parameters, payload: bytearray) -> tuple[Parameters, bytes | memoryview]:
    try:
        if parameters["task"] == "decode":
            pixel_format = parameters["format"]
            pixel_format["sample_kind"] = SampleKind(pixel_format["sample_kind"])
            pixels = decoders.decode(parameters["syntax"], memoryview(payload), PixelFormat(**pixel_format))
            samples = numpy.ascontiguousarray(pixels.samples)
            return {"photometric_interpretation": pixels.photometric_interpretation}, samples.view(
                numpy.uint8
            ).data.cast("B")
        samples = numpy.frombuffer(payload, parameters["type"]).reshape(parameters["shape"])
        pixels = Pixels(samples, parameters["photometric_interpretation"], parameters["bits"], parameters["is_packed"])
        return {}, encoders.encode(parameters["syntax"], pixels, parameters["quality"])
    except AmonsulError as error:
        return {"error": type(error).__name__, "details": error.details[:500]}, b""
    except Exception as error:  # the edge of this process: whatever it is, the next task must find a worker
        return {"error": InternalError.__name__, "details": f"{type(error).__name__} {str(error)[:400]}"}, b""


def _warm_up() -> None:
    """Load every codec: afterwards no library can be opened any more."""
    grey, colour = numpy.zeros((16, 16), numpy.uint16), numpy.zeros((16, 16, 3), numpy.uint8)
    for transfer_syntax_uid, writable in WRITABLE.items():
        for samples, name, bits in ((grey, "MONOCHROME2", 12), (colour, "RGB", 8)):
            try:
                frame = encoders.encode(transfer_syntax_uid, Pixels(samples, name, bits), 90)
                shape = (*samples.shape, 1)
                stored = writable.stored_as(name)
                pixel_format = PixelFormat(
                    shape[0], shape[1], shape[2], stored, samples.itemsize * 8, bits, bits - 1, False
                )
                decoders.decode(transfer_syntax_uid, frame, pixel_format)
            except AmonsulError:
                continue


def _allow_cpu(seconds: int) -> None:
    """From now on, so many seconds; SIGXCPU ends the process when they are over."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _confine(address_space_bytes: int) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NOFILE: 0}
    if address_space_bytes:
        limits[resource.RLIMIT_AS] = address_space_bytes
    for limit, value in limits.items():
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):
            continue  # not on this system; the others still hold
    _filter_system_calls()


# System calls that codecs and this module need: memory, time, the channel, the end. By name in asm/unistd.h.
_ALLOWED_CALLS = {
    "x86_64": (
        0xC000003E,
        (
            # read write poll mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn sched_yield mremap
            *(0, 1, 7, 9, 10, 11, 12, 13, 14, 15, 24, 25),
            # madvise sendto recvfrom exit getrusage gettimeofday getrlimit setrlimit sigaltstack futex clock_gettime
            *(28, 44, 45, 60, 98, 96, 97, 160, 131, 202, 228),
            # exit_group tgkill (of itself, by abort) prlimit64 getrandom getpid gettid
            *(231, 234, 302, 318, 39, 186),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            # read write ppoll mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn sched_yield mremap
            *(63, 64, 73, 222, 226, 215, 214, 134, 135, 139, 124, 216),
            # madvise sendto recvfrom exit getrusage gettimeofday getrlimit setrlimit sigaltstack futex clock_gettime
            *(233, 206, 207, 93, 165, 169, 163, 164, 132, 98, 113),
            # exit_group tgkill (of itself, by abort) prlimit64 getrandom getpid gettid
            *(94, 131, 261, 278, 172, 178),
        ),
    ),
}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # of classic BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM


def _filter_system_calls() -> None:
    """Where Linux lets us: every other system call fails, so that not even the server can be traced or signalled."""
    found = _ALLOWED_CALLS.get(platform.machine())
    if not sys.platform.startswith("linux") or found is None:
        return
    architecture, calls = found
    program = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    program += [(_JUMP_IF_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)]
    program += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    filters = _Program(len(program), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filters), 0, 0)


if __name__ == "__main__":
    main()
