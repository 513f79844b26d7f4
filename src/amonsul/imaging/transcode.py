"""A file in one transfer syntax becomes a file in another, with the attributes that must follow (PS3.5 §8.2, §A.4).

Pixels pass frame by frame and never all at once. Compressed frames wait in a temporary file until the data set can be
written, which says how much they were compressed and where each one begins. Instances without pixels are rewritten
only, and only into a syntax that does not compress. What is lossy becomes a new instance, unless it must not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import IO, Literal, TypeVar

import numpy

from amonsul import mapped
from amonsul.dicom.header import Header
from amonsul.dicom.scanner import inflated
from amonsul.dicom.uids import TransferSyntax, transfer_syntax, transfer_syntaxes
from amonsul.errors import BadFileFormat, InternalError, NotImplementedHere, ParameterOutOfRange
from amonsul.imaging import attributes, encapsulation
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.colour import palette_of, to_rgb
from amonsul.imaging.decode import decode_frame
from amonsul.imaging.derivation import OFFSET_TABLES, describe_samples, set_element, tell_compression
from amonsul.imaging.frames import Frames, has_pixel_data, is_video
from amonsul.imaging.pixel_format import PIXEL_DATA, SampleKind, pixel_data_element
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.rewriting import (
    SOP_INSTANCE_UID,
    Output,
    Sink,
    around_pixels,
    element_head,
    head,
    read_without_pixels,
    sop_instance_uid_of,
    swapped,
)
from amonsul.imaging.syntaxes import WRITABLE, check_writable

_MAX_IN_MEMORY = 16 << 20  # of compressed frames, before they go to a temporary file
_MAX_NATIVE_BYTES = 0xFFFFFFFE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TranscodeOptions:
    """How to transcode.

    Attributes:
        quality: 1 to 100, of the lossy ones.
        keeps_sop_instance_uid: even if something is lost.
        threads: that wait for codecs at once, if there are several frames.
    """

    quality: int = 90
    keeps_sop_instance_uid: bool = False
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Transcoded:
    """What was written.

    Attributes:
        transfer_syntax_uid: of the file written; that of the source if nothing was to be done.
        is_changed: False if the source was copied byte by byte.
        is_lossy: something was lost now.
    """

    transfer_syntax_uid: str
    sop_instance_uid: str
    is_changed: bool
    is_lossy: bool


def can_write(transfer_syntax_uid: str) -> bool:
    """Whether files can be written in a transfer syntax at all, whatever their pixels."""
    syntax = transfer_syntaxes().get(transfer_syntax_uid)
    return transfer_syntax_uid in WRITABLE or (syntax is not None and not syntax.is_encapsulated)


def transcode(
    data: memoryview | bytes,
    header: Header,
    transfer_syntax_uid: str,
    sink: Sink,
    codecs: Codecs,
    options: TranscodeOptions = TranscodeOptions(),
) -> Transcoded:
    """Write a file in another transfer syntax.

    An instance without pixels is copied if the syntax is one that compresses.

    Args:
        data: the whole file.
        header: of this file.
        transfer_syntax_uid: to write in.
        sink: may have got a part of the file when an error is raised.
        codecs: for the frames.
        options: how.

    Raises:
        ParameterOutOfRange: no such transfer syntax, or a nonsensical quality.
        NotImplementedHere: these pixels cannot be read, or not be written so.
        BadFileFormat: the file is broken.
    """
    target = transfer_syntaxes().get(transfer_syntax_uid)
    if target is None and transfer_syntax_uid not in WRITABLE:
        raise ParameterOutOfRange(f"Unknown transfer syntax: {transfer_syntax_uid}")
    if not 1 <= options.quality <= 100:
        raise ParameterOutOfRange(f"Bad quality, must be between 1 and 100: {options.quality}")
    target = target or transfer_syntax(transfer_syntax_uid)
    source = transfer_syntax(header.transfer_syntax_uid)
    has_pixels = has_pixel_data(header.data_set)
    if source.uid == target.uid or (not has_pixels and target.is_encapsulated):
        for piece in mapped.pieces(memoryview(data)):
            sink.write(bytes(piece))
        return Transcoded(source.uid, attributes.text(header.data_set, SOP_INSTANCE_UID), False, False)
    if has_pixels and is_video(source.uid):
        raise NotImplementedHere("A video cannot be transcoded")
    if not can_write(target.uid):
        raise NotImplementedHere(f"Pixels cannot be written in transfer syntax {target.uid}")
    if not has_pixels:
        return _without_pixels(data, header, source, target, sink)
    work = _Work(Frames(data, header), header, target, codecs, options)
    return work.encapsulated(sink) if target.is_encapsulated else work.native(sink)


def transcode_bytes(
    data: memoryview | bytes,
    header: Header,
    transfer_syntax_uid: str,
    codecs: Codecs,
    options: TranscodeOptions = TranscodeOptions(),
) -> tuple[bytes, Transcoded]:
    """As `transcode`, in memory: for instances that are known to be small."""
    sink = BytesIO()
    transcoded = transcode(data, header, transfer_syntax_uid, sink, codecs, options)
    return sink.getvalue(), transcoded


def _without_pixels(
    data: memoryview | bytes, header: Header, source: TransferSyntax, target: TransferSyntax, sink: Sink
) -> Transcoded:
    plain = inflated(data) if source.is_deflated else None
    data_set = read_without_pixels(memoryview(data) if plain is None else plain, header, source, target)
    before, after = around_pixels(data_set, target)
    with Output(sink, target.is_deflated) as output:
        output.plain(head(header, data_set, target))
        for part in (*before, *after):
            output.write(part)
    return Transcoded(target.uid, sop_instance_uid_of(data_set), True, False)


class _Work:
    """One image on its way."""

    def __init__(
        self, frames: Frames, header: Header, target: TransferSyntax, codecs: Codecs, options: TranscodeOptions
    ) -> None:
        self._frames, self._header, self._target = frames, header, target
        self._codecs, self._options = codecs, options
        self._data_set = read_without_pixels(frames.data, header, frames.syntax, target)

    # --- uncompressed

    def native(self, sink: Sink) -> Transcoded:
        if self._frames.syntax.is_encapsulated:
            first = self._decoded(0)
            bits_allocated = 1 if first.is_packed else first.samples.dtype.itemsize * 8
            describe_samples(self._data_set, first, first.photometric_interpretation, bits_allocated)
            length, chunks, vr = self._decoded_chunks(first)
        else:
            length, chunks, vr = self._native_chunks()
        if length > _MAX_NATIVE_BYTES:
            raise NotImplementedHere(f"{length} bytes of pixels do not fit into an uncompressed file")
        before, after = around_pixels(self._data_set, self._target)
        with Output(sink, self._target.is_deflated) as output:
            output.plain(head(self._header, self._data_set, self._target))
            for part in before:
                output.write(part)
            output.write(element_head(self._target, self._pixel_data()[0], vr, encapsulation.padded(length)))
            written = 0
            for chunk in chunks:
                written += len(chunk)
                output.write(chunk)
            if written != length:
                raise BadFileFormat(f"Frames have {written} bytes, should have {length}")
            output.write(b"\0" * (length & 1))
            for part in after:
                output.write(part)
        return Transcoded(self._target.uid, sop_instance_uid_of(self._data_set), True, False)

    def _pixel_data(self) -> tuple[int, memoryview]:
        """Tag and value."""
        found = pixel_data_element(self._header.data_set)
        if found is None:
            raise InternalError("pixel data came and went")
        return found[0], self._frames.data_of(found[1])

    def _native_chunks(self) -> tuple[int, Iterator[memoryview | bytes], str]:
        """Native to native: the bytes as they are, or swapped."""
        tag, value = self._pixel_data()
        pixel_format = self._frames.format
        vr = {SampleKind.FLOAT: "OF", SampleKind.DOUBLE: "OD"}.get(pixel_format.sample_kind, "OW")
        if tag == PIXEL_DATA and self._header.pixel_data_vr == "OB":
            vr = "OB"
        word_bytes = 1
        if self._frames.syntax.is_big_endian != self._target.is_big_endian:
            # words of the VR are what is swapped (PS3.5 §7.3), or the samples if they are longer
            word_bytes = max({"OB": 1, "OW": 2, "OF": 4, "OD": 8}[vr], pixel_format.bits_allocated // 8)
        return len(value), (swapped(piece, word_bytes) for piece in mapped.pieces(value)), vr  # unused if implicit

    def _decoded_chunks(self, first: Pixels) -> tuple[int, Iterator[memoryview | bytes], str]:
        """Encapsulated to native."""
        count = self._frames.count

        def decoded(frame: int) -> Pixels:
            pixels = first if frame == 0 else self._like(first, self._decoded(frame))
            self._frames.forget(frame)
            return pixels

        frames = self._in_order(decoded, count)
        if first.is_packed:
            return (first.samples.size * count + 7) // 8, _packed(frames), "OB"
        order: Literal["<", ">"] = ">" if self._target.is_big_endian else "<"
        # bytes in words would have to be swapped, too
        vr = "OB" if self._target.is_big_endian and first.samples.dtype.itemsize == 1 else "OW"
        chunks = (
            pixels.samples.astype(pixels.samples.dtype.newbyteorder(order), copy=False).tobytes() for pixels in frames
        )
        return first.samples.nbytes * count, chunks, vr

    # --- compressed

    def encapsulated(self, sink: Sink) -> Transcoded:
        if self._frames.format.sample_kind is not SampleKind.INTEGER:
            raise NotImplementedHere("Floating point pixels cannot be compressed")
        uid, quality = self._target.uid, self._options.quality
        first = self._fit(self._decoded(0))
        is_signed = first.samples.dtype.kind == "i"
        bits_allocated = 1 if first.is_packed else first.samples.dtype.itemsize * 8
        writable = check_writable(uid, first.photometric_interpretation, bits_allocated, first.bits, is_signed)
        if writable.is_narrow and not is_signed and first.bits <= 8:
            bits_allocated = 8

        def encoded(frame: int) -> bytes:
            pixels = first if frame == 0 else self._like(first, self._fit(self._decoded(frame)))
            result = self._codecs.encode(uid, pixels, quality)
            self._frames.forget(frame)
            return result

        with tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY) as waiting:
            lengths = []
            for frame in self._in_order(encoded, self._frames.count):
                lengths.append(len(frame))
                waiting.write(frame + b"\0" * (len(frame) & 1))
            stored_bytes = max(1, self._frames.format.bits_allocated // 8)
            ratio = first.samples.size * stored_bytes * len(lengths) / sum(map(encapsulation.padded, lengths))
            is_new = not self._options.keeps_sop_instance_uid
            described = replace(first, bits=writable.bits_stored(first.bits))
            stored_as = writable.stored_as(first.photometric_interpretation)
            describe_samples(self._data_set, described, stored_as, bits_allocated)
            tell_compression(self._data_set, uid, writable, first.bits, ratio, quality, is_new)
            if encapsulation.needs_extended_offset_table(lengths):
                tables = encapsulation.extended_offset_table(lengths)
                for tag, table in zip(OFFSET_TABLES, tables, strict=True):
                    set_element(self._data_set, tag, "OV", table)
            self._write(sink, lengths, waiting)
        return Transcoded(uid, sop_instance_uid_of(self._data_set), True, writable.is_lossy)

    def _write(self, sink: Sink, lengths: list[int], waiting: IO[bytes]) -> None:
        before, after = around_pixels(self._data_set, self._target)
        sink.write(head(self._header, self._data_set, self._target))
        for part in before:
            sink.write(part)
        sink.write(element_head(self._target, PIXEL_DATA, "OB", 0xFFFFFFFF))
        sink.write(encapsulation.basic_offset_table(lengths))
        waiting.seek(0)
        for length in lengths:
            sink.write(encapsulation.item_head(encapsulation.padded(length)))
            _copy(waiting, sink, encapsulation.padded(length))
        sink.write(encapsulation.SEQUENCE_DELIMITATION)
        for part in after:
            sink.write(part)

    # --- frames

    def _decoded(self, frame: int) -> Pixels:
        return decode_frame(self._frames, frame, self._codecs)

    def _fit(self, pixels: Pixels) -> Pixels:
        """As the transfer syntax takes it: what is lossy would turn an index into another colour."""
        writable = WRITABLE[self._target.uid]
        if pixels.photometric_interpretation in writable.takes or not writable.is_lossy:
            return pixels
        if pixels.photometric_interpretation in ("PALETTE COLOR", "YBR_FULL", "YBR_PARTIAL", "YBR_PARTIAL_420"):
            return Pixels(to_rgb(pixels, palette_of(self._frames)), "RGB", 8)
        return pixels

    def _like(self, first: Pixels, pixels: Pixels) -> Pixels:
        if (pixels.samples.dtype, pixels.samples.shape, pixels.photometric_interpretation) != (
            first.samples.dtype,
            first.samples.shape,
            first.photometric_interpretation,
        ):
            raise BadFileFormat("Frames differ in their samples")
        return pixels

    def _in_order(self, make: Callable[[int], T], count: int) -> Iterator[T]:
        """All frames one after the other, the next ones already being worked at."""
        threads = min(self._options.threads, count)
        if threads <= 1:
            yield from map(make, range(count))
            return
        with ThreadPoolExecutor(threads, "transcode") as executor:
            ahead: list[Future[T]] = []
            for frame in range(count):
                ahead.append(executor.submit(make, frame))
                if len(ahead) > threads:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()


def _packed(frames: Iterator[Pixels]) -> Iterator[bytes]:
    """Eight samples in a byte, frames without gap between them (PS3.5 §8.1.1)."""
    left = numpy.empty(0, numpy.uint8)
    for pixels in frames:
        bits = numpy.concatenate((left, pixels.samples.reshape(-1)))
        whole = len(bits) - len(bits) % 8
        yield numpy.packbits(bits[:whole], bitorder="little").tobytes()
        left = bits[whole:]
    if len(left):
        yield numpy.packbits(left, bitorder="little").tobytes()


def _copy(source: IO[bytes], sink: Sink, length: int) -> None:
    while length > 0:
        piece = source.read(min(length, 1 << 20))
        if not piece:
            raise BadFileFormat("The temporary file of compressed frames is cut off")
        sink.write(piece)
        length -= len(piece)
