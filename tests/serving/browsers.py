"""Chromium, led by Playwright, and what a person does on the page with it."""

import contextlib
import os
from pathlib import Path

import pytest

CHROMIUM = Path(os.environ.get("ORTHOFORGE_CHROMIUM", "/usr/bin/chromium"))
WAIT_MS = 120_000  # a loaded machine


@contextlib.contextmanager
def chromium():
    """A browser. Without one the tests are skipped, unless ORTHOFORGE_BROWSER=required says that there is one."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or not CHROMIUM.exists():
        missing = "Playwright (pip install playwright)" if sync_playwright is None else f"{CHROMIUM} (apt-get install chromium)"
        assert os.environ.get("ORTHOFORGE_BROWSER") != "required", f"the tests of the page need {missing}"
        pytest.skip(f"the page is tested in a browser; {missing} is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Person:
    """Somebody before the page, in a window of that width."""

    def __init__(self, browser, port, *, width=1280, height=800, **context):
        self.base = f"http://127.0.0.1:{port}"
        self._context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **context)
        self._context.set_default_timeout(WAIT_MS)
        self.page = self._context.new_page()
        self.troubles, self.hosts = [], set()
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.troubles.append(said.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith("http") and self.hosts.add(request.url.split("/")[2]))

    def open(self, path="/"):
        self.page.goto(self.base + path, wait_until="commit")
        self.page.wait_for_selector(
            "html[data-ready]" if path.startswith("/#") or path == "/" else "html[data-tiles]", state="attached"
        )
        return self

    def close(self):
        """Nothing was wrong, and nobody else was asked for anything."""
        self._context.close()
        assert self.troubles == []
        assert self.hosts == {self.base.removeprefix("http://")}

    def images(self):
        return int(self.page.evaluate("() => document.documentElement.dataset.images ?? 0"))

    @contextlib.contextmanager
    def seeing_a_new_image(self):
        self.settled()
        before = self.images()
        yield
        self.page.wait_for_selector(f"html:not([data-images='{before}'])", state="attached")
        self.settled()

    def settled(self):
        self.page.wait_for_selector("body:not(.working)", state="attached")

    def areas(self):
        return self.page.evaluate("() => orthoforge.session.doc.length")

    def labels(self):
        """The mask that is drawn, pixel by pixel."""
        return self.page.evaluate(
            "async () => { const { labelsOf } = await import('/page/js/raster.js'); const s = orthoforge.session;"
            " return Array.from(labelsOf(s.doc, s.width, s.height, s.background)); }"
        )

    def picture(self):
        """What the stage shows, as the address of its bytes."""
        return self.page.evaluate(
            "async () => { const image = [...document.querySelectorAll('img.picture')].at(-1); await image.decode();"
            " const canvas = document.createElement('canvas'); "
            " [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];"
            " canvas.getContext('2d').drawImage(image, 0, 0); return canvas.toDataURL(); }"
        )

    def at(self, x, y):
        """Where a pixel of the canvas is on the screen."""
        return self.page.evaluate(
            "([x, y]) => { const { stage } = orthoforge; const box = stage.map.getContainer().getBoundingClientRect();"
            " const at = stage.map.latLngToContainerPoint(stage.latLng([x, y])); return [box.left + at.x, box.top + at.y]; }",
            [x, y],
        )

    def drag(self, *points):
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def rectangle(self, one, other, depth):
        """A wall by a drag, and the click that says how deep the house is."""
        self.drag(one, other)
        self.page.mouse.move(*self.at(*depth), steps=3)
        self.page.mouse.click(*self.at(*depth))

    def save(self, what, folder):
        with self.page.expect_download() as download:
            self.page.click(f"[data-save={what}]")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path
