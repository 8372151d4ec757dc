"""OHIF in a headless Chromium over a real Orthanc: what a radiologist's viewer makes of our objects, by position.

OHIF is the prebuilt `@ohif/app` package. One small server gives its files and passes `/dicom-web` on to Orthanc, so
that the page and its data have one origin. Loopback only.
"""

from __future__ import annotations

import http.client
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page, TimeoutError, sync_playwright  # noqa: A004 - playwright's name

_ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
_SETTINGS = """window.config = {
  name: 'test', routerBasename: null, extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false, strictZSpacingForVolumeViewport: true,
  investigationalUseDialog: { option: 'never' }, useNorm16Texture: false, preferSizeOverAccuracy: false,
  defaultDataSourceName: 'pacs',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'pacs', configuration: {
    friendlyName: 'PACS', name: 'pacs', wadoUriRoot: '/wado', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
    qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
    enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true, bulkDataURI: { enabled: true },
    omitQuotationForMultipartRequest: true } }] };"""
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Every labelled voxel as OHIF holds it: for each image the SOPInstanceUID's address, places in the frame, labels.
_LABELS = """() => {
  const known = window.services?.segmentationService?.getSegmentations() ?? [];
  const images = known[0]?.representationData?.Labelmap?.imageIds ?? [];
  const shown = [];
  for (const id of images) {
    const image = window.cornerstone.cache.getImage(id);
    if (!image) return null;
    const values = image.voxelManager.getScalarData(), places = [], labels = [];
    values.forEach((value, place) => { if (value) { places.push(place); labels.push(value); } });
    shown.push([image.referencedImageId ?? image.imageId, places, labels]);
  }
  return shown.some(([, places]) => places.length) ? shown : null;
}"""
_CLICK = """wanted => {
  const said = each => each.innerText.trim().toLowerCase();
  [...document.querySelectorAll('button')].find(each => wanted.includes(said(each)))?.click();
}"""
_OUTLINE = "AI tumour SEG"  # not "AI TC+WT SEG", which lies beside it
_NOT_PASSED_ON = ("connection", "accept-encoding")  # answers come back as they are, not compressed
_PATIENCE_MS = 150_000


@dataclass(frozen=True)
class ShownFrame:
    """What OHIF draws over one image: places in the frame (row * columns + column) and their labels."""

    sop_instance_uid: str
    places: np.ndarray
    labels: np.ndarray


@contextmanager
def served(dist: Path, orthanc_port: int) -> Iterator[str]:
    """Serve OHIF and pass DICOMweb on; answers the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path.startswith(("/dicom-web", "/wado")):
                self._pass_on()
            elif path == "/app-config.js":
                self._answer(_SETTINGS.encode(), "text/javascript")
            else:
                file = (dist / path.lstrip("/")).resolve()
                if not file.is_file() or dist.resolve() not in file.parents:
                    file = dist / "index.html"
                self._answer(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")

        def _pass_on(self) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", orthanc_port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
            upstream.request("GET", self.path, headers=headers)
            answer = upstream.getresponse()
            self._answer(answer.read(), answer.getheader("Content-Type", ""), answer.status)

        def _answer(self, content: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            for name, value in {**_ISOLATED, "Content-Type": kind, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()


class Viewer:
    """A browser with OHIF; one page for each study."""

    def __init__(self, page: Page, address: str) -> None:
        self._page, self._address = page, address

    def outline(self, study_instance_uid: str, picture: Path | None = None) -> tuple[ShownFrame, ...]:
        """Open a study, load the SEG of its exclusive regions by double click, and answer every labelled voxel.

        Args:
            study_instance_uid: the study.
            picture: where a screenshot goes.
        """
        page = self._page
        page.goto(
            f"{self._address}/viewer?StudyInstanceUIDs={study_instance_uid}",
            wait_until="commit",
            timeout=_PATIENCE_MS,
        )
        thumbnail = page.locator('[data-cy^="study-browser-thumbnail"]', has_text=_OUTLINE).last
        thumbnail.wait_for(timeout=_PATIENCE_MS)
        self._double_click(thumbnail)
        shown = None
        for _ in range(_PATIENCE_MS // 500):
            page.evaluate(_CLICK, ["yes", "load"])
            shown = page.evaluate(_LABELS)
            if shown:
                break
            page.wait_for_timeout(500)
        if picture is not None:
            page.screenshot(path=str(picture))
        assert shown, f"OHIF shows no outline: {page.inner_text('body')[:500]}"
        return tuple(
            ShownFrame(address.split("/instances/")[1].split("/")[0], np.array(places, int), np.array(labels, int))
            for address, places, labels in shown
        )

    def _double_click(self, thumbnail: Locator) -> None:
        """Open what the thumbnail shows; OHIF's tour for newcomers comes when it likes, and lies over everything."""
        for _ in range(20):
            self._page.evaluate(_CLICK, ["skip all"])
            try:
                thumbnail.dblclick(position={"x": 40, "y": 20}, timeout=5_000)
            except TimeoutError:
                continue
            return
        raise AssertionError("the thumbnail of the SEG cannot be clicked")


@contextmanager
def viewer(chromium: str, dist: Path, orthanc_port: int) -> Iterator[Viewer]:
    """OHIF over Orthanc in a browser with an empty profile."""
    with served(dist, orthanc_port) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=_ARGUMENTS)
        try:
            yield Viewer(browser.new_page(viewport={"width": 1500, "height": 950}), address)
        finally:
            browser.close()
