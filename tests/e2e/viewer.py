"""The OHIF viewer, as its authors built it, on an origin of its own, and a Chromium that looks at it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

OHIF = Path(sys.prefix) / "viewer"
"""Where `make test` unpacks the viewer."""

_CONFIGURATION = """
window.config = {
  routerBasename: '/',
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  strictZSpacingForVolumeViewport: true,
  showErrorDetails: 'always',
  investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'tested',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'tested',
    configuration: {
      friendlyName: 'The server under test',
      name: 'tested',
      wadoUriRoot: '%(server)s/wado',
      qidoRoot: '%(server)s/dicom-web',
      wadoRoot: '%(server)s/dicom-web',
      qidoSupportsIncludeField: true,
      supportsFuzzyMatching: true,
      supportsWildcard: true,
      imageRendering: 'wadors',
      thumbnailRendering: 'thumbnail',
      enableStudyLazyLoad: true,
      dicomUploadEnabled: true,
      omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true },
    },
  }],
};
"""
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for that is not on this machine is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class _Pages(SimpleHTTPRequestHandler):
    """The files of the viewer; every other path is a page of it, which is `index.html`."""

    def __init__(self, configuration: list[bytes], *arguments: object) -> None:
        self._configuration = configuration
        super().__init__(*arguments, directory=str(OHIF))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(self._configuration[0])
            return
        if not (OHIF / path.lstrip("/")).is_file():
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Viewer:
    """The viewer on an origin of its own, of which the server must know before it is told to the viewer."""

    def __init__(self, port: int, configuration: list[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._configuration = configuration

    def look_at(self, server: str) -> None:
        """Show what a server has, given by its URL."""
        self._configuration[:] = [(_CONFIGURATION % {"server": server}).encode()]


@contextmanager
def serving_viewer() -> Iterator[Viewer]:
    """The viewer behind a port that the system chose."""
    assert (OHIF / "index.html").exists(), f"there is no viewer in {OHIF}; `make test` unpacks one"
    configuration = [b""]
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, configuration)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Viewer(server.server_port, configuration)
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a screen, drawing 3D in software."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        yield browser
        browser.close()
