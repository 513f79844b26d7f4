"""Write `src/amonsul/dicom/tables/confidentiality_safe_private.json` from REFERENCES.json, the argument.

REFERENCES.json is `standard/references.json` of Innolitics' package `dicom_standard` 0.1.0 in the Python Package Index
(MIT licence): sections of the DICOM Standard as they are published, among them PS3.15 §E.3.10 with its table.
"""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "src/amonsul/dicom/tables/confidentiality_safe_private.json"
SECTION = "http://dicom.nema.org/medical/dicom/current/output/chtml/part15/sect_E.3.10.html#sect_E.3.10"
PROVENANCE = (
    "DICOM PS3.15 Table E.3.10-1, Safe Private Attributes, as the section is published in references.json of "
    "Innolitics' dicom_standard 0.1.0 (MIT licence, as in confidentiality.json): group, element within the block, "
    "creator, VR, meaning"
)
_ROW = re.compile(r"<tr.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<td.*?</td>", re.DOTALL)
_TAG = re.compile(r"\(([0-9A-F]{4}),xx([0-9A-F]{2})\)", re.IGNORECASE)


def rows(section: str) -> list[list[str]]:
    """The rows of the table, in its order."""
    found = []
    for row in _ROW.findall(section):
        cells = [" ".join(html.unescape(re.sub("<[^>]+>", "", cell)).split()) for cell in _CELL.findall(row)]
        tag = _TAG.fullmatch(cells[0]) if len(cells) == 5 else None
        if tag is not None:
            found.append([tag[1].lower(), tag[2].lower(), cells[1], cells[2], cells[4]])
    return found


def main(source: Path) -> None:
    """Write the table."""
    section = json.loads(source.read_text("utf-8"))[SECTION]
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows(section))
    TABLE.write_text(f'{{\n "provenance": {json.dumps(PROVENANCE)},\n "attributes": [\n{lines}\n ]\n}}\n', "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
