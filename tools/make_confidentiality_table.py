"""Write `src/amonsul/dicom/tables/confidentiality.json` from SOURCE.json and LICENSE.txt, the two arguments.

SOURCE.json is `confidentiality_profile_attributes.json` of Innolitics' DICOM Standard Browser (MIT licence, whose text
is LICENSE.txt): Table E.1-1 of DICOM PS3.15 in a form that programs read. `confidentiality_editions.tsv` beside this
file has what earlier editions of the table said.

The result has an entry a line, so that a change of the Standard is a readable difference:

    attributes  tag (x for any digit) to: name; action of the Basic Profile; the options that change it, K or C
    private     the same for private attributes
    editions    edition to tag to action
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "src/amonsul/dicom/tables/confidentiality.json"
EDITIONS = Path(__file__).resolve().parent / "confidentiality_editions.tsv"

OPTIONS = {  # columns of Table E.1-1
    "rtnSafePrivOpt": "RetainSafePrivate",
    "rtnUIDsOpt": "RetainUIDs",
    "rtnDevIdOpt": "RetainDeviceIdentity",
    "rtnInstIdOpt": "RetainInstitutionIdentity",
    "rtnPatCharsOpt": "RetainPatientCharacteristics",
    "rtnLongFullDatesOpt": "RetainLongitudinalFullDates",
    "rtnLongModifDatesOpt": "RetainLongitudinalModifiedDates",
    "cleanDescOpt": "CleanDescriptors",
    "cleanStructContOpt": "CleanStructuredContent",
    "cleanGraphOpt": "CleanGraphics",
}
PRIVATE = "ggggeeee-where-gggg-is-odd"
PROVENANCE = (
    "DICOM PS3.15 Table E.1-1, Application Level Confidentiality Profile Attributes, in an edition between 2023b and "
    "2024c, from confidentiality_profile_attributes.json of Innolitics' DICOM Standard Browser; the earlier editions "
    "are compiled in tools/confidentiality_editions.tsv"
)


def attributes(source: Path) -> dict[str, list[object]]:
    """Tag to name, action and options."""
    found: dict[str, list[object]] = {}
    for row in json.loads(source.read_text("utf-8")):
        options = {OPTIONS[key]: value for key, value in row.items() if key in OPTIONS}
        found[row["id"]] = [row["name"], row["basicProfile"], options]
    return dict(sorted(found.items()))


def editions() -> dict[str, dict[str, str]]:
    """Edition to tag to action."""
    lines = [line.split("\t") for line in EDITIONS.read_text("utf-8").splitlines() if not line.startswith("#")]
    names = lines[0][2:]
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for tag, _, *actions in lines[1:]:
        for name, action in zip(names, actions, strict=True):
            if action != "-":
                found[name][tag] = action
    return found


def entries(mapping: dict[str, list[object]] | dict[str, str]) -> str:
    """A JSON object with an entry a line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in mapping.items()]
    return "{\n" + ",\n".join(lines) + "\n }"


def main(source: Path, licence: Path) -> None:
    """Write the table."""
    table = attributes(source)
    private = table.pop(PRIVATE)
    older = ",\n ".join(f"{json.dumps(name)}: {entries(actions)}" for name, actions in editions().items())
    TABLE.write_text(
        "{\n"
        f' "provenance": {json.dumps(PROVENANCE)},\n'
        f' "license": {json.dumps(licence.read_text("utf-8").strip())},\n'
        f' "attributes": {entries(table)},\n'
        f' "private": {json.dumps(private)},\n'
        f' "editions": {{\n {older}\n }}\n'
        "}\n",
        "utf-8",
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
