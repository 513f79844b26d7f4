"""A viewer that was written elsewhere finds, stores and shows what this server has, from another origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from tests.e2e import phantom
from tests.e2e.viewer import Viewer, chromium, serving_viewer
from tests.integration.server.running import Running, serving

_WAIT_MS = 120_000
"""Longest wait for a page; no test passes or fails by it."""

_GREY = """
([row, column, size]) => {
  const canvas = document.querySelector('canvas.cornerstone-canvas');
  if (canvas === null) return -1;
  const scale = Math.min(canvas.width, canvas.height) / size;
  const x = canvas.width / 2 + (column - size / 2) * scale, y = canvas.height / 2 + (row - size / 2) * scale;
  const [red, green, blue, alpha] = canvas.getContext('2d').getImageData(Math.round(x), Math.round(y), 1, 1).data;
  return alpha === 0 ? -1 : Math.round((red + green + blue) / 3);
}
"""
"""How bright the viewer shows a pixel of an image that fills its canvas; -1 before it shows anything."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    with serving_viewer() as found:
        yield found


@pytest.fixture
def server(viewer: Viewer, tmp_path: Path) -> Iterator[Running]:
    """A server whose only option is the origin of the viewer."""
    with serving(tmp_path, {"Amonsul": {"CorsOrigins": [viewer.url]}}) as running:
        viewer.look_at(running.url)
        yield running


@pytest.fixture
def page(browser: Browser, server: Running, tmp_path: Path) -> Iterator[Page]:
    """A page of a browser that was never used, in which nothing may go wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(_WAIT_MS)
    troubles: list[str] = []

    def answered(response: Response) -> None:
        if response.status >= 400:
            troubles.append(f"{response.status} {response.request.method} {response.url}")

    def failed(request: Request) -> None:
        if request.url.startswith(server.url) and request.failure != "net::ERR_ABORTED":
            troubles.append(f"{request.failure} {request.method} {request.url}")

    def said(message: ConsoleMessage) -> None:
        if "CORS" in message.text:
            troubles.append(message.text)

    page = context.new_page()
    page.on("response", answered)
    page.on("requestfailed", failed)
    page.on("console", said)
    yield page
    page.screenshot(path=tmp_path / "page.png")
    context.close()
    assert troubles == []


@pytest.mark.parametrize("transfer_syntax_uid", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_a_ct_series_is_shown_slice_by_slice(
    page: Page, viewer: Viewer, server: Running, transfer_syntax_uid: str
) -> None:
    _store(server, *phantom.chest(transfer_syntax_uid))
    page.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={phantom.CT_STUDY}")
    page.get_by_text("Skip all").click()
    expect(page.get_by_text(f"(1/{phantom.SLICES})")).to_be_visible(timeout=_WAIT_MS)
    _wait_for_grey(page, (70, 128), 115, 140)  # soft tissue, at the middle of the window
    _wait_for_grey(page, (185, 128), 255, 255)  # bone
    _wait_for_grey(page, (118, 181), 0, 0)  # a lung
    _wait_for_grey(page, (118, 62), 0, 0)  # the other one, without its nodule at the end of the series
    _wait_for_grey(page, (20, 20), 0, 0)  # air
    page.locator("canvas.cornerstone-canvas").hover()
    for number in range(2, phantom.SLICES // 2 + 1):
        page.mouse.wheel(0, 100)
        expect(page.get_by_text(f"({number}/{phantom.SLICES})")).to_be_visible(timeout=_WAIT_MS)
    _wait_for_grey(page, (118, 62), 125, 155)


@pytest.mark.parametrize("transfer_syntax_uid", [ExplicitVRLittleEndian, RLELossless])
def test_an_image_of_several_frames_is_shown_frame_by_frame(
    page: Page, viewer: Viewer, server: Running, transfer_syntax_uid: str
) -> None:
    _store(server, phantom.clock(transfer_syntax_uid))
    page.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={phantom.CLOCK_STUDY}")
    expect(page.get_by_text(f"(1/{phantom.FRAMES})")).to_be_visible(timeout=_WAIT_MS)
    _wait_for_grey(page, (48, 128), 250, 255)  # the hand, at twelve
    _wait_for_grey(page, (128, 208), 55, 65)
    page.locator("canvas.cornerstone-canvas").hover()
    for number in range(2, phantom.FRAMES // 4 + 2):
        page.mouse.wheel(0, 100)
        expect(page.get_by_text(f"({number}/{phantom.FRAMES})")).to_be_visible(timeout=_WAIT_MS)
    _wait_for_grey(page, (128, 208), 250, 255)  # the hand, at three
    _wait_for_grey(page, (48, 128), 55, 65)


def test_what_the_viewer_stores_it_finds(page: Page, viewer: Viewer, server: Running, tmp_path: Path) -> None:
    file = tmp_path / "clock.dcm"
    file.write_bytes(phantom.clock())
    _store(server, phantom.chest()[0])
    page.goto(viewer.url)
    expect(page.get_by_text("Phantom, CT")).to_be_visible(timeout=_WAIT_MS)
    page.get_by_text("Upload").click()
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.get_by_text("1 of 1")).to_be_visible(timeout=_WAIT_MS)
    page.goto(viewer.url)
    expect(page.get_by_text("Phantom, US")).to_be_visible(timeout=_WAIT_MS)
    page.goto(f"{viewer.url}/?patientName=ct")
    expect(page.get_by_text("Phantom, CT")).to_be_visible(timeout=_WAIT_MS)
    expect(page.get_by_text("Phantom, US")).to_be_hidden(timeout=_WAIT_MS)


def _store(server: Running, *files: bytes) -> None:
    with server.client() as client:
        for file in files:
            assert client.post("/instances", content=file).status_code == 200


def _wait_for_grey(page: Page, place: tuple[int, int], least: int, most: int) -> None:
    """Return when a pixel of the image, given by row and column, is shown as bright as it should."""
    row, column = place
    expression = f"([place, least, most]) => {{ const grey = ({_GREY})(place); return least <= grey && grey <= most; }}"
    page.wait_for_function(expression, arg=[[row, column, phantom.SIZE], least, most])
