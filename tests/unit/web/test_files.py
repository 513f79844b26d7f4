from __future__ import annotations

import pytest

from amonsul.web.files import content_disposition


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.dcm", b'filename="a.dcm"'),
        ("my file.dcm", b'filename="my file.dcm"'),
        ("../../etc/passwd", b'filename=".._.._etc_passwd"'),
        ('a"; x="b', b'filename="a_; x=_b"'),
        ("a\r\nSet-Cookie: x", b'filename="a__Set-Cookie: x"'),
        ("a\0b\x7fc", b'filename="a_b_c"'),
        ("gpj\u202egnp.exe", b'filename="gpj_gnp.exe"'),
        ("Müller.dcm", b"filename=\"M_ller.dcm\"; filename*=UTF-8''M%C3%BCller.dcm"),
        ("山田.dcm", b"filename=\"__.dcm\"; filename*=UTF-8''%E5%B1%B1%E7%94%B0.dcm"),
    ],
)
def test_names_of_downloads(name: str, header: bytes) -> None:
    assert content_disposition(name) == (b"content-disposition", header)
