"""From bytes to a header (PS3.5 §7, PS3.10 §7), with every claim of the bytes checked against the bytes.

The whole file comes in as a view (memory or mmap), values go out decoded; pixel data is walked, never copied. All
transfer syntaxes, files without preamble or without meta header, defined and undefined lengths, nested sequences
without recursion. Whatever cannot be read to its end is BadFileFormat, nothing else ever escapes.

The loops in `_Walk` are what every stored instance goes through, so they trade beauty for speed: the six bytes of tag
and VR are one key of a table that says what to do, and whatever is not an ordinary element is a slow path.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeAlias

from amonsul import mapped
from amonsul.dicom import charsets, uids, vrs
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag
from amonsul.dicom.header import Header
from amonsul.errors import BadFileFormat

Scanned = Header


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How far the scanner goes.

    Attributes:
        max_depth: levels of nested sequences; one more is BadFileFormat.
        max_elements: data elements, items and delimiters in the whole file; one more is BadFileFormat.
        max_kept_elements: of these, to keep. A sequence at the top that goes beyond becomes a Bulk; other elements at
            the top beyond it are BadFileFormat.
        max_value_bytes: a longer text or list of numbers becomes a Bulk.
        max_kept_bytes: once so many bytes are in values of more than 256 bytes, further ones become Bulks.
        max_inflated_bytes: of a deflated data set; one more is BadFileFormat.
    """

    max_depth: int = 64
    max_elements: int = 10_000_000
    max_kept_elements: int = 200_000
    max_value_bytes: int = 64 << 10
    max_kept_bytes: int = 4 << 20
    max_inflated_bytes: int = 512 << 20


DEFAULT_LIMITS = ScanLimits()


def scan(
    data: memoryview | bytes,
    limits: ScanLimits = DEFAULT_LIMITS,
    default_charset: str = "ISO_IR 100",
    dictionary: Dictionary = STANDARD,
) -> Scanned:
    """Read a DICOM file (PS3.10 §7.1), or one without preamble or meta header.

    Args:
        data: the whole file; a view on it may be dropped as soon as this returns.
        limits: what is refused.
        default_charset: a defined term (PS3.3 §C.12.1.1.2) for data sets without usable Specific Character Set.
        dictionary: VRs for implicit transfer syntaxes.

    Raises:
        BadFileFormat: not DICOM, truncated, contradictory or beyond a limit.
    """
    size = len(data)
    if size == 0:
        raise BadFileFormat("Received an empty DICOM file")
    try:
        return _scan(data, limits, default_charset, dictionary)
    except _BeyondLimit as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file (size: {size} bytes): {error}") from error
    except (_Malformed, struct.error) as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file (size: {size} bytes)") from error


def scan_data_set(
    data: memoryview | bytes,
    transfer_syntax_uid: str,
    limits: ScanLimits = DEFAULT_LIMITS,
    default_charset: str = "ISO_IR 100",
    dictionary: Dictionary = STANDARD,
) -> DataSet:
    """Read a naked data set, e.g. the identifier of a C-FIND.

    Raises:
        BadFileFormat: as `scan`.
    """
    syntax = uids.transfer_syntax(transfer_syntax_uid)
    try:
        whole = _inflate(memoryview(data), 0, limits.max_inflated_bytes) if syntax.is_deflated else data
        walk = _Walk(whole, limits, default_charset, dictionary)
        return walk.data_set(0, len(whole), syntax.is_implicit, syntax.is_big_endian)
    except (_Malformed, struct.error) as error:
        reason = f": {error}" if isinstance(error, _BeyondLimit) else ""
        raise BadFileFormat(f"Cannot parse an invalid DICOM data set (size: {len(data)} bytes){reason}") from error


class Located(NamedTuple):
    """A file with the places of all its values, none decoded."""

    whole: memoryview
    """The file, inflated if it is deflated: what the places refer to."""
    data_set: DataSet
    """Sequences are lists of data sets, all other values are Bulks."""
    is_big_endian: bool


