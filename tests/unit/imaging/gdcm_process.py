"""GDCM in a process of its own, because it aborts on files that it does not like.

`decode FOLDER SOURCE...` writes the samples of each file to FOLDER; `encode SOURCE TARGET NAME` makes a file in the
transfer syntax that GDCM knows by that name, or ends with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gdcm
import numpy


def decode(source: Path, target: Path) -> bool:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    if not reader.Read():
        return False
    image = reader.GetImage()
    buffer = image.GetBuffer()
    if buffer is None:
        return False
    numpy.savez(
        target,
        samples=numpy.frombuffer(buffer.encode("utf-8", "surrogateescape"), numpy.uint8),
        bits_allocated=image.GetPixelFormat().GetBitsAllocated(),
        is_signed=image.GetPixelFormat().GetPixelRepresentation() == 1,
        is_planar=image.GetPlanarConfiguration() == 1,
        photometric_interpretation=image.GetPhotometricInterpretation().GetString().strip(),
    )
    return True


def encode(source: Path, target: Path, name: str) -> bool:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    if not reader.Read():
        return False
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    if not change.Change():
        return False
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    return bool(writer.Write())


def main(task: str, *arguments: str) -> int:
    if task == "encode":
        source, target, name = arguments
        return 0 if encode(Path(source), Path(target), name) else 1
    folder, *sources = arguments
    for source in sources:
        decode(Path(source), Path(folder) / f"{Path(source).name}.npz")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
