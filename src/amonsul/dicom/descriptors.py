"""Taking out of free text what may identify (PS3.15 §E.3.5), for the Clean Descriptors Option.

Two nets. What a data set itself says of persons, places and numbers (names, identifiers, dates, addresses) is looked
for in its descriptions, word by word. And forms that identify wherever they stand are known: dates, numbers of five
digits and more, addresses of mail and web, names after a title. What is caught becomes an asterisk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom.dataset import Dataset

from amonsul.dicom import vrs
from amonsul.dicom.confidentiality import Action, Profile
from amonsul.dicom.editing import sequences, text_of, vr_of

MASK = "*"

MIN_WORD = 3
"""Shorter words are found only as part of a whole value; in names of persons, two letters are enough."""

MAX_TERMS = 2000

_FORMS = re.compile(
    r"""
    [\w.+-]{1,64}@[\w.-]{1,255}                                  # mail
    | (?:https?|ftp)://\S{1,2000}
    | \b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b                        # dates
    | \b\d{1,2}[ ](?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])\w*\.?[ ]\d{2,4}\b
    | \+?\d(?:[ ./()-]?\d){4,40}                                 # telephone, identifiers, UIDs
    | \b(?:dr|prof|mr|mrs|ms|miss|herr|frau|mme|sig|sra?)\b\.?[ ]+[^\W\d_][\w'’-]{0,64}
    """,
    re.IGNORECASE | re.VERBOSE,
)

_WORD = re.compile(r"[\w'’-]+")

_IDENTIFYING_VRS = frozenset(("PN", "LO", "SH", "DA", "DT", "ST", "LT", "UC", "UT", "AE"))
_REMOVING = frozenset((Action.REMOVE, Action.CLEAR, Action.DUMMY, Action.SHIFT))

# Words that are in names of hospitals and in descriptions alike.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """and clinic center centre ct department der des die du for hospital hôpital imaging klinik klinikum la le les
        medical medicine mr mri of radiology radiologie service the und unit university universität""",
    )
)


class Scrubber:
    """Cleans texts of one data set."""

    __slots__ = ("_terms",)

    def __init__(self, terms: Iterable[str]) -> None:
        words: set[str] = set()
        for term in terms:
            if len(words) >= MAX_TERMS:
                break
            words.add(term.casefold())
        longest_first = sorted(words, key=len, reverse=True)
        self._terms = (
            re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
            if longest_first
            else None
        )

    def clean(self, text: str) -> str:
        """The text without what was caught."""
        cleaned = _FORMS.sub(MASK, text)
        return self._terms.sub(MASK, cleaned) if self._terms is not None else cleaned


def scrubber(data_set: Dataset, profile: Profile) -> Scrubber:
    """For a data set that is still as it was."""
    return Scrubber(sorted(_terms(data_set, profile, 0)))


def _terms(data_set: Dataset, profile: Profile, depth: int) -> set[str]:
    """What a profile takes out of a data set, in forms to look for."""
    found: set[str] = set()
    for tag in list(data_set.keys()):
        if tag & 0x10000:
            continue
        vr = vr_of(data_set, tag)
        if vr == "PN" or (vr in _IDENTIFYING_VRS and profile.action(tag) in _REMOVING):
            found |= _forms_of(vr, text_of(data_set, tag))
    if depth < 16:
        for sequence_tag, items in sequences(data_set):
            if not sequence_tag & 0x10000:
                for item in items:
                    found |= _terms(item, profile, depth + 1)
    return found


def _forms_of(vr: str, text: str) -> set[str]:
    if vr in ("DA", "DT"):
        return {part[:8] for part in text.split("\\") if len(part) >= 8}
    found = set()
    for value in [text] if vr in vrs.SINGLE_VALUED_TEXT else text.split("\\"):
        plain = re.sub(r"[\^=]+", " ", value).strip()
        if len(plain) < 2 or len(plain) > 256:
            continue
        found.add(plain)
        shortest = 2 if vr == "PN" else MIN_WORD
        found.update(word for word in _WORD.findall(plain) if len(word) >= shortest)
    return {form for form in found if form.casefold() not in _COMMON}
