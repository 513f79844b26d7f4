"""Instances for remotes that do not take their transfer syntax: transcoded without loss, through the disk if large."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from amonsul import mapped
from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients.dimse import Outgoing, Transcode
from amonsul.dicom.scanner import scan
from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import NotImplementedHere
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.frames import has_pixel_data
from amonsul.imaging.transcode import TranscodeOptions, can_write, transcode

_PIECE: Final = 256 << 10
_LOSSLESS: Final = frozenset(
    f"1.2.840.10008.1.2.{end}" for end in ("4.57", "4.70", "4.80", "4.90", "4.201", "4.202", "5")
)


def transcoder(spool: Callable[[], Spool], codecs: Codecs) -> Transcode:
    """What `DicomClient` needs to transcode.

    Args:
        spool: makes room for one file.
        codecs: for the frames.
    """

    def run(instance: Outgoing, accepted: Sequence[str]) -> Outgoing:
        target = next((uid for uid in accepted if _is_harmless(uid)), None)
        if target is None:
            raise _impossible(instance, accepted)
        with contextlib.closing(_Source(instance, spool())) as source:
            sink = spool()
            try:
                view = source.view()
                header = scan(view)
                if not has_pixel_data(header.data_set):  # there is nothing to compress
                    target = next((uid for uid in accepted if _is_plain(uid)), None)
                    if target is None:
                        raise _impossible(instance, accepted)
                done = transcode(
                    view, header, target, _Sink(sink), codecs, TranscodeOptions(keeps_sop_instance_uid=True)
                )
            except BaseException:
                sink.discard()
                raise
        return Outgoing(
            instance.sop_class_uid, instance.sop_instance_uid, done.transfer_syntax_uid, _pieces(sink.finish())
        )

    return run


def _is_harmless(uid: str) -> bool:
    return _is_plain(uid) or (can_write(uid) and uid in _LOSSLESS)


def _is_plain(uid: str) -> bool:
    return can_write(uid) and not transfer_syntax(uid).is_encapsulated


def _impossible(instance: Outgoing, accepted: Sequence[str]) -> NotImplementedHere:
    return NotImplementedHere(
        f"Cannot transcode instance of SOPClassUID {instance.sop_class_uid} from "
        f"{instance.transfer_syntax_uid} to one of [ {' '.join(accepted)} ]"
    )


class _Source:
    """A whole file."""

    def __init__(self, instance: Outgoing, spool: Spool) -> None:
        try:
            for piece in instance.file():
                spool.write(piece)
        except BaseException:
            spool.discard()
            raise
        self._spooled = spool.finish()

    def view(self) -> memoryview:
        return self._spooled.view()

    def close(self) -> None:
        self._spooled.discard()


class _Sink:
    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def write(self, data: bytes, /) -> None:
        self._spool.write(data)


def _pieces(spooled: Spooled) -> Callable[[], Iterator[memoryview]]:
    """A file that is read once, and gone then."""

    def read() -> Iterator[memoryview]:
        try:
            yield from mapped.pieces(spooled.view(), _PIECE)
        finally:
            spooled.discard()

    return read
