"""Media types and the Accept header (RFC 9110 §8.3.1, §12.5.1), as DICOM uses them (PS3.18 §8.7).

What comes in is text of a client: it is read with bounds, and what makes no sense is left out rather than refused, as
Accept is a wish. The choice among what a resource can be given as is `choose`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

MAX_LENGTH = 8 << 10
"""Of a header value in characters; what is beyond is not looked at."""
MAX_RANGES = 64

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*")
# Values without quotes may hold more than a token: `type=application/dicom` is what many clients send.
_PARAMETER = re.compile(rf";\s*(?:({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;,\"\s]*)))?\s*")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, or a range of them with `*`.

    Attributes:
        name: `type/subtype` in lower case.
        parameters: names in lower case; values as given, without quotes.
        excluded: what a range does not accept, as it has weight 0 by its own name.
    """

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()

    @property
    def quality(self) -> float:
        """The weight `q`, 1 unless given; 0 refuses."""
        try:
            return min(max(float(self.parameters.get("q", "1")), 0.0), 1.0)
        except ValueError:
            return 1.0

    @property
    def root(self) -> str:
        """The media type of the parts of a `multipart/related`: its parameter `type`, without parameters of its own."""
        return self.parameters.get("type", "").partition(";")[0].strip().lower()

    @property
    def transfer_syntax(self) -> str | None:
        """The parameter `transfer-syntax`, also where it was put into `type`."""
        direct = self.parameters.get("transfer-syntax")
        if direct is None and ";" in (inner := self.parameters.get("type", "")):
            parsed = parse(inner)
            direct = parsed.parameters.get("transfer-syntax") if parsed is not None else None
        return direct

    def accepts(self, name: str) -> bool:
        """Whether a media type is in this range."""
        if name in self.excluded:
            return False
        if self.name in (name, "*/*"):
            return True
        return self.name.endswith("/*") and name.startswith(self.name[:-1])


def parse(text: str) -> MediaType | None:
    """One media type, e.g. of a Content-Type header; None if it is none."""
    return next(_parsed(text), None)


def parse_accept(text: str | None) -> Sequence[MediaType]:
    """The media ranges of an Accept header, best first; those with weight 0 are left out.

    A missing or empty header accepts everything. Ranges that cannot be read are passed over.
    """
    if text is None or not text.strip():
        return (MediaType("*/*"),)
    every = list(_parsed(text))
    ranges = [one for one in every if one.quality > 0]
    if len(ranges) < len(every):
        excluded = frozenset(one.name for one in every if one.quality == 0 and one.parameters.keys() <= {"q"})
        ranges = [replace(one, excluded=excluded) if "*" in one.name else one for one in ranges]
    ranges.sort(key=lambda one: -one.quality)
    return ranges


def _parsed(text: str) -> Iterator[MediaType]:
    text = text[:MAX_LENGTH]
    position = 0
    for _ in range(MAX_RANGES):
        found = _TYPE.match(text, position)
        if found is not None:
            position = found.end()
            parameters: dict[str, str] = {}
            while (parameter := _PARAMETER.match(text, position)) is not None:
                position = parameter.end()
                if parameter[1]:
                    value = parameter[3] if parameter[2] is None else _ESCAPE.sub(r"\1", parameter[2])
                    parameters.setdefault(parameter[1].lower(), value)
            if position >= len(text) or text[position] == ",":
                yield MediaType(f"{found[1]}/{found[2]}".lower(), parameters)
        comma = text.find(",", position)
        if comma < 0:
            return
        position = comma + 1


def choose(accepted: Iterable[MediaType], offered: Sequence[str]) -> str | None:
    """The offered media type that is accepted best; of equally good ones the first offered. None if there is none."""
    for one in accepted:
        for name in offered:
            if one.accepts(name):
                return name
    return None