def locate(data: memoryview | bytes, limits: ScanLimits = DEFAULT_LIMITS, dictionary: Dictionary = STANDARD) -> Located:
    """Find where the values of a file are.

    Raises:
        BadFileFormat: as `scan`.
    """
    try:
        start, file_meta = _read_meta(data, limits, dictionary)
        whole, _, is_implicit, is_big_endian = _prepare(data, start, file_meta, limits)
        walk = _Walk(whole, limits, "", dictionary, keeps_values=False)
        return Located(memoryview(whole), walk.data_set(start, len(whole), is_implicit, is_big_endian), is_big_endian)
    except (_Malformed, struct.error) as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file (size: {len(data)} bytes)") from error


def inflated(data: memoryview | bytes, limits: ScanLimits = DEFAULT_LIMITS) -> memoryview | None:
    """The bytes that offsets in the header of a deflated file refer to: the meta header, then the data set inflated.

    None if the file is not deflated: then offsets refer to the file itself.

    Raises:
        BadFileFormat: as `scan`.
    """
    try:
        start, file_meta = _read_meta(data, limits, STANDARD)
        if not uids.transfer_syntax(_transfer_syntax_uid(file_meta)).is_deflated:
            return None
        return memoryview(_inflate(memoryview(data), start, limits.max_inflated_bytes))
    except (_Malformed, struct.error) as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file (size: {len(data)} bytes)") from error


class _Malformed(ValueError):
    """The bytes are not what they should be."""


class _BeyondLimit(_Malformed):
    """The bytes may be right, but they are too much."""


def _scan(data: memoryview | bytes, limits: ScanLimits, default_charset: str, dictionary: Dictionary) -> Header:
    start, file_meta = _read_meta(data, limits, dictionary)
    whole, uid, is_implicit, is_big_endian = _prepare(data, start, file_meta, limits)
    walk = _Walk(whole, limits, default_charset, dictionary)
    data_set = walk.data_set(start, len(whole), is_implicit, is_big_endian)
    data_set.pop(_DATA_SET_TRAILING_PADDING, None)
    return Header(uid, file_meta, data_set, walk.pixel_data_offset, walk.pixel_data_vr)


def _prepare(
    data: memoryview | bytes, start: int, file_meta: DataSet, limits: ScanLimits
) -> tuple[memoryview | bytes | bytearray, str, bool, bool]:
    """The file, inflated if need be, its transfer syntax, and whether that is implicit and big endian.

    Of the VRs, the first data element is believed before the meta header.
    """
    uid = _transfer_syntax_uid(file_meta)
    syntax = uids.transfer_syntax(uid)
    whole = _inflate(memoryview(data), start, limits.max_inflated_bytes) if syntax.is_deflated else data
    guess = _guess_encoding(memoryview(whole), start)
    if uid:
        is_implicit = syntax.is_implicit if guess is None else guess[0]
        return whole, uid, is_implicit, syntax.is_big_endian and not is_implicit
    if guess is None:
        raise _Malformed("neither a transfer syntax nor a data element to guess it from")
    return whole, _GUESSED_UIDS[guess], *guess


_GUESSED_UIDS = {
    (True, False): uids.IMPLICIT_VR_LITTLE_ENDIAN,
    (False, False): uids.EXPLICIT_VR_LITTLE_ENDIAN,
    (False, True): uids.EXPLICIT_VR_BIG_ENDIAN,
}


def _transfer_syntax_uid(file_meta: DataSet) -> str:
    element = file_meta.get(Tag(0x00020010))
    return element.value.strip(" \0") if element is not None and isinstance(element.value, str) else ""


