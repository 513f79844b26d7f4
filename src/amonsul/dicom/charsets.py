"""Specific Character Set (PS3.3 §C.12.1.1.2, PS3.5 §6.1): bytes to Unicode and back.

Decoding never fails: what a character set does not have becomes U+FFFD, an unknown term falls back to the default.
"""

from __future__ import annotations

from typing import Protocol


class Decoder(Protocol):
    """Decodes the value of a text VR; `is_person_name`: `=` and `^` also reset code extensions."""

    def __call__(self, raw: bytes, is_person_name: bool = False) -> str: ...


def decoder(specific_character_set: str, default_charset: str = "ISO_IR 100") -> Decoder:
    r"""The decoder for a value of (0008,0005), e.g. `\ISO 2022 IR 87`; empty or unknown: for the default."""
    raise NotImplementedError


def encode(text: str, specific_character_set: str) -> bytes:
    """Write text in a character set; what it does not have becomes `?`. Never fails."""
    raise NotImplementedError


def charset_of_encoding(name: str) -> str:
    """The defined term for a name of the `DefaultEncoding` option: `Latin1` is `ISO_IR 100`.

    Raises:
        ParameterOutOfRange: no such name.
    """
    raise NotImplementedError


def encoding_names() -> tuple[str, ...]:
    """All names of the `DefaultEncoding` option."""
    raise NotImplementedError
