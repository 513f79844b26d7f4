"""Write the dictionaries of `src/amonsul/dicom/tables` from those that pydicom ships: `python tools/make_tables.py`.

Tab-separated UTF-8 text, one entry a line, so that a change of the Standard is a readable difference:

    attributes.tsv  tag, VR, VM, keyword, name, `R` if retired         PS3.6 §6 to §8, PS3.7 Annex E
    repeating.tsv   the same with `x` in the tag                       50xx, 60xx and others of old editions
    private.tsv     `=creator`, then per entry: group, element, VR, VM, keyword, name
    uids.tsv        UID, type, keyword, name, `R` if retired           PS3.6 Annex A

Keywords of private attributes are not in any standard. They are made from the names by joining capitalised words,
except where `private_keywords.tsv` beside this file says what clients know them by.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries
from pydicom._uid_dict import UID_dictionary

TABLES = Path(__file__).resolve().parent.parent / "src/amonsul/dicom/tables"
PRIVATE_KEYWORDS = Path(__file__).resolve().parent / "private_keywords.tsv"

# Retired by recent editions; clients know them by their plain keyword.
RECENTLY_RETIRED = {
    0x00101000,  # OtherPatientIDs
    0x00380004,  # ReferencedPatientAliasSequence
    0x00701807,  # WeightingLookupTableDescriptor
    0x00701808,  # WeightingLookupTableData
    0x30040010,  # RTDoseROISequence
    0x30040012,  # DoseValue
    0x30060085,  # ROIObservationLabel
    0x30060088,  # ROIObservationDescription
    0x3008002B,  # TreatmentTerminationCode
    0x30100090,  # RoboticBaseLocationIndicator
}


def attributes() -> Iterable[str]:
    """Lines of attributes.tsv."""
    for tag, (vr, vm, name, retired, keyword) in sorted(DicomDictionary.items()):
        if keyword and tag >> 16 != 0xFFFE:
            flag = ("r" if tag in RECENTLY_RETIRED else "R") if retired else ""
            yield "\t".join((f"{tag:08x}", vr, vm, keyword, name, flag))


def repeating() -> Iterable[str]:
    """Lines of repeating.tsv."""
    for pattern, (vr, vm, name, retired, keyword) in sorted(RepeatersDictionary.items()):
        if keyword:
            yield "\t".join((pattern.lower(), vr, vm, keyword, name, "R" if retired else ""))


def private() -> Iterable[str]:
    """Lines of private.tsv."""
    entries: dict[str, dict[tuple[int, int], tuple[str, str, str, str]]] = {}
    for creator, patterns in private_dictionaries.items():
        known = entries.setdefault(creator.strip(), {})
        for pattern, (vr, vm, name, _) in patterns.items():
            vr = {"US or SS": "US", "OB_OW": "OB"}.get(vr, vr)
            for group, element in places(pattern):
                # a pattern that leaves the block open is more to the point than one copied from a file
                if pattern[4:6] == "xx" or (group, element) not in known:
                    known[group, element] = (vr, vm, keyword_of(name), name)
    for line in PRIVATE_KEYWORDS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            creator, hex_group, hex_element, vr, vm, keyword = line.split("\t")
            known = entries.setdefault(creator, {})
            place = int(hex_group, 16), int(hex_element, 16)
            known[place] = (
                (*known[place][:2], keyword, known[place][3]) if place in known else (vr, vm, keyword, keyword)
            )
    for creator, known in sorted(entries.items()):
        yield f"={creator}"
        for (group, element), values in sorted(known.items()):
            yield "\t".join((f"{group:04x}", f"{element:02x}", *values))


def places(pattern: str) -> Iterable[tuple[int, int]]:
    """Groups and low bytes of elements that a pattern of pydicom stands for: `0019xx0a`, `00290010`, `60xxxx01`."""
    if re.fullmatch("[0-9a-fA-F]{4}(xx|[0-9a-fA-F]{2})[0-9a-fA-F]{2}", pattern):
        yield int(pattern[:4], 16), int(pattern[6:], 16)
    elif re.fullmatch("[0-9a-fA-F]{2}xxxx[0-9a-fA-F]{2}", pattern):
        first = int(pattern[:2], 16) << 8
        yield from ((group, int(pattern[6:], 16)) for group in range(first + 1, first + 0x20, 2))


def keyword_of(name: str) -> str:
    """`ROI Bottom-right (x)` becomes `ROIBottomRightX`; empty where only the VR is known."""
    keyword = "".join(word[0].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name) if word)
    return "" if keyword == "Unknown" else keyword


# Since edition 2024d, after pydicom's.
NEWER_UIDS = {
    "1.2.840.10008.1.2.4.110": ("JPEG XL Lossless", "Transfer Syntax", "", "", "JPEGXLLossless"),
    "1.2.840.10008.1.2.4.111": ("JPEG XL JPEG Recompression", "Transfer Syntax", "", "", "JPEGXLJPEGRecompression"),
    "1.2.840.10008.1.2.4.112": ("JPEG XL", "Transfer Syntax", "", "", "JPEGXL"),
    "1.2.840.10008.1.2.8.1": (
        "Deflated Image Frame Compression",
        "Transfer Syntax",
        "",
        "",
        "DeflatedImageFrameCompression",
    ),
}


def uids() -> Iterable[str]:
    """Lines of uids.tsv."""
    for uid, (name, kind, _, retired, keyword) in sorted({**NEWER_UIDS, **UID_dictionary}.items()):
        yield "\t".join((uid, kind, keyword, name, "R" if retired else ""))


def tables() -> dict[str, str]:
    """File name to content."""
    makers = {"attributes": attributes, "repeating": repeating, "private": private, "uids": uids}
    return {f"{name}.tsv": "".join(f"{line}\n" for line in make()) for name, make in makers.items()}


def main() -> int:
    """Write them all."""
    TABLES.mkdir(exist_ok=True)
    for name, text in tables().items():
        (TABLES / name).write_text(text, "utf-8")
        print(f"{name}: {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
