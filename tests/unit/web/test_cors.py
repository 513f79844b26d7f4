from __future__ import annotations

import pytest

from amonsul.web.cors import Cors
from amonsul.web.dicomweb.settings import DicomWebSettings

VIEWER = {b"origin": b"https://viewer.example.org"}
NAMED = Cors(DicomWebSettings(cors_origins=("https://viewer.example.org/",)))
ALL = Cors(DicomWebSettings(cors_origins=("*",)))


def test_a_named_origin_may_use_dicomweb_with_credentials() -> None:
    for method in ("GET", "POST", "DELETE"):
        headers = dict(NAMED.allowed(method, VIEWER, b"/dicom-web/studies") or ())
        assert headers[b"access-control-allow-origin"] == b"https://viewer.example.org"
        assert headers[b"access-control-allow-credentials"] == b"true"


@pytest.mark.parametrize(
    "path", [b"/studies", b"/dicom-web/../studies", b"/dicom-web/%2e%2e/studies", b"/dicom-webX", b"/"]
)
def test_nothing_else_is_open_to_it(path: bytes) -> None:
    assert NAMED.allowed("GET", VIEWER, path) is None


@pytest.mark.parametrize("origin", [b"https://viewer.example.org.evil.org", b"null", b"http://viewer.example.org", b""])
def test_other_origins_are_not_let_in(origin: bytes) -> None:
    assert NAMED.allowed("GET", {b"origin": origin}, b"/dicom-web/studies") is None


def test_everybody_may_read_and_nothing_more() -> None:
    headers = dict(ALL.allowed("GET", VIEWER, b"/wado") or ())
    assert headers[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-credentials" not in headers
    assert ALL.allowed("POST", VIEWER, b"/dicom-web/studies") is None
    asking = {**VIEWER, b"access-control-request-method": b"POST"}
    assert ALL.allowed("OPTIONS", asking, b"/dicom-web/studies") is None


def test_without_configuration_nobody_is_let_in() -> None:
    assert Cors(DicomWebSettings()).allowed("GET", VIEWER, b"/dicom-web/studies") is None


def test_only_a_question_beforehand_is_a_preflight() -> None:
    assert NAMED.preflight("OPTIONS", VIEWER) is None
    assert NAMED.preflight("GET", {**VIEWER, b"access-control-request-method": b"GET"}) is None
    answer = NAMED.preflight("OPTIONS", {**VIEWER, b"access-control-request-method": b"POST"})
    assert answer is not None
    assert answer.status == 204
