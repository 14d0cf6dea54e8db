"""The page in a browser: what is drawn becomes an image, and files that others read on the right grid."""

import io
import json
import zipfile

import numpy as np
import pytest
import rasterio
from browsers import Person, chromium
from PIL import Image
from rasterio.warp import transform_geom
from scipy import ndimage
from servers import live_town

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
SIZE = (300, 600)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def port(browser, tmp_path_factory):
    with live_town(tmp_path_factory.mktemp("page"), SIZE, "styled", "classes", block_px=128) as found:
        yield found


def empty(person):
    """The smallest canvas, with nothing on it."""
    with person.seeing_a_new_image():
        person.page.select_option("#size", "256")
    if person.areas():
        with person.seeing_a_new_image():
            person.page.click("#clear")
    person.page.click("[data-tool=rectangle]")
    return person


def test_three_buildings_become_an_image_and_files_on_their_grid(browser, port, tmp_path):
    person = empty(Person(browser, port, accept_downloads=True).open())
    seen = [person.picture()]
    for left in (30, 100, 170):
        with person.seeing_a_new_image():
            person.rectangle((left, 60), (left + 40, 80), (left + 25, 120))
        seen.append(person.picture())
    assert person.areas() == 3 and len(set(seen)) == 4
    with person.seeing_a_new_image():
        person.page.click("#undo")
    assert person.areas() == 2 and person.picture() == seen[2], "one stroke back"
    with person.seeing_a_new_image():
        person.page.keyboard.press("Control+Shift+z")
    assert person.picture() == seen[3]
    with person.seeing_a_new_image():
        person.page.click("#dice")
    assert person.picture() != seen[3], "another seed"

    drawn = np.array(person.labels()).reshape(256, 256)
    assert ndimage.label(drawn)[1] == 3
    angle = np.degrees(np.arctan2(20, 40))
    ring = person.page.evaluate("() => orthoforge.session.doc[0].rings[0]")
    (ax, ay), (bx, by) = ring[:2]
    assert np.degrees(np.arctan2(by - ay, bx - ax)) == pytest.approx(angle, abs=3), "a rectangle at the angle of its wall"
    image, mask, geojson = (person.save(what, tmp_path) for what in ("tif", "mask-tif", "geojson"))
    with rasterio.open(image) as generated, rasterio.open(mask) as labels:
        assert generated.shape == labels.shape == (256, 256) and generated.count == 3
        assert generated.crs == labels.crs == rasterio.CRS.from_epsg(32631)
        assert generated.transform == labels.transform
        assert generated.transform.a == pytest.approx(0.3) and generated.tags()["SYNTHETIC"] == "YES"
        assert ((labels.read(1) > 0) == (drawn == 1)).all()
        features = [transform_geom("EPSG:4326", labels.crs, one["geometry"]) for one in json.loads(geojson.read_text())["features"]]
        again = rasterio.features.rasterize(features, labels.shape, transform=labels.transform)
    assert (again != drawn).mean() < 1e-4, "GDAL sees the same pixels in the GeoJSON"
    for path in (mask, geojson):
        with person.seeing_a_new_image():
            person.page.click("#clear")
        with person.seeing_a_new_image():
            person.page.set_input_files("#open", path)
        assert person.areas() == 3
        assert (np.array(person.labels()).reshape(256, 256) != drawn).mean() < 1e-4, f"{path.name} is what was drawn"
    pair = zipfile.ZipFile(person.save("pair", tmp_path))
    assert sorted(name.split("/")[0] for name in pair.namelist()) == ["images", "masks"]
    person.close()


def test_a_road_is_painted_on_a_phone_where_the_model_knows_roads(browser, port, tmp_path):
    person = Person(browser, port, width=400, height=800, accept_downloads=True, color_scheme="dark").open()
    with person.seeing_a_new_image():
        person.page.select_option("#model", "classes")
    empty(person)
    assert person.page.evaluate("() => document.documentElement.scrollWidth") <= 400
    assert person.page.get_attribute("html", "data-theme") == "dark"
    before = person.picture()
    person.page.click("[data-tool=brush]")
    person.page.click("[data-class=road]")
    with person.seeing_a_new_image():
        person.drag((20, 130), (120, 150), (230, 100))
    assert person.picture() != before
    person.page.click("[data-class=building]")
    with person.seeing_a_new_image():
        person.drag((100, 60), (140, 60))
    person.page.click("[data-tool=eraser]")
    with person.seeing_a_new_image():
        person.drag((120, 40), (120, 80))
    mask = np.asarray(Image.open(io.BytesIO(person.save("mask-png", tmp_path).read_bytes())))[..., 0]
    assert sorted(np.unique(mask)) == [0, 1, 2] and ndimage.label(mask == 1)[1] == 2, "the house was cut in two"
    assert mask[148, 118] == 2 and mask[5, 5] == 0
    person.close()