def _read_meta(data: memoryview | bytes, limits: ScanLimits, dictionary: Dictionary) -> tuple[int, DataSet]:
    """Where the data set starts, and the meta header (PS3.10 §7.1).

    The group length is not believed: the header ends where group 0002 does.
    """
    view = memoryview(data)
    start = 132 if bytes(view[128:132]) == b"DICM" else 0
    end, size = start, len(view)
    is_implicit = False
    while end + 8 <= size and view[end] == 2 and view[end + 1] == 0:
        vr, length = str(view[end + 4 : end + 6], "latin-1"), _SHORT_LE(view, end + 6)[0]
        if vr not in vrs.ALL:
            is_implicit = True
            end += 8 + _LONG_LE(view, end + 4)[0]
        elif vr in vrs.LONG_LENGTH:
            end += 12 + _LONG_LE(view, end + 8)[0]
        else:
            end += 8 + length
        if end - start > _MAX_META:
            raise _BeyondLimit(f"the meta header is longer than {_MAX_META} bytes")
    if end > size:
        raise _Malformed("the meta header is truncated")
    if end == start:
        return start, {}
    walk = _Walk(data, limits, "ISO_IR 100", dictionary)
    file_meta = walk.data_set(start, end, is_implicit, is_big_endian=False)
    file_meta.pop(_FILE_META_INFORMATION_VERSION, None)
    return end, file_meta


def _guess_encoding(view: memoryview, pos: int) -> tuple[bool, bool] | None:
    """Whether an element at `pos` is implicit and big endian; None if it is no element that a data set starts with."""
    if pos + 8 > len(view):
        return None
    has_vr = str(view[pos + 4 : pos + 6], "latin-1") in vrs.ALL
    little, big = _SHORT_LE(view, pos)[0], _SHORT_BE(view, pos)[0]
    if has_vr:
        return (False, False) if 2 <= little <= 0x7FE0 and (little <= big or big == 0) else (False, True)
    if 2 <= little <= 0x00FF and pos + 8 + _LONG_LE(view, pos + 4)[0] <= len(view):
        return (True, False)
    return None


def _inflate(view: memoryview, start: int, max_bytes: int) -> bytes | bytearray:
    """The bytes before `start`, then those after it inflated (PS3.5 §A.5), counted as they come out."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray(view[:start])
    limit = start + max_bytes
    try:
        for pos in range(start, len(view), _CHUNK):
            chunk: bytes | memoryview = view[pos : pos + _CHUNK]
            while len(chunk) and not stream.eof:  # what follows the end is padding, and would stay unconsumed
                found += stream.decompress(chunk, _CHUNK)
                if len(found) > limit:
                    raise _BeyondLimit(f"inflates to more than {max_bytes} bytes")
                chunk = stream.unconsumed_tail
            if stream.eof:
                break
    except zlib.error as error:
        raise _Malformed("bad deflated data") from error
    while not stream.eof:
        more = stream.decompress(b"", _CHUNK)
        if not more:
            raise _Malformed("the deflated data is truncated")
        found += more
        if len(found) > limit:
            raise _BeyondLimit(f"inflates to more than {max_bytes} bytes")
    return found


_CHUNK = 1 << 20
_MUCH: Final = 64 << 20

_SHORT_LE = struct.Struct("<H").unpack_from
_SHORT_BE = struct.Struct(">H").unpack_from
_LONG_LE = struct.Struct("<L").unpack_from

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM_DELIMITER: Final = 0xFFFEE00D
_PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = Tag(0x00280103)
# These say nothing: the version is always 1, and the padding is none of the instance's.
_FILE_META_INFORMATION_VERSION: Final = Tag(0x00020001)
_DATA_SET_TRAILING_PADDING: Final = Tag(0xFFFCFFFC)

# What to do with an element, by its VR; the order is that of the comparisons in the loop.
_PLAIN: Final = 0  # text of the default repertoire
_TEXT: Final = 1
_NUMBERS: Final = 2
_SEQUENCE: Final = 3
_BULK: Final = 4
_OTHER: Final = 5  # decided in _Walk._other

_KINDS = {
    **dict.fromkeys(vrs.DEFAULT_REPERTOIRE, _PLAIN),
    **dict.fromkeys(vrs.CHARSET_TEXT, _TEXT),
    **dict.fromkeys(vrs.NUMBERS, _NUMBERS),
    **dict.fromkeys(vrs.BINARY, _BULK),
    "SQ": _SEQUENCE,
    "AT": _OTHER,
    "UN": _OTHER,
}


_What: TypeAlias = "tuple[Tag, str, int, int]"
"""What a key of tag and VR stands for: these, what to do, and the bytes of the header."""

_element: Callable[[tuple[str, object]], Element] = partial(tuple.__new__, Element)
"""`Element._make` without a frame of Python."""

_Frame: TypeAlias = "tuple[dict[Tag, Element], int, bool, list[DataSet], int, charsets.Decoder, Tag, int, int]"
"""What was going on when a sequence began: the data set, its end (or the bound of its item), whether it is in an item
of undefined length, the items and the end of the sequence it is in, its decoder; then the tag of the sequence, where
its value starts, and how many elements had been kept."""


class _Bytes:
    """Slices of a view as bytes, as slices of bytes and of an mmap are."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._view[part])


