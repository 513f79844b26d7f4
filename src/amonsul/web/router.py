"""Which handler answers a path: a tree of segments, walked without regular expressions.

A template is literal segments, `{name}` for any one segment and `{name*}` for all that remain. Literal segments go
before placeholders. A path that no template has is unknown (404); one that has other methods is told them (405 with
Allow, in alphabetical order). A folder that is in the table with nothing of its own lists what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """A route and the values of its placeholders."""

    route: R
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """The path is known, the method is not; `allow` is the value of the header."""

    allow: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A path that only leads to others: the names of its children."""

    names: tuple[str, ...]


class _Node(Generic[R]):
    __slots__ = ("any", "children", "methods", "name", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[R]] = {}
        self.any: _Node[R] | None = None
        self.rest: _Node[R] | None = None
        self.name = ""  # of the placeholder that leads here
        self.methods: dict[str, R] = {}


@dataclass(slots=True)
class _Walk(Generic[R]):
    node: _Node[R]
    params: dict[str, str] = field(default_factory=dict)


class Router(Generic[R]):
    """Finds routes by method and path.

    Args:
        routes: anything that has a method and a template, which `describe` tells.
        folders: literal paths that list their children, such as `/tools`.
    """

    def __init__(
        self, routes: Iterable[R], describe: Callable[[R], tuple[str, str]], folders: Iterable[str] = ()
    ) -> None:
        self._root: _Node[R] = _Node()
        self._folders: dict[str, Folder] = {}
        for route in routes:
            method, template = describe(route)
            node = self._node(template)
            if method in node.methods:
                raise ValueError(f"two routes for {method} {template}")
            node.methods[method] = route
        for folder in folders:
            self._folders[folder] = Folder(tuple(sorted(self._node(folder).children)))

    def match(self, method: str, segments: Sequence[str]) -> Found[R] | WrongMethod | Folder | None:
        """The route of a request; None if the path is unknown."""
        walk = self._walk(self._root, segments, 0, {})
        if walk is None:
            return None
        if route := walk.node.methods.get(method):
            return Found(route, walk.params)
        if methods := sorted(walk.node.methods.keys() - {"OPTIONS"}):
            return WrongMethod(",".join(methods))
        folder = self._folders.get("/" + "/".join(segments))
        if folder is None or method == "GET":
            return folder
        return WrongMethod("GET")

    def _walk(self, node: _Node[R], segments: Sequence[str], start: int, params: dict[str, str]) -> _Walk[R] | None:
        for index in range(start, len(segments)):
            segment = segments[index]
            child = node.children.get(segment)
            if child is not None:
                if node.any is None and node.rest is None:
                    node = child
                    continue
                deeper = self._walk(child, segments, index + 1, dict(params))
                if deeper is not None:
                    return deeper
            if node.any is not None:
                node = node.any
                params[node.name] = segment
                continue
            if node.rest is not None:
                params[node.rest.name] = "/".join(segments[index:])
                return _Walk(node.rest, params)
            return None
        return _Walk(node, params) if node.methods or node.children else None

    def _node(self, template: str) -> _Node[R]:
        node = self._root
        for segment in template.strip("/").split("/"):
            if not segment.startswith("{"):
                node = node.children.setdefault(segment, _Node()) if segment else node
                continue
            name = segment.strip("{}*")
            if segment.endswith("*}"):
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node.any = node.any or _Node()
                node = node.any
            if node.name and node.name != name:
                raise ValueError(f"{template}: the same place is called {node.name} elsewhere")
            node.name = name
        return node
