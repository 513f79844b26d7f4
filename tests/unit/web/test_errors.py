from __future__ import annotations

import logging

import orjson
import pytest

from amonsul.errors import BadRange, BadRequest, PayloadTooLarge, StorageFull, Unavailable, UnknownResource
from amonsul.web.errors import failure, refusal


def body(response: object) -> dict[str, object]:
    content = getattr(response, "body", b"")
    parsed: dict[str, object] = orjson.loads(content)
    return parsed


def test_refusal_has_the_fields_of_the_api() -> None:
    response = refusal(BadRequest("no limit"), "GET", "/patients", describe=True)
    assert response.status == 400
    assert response.content_type == b"text/plain"
    assert body(response) == {
        "Details": "no limit",
        "HttpError": "Bad Request",
        "HttpStatus": 400,
        "Message": "Bad request",
        "Method": "GET",
        "OrthancError": "Bad request",
        "OrthancStatus": 8,
        "Uri": "/patients",
    }


def test_refusal_without_details_has_no_such_field() -> None:
    assert "Details" not in body(refusal(UnknownResource(), "GET", "/nope", describe=True))


def test_undescribed_refusal_is_empty() -> None:
    response = refusal(UnknownResource(), "GET", "/nope", describe=False)
    assert (response.status, response.content_type, response.body) == (404, None, b"")


@pytest.mark.parametrize(
    ("error", "status", "phrase"),
    [
        (PayloadTooLarge(), 413, "Payload Too Large"),
        (BadRange(), 416, "Requested Range Not Satisfiable"),
        (StorageFull(), 507, "Insufficient Storage"),
    ],
)
def test_statuses_have_their_phrases(error: BadRequest, status: int, phrase: str) -> None:
    assert body(refusal(error, "GET", "/", describe=True))["HttpError"] == phrase
    assert refusal(error, "GET", "/", describe=True).status == status


def test_client_is_told_when_to_come_back() -> None:
    assert (b"retry-after", b"5") in refusal(Unavailable(), "GET", "/", describe=True).headers


def test_a_bug_is_answered_and_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    name = "^".join(("Doe", "Jane"))
    try:
        raise KeyError(name)
    except KeyError as error:
        with caplog.at_level(logging.ERROR):
            response = failure(error, "GET", "/patients/1", "/patients/{id}", describe=True)
    assert response.status == 500
    assert b"Doe" not in bytes(str(response.body), "utf-8")
    assert "Doe" not in caplog.text
    assert "KeyError" in caplog.text
    assert "test_errors.py" in caplog.text
