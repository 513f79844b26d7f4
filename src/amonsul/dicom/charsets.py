r"""Specific Character Set (PS3.3 §C.12.1.1.2, PS3.5 §6.1): bytes to Unicode and back.

Decoding never fails: what a character set does not have becomes U+FFFD, and a data set with an unknown term is read
with the default. Encoding leaves out what the character set does not have. One term, or several without code
extensions, is a codec of Python; with code extensions (ISO 2022), escape sequences switch between codecs and the
delimiters of values, lines and components of names switch back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from amonsul.errors import ParameterOutOfRange

REPLACEMENT = "\ufffd"

# Registration number of ISO-IR to codec (PS3.3 Table C.12-2, C.12-3): single-byte sets, whose upper half is G1.
_SINGLE_BYTE = {
    "6": "ascii",
    "13": "shift_jis",  # JIS X 0201; Shift JIS has it as its single bytes, and old files have all of Shift JIS
    "100": "latin-1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "166": "iso8859_11",
    "203": "iso8859_15",
}
# Table C.12-4: multi-byte sets with code extensions.
_MULTI_BYTE_G0 = {"87": b"\x1b$B", "159": b"\x1b$(D"}
_MULTI_BYTE_G1 = {"58": "gb2312", "149": "euc_kr"}
# Table C.12-5: multi-byte sets without code extensions; the last is no defined term but an option has it.
_WHOLE = {"192": "utf-8", "GB18030": "gb18030", "GBK": "gbk", "WINDOWS-1251": "cp1251"}

_G1_ESCAPES = {
    "100": b"\x1b-A",
    "101": b"\x1b-B",
    "109": b"\x1b-C",
    "110": b"\x1b-D",
    "126": b"\x1b-F",
    "127": b"\x1b-G",
    "138": b"\x1b-H",
    "144": b"\x1b-L",
    "148": b"\x1b-M",
    "166": b"\x1b-T",
    "203": b"\x1b-b",
    "13": b"\x1b)I",
    "58": b"\x1b$)A",
    "149": b"\x1b$)C",
}
_G1_BY_ESCAPE = {
    escape: _SINGLE_BYTE[number] if number in _SINGLE_BYTE else _MULTI_BYTE_G1[number]
    for number, escape in _G1_ESCAPES.items()
}
_ASCII_ESCAPE = b"\x1b(B"

_ENCODINGS = {
    "Ascii": "ISO_IR 6",
    "Utf8": "ISO_IR 192",
    "Latin1": "ISO_IR 100",
    "Latin2": "ISO_IR 101",
    "Latin3": "ISO_IR 109",
    "Latin4": "ISO_IR 110",
    "Latin5": "ISO_IR 148",
    "Cyrillic": "ISO_IR 144",
    "Windows1251": "WINDOWS-1251",
    "Arabic": "ISO_IR 127",
    "Greek": "ISO_IR 126",
    "Hebrew": "ISO_IR 138",
    "Thai": "ISO_IR 166",
    "Japanese": "ISO_IR 13",
    "Chinese": "GB18030",
    "JapaneseKanji": "\\ISO 2022 IR 87",
    "Korean": "\\ISO 2022 IR 149",
    "SimplifiedChinese": "\\ISO 2022 IR 58",
}


def charset_of_encoding(name: str) -> str:
    """The Specific Character Set for a name of the `DefaultEncoding` option: `Latin1` is `ISO_IR 100`.

    `Windows1251` has no defined term; its stand-in `WINDOWS-1251` is understood here and must not be written to files.

    Raises:
        ParameterOutOfRange: no such name.
    """
    try:
        return _ENCODINGS[name]
    except KeyError:
        raise ParameterOutOfRange(f"Unknown encoding: {name[:64]}") from None


def writable_charset(specific_character_set: str) -> str:
    """The same, or UTF-8 for the stand-in of an encoding that no Defined Term names."""
    return specific_character_set if specific_character_set != _ENCODINGS["Windows1251"] else "ISO_IR 192"


def encoding_of_charset(specific_character_set: str) -> str | None:
    """The name that `charset_of_encoding` takes, None if no name stands for it."""
    return next((name for name, charset in _ENCODINGS.items() if charset == specific_character_set), None)


def encoding_names() -> tuple[str, ...]:
    """All names of the `DefaultEncoding` option."""
    return tuple(_ENCODINGS)


class Decoder:
    """Decodes the text of a data set."""

    __slots__ = ("_g0", "_g1", "codec")

    def __init__(self, codec: str | None, g0: bytes = _ASCII_ESCAPE, g1: str = "ascii") -> None:
        self.codec = codec
        """For `bytes.decode`, if the text has no code extensions; None if `decode` must be called."""
        self._g0 = g0
        self._g1 = g1

    def decode(self, raw: bytes, is_person_name: bool = False) -> str:
        """Decode values, padding and delimiters included.

        Args:
            raw: as in the file.
            is_person_name: its components are delimiters too (PS3.5 §6.1.2.5.3).
        """
        if self.codec is not None:
            return raw.decode(self.codec, "replace")
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii")
        return "".join(_decode_iso_2022(raw, self._g0, self._g1, _NAME_RESETS if is_person_name else _RESETS))


_ESCAPE = re.compile(rb"\x1b(?:[(-][A-Za-z]|\)[A-Za-z]|\$[@AB]|\$[()][A-Z])?")
# A delimiter returns to the state at the start of the value (PS3.5 §6.1.2.5.3).
_RESETS = re.compile(rb"[\t\n\f\r\\]")
_NAME_RESETS = re.compile(rb"[\t\n\f\r\\^=]")


def _decode_iso_2022(raw: bytes, initial_g0: bytes, initial_g1: str, resets: re.Pattern[bytes]) -> Iterator[str]:
    g0, g1 = initial_g0, initial_g1
    pos, end = 0, len(raw)
    while pos < end:
        escape = _ESCAPE.match(raw, pos)
        if escape is not None:
            sequence, pos = escape[0], escape.end()
            if sequence in _G1_BY_ESCAPE:
                g1 = _G1_BY_ESCAPE[sequence]
            elif sequence == b"\x1b$@":
                g0 = b"\x1b$B"  # JIS C 6226-1978, for our purpose the first edition of JIS X 0208
            elif sequence in _G0_BY_ESCAPE:
                g0 = sequence
            continue
        stop = raw.find(b"\x1b", pos)
        if stop < 0:
            stop = end
        if g0 in (_ASCII_ESCAPE, b"\x1b(J"):
            reset = resets.search(raw, pos, stop)
            if reset is not None:
                stop = reset.end()
            yield raw[pos:stop].decode(g1, "replace")
            if reset is not None:
                g0, g1 = initial_g0, initial_g1
        else:
            run = _G0_RUN.match(raw, pos, stop)
            if run is not None:
                stop = run.end()
                yield _decode_g0(g0, run[0])
            else:  # blanks, controls and the upper half are not in a set of 94 characters
                stop = pos + 1
                if raw[pos] in b"\t\n\f\r":
                    g0, g1 = initial_g0, initial_g1
                elif raw[pos] >= 0x80:
                    upper = _UPPER_RUN.match(raw, pos)
                    stop = upper.end() if upper is not None else stop
                yield raw[pos:stop].decode(g1, "replace")
        pos = stop


_G0_BY_ESCAPE = frozenset((_ASCII_ESCAPE, b"\x1b(J", b"\x1b(I", b"\x1b$B", b"\x1b$(D"))
_G0_RUN = re.compile(rb"[\x21-\x7e]+")
_UPPER_RUN = re.compile(rb"[\x80-\xff]+")


def _decode_g0(escape: bytes, run: bytes) -> str:
    if escape == b"\x1b(I":  # katakana of JIS X 0201 in the lower half
        return bytes(byte | 0x80 for byte in run).decode("shift_jis", "replace")
    odd = len(run) & 1
    codec = "iso2022_jp" if escape == b"\x1b$B" else "iso2022_jp_2"
    text = (escape + run[: len(run) - odd]).decode(codec, "replace")
    return text + REPLACEMENT if odd else text


class _Charset(NamedTuple):
    """A value of Specific Character Set, understood."""

    numbers: tuple[str, ...]
    """Registration numbers (or keys of _WHOLE), the first is in force at the start of a value."""
    has_code_extensions: bool


_TERM = re.compile(r"(?:ISO[ _-]?)?(2022)?[ _-]*(?:IR)?[ _-]*(\d{1,3})", re.IGNORECASE)
_ALIASES = {"UTF-8": "192", "UTF8": "192", "GB18030": "GB18030", "GBK": "GBK", "WINDOWS-1251": "WINDOWS-1251"}
_ALIASES |= {"ISO 2022 GBK": "GBK", "ISO 2022 58": "58", "ASCII": "6", "LATIN1": "100", "ISO 8859-1": "100"}
_KNOWN = {*_SINGLE_BYTE, *_MULTI_BYTE_G0, *_MULTI_BYTE_G1, *_WHOLE}


def _parse(specific_character_set: str) -> _Charset | None:
    """None if nothing usable is said. Misspelt terms (`ISO-IR 100`, `ISO_IR_192`) are understood."""
    numbers = []
    extended = False
    terms = specific_character_set.split("\\")
    for index, term in enumerate(terms[:16]):
        name = term.strip(" \0").upper()
        number = _ALIASES.get(name)
        if number is None:
            match = _TERM.fullmatch(name)
            if match is not None:
                number = match[2]
                extended = extended or match[1] is not None
        if not name and index == 0 and len(terms) > 1:
            number = "6"
        if number in _KNOWN and number not in numbers:
            numbers.append(number)
    if not numbers or (numbers == ["6"] and not terms[0].strip(" \0")):
        return None
    if numbers[0] in _WHOLE:
        return _Charset((numbers[0],), False)
    numbers = [number for number in numbers if number not in _WHOLE]
    return _Charset(tuple(numbers), extended or len(numbers) > 1 or numbers[0] not in _SINGLE_BYTE)


@lru_cache(256)
def decoder(specific_character_set: str, default_charset: str = "ISO_IR 100") -> Decoder:
    r"""The decoder for a value of (0008,0005), e.g. `\ISO 2022 IR 87`; empty or unknown: for the default."""
    charset = _parse(specific_character_set) or _parse(default_charset) or _Charset(("100",), False)
    first = charset.numbers[0]
    if first in _WHOLE:
        return Decoder(_WHOLE[first])
    if not charset.has_code_extensions:
        return Decoder(_SINGLE_BYTE[first])
    # Upper halves without escape sequence belong to the first term; where that has none, take what is likely.
    upper = [n for n in charset.numbers if n in _MULTI_BYTE_G1 or (n in _SINGLE_BYTE and n != "6")]
    if first in _SINGLE_BYTE and first != "6":
        return Decoder(None, g1=_SINGLE_BYTE[first])
    if len(upper) == 1:
        return Decoder(None, g1=_MULTI_BYTE_G1.get(upper[0]) or _SINGLE_BYTE[upper[0]])
    fallback = _parse(default_charset)
    codec = "latin-1"
    if fallback is not None and not fallback.has_code_extensions:
        codec = _WHOLE.get(fallback.numbers[0]) or _SINGLE_BYTE[fallback.numbers[0]]
    return Decoder(None, g1=codec)


def is_known(specific_character_set: str) -> bool:
    """Whether a value of (0008,0005) says anything that is understood."""
    return _parse(specific_character_set) is not None


def encode(text: str, specific_character_set: str, is_person_name: bool = False) -> bytes:
    """Write text in a character set; what it does not have is left out. Never fails.

    Args:
        text: values with their backslashes, unpadded.
        specific_character_set: a value of (0008,0005); empty or unknown: the default repertoire.
        is_person_name: code extensions start anew in every component.
    """
    if text.isascii():
        return text.encode("ascii")
    charset = _parse(specific_character_set) or _Charset(("6",), False)
    first = charset.numbers[0]
    if not charset.has_code_extensions:
        return text.encode(_WHOLE.get(first) or _SINGLE_BYTE[first], "ignore")
    return b"".join(_encode_iso_2022(text, charset.numbers, "\t\n\f\r\\^=" if is_person_name else "\t\n\f\r\\"))


def _encode_iso_2022(text: str, numbers: tuple[str, ...], delimiters: str) -> Iterator[bytes]:
    initial_g1 = numbers[0] if numbers[0] in _SINGLE_BYTE and numbers[0] != "6" else ""
    g0, g1 = "", initial_g1
    for char in text:
        if char < "\x80":
            if g0:
                g0 = ""
                yield _ASCII_ESCAPE
            yield char.encode("ascii")
            if char in delimiters:
                g1 = initial_g1
            continue
        for number in dict.fromkeys((g0 or g1, g1, *numbers)):
            raw = _encode_char(char, number)
            if raw is None:
                continue
            if number in _MULTI_BYTE_G0:
                if g0 != number:
                    g0 = number
                    yield _MULTI_BYTE_G0[number]
            elif g1 != number:
                g1 = number
                yield _G1_ESCAPES[number]
            yield raw
            break
    if g0:
        yield _ASCII_ESCAPE


def _encode_char(char: str, number: str) -> bytes | None:
    """One character beyond ASCII in one set."""
    escape = _MULTI_BYTE_G0.get(number)
    try:
        if escape is not None:
            raw = char.encode("iso2022_jp" if number == "87" else "iso2022_jp_2")
            return raw[len(escape) : -3] if raw.startswith(escape) else None
        if number in _MULTI_BYTE_G1:
            return char.encode(_MULTI_BYTE_G1[number])
        if number in _SINGLE_BYTE and number != "6":
            raw = char.encode(_SINGLE_BYTE[number])
            return raw if len(raw) == 1 and raw[0] >= 0x80 else None
    except UnicodeEncodeError:
        pass
    return None
