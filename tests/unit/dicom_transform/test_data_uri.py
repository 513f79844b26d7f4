"""Data URIs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.dicom.data_uri import is_data_uri, parse_data_uri
from amonsul.errors import BadFileFormat


@pytest.mark.parametrize(
    ("text", "mime_type", "data"),
    [
        ("data:application/pdf;base64,JVBERi0=", "application/pdf", b"%PDF-"),
        ("data:;base64,AQID", "", b"\1\2\3"),
        ("DATA:Image/PNG;BASE64,AQID", "image/png", b"\1\2\3"),
        ("data:text/plain;charset=utf-8;base64,aGk=", "text/plain", b"hi"),
        ("data:a/b;base64,AQ\r\nID", "a/b", b"\1\2\3"),
        ("data:a/b;base64,", "a/b", b""),
    ],
)
def test_a_data_uri_is_decoded(text: str, mime_type: str, data: bytes) -> None:
    assert is_data_uri(text)
    assert parse_data_uri(text) == (mime_type, data)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "data:", "data:,x", "data:a/b,x", "data:a/b;base64", "data:a/b;base64,A", "data:a/b;base64,é"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadFileFormat):
        parse_data_uri(text)


@given(st.binary(max_size=100))
def test_any_bytes_come_back(data: bytes) -> None:
    assert parse_data_uri(f"data:a/b;base64,{base64.b64encode(data).decode()}").data == data
