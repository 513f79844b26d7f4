"""Where requests of the DICOMweb client go."""

from __future__ import annotations

import pytest

from amonsul.clients.dicomweb import path, resource_path
from amonsul.errors import BadFileFormat


@pytest.mark.parametrize(
    ("uri", "arguments", "expected"),
    [
        ("/studies", {}, "studies"),
        ("studies/1.2/series", {"limit": "2"}, "studies/1.2/series?limit=2"),
        ("/studies", {"PatientName": "A é&b", "00100010": "A*"}, "studies?PatientName=A%20%C3%A9%26b&00100010=A%2A"),
        ("/studies/é b", {}, "studies/%C3%A9%20b"),
        ("/a%2Fb", {}, "a%2Fb"),
        ("/a\r\nHost: b", {"c\r\n": "d\r\n"}, "a%0D%0AHost:%20b?c%0D%0A=d%0D%0A"),
        ("//elsewhere/studies", {}, "elsewhere/studies"),
        ("http://elsewhere/", {}, "http://elsewhere/"),
        ("/a..b/...", {}, "a..b/..."),
    ],
)
def test_a_path_is_below_the_root_and_quoted(uri: str, arguments: dict[str, str], expected: str) -> None:
    assert path(uri, arguments) == expected


@pytest.mark.parametrize(
    "uri", ["/a?b=c", "/a#b", "..", "/../x", "/a/./b", "/%2e%2e/x", "/a%2f..%2fb", "/..;x/y", "\\..\\x", "/%5c..%5cx"]
)
def test_a_path_does_not_lead_elsewhere(uri: str) -> None:
    with pytest.raises(BadFileFormat):
        path(uri, {})


def test_resources_are_named_by_their_uids() -> None:
    assert resource_path("1.2") == "studies/1.2"
    assert resource_path("1.2", "3") == "studies/1.2/series/3"
    assert resource_path("1.2", "3", "4/5?6") == "studies/1.2/series/3/instances/4%2F5%3F6"
    for uid in ("..", ".", "1" * 65):
        with pytest.raises(BadFileFormat):
            resource_path(uid)
