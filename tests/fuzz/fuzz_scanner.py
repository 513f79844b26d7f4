"""Fuzz target of the scanner.

    python tests/fuzz/fuzz_scanner.py --seed CORPUS      a folder of small DICOM files, from those that pydicom ships
    python tests/fuzz/fuzz_scanner.py -dict=tests/fuzz/scanner.dict -max_len=20000 -max_total_time=300 CORPUS

Whatever fails becomes a file in `tests/fuzz/scanner_findings`, which the mutation test goes through.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["amonsul.dicom"]):
    from tests.fuzz.scanner_checks import check_scan


def seed(corpus: Path) -> None:
    """Copy the smaller files of pydicom."""
    import pydicom.data

    corpus.mkdir(parents=True, exist_ok=True)
    for path in Path(pydicom.data.__file__).parent.glob("*_files/*.dcm"):
        if path.stat().st_size < 16_384:
            (corpus / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        seed(Path(sys.argv[2]))
    else:
        atheris.Setup(sys.argv, check_scan)
        atheris.Fuzz()
