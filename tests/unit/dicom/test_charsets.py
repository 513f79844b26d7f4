"""Character sets: the examples of PS3.5 Annexes H, I, J and K, and text that keeps no rule."""

from __future__ import annotations

import pytest

from amonsul.dicom.charsets import charset_of_encoding, decoder, encode, encoding_names, encoding_of_charset
from amonsul.errors import ParameterOutOfRange

# Specific Character Set, bytes of a person name, what they mean.
NAMES = {
    "PS3.5 H.3.1": (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "PS3.5 H.3.2": (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "PS3.5 I.2": (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "PS3.5 J.3": ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
    "PS3.5 J.4": ("GBK", "Wang^XiaoDong=王^小东=".encode("gbk"), "Wang^XiaoDong=王^小东="),
    "PS3.5 K.2": (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    "JIS X 0212": ("\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B^x", "丂^x"),
    "katakana in the lower half": ("\\ISO 2022 IR 13", b"\x1b(ITO@\x1b(B^x", "ﾔﾏﾀ^x"),
    "two alphabets": ("ISO 2022 IR 100\\ISO 2022 IR 144", b"M\xfcller^\x1b-L\xbf\xe0\xde", "Müller^Про"),
    "a delimiter switches back": ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xbf^\xfc", "П^ü"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_with_code_extensions_are_decoded(name: str) -> None:
    charset, raw, text = NAMES[name]
    assert decoder(charset).decode(raw, is_person_name=True) == text


@pytest.mark.parametrize("name", NAMES)
def test_names_with_code_extensions_survive_being_written(name: str) -> None:
    charset, _, text = NAMES[name]
    assert decoder(charset).decode(encode(text, charset, is_person_name=True), is_person_name=True) == text


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO_IR 6", "plain"),
        ("ISO_IR 13", "ｱｲｳ"),
        ("ISO_IR 100", "Äneas"),
        ("ISO_IR 101", "Božena"),
        ("ISO_IR 109", "Ĉiĝ"),
        ("ISO_IR 110", "Ģirts"),
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 127", "قباني"),
        ("ISO_IR 138", "שרון"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 148", "Çavuşoğlu"),
        ("ISO_IR 166", "นามสกุล"),
        ("ISO_IR 192", "Wang^小東^€"),
        ("ISO_IR 203", "Œuvre €"),
        ("GB18030", "王^小东^€"),
        ("GBK", "王^小东"),
    ],
)
def test_single_character_sets_are_read_and_written(charset: str, text: str) -> None:
    raw = encode(text, charset)
    assert raw != text.encode() or text.isascii() or charset == "ISO_IR 192"
    assert decoder(charset).decode(raw) == text


@pytest.mark.parametrize(
    "charset",
    [
        "ISO-IR 126",
        "ISO_IR_126",
        "ISO IR 126",
        "iso_ir 126",
        " ISO_IR 126 ",
        "ISO_IR126",
        "ISO 2022 IR 126",
        "KLINGON\\ISO_IR 126",
    ],
)
def test_misspelt_terms_are_understood(charset: str) -> None:
    assert decoder(charset).decode(b"\xc4") == "Δ"


@pytest.mark.parametrize("charset", ["", "\\", "KLINGON", "ISO_IR 999", "ISO_IR", "\\\\\\"])
def test_without_usable_term_the_default_counts(charset: str) -> None:
    assert decoder(charset).decode(b"\xfc") == "ü"
    assert decoder(charset, "ISO_IR 144").decode(b"\xbf") == "П"
    assert decoder(charset, "KLINGON").decode(b"\xfc") == "ü"


def test_what_cannot_be_decoded_is_marked_and_never_fails() -> None:
    assert decoder("ISO_IR 192").decode(b"caf\xe9 x") == "caf\ufffd x"
    assert decoder("ISO_IR 6").decode(b"caf\xe9") == "caf\ufffd"
    for charset in ("\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "ISO 2022 IR 13\\ISO 2022 IR 159", "GB18030"):
        for raw in (b"\x1b", b"\x1b$B\x21", b"\x1b$B\xff\x0a\x80a", b"\x1b)Q\xa1", b"\xff\xff\xff", bytes(range(256))):
            assert isinstance(decoder(charset).decode(raw, is_person_name=True), str)


def test_an_upper_half_without_escape_sequence_is_likely_of_the_only_set_that_has_one() -> None:
    assert decoder("\\ISO 2022 IR 149").decode(b"\xb1\xe8") == "김"
    assert decoder("\\ISO 2022 IR 87").decode(b"\xfc") == "ü"


def test_a_two_byte_set_has_no_delimiters_inside() -> None:
    assert decoder("\\ISO 2022 IR 87").decode("表^ソ".encode("iso2022_jp"), is_person_name=True) == "表^ソ"
    raw = b"\x1b$B\x21\x5d\x5e\x3d\x1b(B^x"  # 5D 5E 3D inside two-byte characters
    assert decoder("\\ISO 2022 IR 87").decode(raw, is_person_name=True).endswith("^x")


def test_what_a_character_set_does_not_have_is_left_out() -> None:
    assert encode("Müller^Jörg=山田^太郎", "ISO_IR 100") == b"M\xfcller^J\xf6rg=^"
    assert encode("Müller", "ISO_IR 6") == b"Mller"
    assert encode("Müller", "KLINGON") == b"Mller"
    assert encode("山€", "\\ISO 2022 IR 87") == b"\x1b$B;3\x1b(B"


def test_a_two_byte_set_is_left_before_a_delimiter_and_at_the_end() -> None:
    assert encode("山\\田\r\n郎", "\\ISO 2022 IR 87") == b"\x1b$B;3\x1b(B\\\x1b$BED\x1b(B\r\n\x1b$BO:\x1b(B"


def test_the_encodings_of_the_configuration_have_character_sets() -> None:
    assert encoding_names()[:3] == ("Ascii", "Utf8", "Latin1")
    assert len(encoding_names()) == 18
    for name in encoding_names():
        charset = charset_of_encoding(name)
        assert encoding_of_charset(charset) == name
        assert decoder("", charset).decode(b"plain") == "plain"
    assert charset_of_encoding("Latin1") == "ISO_IR 100"
    assert decoder("", charset_of_encoding("Windows1251")).decode(b"\xcf") == "П"
    assert decoder("", charset_of_encoding("Korean")).decode(b"\xb1\xe8") == "김"
    assert encoding_of_charset("ISO_IR 203") is None
    with pytest.raises(ParameterOutOfRange):
        charset_of_encoding("latin1")