def test_areas_are_moved_turned_copied_and_removed_without_a_mouse_too(browser, port):
    person = empty(Person(browser, port).open())
    keys, page = person.page.keyboard, person.page
    page.focus("#stage")
    for arrows in ("ArrowLeft", "ArrowUp"), ("ArrowRight",) * 5, ("ArrowDown",) * 4:
        for arrow in arrows:
            keys.press(arrow)
        keys.press("Space")
    page.wait_for_selector("#undo:enabled")
    assert person.areas() == 1
    keys.press("n")
    page.wait_for_selector("#delete:enabled")
    ring = "() => orthoforge.session.doc.at(-1).rings[0]"
    before = np.array(page.evaluate(ring))
    keys.press("ArrowRight")
    keys.press("Shift+ArrowDown")
    assert np.array(page.evaluate(ring)) - before == pytest.approx(np.tile([1, 10], (len(before), 1)), abs=0.01)
    keys.press("Control+d")
    assert person.areas() == 2
    first = np.array(page.evaluate(ring))
    keys.press("]")
    turned = np.array(page.evaluate(ring))
    assert np.ptp(turned, axis=0) == pytest.approx(np.ptp(first, axis=0), rel=0.3) and np.abs(turned - first).max() > 0.5
    keys.press("Escape")
    page.click("[data-tool=select]")
    middle = turned.mean(axis=0)
    person.drag(middle, np.add(middle, (30, -20)))
    page.wait_for_selector("#delete:enabled")
    assert np.array(page.evaluate(ring)).mean(axis=0) == pytest.approx(np.add(middle, (30, -20)), abs=2), (
        "dragged at once, unselected"
    )
    handle = page.locator(".turn-handle").bounding_box()
    page.mouse.move(handle["x"] + 14, handle["y"] + 14)
    page.mouse.down()
    page.mouse.move(handle["x"] + 150, handle["y"] + 60, steps=4)
    page.mouse.up()
    assert np.abs(np.array(page.evaluate(ring)) - turned - [30, -20]).max() > 2, "turned by its handle"
    keys.press("Delete")
    assert person.areas() == 1
    person.close()


def test_a_link_holds_what_is_drawn(browser, port):
    person = Person(browser, port).open()
    drawn, areas = person.labels(), person.areas()
    link = person.page.evaluate("async () => (await import('/page/js/share.js')).packed(orthoforge.session)")
    assert areas > 10 and len(link) < 6000
    person.close()
    other = Person(browser, port).open(f"/#d={link}")
    assert other.areas() == areas
    assert np.mean(np.array(other.labels()) != np.array(drawn)) < 2e-3
    other.close()


def test_outlines_of_pixels_give_the_same_pixels(browser, port):
    person = Person(browser, port).open()
    wrong = person.page.evaluate(
        """async () => {
          const { traced } = await import('/page/js/trace.js');
          const { labelsOf } = await import('/page/js/raster.js');
          let state = 1;
          const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
          let wrong = 0;
          for (let trial = 0; trial < 6; trial++) {
            let labels = new Uint8Array(40 * 30).map(() => Math.floor(3 * random()));
            if (trial > 2) {
              const boxes = Array.from({ length: 9 }, (_, i) => {
                const [x, y, turn] = [40 * random(), 30 * random(), 7 * random()];
                const corner = (a, b) => [x + a * Math.cos(turn) - b * Math.sin(turn), y + a * Math.sin(turn) + b * Math.cos(turn)];
                return { cls: 1 + (i % 2), rings: [[corner(-6, -4), corner(6, -4), corner(6, 4), corner(-6, 4)]] };
              });
              labels = labelsOf(boxes, 40, 30, 0);
            }
            const again = labelsOf(traced(labels, 40, 30, 0), 40, 30, 0);
            wrong += again.filter((label, i) => label !== labels[i]).length;
          }
          return wrong;
        }"""
    )
    assert wrong == 0
    person.close()
