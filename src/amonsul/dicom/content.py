"""Raw values by path, for `/instances/{id}/content/…`."""

from __future__ import annotations

from collections.abc import Sequence

from amonsul.dicom.dictionary import STANDARD, Dictionary


def lookup(data: memoryview | bytes, path: Sequence[str], dictionary: Dictionary = STANDARD) -> list[str] | memoryview:
    """Walk a file along `path`: tags and indices in turn, `["AnatomicRegionSequence", "0", "0008-0104"]`.

    A data set answers its tags (`0008-0104`), a sequence or pixel data the numbers of its items, an item of pixel data
    (a fragment; the whole value if it is native) and any other element its bytes as they are in the file, without the
    padding of one byte that text may have.

    Raises:
        InexistentItem: nothing there.
        UnknownDicomTag: a step is no tag.
        BadFileFormat: as `scan`.
    """
    raise NotImplementedError
