from __future__ import annotations

import pytest

from amonsul.web.router import Folder, Found, Router, WrongMethod

TABLE = [
    ("GET", "/"),
    ("GET", "/system"),
    ("GET", "/tools/now"),
    ("POST", "/tools/find"),
    ("GET", "/studies"),
    ("GET", "/studies/{id}"),
    ("DELETE", "/studies/{id}"),
    ("GET", "/studies/{id}/series"),
    ("GET", "/studies/special/more"),
    ("GET", "/studies/{id}/content/{path*}"),
    ("GET", "/studies/{id}/content"),
    ("PUT", "/studies/{id}/labels/{label}"),
]


@pytest.fixture
def router() -> Router[tuple[str, str]]:
    return Router(TABLE, lambda route: route, folders=["/tools"])


def find(router: Router[tuple[str, str]], method: str, path: str) -> object:
    return router.match(method, [segment for segment in path.split("/") if segment])


def test_literal_path_is_found(router: Router[tuple[str, str]]) -> None:
    assert find(router, "GET", "/system") == Found(("GET", "/system"), {})


def test_root_is_found(router: Router[tuple[str, str]]) -> None:
    assert find(router, "GET", "/") == Found(("GET", "/"), {})


def test_placeholders_take_their_segments(router: Router[tuple[str, str]]) -> None:
    assert find(router, "PUT", "/studies/abc/labels/x y") == Found(
        ("PUT", "/studies/{id}/labels/{label}"), {"id": "abc", "label": "x y"}
    )


def test_last_placeholder_takes_the_rest(router: Router[tuple[str, str]]) -> None:
    assert find(router, "GET", "/studies/abc/content/0008-1140/0/0008-1150") == Found(
        ("GET", "/studies/{id}/content/{path*}"), {"id": "abc", "path": "0008-1140/0/0008-1150"}
    )


def test_literal_goes_before_placeholder_and_falls_back(router: Router[tuple[str, str]]) -> None:
    assert find(router, "GET", "/studies/special/more") == Found(("GET", "/studies/special/more"), {})
    assert find(router, "GET", "/studies/special/series") == Found(("GET", "/studies/{id}/series"), {"id": "special"})


@pytest.mark.parametrize("path", ["/nope", "/system/more", "/studies/a/nope", "/tools/nope", "/studies/a/labels"])
def test_unknown_paths(router: Router[tuple[str, str]], path: str) -> None:
    assert find(router, "GET", path) is None


def test_wrong_method_tells_the_right_ones_in_order(router: Router[tuple[str, str]]) -> None:
    assert find(router, "PUT", "/studies/abc") == WrongMethod("DELETE,GET")


def test_folder_lists_its_children(router: Router[tuple[str, str]]) -> None:
    assert find(router, "GET", "/tools") == Folder(("find", "now"))
    assert find(router, "POST", "/tools") == WrongMethod("GET")


def test_two_routes_for_one_place_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router([("GET", "/a"), ("GET", "/a")], lambda route: route)


def test_one_place_has_one_name() -> None:
    with pytest.raises(ValueError, match="called id"):
        Router([("GET", "/a/{id}"), ("PUT", "/a/{name}")], lambda route: route)
