"""What the page is in: what is seen while one draws, what undo brings back, what is dropped, and what links and files may say."""

import json

import numpy as np
import pytest
from browsers import Person, chromium
from servers import live_town

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
SIZE = (300, 600)
HOUSE = "{ cls: 1, id: 'a', rings: [[[40, 40], [90, 40], [90, 80], [40, 80]]] }"
CANVAS = "() => { const s = orthoforge.session; return [s.width, s.height, s.model.name, s.doc.length, s.place.left]; }"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def port(browser, tmp_path_factory):
    with live_town(tmp_path_factory.mktemp("page"), SIZE, "styled", "classes", block_px=128) as found:
        yield found


@pytest.fixture
def person(browser, port):
    found = Person(browser, port).open()
    found.page.evaluate("() => { orthoforge.session.resize(256); orthoforge.session.apply([]); orthoforge.session.forgetPast(); }")
    found.page.wait_for_timeout(100)
    found.settled()
    yield found
    found.close()


def drawn_over(person):
    """Whether what terra-draw draws is as large as the stage, and what it draws."""
    return person.page.evaluate(
        """() => {
          const stage = document.getElementById("stage").getBoundingClientRect();
          const drawn = [...document.querySelectorAll("#stage svg")].filter((one) => one.querySelector("path"));
          return [drawn.length, drawn.every((one) => one.getBoundingClientRect().width >= stage.width)];
        }"""
    )


def test_what_is_being_drawn_and_what_is_selected_is_seen(person):
    mouse = person.page.mouse
    mouse.move(*person.at(60, 60))
    mouse.down()
    mouse.move(*person.at(140, 90), steps=4)
    mouse.up()
    mouse.move(*person.at(120, 150), steps=3)
    assert drawn_over(person) == [1, True]
    mouse.click(*person.at(120, 150))
    person.page.wait_for_selector("#undo:enabled")
    person.page.keyboard.press("n")
    person.page.wait_for_selector("#delete:enabled")
    count, is_whole = drawn_over(person)
    assert count >= 2 and is_whole, "the area and its corners"


def test_undo_brings_back_the_canvas_and_the_model_that_areas_belong_to(person):
    page = person.page
    page.evaluate(f"() => orthoforge.session.apply([{HOUSE}])")
    states = [page.evaluate(CANVAS)]
    ring = page.evaluate("() => orthoforge.session.doc[0].rings")
    for change in ("s.resize(512)", "s.moveTo(14.4, 50.1)", "s.setModel('classes')"):
        page.evaluate(f"() => {{ const s = orthoforge.session; {change}; }}")
        states.append(page.evaluate(CANVAS))
    assert len({tuple(state) for state in states}) == 4
    page.evaluate(
        "() => orthoforge.session.apply([...orthoforge.session.doc, { cls: 2, id: 'b', rings: [[[0, 0], [9, 0], [9, 9]]] }])"
    )
    page.click("#undo")
    for state in states[::-1]:
        assert page.evaluate(CANVAS) == state
        assert page.input_value("#model") == state[2]
        if state != states[0]:
            page.click("#undo")
    assert page.evaluate("() => orthoforge.session.doc[0].rings") == ring
    for state in states[1:]:
        page.click("#redo")
        assert page.evaluate(CANVAS) == state
    page.click("#redo")
    page.wait_for_timeout(100)
    person.settled()


def test_the_place_stays_where_a_model_of_other_pixels_is_taken(person):
    place = person.page.evaluate(
        """() => {
          const s = orthoforge.session;
          s.moveTo(14.4, 50.1);
          s.models.push({ ...s.model, name: "coarse", pixel_size_m: 0.6 });
          s.setModel("coarse");
          const text = document.getElementById("place").value;
          s.setModel("styled");
          return text;
        }"""
    )
    assert np.array(place.split(", "), float) == pytest.approx([14.4, 50.1], abs=1e-4)


def test_the_last_stroke_becomes_an_image_though_another_one_ends_right_after_it(person):
    """A server that answers while the page still waits whether another stroke comes."""
    made = person.page.evaluate(
        """async () => {
          const { Images } = await import("/page/js/images.js");
          const answers = [];
          const ask = (path, { signal }) => new Promise((resolve, reject) => {
            signal?.addEventListener("abort", () => reject(signal.reason));
            answers.push(() => resolve(new Response("image")));
          });
          const wait = (ms) => new Promise((done) => setTimeout(done, ms));
          const images = new Images({ ask }, orthoforge.session);
          const made = [];
          images.addEventListener("made", ({ detail }) => made.push(detail.doc.length));
          const doc = (n) => Array.from({ length: n }, (_, i) => ({ cls: 1, id: `x${i}`, rings: [[[i, 0], [i + 9, 0], [i, 9]]] }));
          images.follow(doc(1), true);
          images.follow(doc(2), false);
          answers[0]();
          await wait(10);
          for (let i = 0; i < 20; i++) { await wait(10); answers.at(-1)(); }
          return made;
        }"""
    )
    assert made == [1, 2]


@pytest.mark.parametrize("how", ["pointer", "keys"])
def test_escape_drops_a_stroke_and_another_tool_too(person, how):
    page, keys = person.page, person.page.keyboard
    for drop in ("Escape", "r"):
        page.click("[data-tool=brush]")
        if how == "pointer":
            page.mouse.move(*person.at(60, 60))
            page.mouse.down()
            page.mouse.move(*person.at(120, 90), steps=3)
            keys.press(drop)
            page.mouse.up()
        else:
            page.focus("#stage")
            keys.press("Space")
            for _ in range(3):
                keys.press("ArrowRight")
            keys.press(drop)
            keys.press("v")
            keys.press("Space")
        assert person.areas() == 0


