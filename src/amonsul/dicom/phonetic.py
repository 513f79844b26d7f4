"""How names sound: the code by which fuzzy matching compares the components of person names (PS3.18 §8.3.4.2).

It is the American Soundex: the first letter and three digits for the consonants that follow. Accents, spaces and
hyphens do not count. What has no Latin letters is compared as it is written. A code begins with the first letter of
the name, so that an index over names narrows a search.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LENGTH = 4
_DIGITS = {
    letter: digit
    for digit, letters in (("1", "BFPV"), ("2", "CGJKQSXZ"), ("3", "DT"), ("4", "L"), ("5", "MN"), ("6", "R"))
    for letter in letters
}
_SPECIAL = str.maketrans({"Ø": "O", "Æ": "AE", "Œ": "OE", "Ł": "L", "Đ": "D", "Þ": "TH", "ß": "SS", "ẞ": "SS"})


@lru_cache(4096)
def phonetic_code(text: str) -> str:
    """The code of one component of a name; empty for an empty one."""
    folded = unicodedata.normalize("NFD", text[:256].upper().translate(_SPECIAL))
    letters = "".join(char for char in folded if char.isalpha())
    if not letters.isascii():
        return letters
    code = letters[:1]
    last = _DIGITS.get(code, "")
    for letter in letters[1:]:
        digit = _DIGITS.get(letter, "")
        if digit and digit != last:
            code += digit
            if len(code) == _LENGTH:
                break
        if letter not in "HW":  # these do not separate equal sounds
            last = digit
    return code.ljust(_LENGTH, "0") if code else ""


def name_codes(name: str) -> tuple[str, ...]:
    """The codes of the components of one group of a name, without empty ones at the end."""
    codes = [phonetic_code(component) for component in name.split("^")[:5]]
    while codes and not codes[-1]:
        codes.pop()
    return tuple(codes)
