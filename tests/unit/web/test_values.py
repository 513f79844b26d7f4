from __future__ import annotations

import pytest

from amonsul.blobs.spool import Spooled
from amonsul.web.values import Request, parse_query, split_path


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"/", []),
        (b"/studies/", ["studies"]),
        (b"//system", ["system"]),
        (b"/app/../system", ["system"]),
        (b"/../../system", ["system"]),
        (b"/a/./b", ["a", "b"]),
        (b"/a/..b/.c", ["a", "..b", ".c"]),
        (b"/a%2Fb/c%20d", ["a", "b", "c d"]),
        (b"/instances/%zz", ["instances", "%zz"]),
        (b"/labels/%C3%A9", ["labels", "é"]),
        (b"/labels/%ff", ["labels", "\ufffd"]),
        (b"/a/%2e%2e/b", ["b"]),
    ],
)
def test_paths_are_split(raw: bytes, segments: list[str]) -> None:
    assert split_path(raw) == segments


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        (b"expand", {"expand": ""}),
        (b"since=1&limit=2", {"since": "1", "limit": "2"}),
        (b"requested-tags=PatientName;0008,0020", {"requested-tags": "PatientName;0008,0020"}),
        (b"filename=my%20file.dcm&a=b+c", {"filename": "my file.dcm", "a": "b c"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"&&=x&", {}),
        (b"a=b=c", {"a": "b=c"}),
    ],
)
def test_queries_are_parsed(raw: bytes, arguments: dict[str, str]) -> None:
    assert parse_query(raw) == arguments


@pytest.mark.parametrize(
    ("value", "is_set"), [(None, False), ("", True), ("true", True), ("false", False), ("0", False), ("1", True)]
)
def test_flags(value: str | None, is_set: bool) -> None:
    query = {} if value is None else {"expand": value}
    assert Request("GET", "/", {}, query, {}, Spooled.of(b"")).flag("expand") is is_set
