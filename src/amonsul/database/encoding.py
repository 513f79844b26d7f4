"""How values lie in columns: main tags as JSON, lists as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from amonsul.dicom.elements import Tag


class _Tags(dict[str, Tag]):
    """`00100010` to a tag; remembers the few hundred there are."""

    def __missing__(self, key: str) -> Tag:
        tag = self[key] = Tag(int(key, 16))
        return tag


class _Keys(dict[Tag, str]):
    """The way back."""

    def __missing__(self, tag: Tag) -> str:
        key = self[tag] = f"{tag:08x}"
        return key


_TAGS = _Tags()
_KEYS = _Keys()


def json_key(tag: Tag) -> str:
    """The key of a tag in the JSON of main tags: eight hexadecimal digits."""
    return _KEYS[tag]


def encode_tags(tags: Mapping[Tag, str]) -> str:
    """Main tags as JSON text. No database keeps a NUL in text: it is dropped."""
    return orjson.dumps({_KEYS[tag]: value.replace("\0", "") for tag, value in tags.items()}).decode()


def decode_tags(text: str) -> dict[Tag, str]:
    """The way back."""
    known = _TAGS
    return {known[key]: value for key, value in orjson.loads(text).items()}


def encode_list(values: Iterable[str]) -> str:
    """Distinct values sorted, separated and enclosed by backslashes; empty if there are none."""
    joined = "\\".join(sorted(set(values)))
    return f"\\{joined}\\" if joined else ""


def decode_list(text: str) -> list[str]:
    """The way back."""
    return text[1:-1].split("\\") if text else []
