"""Fuzz target of the scanner: `python tests/fuzz/fuzz_scanner.py -max_total_time=300 [CORPUS]`.

CORPUS is a folder of DICOM files that the run adds to; without one there is a folder for temporary files that begins
with the small ones that pydicom ships. Whatever fails becomes a file in `tests/fuzz/scanner_findings`, which the
mutation test goes through.
"""

from __future__ import annotations

import sys
import tempfile
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
    arguments = [sys.argv[0], f"-dict={Path(__file__).parent / 'scanner.dict'}", "-max_len=20000", *sys.argv[1:]]
    if all(argument.startswith("-") for argument in sys.argv[1:]):
        corpus = Path(tempfile.gettempdir(), "amonsul-scanner-corpus")
        seed(corpus)
        arguments.append(str(corpus))
    atheris.Setup(arguments, check_scan)
    atheris.Fuzz()
