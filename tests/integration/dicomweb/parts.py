"""Multipart bodies in tests, read and written by the standard library's mail parser, not by the code under test."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

import httpx


def parts_of(response: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """The parts of an answer: headers with names in lower case, and bytes."""
    head = f"Content-Type: {response.headers['content-type']}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + response.content)
    assert not message.defects, message.defects
    boundary = message.get_boundary()
    assert boundary is not None
    found = []
    delimiter = b"--" + boundary.encode()
    for chunk in (b"\r\n" + response.content).split(b"\r\n" + delimiter)[1:-1]:
        header, _, data = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in header.decode().split("\r\n") if line]
        found.append(({name.lower(): value for name, value in lines}, data))
    return found


def body_of(parts: list[tuple[dict[str, str], bytes]], boundary: str = "test-boundary") -> bytes:
    """A body of parts."""
    body = b""
    for headers, data in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body += f"--{boundary}\r\n{head}\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def related(kind: str, boundary: str = "test-boundary") -> str:
    """A Content-Type."""
    return f'multipart/related; type="{kind}"; boundary={boundary}'