def test_a_move_that_is_dropped_is_dropped_from_the_image_too(person):
    page = person.page
    with person.seeing_a_new_image():
        page.evaluate(f"() => orthoforge.session.apply([{HOUSE}])")
    before = person.picture()
    page.click("[data-tool=select]")
    page.mouse.move(*person.at(60, 60))
    page.mouse.down()
    page.mouse.move(*person.at(120, 150), steps=6)
    page.wait_for_function("() => orthoforge.drawing.previewed")
    page.keyboard.press("Escape")
    page.mouse.up()
    page.wait_for_timeout(300)
    person.settled()
    assert person.picture() == before and page.evaluate("() => orthoforge.session.doc[0].rings[0][0]") == [40, 40]


def test_addresses_of_pictures_are_given_back(person):
    page = person.page
    left = page.evaluate(
        """async () => {
          const open = new Set();
          const [make, give] = [URL.createObjectURL, URL.revokeObjectURL];
          URL.createObjectURL = (blob) => { const url = make.call(URL, blob); open.add(url); return url; };
          URL.revokeObjectURL = (url) => { open.delete(url); give.call(URL, url); };
          const { look, session, images } = orthoforge;
          const shown = () => new Promise((done) => images.addEventListener("made", () => setTimeout(done, 50), { once: true }));
          const sizes = [];
          for (let round = 0; round < 3; round++) {
            await look.variants();
            await look.variants();
            const wait = shown();
            session.resize(round % 2 ? 256 : 300);
            await wait;
            sizes.push(open.size);
          }
          return sizes;
        }"""
    )
    assert left[0] == left[-1] <= 2, "the mask and the image that are seen"


@pytest.mark.parametrize("change", ["w: 1e9", "p: {}", "s: -1", "a: [['building', [[0, 0]]]]", "a: [['building', []]]"])
def test_a_link_that_says_what_cannot_be_shows_an_example(browser, port, change):
    person = Person(browser, port).open()
    link = person.page.evaluate(
        "async () => { const { deflateSync, strToU8 } = await import('/page/vendor/fflate/browser.js');"
        " const { session } = orthoforge; const { place } = session;"
        f" const state = {{ v: 1, w: 256, h: 256, p: place, m: 'styled', s: 0, y: '', a: [], {change} }};"
        " const bytes = deflateSync(strToU8(JSON.stringify(state)));"
        " return btoa(String.fromCharCode(...bytes)).replace(/[+]/g, '-').replace(/[/]/g, '_'); }"
    )
    person.page.goto("about:blank")
    person.open(f"/#d={link}")
    person.page.wait_for_selector(".notice.error:has-text('damaged')")
    assert person.areas() > 10
    person.close()


def test_a_link_that_is_opened_in_the_same_tab_is_shown(person):
    link = person.page.evaluate("async () => (await import('/page/js/share.js')).packed(orthoforge.session)")
    person.page.evaluate(f"() => orthoforge.session.apply([{HOUSE}])")
    person.page.evaluate(f"() => {{ delete document.documentElement.dataset.ready; location.hash = 'd={link}'; }}")
    person.page.wait_for_selector("html[data-ready]", state="attached")
    assert person.areas() == 0


@pytest.mark.parametrize("link", ["map=town", "map=town&at=x,y", "map=nowhere&at=14,50"])
def test_a_link_to_no_place_of_a_map_leaves_a_page_to_draw_on(browser, port, link):
    person = Person(browser, port).open(f"/#{link}")
    person.page.wait_for_selector(".notice.error")
    assert person.areas() > 10
    person.troubles = [said for said in person.troubles if "status of 404" not in said]
    person.close()


@pytest.mark.parametrize(
    ("text", "is_place"), [(" 14.4, 50.1", True), ("14.4 50.1", True), ("14.4,", False), ("14.4", False), ("a, b", False)]
)
def test_a_place_is_two_numbers(person, text, is_place):
    person.page.evaluate(
        "(text) => { const field = document.getElementById('place'); field.value = text;"
        " field.dispatchEvent(new Event('change')); }",
        text,
    )
    found = np.array(person.page.input_value("#place").split(", "), float)
    assert found == pytest.approx([14.4, 50.1] if is_place else [0, 0], abs=1e-4)
    assert bool(person.page.query_selector(".notice.error")) is not is_place


def test_geojson_is_seen_on_a_canvas_that_is_no_square_and_may_hold_what_is_no_area(person, tmp_path):
    page = person.page
    page.evaluate("() => { const s = orthoforge.session; s.open({ width: 256, height: 600, place: s.place, doc: [] }); }")
    corners = page.evaluate(
        "async () => { const { toLonLat } = await import('/page/js/places.js');"
        " return [[40, 500], [90, 500], [90, 560], [40, 560]].map((at) => toLonLat(orthoforge.session.place, at)); }"
    )
    polygons = [[], [[]], [corners[:2]], [corners]]  # empty, of no area, and one whose ring is not closed
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": one}} for one in polygons]
    path = tmp_path / "town.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    left = page.evaluate(CANVAS)[4]
    page.set_input_files("#open", path)
    page.wait_for_function("() => orthoforge.session.doc.length")
    assert page.evaluate(CANVAS) == [256, 600, "styled", 1, left], "the place stays, since the house lies on the canvas"
    assert np.array(page.evaluate("() => orthoforge.session.doc[0].rings[0]")) == pytest.approx(
        np.array([[40, 500], [90, 500], [90, 560], [40, 560]]), abs=0.01
    )


def test_the_page_works_where_nothing_may_be_kept(browser, port):
    person = Person(browser, port)
    person.page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });"
    )
    person.open()
    person.page.click("#theme")
    assert person.page.get_attribute("html", "data-theme") == "dark"
    person.close()
