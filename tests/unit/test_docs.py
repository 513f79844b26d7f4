"""What is declared in a table is documented, and the printed pages are those of the tables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from amonsul import documents
from amonsul.config.table import OPTIONS
from amonsul.web.routes import routes
from amonsul.web.settings import WebSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(("name", "text"), list(documents.pages().items()), ids=list(documents.pages()))
def test_the_printed_pages_are_up_to_date(name: str, text: str) -> None:
    assert (DOCS / name).read_text() == text, "run make docs"


@pytest.mark.parametrize("path", OPTIONS)
def test_every_option_says_what_it_does(path: str) -> None:
    option = OPTIONS[path]
    assert option.help.endswith(".")
    assert f"`{option.name}`" in (DOCS / "configuration.md").read_text()


def test_every_route_says_what_it_does() -> None:
    page = (DOCS / "rest-api.md").read_text()
    for route in routes(WebSettings()):
        assert route.summary, route.template
        assert f"`{route.method} {route.template}`" in page
        for parameter in (*route.parameters, *route.fields):
            assert parameter.help, f"{route.template}: {parameter.name}"


def test_every_limit_of_our_own_is_in_the_security_page() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    missing = [path for path in OPTIONS if path.startswith("Amonsul.Maximum") and f"`{path}`" not in page]
    assert missing == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/index.md"])
def test_links_to_files_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for part in page.read_text().split("](")[1:]:
        target = part.partition(")")[0].partition("#")[0]
        assert "://" in target or (page.parent / target).exists(), f"{name}: {target}"


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index] == []


def test_every_dependency_has_its_reason() -> None:
    page = (DOCS / "dependencies.md").read_text().lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [re.split(r"[\[<>=;]", requirement)[0].strip() for requirement in wanted]
    assert [name for name in names if name not in page] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line.split("#")[0].strip() for line in lines[3:5]] == ["make run", "make test"]
