"""From a stroke on the page to its image, and from a look at the living map to its tiles: ``python -m bench.page``.

Real strokes of 512 px in Debian's Chromium; tiles of momepy's bubenec, by HTTP. Needs Playwright and /usr/bin/chromium.
"""

import importlib.util
import io
import math
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from orthoforge.serving.app import make_app
from orthoforge.serving.settings import Settings
from orthoforge.trained_generator import load_generator

MODELS = ("orthoforge-s", "orthoforge-material")
STROKES, ZOOMS = 7, 4
# Resolves when the image of the next change is there and decoded; with the seconds since the pointer was let go.
TIMED = """() => new Promise((done) => {
  const { images, stage } = orthoforge;
  let began = 0;
  stage.map.getContainer().addEventListener("pointerup", () => (began = performance.now()), { once: true, capture: true });
  images.addEventListener("made", async ({ detail }) => {
    await createImageBitmap(detail.image);
    done((performance.now() - began) / 1000);
  }, { once: true });
  document.documentElement.dataset.timed = "yes";
})"""


def main():
    spec = importlib.util.find_spec("momepy")
    assert spec is not None and spec.origin is not None, "pip install momepy"
    town = Path(spec.origin).parent / "datasets" / "bubenec.gpkg"
    with tempfile.TemporaryDirectory() as folder:
        app = make_app({name: load_generator(name) for name in MODELS}, Settings(Path(folder)), [town])
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not (server.started and app.state.serving.workers.is_ready):
            time.sleep(0.1)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        strokes(url)
        with httpx.Client(base_url=url, timeout=120) as client:
            tiles(client)
        server.should_exit = True
        thread.join()


def strokes(url):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for model in MODELS:
            page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
            page.set_default_timeout(120_000)
            page.goto(url)
            page.wait_for_selector("html[data-images]", state="attached")
            page.evaluate(f"() => {{ orthoforge.session.setModel('{model}'); orthoforge.session.setTool('brush'); }}")
            page.wait_for_timeout(2000)
            page.wait_for_selector("body:not(.working)", state="attached")
            box = page.locator("#stage").bounding_box()
            assert box is not None
            found = []
            for number in range(STROKES):
                page.evaluate("() => { delete document.documentElement.dataset.timed; }")
                page.evaluate(f"() => {{ window.timed = ({TIMED})(); }}")
                x, y = box["x"] + box["width"] * 0.35 + 30 * number, box["y"] + box["height"] * 0.4
                page.mouse.move(x, y)
                page.mouse.down()
                page.mouse.move(x + 10, y + 60, steps=5)
                page.mouse.up()
                found.append(page.evaluate("() => window.timed"))
            print(f"{model}: from a stroke to its image of 512 px: {statistics.median(found):.2f} s (best {min(found):.2f})")
            page.close()
        browser.close()


def tiles(client):
    told = client.get("/v1/maps/bubenec/tilejson.json").json()
    west, south, east, north = told["bounds"]
    for z in range(told["maxzoom"] - 2, told["maxzoom"] - 2 - ZOOMS, -1):
        x = int(((west + east) / 2 + 180) / 360 * 2**z)
        y = int((0.5 - math.asinh(math.tan(math.radians((south + north) / 2))) / (2 * math.pi)) * 2**z)
        made: list[float] = []
        kept: list[float] = []
        rows: list[np.ndarray] = []
        for row in range(y - 1, y + 2):
            line: list[np.ndarray] = []
            for col in range(x - 1, x + 2):
                address = f"/v1/maps/bubenec/tiles/{z}/{col}/{row}.png"
                for seconds in (made, kept):
                    began = time.monotonic()
                    data = client.get(address).content
                    seconds.append(time.monotonic() - began)
                line.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))
            rows.append(np.hstack(line))
        print(
            f"zoom {z}: a new tile {statistics.median(made):.2f} s (slowest {max(made):.2f}), one that was kept "
            f"{1000 * statistics.median(kept):.0f} ms; steps across borders are {across_borders(np.vstack(rows)):.2f} times others"
        )


def across_borders(whole):
    """How large steps between pixels are across the borders of tiles, beside those elsewhere, of (768, 768, 4) in which nine tiles
    lie; where there is no map, there are no steps to be counted."""
    of_borders: list[np.ndarray] = []
    of_others: list[np.ndarray] = []
    for pixels in (whole, whole.swapaxes(0, 1)):
        steps = np.abs(np.diff(pixels[..., :3].astype(float), axis=1)).mean(axis=2)
        is_there = (pixels[:, 1:, 3] > 0) & (pixels[:, :-1, 3] > 0)
        is_border = np.zeros_like(is_there)
        is_border[:, [255, 511]] = True
        of_borders.append(steps[is_there & is_border])
        of_others.append(steps[is_there & ~is_border])
    return np.concatenate(of_borders).mean() / np.concatenate(of_others).mean()


if __name__ == "__main__":
    main()
