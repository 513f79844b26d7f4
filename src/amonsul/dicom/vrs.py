"""Value representations (PS3.5 §6.2), by what the scanner makes of them."""

from __future__ import annotations

DEFAULT_REPERTOIRE = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
"""Text that Specific Character Set does not touch."""

CHARSET_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""Text in the Specific Character Set (PS3.5 §6.1.2.3)."""

TEXT = DEFAULT_REPERTOIRE | CHARSET_TEXT

SINGLE_VALUED_TEXT = frozenset(("LT", "ST", "UR", "UT"))
"""Text in which a backslash is a character like others."""

INTEGERS = {"SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
"""To the format character of `struct`."""

REALS = {"FD": "d", "FL": "f", "OD": "d", "OF": "f"}

NUMBERS = {**INTEGERS, **REALS}

BINARY = frozenset(("OB", "OL", "OV", "OW", "UN"))

ALL = TEXT | frozenset(NUMBERS) | BINARY | {"AT", "SQ"}

LONG_LENGTH = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
"""With two reserved bytes and four of length in explicit transfer syntaxes (PS3.5 §7.1.2)."""
