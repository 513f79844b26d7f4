"""URLs of pixels: pictures, matrices and frames of instances."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from amonsul.web.rest import images
from amonsul.web.routing import Handler, Parameter, Route

_BINARY = "application/octet-stream"
_PNG = "image/png"

_ACCEPT = Parameter(
    "Accept", "`image/png` (the default), `image/jpeg` or `image/x-portable-arbitrarymap`.", place="header"
)
_QUALITY = Parameter("quality", "Of a JPEG, 1 to 100, 90 by default.", "integer")
_PLACEHOLDER = Parameter("returnUnsupportedImage", "Lead to a placeholder instead of answering 415.", "boolean")
_RENDERING = (
    Parameter("window-center", "Centre of the window.", "number"),
    Parameter("window-width", "Width of the window.", "number"),
    Parameter("width", "Columns that the picture may have; it keeps its proportions.", "integer"),
    Parameter("height", "Rows that the picture may have.", "integer"),
    Parameter("smooth", "Interpolate when resizing.", "boolean"),
)
_NUMPY = (
    Parameter("rescale", "Give grayscale as modality values, in floats; the default.", "boolean"),
    Parameter("compress", "Pack the array as `.npz`.", "boolean"),
)
_SUMMARIES = {
    "preview": "A picture with all values in sight",
    "rendered": "A picture with window and LUTs applied",
    "image-uint8": "Stored values, cut to 0…255",
    "image-uint16": "Stored values, cut to 0…65535",
    "image-int16": "Stored values, cut to -32768…32767",
}


def image_routes() -> Iterator[Route]:
    """The lines of the table."""
    for path, of, tag in (
        ("/instances/{id}", "the first frame of an instance", "Instances"),
        ("/instances/{id}/frames/{frame}", "a frame", "Instances"),
    ):
        for operation, summary in _SUMMARIES.items():
            parameters = (_ACCEPT, _QUALITY, _PLACEHOLDER)
            yield Route(
                "GET",
                f"{path}/{operation}",
                partial(images.get_picture, operation),
                f"{summary}, of {of}",
                tag,
                parameters=(*parameters, *_RENDERING) if operation == "rendered" else parameters,
                answers=_PNG,
            )
        yield Route(
            "GET", f"{path}/matlab", images.get_matlab, f"A matrix for Matlab and Octave, of {of}", tag,
            answers="text/plain",
        )  # fmt: skip
    yield _numpy("/instances/{id}/numpy", images.get_numpy, "All frames of an instance", "Instances")
    yield _numpy("/instances/{id}/frames/{frame}/numpy", images.get_numpy, "A frame", "Instances")
    yield _numpy("/series/{id}/numpy", images.get_series_numpy, "All frames of a series", "Series")
    yield _numpy("/studies/{id}/numpy", images.get_study_numpy, "All frames of a study, series by series", "Studies")
    yield Route(
        "GET",
        "/instances/{id}/frames/{frame}",
        images.list_operations,
        "List what can be had of a frame",
        "Instances",
    )
    for name, is_packed, answers in (("raw", False, _BINARY), ("raw.gz", True, "application/gzip")):
        yield Route(
            "GET",
            f"/instances/{{id}}/frames/{{frame}}/{name}",
            partial(images.get_raw, is_packed),
            f"A frame as it is stored{', in gzip' if is_packed else ''}",
            "Instances",
            answers=answers,
        )


def _numpy(path: str, handler: Handler, what: str, tag: str) -> Route:
    return Route("GET", path, handler, f"{what} for NumPy", tag, parameters=_NUMPY, answers=_BINARY)
