"""The weights that come with the package."""

import json

import numpy as np
import pytest

from orthoforge import generate, load_generator
from orthoforge.checkpoints import CONFIG, MODEL
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.pretrained import bundled_folder, bundled_names

MOST_BYTES = 10e6


@pytest.fixture(scope="module")
def generator():
    return load_generator("orthoforge-s")


def town(size=160):
    mask = np.zeros((size, size), bool)
    for row in range(10, size - 40, 50):
        mask[row : row + 25, 20:60] = mask[row : row + 30, 90:130] = True
    return mask


def test_it_is_small_and_of_data_that_may_be_shipped(generator):
    assert bundled_names() == ["orthoforge-landcover", "orthoforge-material", "orthoforge-s"]
    folder = bundled_folder("orthoforge-s")
    assert (folder / MODEL).stat().st_size < MOST_BYTES
    assert sum(parameter.numel() for parameter in generator.network.parameters()) <= 5e6
    assert generator.styles == ("banepa_core",)  # images CC-BY-4.0, labels ODbL
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC-BY" in card and "OpenStreetMap" in card
    assert "EfficientNet-Lite0 trained on ImageNet" in card and "from scratch" not in card
    assert "| styles | banepa_core (27 looks) |" in card  # as many as training tiles
    assert json.loads((folder / "stac-item.json").read_text())["properties"]["mlm:framework"] == "PyTorch"
    assert "/" not in json.loads((folder / CONFIG).read_text())["recipe"]["perceptual_weights"]


def test_its_images_show_the_mask_and_vary_with_the_seed(generator):
    mask = town()
    one, again, other = generator(mask, seed=1), generator(mask, seed=1), generator(mask, seed=2)
    assert (one == again).all() and (one != other).mean() > 0.5
    assert not np.array_equal(one, np.broadcast_to(one[:1, :1], one.shape))
    # An edge in the mask is one in the image: colours change more across outlines than elsewhere.
    steps = np.abs(np.diff(one.astype(float), axis=0)).mean(axis=2)
    outlines = mask[1:] != mask[:-1]
    assert steps[outlines].mean() > 1.3 * steps[~outlines].mean()


def test_a_place_and_a_reference_image_are_styles(generator):
    like = generator.with_style(np.full((64, 64, 3), (200, 180, 150), np.uint8))
    assert (like(town()) != generator.with_style("banepa_core")(town())).mean() > 0.2


def test_material_is_small_and_says_whose_roofs_and_ground_it_shows():
    folder, generator = bundled_folder("orthoforge-material"), load_generator("orthoforge-material")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    assert generator.styles == ("banepa_core", "dhaka", "kampala", "zanzibar")
    assert set(generator.library.place_names) == set(generator.styles)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| {place} | images CC-BY-4.0" in card for place in generator.styles)
    mask = town()
    one, again, other = (generator.with_style("zanzibar")(mask, seed=seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).mean() > 0.5
    assert np.abs(one.astype(int).mean((0, 1)) - generator.with_style("banepa_core")(mask, seed=1).mean((0, 1))).max() > 5


def test_land_cover_is_small_and_says_whose_images_it_holds():
    folder, generator = bundled_folder("orthoforge-landcover"), load_generator("orthoforge-landcover")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    assert "Humans in the Loop" in generator.attribution and "OpenAerialMap" in generator.attribution
    assert generator.styles == ("dubai_desert", "dubai_lake", "dubai_marina", "dubai_shore")
    assert set(generator.library.place_names) == set(generator.styles)
    assert generator.classes.names[:5] == ("land", "building", "road", "vegetation", "water")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC0" in card and "Humans in the Loop" in card and "OpenStreetMap" in card


def test_land_cover_draws_a_town_from_its_map(tmp_path):
    """Of footprints and two layers: roads are dark and run along, water is dark, and land is bright."""
    frame = "EPSG:32640"

    def write(name, kind, coordinates):
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}
        crs = {"type": "name", "properties": {"name": frame}}
        (tmp_path / name).write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))

    def box(left, bottom, width, height):
        return [[[left, bottom], [left + width, bottom], [left + width, bottom + height], [left, bottom + height], [left, bottom]]]

    write("houses.geojson", "Polygon", box(300_020, 2_700_020, 24, 16))
    write("roads.geojson", "LineString", [[300_000, 2_700_064], [300_128, 2_700_064]])
    write("water.geojson", "Polygon", box(300_000, 2_700_090, 128, 38))
    layers = [tmp_path / "roads.geojson", tmp_path / "water.geojson"]
    out = generate(
        "orthoforge-landcover", tmp_path / "houses.geojson", tmp_path / "town.tif", layers=layers,
        extent=(300_000, 2_700_000, 300_128, 2_700_128), gsd=1, style="dubai_desert",
    )  # fmt: skip
    with open_raster(out[0]) as raster:
        image = read_image(raster).astype(float).mean(axis=2)
    assert image.shape == (128, 128)
    land, road, water = image[72:84].mean(), image[62:66].mean(), image[4:34].mean()
    assert road < land - 10 and water < land - 10
