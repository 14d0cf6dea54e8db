"""The living map in a browser, and what the page says when the server does not do what it is asked for."""

import io
import json

import numpy as np
import pytest
from browsers import Person, chromium
from PIL import Image
from servers import live_town

from conftest import make_mask

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
SIZE = (700, 1400)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def port(browser, tmp_path_factory):
    with live_town(tmp_path_factory.mktemp("page"), SIZE, "styled", block_px=256) as found:
        yield found


def loaded(person, before):
    person.page.wait_for_selector(f"html[data-tiles]:not([data-tiles='{before}'])", state="attached")
    person.page.wait_for_selector("body:not(.working)", state="attached")


@pytest.mark.parametrize("width", [1280, 400])
def test_four_zooms_of_a_map_without_a_blank(browser, port, width):
    person = Person(browser, port, width=width, height=700).open("/map")
    person.page.evaluate("() => orthoforge.map.options.zoomAnimation = false")
    ground = None
    for step in range(4):
        before = person.page.get_attribute("html", "data-tiles")
        person.page.evaluate(
            "([step]) => { const { map } = orthoforge; map.setZoom(map.getZoom() - (step ? 1 : -1), { animate: false });"
            " map.panBy([40, 10], { animate: false }); }",
            [step],
        )
        loaded(person, before)
        person.page.wait_for_timeout(400)  # tiles fade in
        seen = np.asarray(Image.open(io.BytesIO(person.page.screenshot())).convert("RGB")).astype(int)
        ground = seen[350, width // 2 - 20 : width // 2 + 20]
        assert np.ptp(ground.reshape(-1, 3), axis=0).max() > 0, "there is a picture in the middle"
        bare = person.page.evaluate("() => document.querySelectorAll('.leaflet-tile-pane img:not(.leaflet-tile-loaded)').length")
        assert bare == 0
    assert person.page.evaluate("() => document.documentElement.scrollWidth") <= width
    person.page.fill("#seed", "5")
    before = person.page.get_attribute("html", "data-tiles")
    person.page.dispatch_event("#seed", "change")
    loaded(person, before)
    assert "seed=5" in person.page.url
    person.close()


def test_one_draws_on_from_a_place_of_the_map(browser, port):
    person = Person(browser, port).open("/map")
    person.page.click("#draw")
    person.page.wait_for_selector("html[data-ready]", state="attached")
    covered = np.mean(np.array(person.labels()) > 0)
    assert person.areas() > 100 and covered == pytest.approx((make_mask(SIZE) > 0).mean(), rel=0.15)
    person.close()


@pytest.mark.parametrize(
    ("status", "words", "headers"),
    [
        (503, "64 requests are waiting", {"Retry-After": "1"}), (429, "60 requests a minute", {"Retry-After": "1"}),
        (413, "is larger than 64 MB", {}), (422, "seed: too large", {}), (507, "no room", {}),
    ],
)  # fmt: skip
def test_what_the_server_refuses_is_said(browser, port, status, words, headers):
    person = Person(browser, port).open()
    person.settled()
    problem = json.dumps({"title": "Refused", "status": status, "detail": words})
    person.page.route(
        "**/v1/images",
        lambda route: route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=problem),
    )
    person.page.click("#dice")
    person.page.wait_for_selector(f".notice.error:has-text('{words}')")
    person.page.unroute("**/v1/images")
    if headers:
        person.page.wait_for_selector(".notice.error", state="detached")
    person.troubles = [said for said in person.troubles if f"status of {status}" not in said]  # Chromium's own word for it
    person.close()


def test_a_key_is_asked_for_once_and_sent_with_everything(browser, port):
    person, sent = Person(browser, port), []

    def guarded(route):
        given = route.request.headers.get("authorization", "")
        sent.append(given)
        if given == "Bearer right":
            route.continue_()
        else:
            problem = json.dumps({"title": "An API key is needed", "status": 401, "detail": "Send one."})
            route.fulfill(status=401, content_type="application/problem+json", body=problem)

    person.page.route("**/v1/**", guarded)
    person.page.goto(person.base, wait_until="commit")
    for key in ("wrong", "right"):
        person.page.fill("#key-dialog input", key)
        person.page.click("#key-dialog .main")
    person.page.wait_for_selector("html[data-images]", state="attached")
    assert sent[:3] == ["", "Bearer wrong", "Bearer right"] and set(sent[3:]) == {"Bearer right"}
    person.troubles = [said for said in person.troubles if "status of 401" not in said]
    person.close()