def _sliceable(view: memoryview) -> bytes | bytearray | mmap.mmap | _Bytes:
    """What is behind a view, if slicing it gives bytes."""
    owner = view.obj
    if isinstance(owner, (bytes, bytearray, mmap.mmap)) and view.nbytes == len(owner) and view.contiguous:
        return owner
    return _Bytes(view)


class _Walk:
    """One pass over a data set."""

    def __init__(
        self,
        data: memoryview | bytes | bytearray,
        limits: ScanLimits,
        default_charset: str,
        dictionary: Dictionary,
        keeps_values: bool = True,
    ) -> None:
        self._view = memoryview(data)
        self._bytes = _sliceable(self._view)
        self._limits = limits
        self._default_charset = default_charset
        self._dictionary = dictionary
        self._keeps_values = keeps_values
        self._kept = self._dropped = self._kept_bytes = 0
        self._something_at = 0
        self.pixel_data_offset: int | None = None
        self.pixel_data_vr: str | None = None

    def data_set(self, pos: int, end: int, is_implicit: bool, is_big_endian: bool) -> dict[Tag, Element]:
        """Read the data set [pos, end)."""
        decoder = charsets.decoder("", self._default_charset)
        return self._run(pos, end, is_implicit, is_big_endian, decoder, ())[0]

    def _run(
        self,
        pos: int,
        end: int,
        is_implicit: bool,
        is_big_endian: bool,
        decoder: charsets.Decoder,
        outer: tuple[DataSet, ...],
        sequence_length: int | None = None,
    ) -> tuple[dict[Tag, Element], int]:
        """Read a data set up to `end`, or the value of a sequence that ends before it.

        Args:
            pos: of the first element or item.
            end: of the data set, or of what the sequence is in.
            is_implicit: whether elements have no VR.
            is_big_endian: order of the bytes.
            decoder: in force outside.
            outer: the data sets that a sequence is in, innermost first.
            sequence_length: of the value of a sequence, which comes back as tag 0.

        Returns:
            The data set and where it ended.
        """
        view, data, limits = self._view, self._bytes, self._limits
        layout = _LAYOUTS[is_implicit, is_big_endian]
        if self._keeps_values:
            keys = _implicit_keys(self._dictionary, is_big_endian) if is_implicit else layout.explicit_keys
        else:
            keys = {}
        unpack_header, unpack_length, numbers = layout.header, layout.length, layout.numbers
        max_depth, first_frame = limits.max_depth, 0
        kept, budget = self._kept, limits.max_kept_elements
        is_dropping = False

        codec = decoder.codec
        plain = _TEXT if codec == "latin-1" else _PLAIN
        data_set: dict[Tag, Element] = {}
        items: list[DataSet] = []
        stack: list[_Frame] = []
        is_open = False
        # Between items `end` is -1, which leads the loop to the slow path; `bound` is what an item must not cross.
        sequence_end, bound = -1, end
        if sequence_length is not None:
            max_depth -= len(outer) - 1
            first_frame = 1  # the data set in the first one is of our making
            if max_depth < 1:
                raise _BeyondLimit(f"sequences are nested more than {limits.max_depth} levels deep")
            data_set[Tag(0)] = Element("SQ", items)
            stack.append((data_set, end, False, [], -1, decoder, Tag(0), pos, kept))
            if sequence_length != _UNDEFINED:
                sequence_end = bound = pos + sequence_length
            end = -1

        while True:
            if pos >= end:
                if end >= 0:  # the end of a data set
                    _settle(data_set)
                    if not stack:
                        break
                    if is_open:
                        raise _Malformed("an item has no delimiter")
                    end = -1
                sequence_stop = pos
                if pos != sequence_end:
                    group, number, length = layout.item(view, pos)
                    pos += 8
                    if pos > bound:
                        raise _Malformed("an item is truncated")
                    if group != 0xFFFE:
                        raise _Malformed("no item where one should be")
                    if number == 0xE000:
                        data_set = {}
                        items.append(data_set)
                        decoder = stack[-1][5]
                        codec = decoder.codec
                        plain = _TEXT if codec == "latin-1" else _PLAIN
                        is_open = length == _UNDEFINED
                        end = bound if is_open else pos + length
                        if end > bound:
                            raise _Malformed("an item is longer than what it is in")
                        kept += 1
                        continue
                    if number != 0xE0DD:
                        raise _Malformed("no item where one should be")
                    if sequence_end >= 0:  # superfluous, but harmless
                        continue
                data_set, end, is_open, items, sequence_end, decoder, tag, start, before = stack.pop()
                codec = decoder.codec
                plain = _TEXT if codec == "latin-1" else _PLAIN
                bound = sequence_end if sequence_end >= 0 else stack[-1][1] if stack else end
                if not stack:
                    if is_dropping:
                        is_dropping = False
                        data_set[tag] = Element("SQ", Bulk(start, sequence_stop - start))
                        self._dropped += kept - before
                        kept, budget = before, limits.max_kept_elements
                    if sequence_length is not None:
                        break
                continue

            kept += 1
            if kept > budget:
                if not stack or kept + self._dropped > limits.max_elements:
                    most = limits.max_elements if stack else budget
                    raise _BeyondLimit(f"more than {most} data elements")
                # Go on to the end of the sequence at the top, of which nothing is kept but its place.
                if not is_dropping:
                    is_dropping = True
                    stack = [(*frame[:3], _Forget(), *frame[4:]) for frame in stack]
                    stack[0][0][stack[0][6]] = Element("SQ", [])
                    items = _Forget()
                data_set.clear()
                budget = kept + limits.max_kept_elements

            try:
                key, length = unpack_header(view, pos)
            except struct.error:
                if not stack and self._is_padding(pos, end):
                    pos = end
                    continue
                raise
            try:
                tag, vr, kind, header_bytes = keys[key]
            except KeyError:
                tag, vr, kind, header_bytes = self._learn(key, keys, is_implicit, is_big_endian)
            start = pos + header_bytes
            if header_bytes == 12:
                length = unpack_length(view, pos + 8)[0]
            stop = start + length
            if stop > end:
                if length != _UNDEFINED:
                    raise _Malformed("an element is longer than what it is in")
                if kind != _SEQUENCE:
                    kind = _OTHER
            elif length > 256 and kind <= _NUMBERS and self._is_too_long(length):
                kind = _BULK

            # Of elements with the same tag the first counts.
            if kind <= plain:
                text = data[start:stop].decode("latin-1").rstrip(" \0")
                if "\0" in text:
                    text = text[: text.index("\0")].rstrip(" ")
                data_set.setdefault(tag, _element((vr, text)))
            elif kind == _TEXT:
                if codec is not None:
                    text = data[start:stop].decode(codec, "replace").rstrip(" \0")
                else:
                    text = decoder.decode(bytes(data[start:stop]), vr == "PN").rstrip(" \0")
                if "\0" in text:
                    text = text[: text.index("\0")].rstrip(" ")
                data_set.setdefault(tag, _element((vr, text)))
            elif kind == _NUMBERS:
                size, unpack_one, many = numbers[vr]
                if length == size:
                    data_set.setdefault(tag, _element((vr, [*unpack_one(view, start)])))
                else:
                    data_set.setdefault(
                        tag, _element((vr, [*struct.unpack_from(many % (length // size), view, start)]))
                    )
            elif kind == _SEQUENCE and (not is_implicit or self._starts_sequence(start, length)):
                if len(stack) >= max_depth:
                    raise _BeyondLimit(f"sequences are nested more than {limits.max_depth} levels deep")
                stack.append((data_set, end, is_open, items, sequence_end, decoder, tag, start, kept))
                items = _Forget() if is_dropping else []
                data_set.setdefault(tag, _element((vr, items)))
                sequence_end, bound = (-1, end) if length == _UNDEFINED else (stop, stop)
                stop, end = start, -1
            elif kind == _BULK:
                data_set.setdefault(tag, Element(vr, Bulk(start, length)))
            elif tag == 0 and not stack and self._is_padding(pos, end):
                stop = end
            elif tag == _ITEM_DELIMITER:
                stop = pos + 8
                if is_open:
                    is_open = False
                    _settle(data_set)
                    end = -1
            else:
                if tag == _SPECIFIC_CHARACTER_SET and self._keeps_values and tag not in data_set and stop <= end:
                    decoder = charsets.decoder(self._text(start, stop), self._default_charset)
                    codec = decoder.codec
                    plain = _TEXT if codec == "latin-1" else _PLAIN
                inside = (data_set, *(frame[0] for frame in reversed(stack[first_frame:])), *outer)
                self._kept = kept
                stop = self._other(tag, vr, pos, start, length, end, inside, decoder, is_implicit, is_big_endian)
                kept = self._kept
            pos = stop
        self._kept = kept
        return data_set, pos

    def _other(
        self,
        tag: Tag,
        vr: str,
        pos: int,
        start: int,
        length: int,
        end: int,
        inside: tuple[DataSet, ...],
        decoder: charsets.Decoder,
        is_implicit: bool,
        is_big_endian: bool,
    ) -> int:
        """Read an element that is not as simple as most; answer where it ends."""
        data_set = inside[0]
        assert isinstance(data_set, dict)
        if tag >> 16 == 0xFFFE:
            raise _Malformed("a delimiter where no item is open")
        if tag in _PIXEL_DATA:
            if length == _UNDEFINED and is_implicit:  # encapsulated pixel data is always OB (PS3.5 §A.4)
                vr = "OB"
            if len(inside) == 1 and self.pixel_data_offset is None:
                self.pixel_data_offset, self.pixel_data_vr = pos, vr
        if length == _UNDEFINED:
            if tag not in _PIXEL_DATA and (vr == "UN" or is_implicit):  # PS3.5 §6.2.2, Note 4
                found, stop = self._run(start, end, True, is_implicit and is_big_endian, decoder, inside, length)
                data_set.setdefault(tag, found[Tag(0)])
                return stop
            if vr not in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
                raise _Malformed(f"an element of VR {vr} has no length")
            stop = self._skip_fragments(start, end, is_big_endian)
            data_set.setdefault(tag, Element(vr, Bulk(start, stop - 8 - start)))
            return stop
        stop = start + length
        if vr == "SQ":  # an implicit one that does not look like it
            data_set.setdefault(tag, Element("UN", Bulk(start, length)))
            return stop
        if vr == "UN":
            vr = self._known_vr(tag, inside)
            is_big_endian = is_implicit and is_big_endian
            if vr == "SQ" or (vr == "UN" and not is_implicit and self._starts_sequence(start, length)):
                data_set.setdefault(tag, self._sequence_or_bulk(start, length, inside, decoder, is_big_endian))
                return stop
        data_set.setdefault(tag, self._value(vr, tag, start, length, decoder, is_big_endian))
        return stop

    def _value(
        self, vr: str, tag: Tag, start: int, length: int, decoder: charsets.Decoder, is_big_endian: bool
    ) -> Element:
        """The element of a VR other than SQ."""
        if (
            vr in vrs.BINARY
            or tag in _PIXEL_DATA
            or not self._keeps_values
            or (length > 256 and self._is_too_long(length))
        ):
            return Element(vr, Bulk(start, length))
        if vr == "AT":
            pairs = struct.unpack_from(f"{'>' if is_big_endian else '<'}{length // 4 * 2}H", self._view, start)
            return Element(vr, "\\".join(f"{g:04x},{e:04x}" for g, e in zip(pairs[::2], pairs[1::2], strict=True)))
        if vr in vrs.NUMBERS:
            size, _, many = _LAYOUTS[True, is_big_endian].numbers[vr]
            return Element(vr, [*struct.unpack_from(many % (length // size), self._view, start)])
        if vr in vrs.CHARSET_TEXT:
            return Element(vr, _trim(decoder.decode(bytes(self._bytes[start : start + length]), vr == "PN")))
        return Element(vr, self._text(start, start + length))

    def _sequence_or_bulk(
        self, start: int, length: int, inside: tuple[DataSet, ...], decoder: charsets.Decoder, is_big_endian: bool
    ) -> Element:
        """What may be a sequence, but then only because a dictionary or its first bytes say so."""
        kept = self._kept
        try:
            found, _ = self._run(start, start + length, True, is_big_endian, decoder, inside, length)
            return found[Tag(0)]
        except _BeyondLimit:
            raise
        except (_Malformed, struct.error):
            self._dropped += self._kept - kept
            self._kept = kept
            return Element("UN", Bulk(start, length))

    def _known_vr(self, tag: Tag, inside: tuple[DataSet, ...]) -> str:
        """The VR that the dictionary gives, where it depends on the data set too (PS3.5 §A.1, PS3.6 §6)."""
        creator = None
        if tag & 0x10000:
            element = inside[0].get(Tag(tag & 0xFFFF0000 | tag >> 8 & 0xFF))
            creator = element.value.strip(" ") if element is not None and isinstance(element.value, str) else None
        entry = self._dictionary.entry(tag, creator)
        if entry is None:
            return "UN"
        if len(entry.vr) == 2:
            return entry.vr
        if "OW" in entry.vr:
            return "OW"
        for data_set in inside:
            representation = data_set.get(_PIXEL_REPRESENTATION)
            if representation is not None:
                return "SS" if representation.value == [1] else "US"
        return "US"

    def _learn(self, key: bytes, keys: dict[bytes, _What], is_implicit: bool, is_big_endian: bool) -> _What:
        """What a new key stands for; remembered, within bounds, since keys come from outside."""
        group, element = struct.unpack_from(">HH" if is_big_endian else "<HH", key)
        tag = Tag(group << 16 | element)
        if is_implicit:
            vr, header_bytes = "UN", 8
            entry = None if tag & 0x10000 and element >> 8 else self._dictionary.entry(tag)
            if entry is not None:
                vr = "OW" if "OW" in entry.vr else entry.vr if len(entry.vr) == 2 else "UN"
        else:
            vr, header_bytes = key[4:].decode("latin-1"), 8
            if group == 0xFFFE:
                vr = ""
            elif vr in vrs.LONG_LENGTH:
                header_bytes = 12
            elif vr not in vrs.ALL:  # PS3.5 §6.2: VRs to come will have four bytes of length
                header_bytes = 12 if vr.isascii() and vr.isalpha() and vr.isupper() else 8
                vr = "UN"
        kind = _KINDS.get(vr, _OTHER)
        if tag in _PIXEL_DATA or tag in (0, _SPECIFIC_CHARACTER_SET):
            kind = _OTHER
        elif not self._keeps_values and kind < _SEQUENCE:
            kind = _BULK
        what = (tag, vr, kind, header_bytes)
        if len(keys) > _MAX_KEYS:
            keys.clear()
        keys[key] = what
        return what

    def _starts_sequence(self, start: int, length: int) -> bool:
        return length in (0, _UNDEFINED) or self._bytes[start : start + 4] in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")

    def _skip_fragments(self, pos: int, end: int, is_big_endian: bool) -> int:
        """Walk an encapsulated value (PS3.5 §A.4); answer where it ends, after its delimiter."""
        view, unpack = self._view, _LAYOUTS[False, is_big_endian].item
        behind = pos
        while pos + 8 <= end:
            if pos - behind > _MUCH:  # each look at a mapped file brings more of it into memory
                mapped.forget(view[behind:pos])
                behind = pos
            group, number, length = unpack(view, pos)
            pos += 8
            if group != 0xFFFE:
                break
            if number == 0xE0DD:
                return pos
            pos += length
            if number != 0xE000 or length == _UNDEFINED:
                break
            if length & 1 and pos < end and view[pos] == 0:
                pos += 1  # an odd length that leaves the padding out; no tag of an item begins with 0
        raise _Malformed("encapsulated data is truncated")

    def _text(self, start: int, stop: int) -> str:
        return _trim(self._bytes[start:stop].decode("latin-1"))

    def _is_too_long(self, length: int) -> bool:
        """Whether a value of more than 256 bytes stays in the file."""
        if length > self._limits.max_value_bytes or self._kept_bytes + length > self._limits.max_kept_bytes:
            return True
        self._kept_bytes += length
        return False

    def _is_padding(self, pos: int, end: int) -> bool:
        """Whether nothing but zeros is left, up to the size of a block of a tape."""
        if end - pos > _MAX_PADDING or pos < self._something_at:
            return False
        rest = self._bytes[pos:end].lstrip(b"\0")
        self._something_at = end - len(rest)
        return not rest


class _Forget(list[DataSet]):
    """A sequence of which the items are not kept."""

    def append(self, item: DataSet, /) -> None:
        """Forget it."""


def _trim(text: str) -> str:
    """Without padding, and without what follows a null, as C programs read it."""
    text = text.rstrip(" \0")
    return text[: text.index("\0")].rstrip(" ") if "\0" in text else text


def _settle(data_set: dict[Tag, Element]) -> None:
    """Put the elements in ascending order, if they are not."""
    tags = [*data_set]
    if tags != (ordered := sorted(tags)):
        in_order = {tag: data_set[tag] for tag in ordered}
        data_set.clear()
        data_set.update(in_order)


_MAX_PADDING = 64 << 10
_MAX_META = 1 << 20
_MAX_KEYS = 20_000


class _Layout(NamedTuple):
    """How headers and numbers lie in the bytes."""

    header: Callable[[memoryview, int], tuple[bytes, int]]
    """Key and length: tag and VR with two bytes, or tag with four bytes."""
    length: Callable[[memoryview, int], tuple[int]]
    item: Callable[[memoryview, int], tuple[int, int, int]]
    """Group, element, length."""
    numbers: dict[str, tuple[int, Callable[[memoryview, int], tuple[int | float]], str]]
    """Of each VR: bytes, how to read one value, and a format for more."""
    explicit_keys: dict[bytes, _What]


def _layout(is_implicit: bool, order: str) -> _Layout:
    return _Layout(
        struct.Struct(f"{order}4sL" if is_implicit else f"{order}6sH").unpack_from,
        struct.Struct(f"{order}L").unpack_from,
        struct.Struct(f"{order}HHL").unpack_from,
        {
            vr: (struct.calcsize(f"<{code}"), struct.Struct(f"{order}{code}").unpack_from, f"{order}%d{code}")
            for vr, code in vrs.NUMBERS.items()
        },
        {},
    )


@lru_cache(32)
def _implicit_keys(dictionary: Dictionary, is_big_endian: bool) -> dict[bytes, _What]:  # noqa: ARG001
    """The table of keys that goes with a dictionary."""
    return {}


_LAYOUTS = {
    (is_implicit, is_big_endian): _layout(is_implicit, ">" if is_big_endian else "<")
    for is_implicit in (False, True)
    for is_big_endian in (False, True)
}
