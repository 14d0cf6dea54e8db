"""POST /v1/images: the same image as the command's, in the form that was asked for; and what is refused."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from servers import client, generator, pixels, png

from conftest import make_grid, make_mask, write_tiff
from material_runs import TOWN
from orthoforge.geo.grid import Grid
from orthoforge.material.canvas import Composer
from orthoforge.serving.scenes import ServedScene

MASK = make_mask((48, 64))

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("data"), "styled", "classes", "normed", image_pixels=300**2) as found:
        yield found


def post(served, mask=None, *, accept=None, name="mask", **fields):
    headers = {"Accept": accept} if accept else {}
    return served.post(
        "/v1/images", files={name: ("../../x.tif", png(MASK) if mask is None else mask)}, data=fields, headers=headers
    )


def test_a_png_is_the_image_that_the_generator_makes(served):
    answer = post(served, seed=7)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
    wanted = generator("styled")(MASK, seed=7)
    assert np.abs(pixels(answer.content).astype(int) - wanted).max() <= 1
    assert answer.headers["orthoforge-model"] == "styled" and answer.headers["orthoforge-seed"] == "7"
    assert post(served, seed=7).content == answer.content
    assert (pixels(post(served, seed=8).content) != wanted).any()


def test_style_and_model_are_chosen(served):
    south = generator("styled").with_style("south")(MASK, seed=1)
    assert np.abs(pixels(post(served, seed=1, style="south").content).astype(int) - south).max() <= 1
    normed = generator("normed")(MASK, seed=1)
    assert np.abs(pixels(post(served, seed=1, model="normed").content).astype(int) - normed).max() <= 1


def test_a_geotiff_lies_where_its_mask_lies(served, tmp_path):
    grid = make_grid((48, 64))
    mask = write_tiff(tmp_path / "mask.tif", MASK, grid).read_bytes()
    answer = post(served, mask, accept="image/tiff", seed=3)
    assert answer.headers["content-type"] == "image/tiff", answer.text
    (tmp_path / "image.tif").write_bytes(answer.content)
    with rasterio.open(tmp_path / "image.tif") as image:
        assert (image.transform, image.crs, image.shape) == (grid.transform, grid.crs, (48, 64))
        assert image.tags()["SYNTHETIC"] == "YES" and image.tags()["SEED"] == "3"
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_mask_of_another_resolution_is_generated_at_the_models(served, tmp_path):
    coarse = write_tiff(tmp_path / "mask.tif", MASK, make_grid((48, 64), gsd_m=0.6)).read_bytes()
    assert pixels(post(served, coarse).content).shape == (48, 64, 3)


def test_footprints_become_an_image_around_them(served, tmp_path):
    ring = [[14.0, 50.0], [14.0001, 50.0], [14.0001, 50.0001], [14.0, 50.0001], [14.0, 50.0]]
    town = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}]}  # fmt: skip
    answer = post(served, json.dumps(town).encode(), name="footprints", accept="image/tiff", width=64, height=48)
    assert answer.status_code == 200, answer.text
    (tmp_path / "image.tif").write_bytes(answer.content)
    with rasterio.open(tmp_path / "image.tif") as image:
        assert image.crs.to_epsg() == 32633 and image.transform.a == pytest.approx(0.3) and image.shape == (48, 64)
        x, y = rasterio.warp.transform("EPSG:4326", image.crs, [14.00005], [50.00005])
        row, col = image.index(x[0], y[0])
        assert abs(row - 24) <= 1 and abs(col - 32) <= 1
    there = post(served, json.dumps(town).encode(), name="footprints", width=8, height=8, center="14.00005, 50.00005")
    assert pixels(there.content).shape == (8, 8, 3)


def test_variants_come_in_a_zip_each_with_the_next_seed(served):
    answer = post(served, seed=5, variants=2, format="png")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["seed-5.png", "seed-6.png"]
        assert archive.read("seed-6.png") == post(served, seed=6).content
    refused = post(served, variants=2, accept="image/png")
    assert refused.status_code == 406


def test_classes_are_read_by_their_colours(served):
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[10:20, 10:20, 0] = 1
    wanted = generator("classes")(colours[..., 0], seed=0)
    assert np.abs(pixels(post(served, png(colours), model="classes").content).astype(int) - wanted).max() <= 1


def test_what_was_composed_of_a_drawing_is_kept_for_its_next_state_however_large_it_is(tmp_path, monkeypatch):
    begun, of = [], Composer.of
    monkeypatch.setattr(Composer, "of", staticmethod(lambda *what, **how: begun.append(1) or of(*what, **how)))
    states = [TOWN.astype(np.uint8) * 255, TOWN.astype(np.uint8) * 255]
    states[1][40:60, 60:90] = 255
    with client(tmp_path, "material", small_pixels=64**2) as served:
        begun.clear()
        images = [pixels(post(served, png(state), seed=4).content).astype(int) for state in states]
    assert len(begun) == 1
    for image, state in zip(images, states, strict=True):
        assert np.abs(image - generator("material")(state, seed=4)).max() <= 1


def test_a_sun_is_chosen_where_there_is_material(tmp_path):
    mask = png(TOWN.astype(np.uint8) * 255)
    with client(tmp_path, "material", "styled") as served:
        answer = post(served, mask, seed=4, sun=45)
        plain = post(served, mask, seed=4)
        refused, no_azimuth = post(served, mask, seed=4, sun=45, model="styled"), post(served, mask, sun=400)
    lit = generator("material").with_sun(45)(TOWN, seed=4)
    assert np.abs(pixels(answer.content).astype(int) - lit).max() <= 1
    assert np.abs(pixels(plain.content).astype(int) - lit).max() > 20
    assert refused.status_code == no_azimuth.status_code == 422
    assert "styled has no material" in refused.json()["detail"]


def test_a_larger_image_is_made_by_blocks_without_seams(served, monkeypatch):
    monkeypatch.setattr(ServedScene, "block_side_px", lambda self: 64)
    mask = make_mask((70, 90))
    wanted = generator("styled")(mask, seed=2)
    made = pixels(post(served, png(mask), seed=2).content)
    assert np.abs(made.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("status", "words", "fields"),
    [
        (404, "No model is called 'x'", {"model": "x"}),
        (422, "no style 'west'; there are: north, south", {"style": "west"}),
        (422, "seed", {"seed": -1}),
        (422, "seed", {"seed": "two"}),
        (422, "variants: 99; 16 are the most", {"variants": 99}),
        (422, "no noise", {"model": "normed", "variants": 2}),
        (422, "path: Extra inputs", {"path": "/etc/passwd"}),
        (422, "center", {"center": "here"}),
        (422, "nothing: Extra inputs", {"nothing": ""}),
        (422, "seed: it is given 2 times", {"seed": ["1", "2"]}),
        (422, "width, height: for footprints", {"width": 8, "height": 8}),
        (422, "center: for footprints", {"center": "14,50"}),
        (422, "0.001 m is the least", {"pixel_size_m": 1e-300}),
        (422, "left, top: in which CRS?", {"left": 500_000, "top": 5_000_000}),
        (422, "threshold: of masks of buildings", {"model": "classes", "threshold": 9}),
        (422, "comes as image/png. Say by `Accept`", {"format": "tif"}),
    ],
)
def test_fields_that_are_refused_are_named(served, status, words, fields):
    answer = post(served, **fields)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].startswith("urn:orthoforge:problem:") and answer.json()["status"] == status


@pytest.mark.parametrize(
    ("status", "words", "mask"),
    [
        (422, "empty", b""),
        (422, "Send GeoJSON as `footprints`", b' {"type": "FeatureCollection"}'),
        (422, "neither a PNG nor a GeoTIFF", b"<VRTDataset><SRS/></VRTDataset>"),
        (422, "neither a PNG nor a GeoTIFF", b"/vsicurl/http://127.0.0.1:9/x.tif"),
        (422, "neither a PNG nor a GeoTIFF", b"file:///etc/passwd"),
        (422, "value", png(np.full((8, 8), 37, np.uint8))),
        (422, "mask.png", png(MASK)[:80]),
        (422, "mask.tif", b"II*\0" + bytes(100)),
        (413, "90000 pixels are the most", png(np.zeros((301, 300), np.uint8))),
    ],
)
def test_files_that_are_refused(served, status, words, mask):
    answer = post(served, mask)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert "uploads" not in answer.text, "no path of the server's is told"


def test_a_header_that_declares_a_billion_pixels_is_refused_before_any_is_read(served, tmp_path):
    grid = Grid(200_000, 200_000)
    path = tmp_path / "huge.tif"
    write_tiff(path, np.zeros((1, 1), np.uint8), None)
    data = bytearray(path.read_bytes())
    for tag in (256, 257):  # width and height
        at = next(i for i in range(8, len(data) - 12, 2) if int.from_bytes(data[i : i + 2], "little") == tag)
        data[at + 2 : at + 4], data[at + 8 : at + 12] = (4).to_bytes(2, "little"), grid.width.to_bytes(4, "little")
    assert post(served, bytes(data)).status_code in (413, 422)


def test_forms_that_are_none(served):
    assert served.post("/v1/images", content=b"x", headers={"Content-Type": "image/png"}).status_code == 415
    broken = served.post("/v1/images", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400 and broken.json()["type"].endswith("bad-form")
    assert served.post("/v1/images", data={"seed": 1}, files={"other": b"x"}).status_code == 422
    field = b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n'
    many = b"".join(field % number for number in range(10**5)) + b"--b--"
    many = served.post("/v1/images", content=many, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert many.status_code == 413 and "fields" in many.json()["detail"]
    assert served.get("/v1/images").status_code == 405 and served.get("/nowhere").status_code == 404


@pytest.mark.parametrize("body", [b'{"seed": \xff}', b"[" * 100_000, b'{"seed": ' + b"9" * 5000 + b"}", b"{"])
def test_bodies_that_are_no_json(served, body):
    answer = served.post("/v1/masks/forged", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["type"].endswith("invalid"), answer.text


def test_what_the_server_says_of_itself(served):
    models = served.get("/v1/models").json()["models"]
    assert [model["name"] for model in models] == ["styled", "classes", "normed"]
    assert models[0]["styles"] == ["north", "south"] and models[0]["pixel_size_m"] == 0.3
    assert models[1]["classes"][1] == {"index": 1, "name": "building", "colour": [1, 0, 0], "value": None}
    assert served.get("/healthz").json() == {"status": "alive"}
    metrics = served.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'orthoforge_requests_total{operation="GET /healthz",status="200"}' in metrics.text


def test_the_openapi_document_names_every_error_of_an_operation(served):
    document = served.get("/openapi.json").json()
    form = document["paths"]["/v1/images"]["post"]
    assert {"200", "400", "401", "404", "406", "408", "413", "415", "422", "429", "500", "503", "504", "507"} == set(
        form["responses"]
    )
    assert set(form["responses"]["503"]["content"]["application/problem+json"]["examples"]) == {"busy", "stopping"}
    assert {"mask", "footprints", "seed", "style", "variants"} <= set(
        form["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    )
    assert "HTTPValidationError" not in json.dumps(document)


def test_few_pixels_that_are_large_on_the_ground_are_counted_as_the_models_own(served):
    place = {"crs": 32633, "left": 500_000, "top": 5_000_000}
    answer = post(served, pixel_size_m=100, **place)
    assert answer.status_code == 413, answer.text
    assert "at the 0.3 m of styled" in answer.json()["detail"] and "Send a smaller area" in answer.json()["detail"]
    town = {"type": "Polygon", "coordinates": [[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01], [0, 0]]]}
    footprints = json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": town}]})
    refused = post(served, footprints.encode(), name="footprints", width=256, height=256, pixel_size_m=1000)
    assert refused.status_code == 413, refused.text


def test_a_data_folder_named_from_the_present_folder_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with client(Path("data")) as found:
        assert [post(found, seed=seed).status_code for seed in range(4)] == [200] * 4


def test_a_stated_pixel_size_is_that_of_a_mask_that_does_not_say_it(served, tmp_path):
    coarse = generator("styled")(np.repeat(np.repeat(MASK, 2, axis=0), 2, axis=1), seed=4)
    answer = post(served, seed=4, pixel_size_m=0.6, accept="image/tiff")
    (tmp_path / "image.tif").write_bytes(answer.content)
    with rasterio.open(tmp_path / "image.tif") as image:
        assert image.shape == MASK.shape and image.crs is None and float(image.tags()["PIXEL_SIZE_M"]) == pytest.approx(0.6)
        made = np.moveaxis(image.read(), 0, -1).astype(int)
    means = coarse.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    plain = pixels(post(served, seed=4).content).astype(int)
    assert np.abs(made - means).mean() < np.abs(made - plain).mean() / 4, "it is that of twice as many pixels, brought back"
    assert (pixels(post(served, seed=4, pixel_size_m=0.3).content) == pixels(post(served, seed=4).content)).all()
    # A file that says its pixel size by a tag is read as `generate` reads it.
    tagged = post(served, (tmp_path / "image.tif").read_bytes())
    assert tagged.status_code == 422 and "bands that differ" in tagged.json()["detail"]
    mask = served.post("/v1/masks", files={"mask": png(MASK)}, data={"pixel_size_m": 0.6}, headers={"Accept": "image/tiff"})
    assert (pixels(post(served, mask.content, seed=4).content) == made).all()


def test_a_stated_pixel_size_does_not_overrule_the_file(served, tmp_path):
    sent = write_tiff(tmp_path / "mask.tif", MASK, make_grid((48, 64))).read_bytes()
    assert post(served, sent, pixel_size_m=0.3).status_code == 200
    refused = post(served, sent, pixel_size_m=0.6)
    assert refused.status_code == 422 and "says itself that a pixel is 0.3 m" in refused.json()["detail"], refused.text
    large = post(served, pixel_size_m=3)
    assert large.status_code == 413 and "at the 0.3 m of styled" in large.json()["detail"], large.text


def test_footprints_take_no_place_of_masks(served):
    ring = [[14.0, 50.0], [14.0001, 50.0], [14.0001, 50.0001], [14.0, 50.0001], [14.0, 50.0]]
    town = json.dumps({"type": "Polygon", "coordinates": [ring]}).encode()
    answer = post(served, town, name="footprints", width=8, height=8, crs=32633, threshold=8)
    assert answer.status_code == 422 and "threshold, crs: of a mask" in answer.json()["detail"], answer.text


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("Send it as `mask`", png(MASK)), ("ogr2ogr -t_srs EPSG:4326 converted.geojson", b"SQLite format 3\0"),
        ("is KML, which is not read", b"<kml xmlns='http://www.opengis.net/kml/2.2'/>"), ("not a readable GeoJSON", b""),
    ],
)  # fmt: skip
def test_footprints_of_another_format_are_told_what_to_send(served, words, sent):
    answer = post(served, sent, name="footprints", width=8, height=8)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


def test_the_type_of_a_form_may_be_in_capitals_and_a_body_of_no_type_is_told_which(served):
    body = b'--b\r\nContent-Disposition: form-data; name="mask"; filename="m"\r\n\r\n' + png(MASK) + b"\r\n--b--\r\n"
    assert served.post("/v1/images", content=body, headers={"Content-Type": "Multipart/Form-Data; boundary=b"}).status_code == 200
    for body in (b'{"width": 64}', b""):
        answer = served.post("/v1/masks/forged", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 422 and "Content-Type: application/json" in answer.json()["detail"], answer.text
