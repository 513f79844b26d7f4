"""No identifier of the source is anywhere in the bytes of a de-identified file, however odd the source was."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from amonsul.dicom.confidentiality import Action
from amonsul.dicom.deidentification import deidentify, parse_anonymization
from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.encoding import encode_file
from amonsul.dicom.quick_reader import read_quickly
from amonsul.dicom.scanner import scan
from amonsul.errors import BadFileFormat

from .builders import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, UIDS, instance, stored

CANARIES = {
    "": "CANARY",
    "ISO_IR 100": "Kanárienvögel",
    "ISO_IR 192": "Kanárek 金糸雀",
    "ISO_IR 144": "Канарейка",
    "GB18030": "金丝雀",
    "\\ISO 2022 IR 87": "CANARY金糸雀",
    "ISO_IR 999": "CANARY",
}
ENCODINGS = ("latin-1", "utf-8", "iso8859-5", "gb18030", "iso2022_jp", "shift_jis", "euc_jp")
CANARY_UID = "1.2.826.0.1.3680043.424242.1"

ALL_CLEANING: dict[str, object] = {
    "DeidentificationOptions": [
        "CleanPixelData",
        "CleanRecognizableVisualFeatures",
        "CleanGraphics",
        "RetainLongitudinalModifiedDates",
        "RetainDeviceIdentity",
        "RetainSafePrivate",
    ],
    "PixelRegions": [{"X": 0, "Y": 0, "Width": 1, "Height": 1}],
}
# With or without graphics: the edition of 2008 knew none, and CleanGraphics leaves the numbers of curves.
BODIES: list[tuple[dict[str, object], bool]] = [
    ({}, True),
    ({"DicomVersion": "2008"}, False),
    ({"DeidentificationOptions": []}, True),
    (ALL_CLEANING, False),
]

_TAKEN_OUT = (Action.REMOVE, Action.CLEAR, Action.DUMMY)
_IDENTIFIERS = {0x0020000D, 0x0020000E, 0x00080018, 0x00100020}


def taken_out(body: dict[str, object]) -> list[int]:
    """Attributes of which a request leaves nothing, whatever they hold."""
    wanted = parse_anonymization(body).profile
    tags = [tag for tag, action in wanted.actions.items() if action in _TAKEN_OUT and STANDARD.vr(tag) != "SQ"]
    return [tag for tag in tags if tag not in _IDENTIFIERS]


@st.composite
def odd_files(draw: st.DrawFn, tags: list[int], with_graphics: bool) -> tuple[bytes, str]:
    """A file with canaries wherever they might sit, and what they look like."""
    charset = draw(st.sampled_from(sorted(CANARIES)))
    text = CANARIES[charset]

    def plant(data_set: Dataset, depth: int) -> None:
        for tag in draw(st.lists(st.sampled_from(tags), min_size=1, max_size=8, unique=True)):
            vr = draw(st.sampled_from(["own", "own", "LO", "UT", "OB"]))
            vr = STANDARD.vr(tag) if vr == "own" else vr
            if vr in ("OB", "OW"):
                data_set[tag] = DataElement(tag, vr, text.encode("utf-8"), validation_mode=0)
            elif vr in ("LO", "UT", "LT", "ST", "SH", "PN", "UC"):
                data_set[tag] = DataElement(tag, vr, text, validation_mode=0)
        for group in draw(st.lists(st.sampled_from([0x0009, 0x0011, 0x0019, 0x7FE1]), unique=True)):
            if draw(st.booleans()):
                data_set.add_new(group << 16 | 0x0010, "LO", text)
            data_set.add_new(group << 16 | 0x1001, draw(st.sampled_from(["UN", "OB"])), text.encode("utf-8"))
        if with_graphics and draw(st.booleans()):
            icon = Dataset()
            icon.PatientComments, icon.PixelData = text, text.encode("utf-8")
            icon["PixelData"].VR = "OB"
            data_set.IconImageSequence = ItemSequence([icon])
        for holder in draw(st.lists(st.sampled_from([0x00082218, 0x00081115, 0x00111010]), unique=True)):
            if depth < 3:
                item = Dataset()
                item.is_undefined_length_sequence_item = draw(st.booleans())
                plant(item, depth + 1)
                data_set.add_new(holder, "SQ", ItemSequence([item]))
                data_set[holder].is_undefined_length = draw(st.booleans())

    data_set = instance()
    data_set.PatientID = text
    data_set.PatientName = text
    data_set.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    data_set.FrameOfReferenceUID = CANARY_UID
    data_set.StudyInstanceUID = data_set.SeriesInstanceUID = CANARY_UID
    for tag in draw(st.lists(st.sampled_from([0x0020000D, 0x0020000E, 0x00100020, 0x00080005]), unique=True)):
        del data_set[tag]
    graphics = st.sampled_from([0x5000, 0x5002, 0x6000, 0x601E])
    for group in draw(st.lists(graphics, unique=True)) if with_graphics else ():
        data_set.add_new(group << 16 | 0x3000, "OW", text.encode("utf-8") + b"\0" * (len(text.encode("utf-8")) % 2))
        data_set.add_new(group << 16 | (0x2500 if group < 0x6000 else 0x4000), "LT", text)
    plant(data_set, 0)
    if draw(st.booleans()):
        data_set.add_new(0xFFFCFFFC, "OB", text.encode("utf-8"))
    syntax = draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]))
    return stored(data_set, syntax), text


def survivors(file: bytes, text: str) -> list[str]:
    """What is found of the source, and where in the file."""
    forms = {CANARY_UID.encode(), b"CANARY"}
    for encoding in ENCODINGS:
        with suppress(UnicodeEncodeError):
            forms.add(text.encode(encoding))
    return [
        f"{form!r} behind {file[max(0, file.find(form) - 20) : file.find(form)]!r}" for form in forms if form in file
    ]


@pytest.mark.parametrize(("body", "with_graphics"), BODIES, ids=["current", "2008", "basic profile", "cleaning"])
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_no_canary_is_in_the_bytes(body: dict[str, object], with_graphics: bool, data: st.DataObject) -> None:
    file, text = data.draw(odd_files(taken_out(body), with_graphics))
    try:
        scan(file)
    except BadFileFormat:
        return  # the archive does not take it in
    data_set = read_quickly(file) or pydicom.dcmread(BytesIO(file), force=True)
    try:
        deidentify(data_set, parse_anonymization(body), UIDS, "Anonymized1")
        data_set.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        result = b"".join(encode_file(data_set))
    except BadFileFormat:
        return  # it stays as it is, and nothing is made of it
    assert survivors(result, text) == []


def test_padding_behind_the_data_set_goes() -> None:
    file = stored(instance()) + struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 6) + b"CANARY"
    data_set = pydicom.dcmread(BytesIO(file))
    deidentify(data_set, parse_anonymization({}), UIDS, "Anonymized1")
    assert b"CANARY" not in b"".join(encode_file(data_set))


@pytest.mark.parametrize("tag", [0x00001000, 0x00041500, 0x00060001])
def test_what_belongs_to_no_data_set_goes(tag: int) -> None:
    element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"LO", 6) + b"CANARY"
    file = stored(instance())
    start = 144 + int.from_bytes(file[140:144], "little")  # behind the file meta information
    file = file[:start] + element + file[start:]
    data_set = pydicom.dcmread(BytesIO(file), force=True)
    deidentify(data_set, parse_anonymization({}), UIDS, "Anonymized1")
    assert b"CANARY" not in b"".join(encode_file(data_set))
