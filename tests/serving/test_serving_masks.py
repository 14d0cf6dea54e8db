"""POST /v1/masks, POST /v1/styles, and masks whose place is said by fields: what the page asks for."""

import io
import json

import numpy as np
import pytest
import rasterio
from PIL import Image
from servers import client, generator, pixels, png

from conftest import make_grid, make_image, make_mask, write_tiff

MASK = make_mask((48, 64))

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("data"), "styled", "classes", "normed") as found:
        yield found


def test_a_mask_comes_back_as_it_is_read_with_its_place(served, tmp_path):
    grid = make_grid((48, 64))
    sent = write_tiff(tmp_path / "mask.tif", (MASK > 0).astype(np.uint8), grid).read_bytes()
    answer = served.post("/v1/masks", files={"mask": sent})
    assert answer.status_code == 200 and (pixels(answer.content) == MASK).all()
    told = json.loads(answer.headers["orthoforge-grid"])
    assert (told["crs"], told["left"], told["top"]) == (32633, grid.transform.c, grid.transform.f)
    assert (told["width"], told["height"], told["pixel_x"], told["pixel_y"]) == (64, 48, 0.3, 0.3) and "+proj=utm" in told["proj4"]
    tiff = served.post("/v1/masks", files={"mask": sent}, headers={"Accept": "image/tiff"})
    with rasterio.open(io.BytesIO(tiff.content)) as again:
        assert (again.transform, again.crs) == (grid.transform, grid.crs) and (again.read(1) == MASK).all()
    assert json.loads(served.post("/v1/masks", files={"mask": png(MASK)}).headers["orthoforge-grid"]) == {"width": 64, "height": 48}


def test_a_mask_of_classes_comes_back_in_their_colours(served):
    classes = served.get("/v1/models").json()["models"][1]["classes"]
    labels = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64) % 3
    sent = np.array([one["colour"] for one in classes], np.uint8)[labels]
    answer = served.post("/v1/masks", files={"mask": png(sent)}, data={"model": "classes"})
    assert (pixels(answer.content) == sent).all() and [one["value"] for one in classes] == [None] * 3


def test_fields_say_where_a_png_lies(served, tmp_path):
    grid = make_grid((48, 64))
    place = {"crs": "32633", "left": str(grid.transform.c), "top": str(grid.transform.f), "pixel_size_m": "0.3"}
    answer = served.post("/v1/images", files={"mask": png(MASK)}, data=place, headers={"Accept": "image/tiff"})
    with rasterio.open(io.BytesIO(answer.content)) as image:
        assert (image.crs, image.shape) == (grid.crs, (48, 64))
        assert image.transform.almost_equals(grid.transform, precision=1e-6)


def test_the_pixels_of_a_png_in_feet_are_metres_long(served):
    place = {"crs": "2263", "left": "1000000", "top": "200000", "pixel_size_m": "0.3"}  # New York, in US survey feet
    told = json.loads(served.post("/v1/masks", files={"mask": png(MASK)}, data=place).headers["orthoforge-grid"])
    assert told["left"] == 1_000_000 and told["pixel_x"] == pytest.approx(0.3 * 3937 / 1200)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("is not known here", {"crs": "999999"}), ("not in metres", {"crs": "4326"}),
        ("crs, left, top: a mask there lies nowhere", {"crs": "32633", "left": "1e30"}),
        ("place of its own", {"crs": "32633", "own": "yes"}),
    ],
)  # fmt: skip
def test_places_that_cannot_be(served, tmp_path, words, place):
    own = place.pop("own", None)
    sent = write_tiff(tmp_path / "mask.tif", MASK, make_grid((48, 64))).read_bytes() if own else png(MASK)
    answer = served.post("/v1/masks", files={"mask": sent}, data=place)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


def test_fields_of_images_are_none_of_masks(served):
    answer = served.post("/v1/masks", files={"mask": png(MASK)}, data={"style": "west"})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "style", answer.text


def jpeg(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_images_have_the_look_of_a_photo(served):
    photo = make_image(make_mask(96), seed=3)
    answer = served.post("/v1/styles", files={"photo": png(photo)})
    assert answer.status_code == 201, answer.text
    style = answer.json()["style"]
    wanted = generator("styled").with_style(photo)(MASK, seed=1)
    made = served.post("/v1/images", files={"mask": png(MASK)}, data={"style": style, "seed": "1"})
    assert np.abs(pixels(made.content).astype(int) - wanted).max() <= 1
    tagged = served.post("/v1/images", files={"mask": png(MASK)}, data={"style": style}, headers={"Accept": "image/tiff"})
    with rasterio.open(io.BytesIO(tagged.content)) as image:
        assert image.tags()["STYLE"] == "photo" and image.tags()["STYLE_SHA256"] == style
    assert served.post("/v1/styles", files={"photo": jpeg(photo)}).status_code == 201
    unknown = served.post("/v1/images", files={"mask": png(MASK)}, data={"style": "photo-0"})
    assert unknown.status_code == 422 and unknown.json()["detail"].startswith("style")


@pytest.mark.parametrize(
    ("words", "sent", "fields"),
    [
        ("no JPEG, PNG or GeoTIFF", b"<html>", {}), ("needs 32 px", png(np.zeros((8, 8, 3), np.uint8)), {}),
        ("1 band", png(np.zeros((64, 64), np.uint8)), {}),
        ("has no styles", png(np.zeros((64, 64, 3), np.uint8)), {"model": "normed"}),
        ("no field but", png(np.zeros((64, 64, 3), np.uint8)), {"seed": "1"}),
    ],
)  # fmt: skip
def test_photos_that_cannot_be_used(served, words, sent, fields):
    answer = served.post("/v1/styles", files={"photo": sent}, data=fields)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
