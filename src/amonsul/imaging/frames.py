"""Finding the frames of a file without decoding them (PS3.5 §8.1.1, §8.2, §A.4).

A file comes in as one view (memory or mmap) with its header; a frame goes out as a part of that view where it lies in
one piece, as bytes where it must be put together. Native pixel data is arithmetic; encapsulated pixel data is found by
the Extended or the Basic Offset Table, or else by walking the fragments and looking how codestreams begin and end.
Tables are hints: one that does not fit the items is passed over. Every number is checked against the bytes present.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace

from amonsul import mapped
from amonsul.dicom.elements import Bulk, DataSet, Tag
from amonsul.dicom.header import Header
from amonsul.dicom.scanner import inflated
from amonsul.dicom.uids import TransferSyntax, transfer_syntax
from amonsul.errors import BadFileFormat, InternalError, ParameterOutOfRange
from amonsul.imaging.pixel_format import PIXEL_DATA, PixelFormat, pixel_data_element, pixel_format
from amonsul.imaging.syntaxes import RLE_LOSSLESS

_MAX_FRAGMENTS = 1 << 22
_MUCH = 64 << 20
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITATION = b"\xfe\xff\xdd\xe0"
_EXTENDED_OFFSET_TABLE = Tag(0x7FE00001)
_VIDEO = "1.2.840.10008.1.2.4.10"  # prefix of all MPEG-2, MPEG-4 and HEVC syntaxes (PS3.5 §10.9 to §10.17)


def is_video(transfer_syntax_uid: str) -> bool:
    """Whether all frames are one stream, which cannot be taken apart (PS3.5 §8.2.5 to §8.2.8)."""
    return transfer_syntax_uid.startswith(_VIDEO) and len(transfer_syntax_uid) > len(_VIDEO)


class Frames:
    """The frames of one file.

    Args:
        data: the whole file, as `header` was read from it; kept as long as this object or a frame of it lives.
        header: what the file says.

    Raises:
        BadRequest: the file has no pixel data.
        BadFileFormat: what it says about its pixels is contradictory, or the pixels are not there.
        NotImplementedHere: it describes pixels that nobody writes.
    """

    __slots__ = ("_data", "_is_word_swapped", "_offsets", "_pixels", "data_set", "format", "syntax")

    def __init__(self, data: memoryview | bytes, header: Header) -> None:
        self.format: PixelFormat = pixel_format(header.data_set)
        self.syntax: TransferSyntax = transfer_syntax(header.transfer_syntax_uid)
        found = pixel_data_element(header.data_set)
        if found is None:
            raise InternalError("pixel data came and went")
        tag, bulk = found
        if self.syntax.is_deflated:
            data = inflated(data) or data
        self._data = memoryview(data)
        self.data_set: DataSet = header.data_set
        self._pixels = self._part(bulk)
        self._offsets: Sequence[int] | None = None
        # 8-bit samples in 16-bit words: the first sample is the low byte of the word (PS3.5 §8.1.2)
        self._is_word_swapped = (
            self.syntax.is_big_endian
            and tag == PIXEL_DATA
            and self.format.bits_allocated <= 8
            and header.pixel_data_vr == "OW"
        )
        if not self.syntax.is_encapsulated:
            self._check_native()
        elif tag != PIXEL_DATA:
            raise BadFileFormat("Floating point pixel data cannot be encapsulated (PS3.3 C.7.6.24)")

    @property
    def count(self) -> int:
        """How many frames there are; 1 for a video.

        Raises:
            BadFileFormat: fewer are there than the file says.
        """
        if not self.syntax.is_encapsulated:
            return self.format.number_of_frames
        if is_video(self.syntax.uid):
            return 1
        self._locate()
        return self.format.number_of_frames

    def frame_bytes(self, frame: int) -> memoryview | bytes:
        """One frame as it is written; `frame` counts from 0.

        Native frames that do not begin on a byte boundary are shifted so that they do; unused bits at the end are 0.
        8-bit samples in big endian words come in the order of the samples.

        Raises:
            ParameterOutOfRange: there is no such frame.
            BadFileFormat: the frame is not where it should be.
        """
        if not 0 <= frame < (1 if is_video(self.syntax.uid) else self.format.number_of_frames):
            raise ParameterOutOfRange(f"There is no frame {frame}")
        if self.syntax.is_encapsulated:
            return self._encapsulated(frame)
        return self._native(frame)

    def forget(self, frame: int) -> None:
        """Let the memory of a frame go that is done with, if the file is mapped."""
        if self.syntax.is_encapsulated:
            frames = self._locate()
            end = frames[frame + 1] if frame + 1 < len(frames) else len(self._pixels)
            mapped.forget(self._pixels[frames[frame] : end])
            return
        bits = self.format.native_frame_bits
        mapped.forget(self._pixels[frame * bits // 8 : (frame * bits + bits + 7) // 8])

    @property
    def data(self) -> memoryview:
        """What offsets of the header refer to: the file, with its data set inflated if it was deflated."""
        return self._data

    def data_of(self, bulk: Bulk) -> memoryview:
        """Any value that the header left in the file, e.g. a lookup table.

        Raises:
            BadFileFormat: it is not inside the file.
        """
        return self._part(bulk)

    def _part(self, bulk: Bulk) -> memoryview:
        if bulk.offset < 0 or bulk.length < 0 or bulk.offset + bulk.length > len(self._data):
            raise BadFileFormat("A value ends behind the end of the file")
        return self._data[bulk.offset : bulk.offset + bulk.length]

    # --- native pixel data

    def _check_native(self) -> None:
        present = len(self._pixels) * 8
        if self.format.is_subsampled:
            whole = replace(self.format, photometric_interpretation=self.format.photometric_interpretation[:-4])
            if present >= whole.native_frame_bits * whole.number_of_frames:
                self.format = whole  # says that it shares chrominance, and does not
        claimed = self.format.native_frame_bits * self.format.number_of_frames
        if claimed > present:
            raise BadFileFormat(f"Pixel data has {present // 8} bytes, should have {(claimed + 7) // 8}")

    def _native(self, frame: int) -> memoryview | bytes:
        bits = self.format.native_frame_bits
        first, last = frame * bits, frame * bits + bits
        start, end = first // 8, (last + 7) // 8
        data = self._unswapped(start, end) if self._is_word_swapped else self._pixels[start:end]
        if bits % 8 == 0:
            return data
        packed = (int.from_bytes(data, "little") >> (first % 8)) & ((1 << bits) - 1)
        return packed.to_bytes((bits + 7) // 8, "little")

    def _unswapped(self, start: int, end: int) -> bytes:
        even_start, even_end = start & ~1, min((end + 1) & ~1, len(self._pixels) & ~1)
        words = array("H", bytes(self._pixels[even_start:even_end]))
        words.byteswap()
        return words.tobytes()[start - even_start :][: end - start]

    # --- encapsulated pixel data

    def _encapsulated(self, frame: int) -> memoryview | bytes:
        frames = self._locate()
        start = frames[frame]
        end = frames[frame + 1] if frame + 1 < len(frames) else len(self._pixels)
        found = [self._pixels[begin:stop] for begin, stop in self._fragments(start, end) if stop > begin]
        if not found:
            raise BadFileFormat(f"Frame {frame} has no data")
        return found[0] if len(found) == 1 else b"".join(found)

    def _locate(self) -> Sequence[int]:
        """Where the first item of each frame begins, in `_pixels`."""
        if self._offsets is None:
            self._offsets = self._by_table() or self._by_walking()
            if len(self._pixels) > _MUCH:  # each look at a mapped file brings more of it into memory
                mapped.forget(self._pixels)
        return self._offsets

    def _by_table(self) -> Sequence[int] | None:
        basic, first = self._basic_offset_table()
        count = 1 if is_video(self.syntax.uid) else self.format.number_of_frames
        if count == 1:
            return [first]
        if len(basic) == count * 4:
            relative: Sequence[int] = struct.unpack(f"<{count}I", basic)
        else:
            extended = self.data_set.get(_EXTENDED_OFFSET_TABLE)
            if extended is None or not isinstance(extended.value, Bulk) or extended.value.length != count * 8:
                return None
            relative = struct.unpack(f"<{count}Q", self._part(extended.value))
        previous = -1
        for offset in relative:
            start = first + offset
            if offset <= previous or self._pixels[start : start + 4] != _ITEM:
                return None
            previous = offset
        return None if relative[0] != 0 else [first + offset for offset in relative]

    def _basic_offset_table(self) -> tuple[memoryview, int]:
        for begin, end in self._fragments(0, len(self._pixels)):
            return self._pixels[begin:end], end
        raise BadFileFormat("Encapsulated pixel data has no Basic Offset Table item (PS3.5 A.4)")

    def _by_walking(self) -> Sequence[int]:
        count = self.format.number_of_frames
        _, first = self._basic_offset_table()
        starts = array("Q")
        codestreams, after_end, ended = array("Q"), array("Q"), True
        for begin, end in self._fragments(first, len(self._pixels)):
            if end == begin:
                continue
            if len(starts) == _MAX_FRAGMENTS:
                raise BadFileFormat("Pixel data is in too many fragments")
            starts.append(begin - 8)
            if self._begins_codestream(begin, end):
                codestreams.append(begin - 8)
            if ended:
                after_end.append(begin - 8)
            ended = self._ends_codestream(begin, end)
        for candidate in (starts, codestreams, after_end):
            if len(candidate) == count:
                return candidate
        if len(starts) == len(codestreams) > count:
            return starts  # every fragment is a frame, whatever Number of Frames says
        raise BadFileFormat(f"Pixel data has {len(starts)} fragments, which cannot be told apart into {count} frames")

    def _fragments(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """First and last + 1 byte of the values of the items between two places."""
        while start < end:
            head = self._pixels[start : start + 8]
            if len(head) < 8:
                if not any(head):
                    return  # padding behind the last item
                raise BadFileFormat("An item of the pixel data is cut off")
            if head[:4] == _SEQUENCE_DELIMITATION:
                return
            length = int.from_bytes(head[4:], "little")
            if head[:4] != _ITEM or start + 8 + length > len(self._pixels):
                raise BadFileFormat("An item of the pixel data is broken (PS3.5 A.4)")
            yield start + 8, start + 8 + length
            start += 8 + length
            if length & 1 and bytes(self._pixels[start : start + 1]) == b"\0":
                start += 1  # an odd length that leaves the padding out

    def _begins_codestream(self, begin: int, end: int) -> bool:
        head = bytes(self._pixels[begin : min(begin + 12, end)])
        if self.syntax.uid == RLE_LOSSLESS:
            return len(head) >= 8 and head[0] in range(1, 16) and head[1:8] == b"\0\0\0\x40\0\0\0"
        return head.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x0a"))

    def _ends_codestream(self, begin: int, end: int) -> bool:
        return b"\xff\xd9" in bytes(self._pixels[max(begin, end - 10) : end]).rstrip(b"\0")[-2:]


def frame_count(data: memoryview | bytes, header: Header) -> int:
    """How many frames a file has; 1 if it has no pixel data.

    Raises:
        BadFileFormat: fewer than it says.
    """
    return Frames(data, header).count if has_pixel_data(header.data_set) else 1


def has_pixel_data(data_set: DataSet) -> bool:
    """Whether there are pixels at all."""
    return pixel_data_element(data_set) is not None
