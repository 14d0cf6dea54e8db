import dataclasses
import itertools

import numpy as np
import pytest
import rasterio
import shapely

from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.geo.grid import Grid
from orthoforge.scenes.simulate import PLACES, render_scene, simulate
from orthoforge.scenes.town import render
from orthoforge.scenes.town.model import COVERS, Streets, Town
from orthoforge.scenes.town.plan import plan_town
from orthoforge.scenes.town.render import render_town
from orthoforge.vectors import rasterize_footprints, read_footprints

PLACE_NAMES = tuple(PLACES)


@pytest.fixture(scope="module")
def scenes():
    """One scene of 135 × 120 m per place."""
    return {name: render_scene(place, seed=11, height_px=400, width_px=450) for name, place in PLACES.items()}


@pytest.fixture(scope="module")
def towns():
    """One plan of 280 × 280 m per place, large enough to meet every frequent land use."""
    return {name: plan_town(place, 280.0, 280.0, np.random.default_rng([3])) for name, place in PLACES.items()}


def one_house(kind: str, eaves_m: float) -> tuple[Town, shapely.Polygon]:
    """A bare plain with one house of 20 × 12 m, ridge east-west, its middle at (30, 30) m."""
    wave = (0.0, 0.01, 0.0)
    lines = np.array([-1e4, 1e4])
    no_street = np.zeros((2, 1)), np.zeros((1, 2))
    streets = Streets((0.0, 0.0), 0.0, ((wave, wave), (wave, wave)), lines, lines, *no_street, 2.0, 12.0)
    outline = shapely.box(20, 24, 40, 36)
    absent = [0, 0, 1, 0, -1, 1, 0, 0]
    town = Town(
        streets=streets,
        water=None,
        buildings=[outline],
        parts=np.array([[[30.0, 30, 1, 0, 10, 6, 0, 0], absent]]),
        roofs=np.array([[eaves_m, 0.6, kind == "flat", COVERS.index("shingle"), 0.5, 0.5, 0.5]]),
    )
    return town, outline


def test_the_same_arguments_give_the_same_scene():
    a, b = (render_scene(PLACES["arden"], seed=5, height_px=120, width_px=200) for _ in range(2))
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.mask, b.mask)
    assert [f.wkb for f in a.footprints] == [f.wkb for f in b.footprints]


def test_seeds_and_places_give_different_towns():
    a, b = (render_scene(PLACES["arden"], seed=seed, height_px=256, width_px=256) for seed in (5, 6))
    other = render_scene(dataclasses.replace(PLACES["arden"], name="ardenne"), seed=5, height_px=256, width_px=256)
    for scene in (b, other):
        assert np.abs(a.image.astype(int) - scene.image).mean() > 15
        assert (a.mask != scene.mask).mean() > 0.02


@pytest.mark.parametrize("name", PLACE_NAMES)
def test_mask_is_the_footprints_at_pixel_centres(scenes, name):
    scene = scenes[name]
    rows, columns = np.mgrid[: scene.grid.height, : scene.grid.width]
    x, y = scene.grid.transform @ (columns.ravel() + 0.5, rows.ravel() + 0.5)
    inside = np.zeros(x.size, bool)
    inside[shapely.STRtree(shapely.points(x, y)).query(scene.footprints, predicate="contains")[1]] = True
    assert set(np.unique(scene.mask)) == {0, 255}
    np.testing.assert_array_equal(scene.mask == 255, inside.reshape(scene.mask.shape))


@pytest.mark.parametrize("name", PLACE_NAMES)
def test_footprints_are_valid_apart_and_inside_the_scene(scenes, name):
    scene = scenes[name]
    left, bottom, right, top = scene.grid.bounds
    assert len(scene.footprints) >= 5
    assert shapely.is_valid(scene.footprints).all()
    bounds = shapely.bounds(scene.footprints)
    assert (bounds[:, :2] >= [left - 1e-6, bottom - 1e-6]).all()
    assert (bounds[:, 2:] <= [right + 1e-6, top + 1e-6]).all()
    footprints = np.array(scene.footprints, dtype=object)
    first, second = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    pairs = first < second
    assert shapely.area(shapely.intersection(footprints[first[pairs]], footprints[second[pairs]])).sum() < 1e-3


@pytest.mark.parametrize("name", PLACE_NAMES)
def test_no_building_stands_on_a_street_or_in_water(towns, name):
    town = towns[name]
    x, y = shapely.get_coordinates(shapely.segmentize(np.array(town.buildings, dtype=object), 1.0)).T
    assert town.streets.survey(x, y)["kerb"].min() > 0
    if town.water is not None:
        assert town.water.distance(x, y).min() > 0


@pytest.mark.parametrize("name", PLACE_NAMES)
def test_small_scenes_have_buildings(name):
    shares = [(render_scene(PLACES[name], seed=seed, height_px=120, width_px=120, gsd_m=0.6).mask > 0).mean() for seed in range(3)]
    assert min(shares) > 0.005


def test_street_coordinates_invert():
    streets = plan_town(PLACES["hohental"], 100.0, 100.0, np.random.default_rng([1])).streets
    ground = np.array([streets.to_ground(s, t) for s in (-300.0, 0.0, 211.0) for t in (-77.0, 10.0, 400.0)])
    s, t = streets.from_ground(ground[:, 0], ground[:, 1])
    np.testing.assert_allclose(s, np.repeat([-300.0, 0.0, 211.0], 3), atol=1e-5)
    np.testing.assert_allclose(t, np.tile([-77.0, 10.0, 400.0], 3), atol=1e-5)


@pytest.mark.parametrize("name", PLACE_NAMES)
def test_shadows_fall_away_from_the_sun(scenes, name):
    scene, place = scenes[name], PLACES[name]
    light, mask = scene.image.mean(axis=2), scene.mask > 0
    azimuth = np.radians(place.sun_azimuth_deg)
    towards_sun = np.array([-np.cos(azimuth), np.sin(azimuth)])  # rows, columns

    def beside(direction):
        row, column = np.rint(direction * 7).astype(int)  # 2 m
        return np.roll(mask, (row, column), (0, 1))[8:-8, 8:-8] & ~mask[8:-8, 8:-8]

    inner = light[8:-8, 8:-8]
    assert inner[beside(-towards_sun)].mean() < 0.8 * inner[beside(towards_sun)].mean()


@pytest.mark.parametrize(("azimuth", "elevation"), [(180.0, 45.0), (180.0, 60.0), (0.0, 45.0)])
def test_shadow_is_as_long_as_height_and_sun_say(azimuth, elevation):
    place = dataclasses.replace(PLACES["arden"], sun_azimuth_deg=azimuth, sun_elevation_deg=elevation)
    town, _ = one_house("flat", eaves_m=8.0)
    rows = render_town(town, place, 200, 200, 0.3, [1])[:, 90:110].mean(axis=(1, 2))
    north, south = rows[:80][::-1], rows[120:]  # outwards from the walls
    lee, sunny = (north, south) if azimuth == 180.0 else (south, north)
    dark_m = [0.3 * np.flatnonzero(side < 0.75 * np.median(side[-20:])) for side in (lee, sunny)]
    expected = (8.0 + 0.45) / np.tan(np.radians(elevation))  # with its parapet
    assert dark_m[0].max() == pytest.approx(expected, abs=0.8)
    assert len(dark_m[1]) <= 1


def test_the_roof_plane_that_faces_the_sun_is_the_bright_one():
    place = dataclasses.replace(PLACES["arden"], sun_azimuth_deg=180.0, sun_elevation_deg=45.0)
    town, _ = one_house("gable", eaves_m=3.0)
    image = render_town(town, place, 200, 200, 0.3, [1]).astype(float)
    north, south = image[84:98, 75:125].mean(), image[102:116, 75:125].mean()
    assert south > 1.3 * north


def test_places_differ_in_colour_and_density(scenes, towns):
    roofs = {name: scene.image[scene.mask > 0].mean(axis=0) for name, scene in scenes.items()}
    for a, b in itertools.combinations(PLACE_NAMES, 2):
        assert np.linalg.norm(roofs[a] - roofs[b]) > 6, (a, b)
    brightness = {name: scene.image.mean() for name, scene in scenes.items()}
    assert brightness["salvora"] > 1.2 * max(brightness[name] for name in PLACE_NAMES if name != "salvora")
    built = {name: shapely.area(towns[name].buildings).sum() for name in PLACE_NAMES}
    assert min(built[name] for name in PLACE_NAMES if name != "hohental") > 1.4 * built["hohental"]


@pytest.mark.parametrize(("height", "width", "gsd"), [(64, 64, 0.3), (33, 97, 0.3), (150, 401, 1.0), (40, 30, 2.0)])
def test_any_size(height, width, gsd):
    scene = render_scene(PLACES["brennau"], seed=1, height_px=height, width_px=width, gsd_m=gsd)
    assert scene.image.shape == (height, width, 3)
    assert scene.mask.shape == (height, width)
    assert scene.image.dtype == scene.mask.dtype == np.uint8
    assert scene.image.std() > 10


def test_blocks_leave_no_seams(monkeypatch):
    monkeypatch.setattr(render, "GRAIN", (0.0, 0.0))  # noise is drawn block by block
    whole = render_scene(PLACES["portwick"], seed=4, height_px=210, width_px=250, gsd_m=0.5)
    monkeypatch.setattr(render, "BLOCK_PX", 64)
    blocks = render_scene(PLACES["portwick"], seed=4, height_px=210, width_px=250, gsd_m=0.5)
    off = np.abs(whole.image.astype(int) - blocks.image).max(axis=2)
    assert (off > 2).mean() < 1e-3


def test_resolution_does_not_change_the_town():
    fine = render_scene(PLACES["brennau"], seed=7, height_px=400, width_px=400, gsd_m=0.3)
    coarse = render_scene(PLACES["brennau"], seed=7, height_px=200, width_px=200, gsd_m=0.6)
    assert [f.wkb for f in fine.footprints] == [f.wkb for f in coarse.footprints]
    averaged = fine.image.reshape(200, 2, 200, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(averaged.ravel(), coarse.image.ravel())[0, 1] > 0.9
    assert averaged.mean() == pytest.approx(coarse.image.mean(), abs=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height_px": 8}, "too small"),
        ({"gsd_m": 0.0}, "gsd"),
        ({"gsd_m": 30.0}, "gsd"),
        ({"gsd_m": float("nan")}, "gsd"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_scenes_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        render_scene(PLACES["arden"], **{"seed": 0, "height_px": 64, "width_px": 64} | options)


def test_unknown_places_and_counts_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="atlantis"):
        simulate(tmp_path, places=["arden", "atlantis"])
    with pytest.raises(ConfigError, match="scenes_per_place"):
        simulate(tmp_path, scenes_per_place=0)
    assert list(tmp_path.iterdir()) == []


def test_written_scenes(tmp_path):
    options = {"places": ["salvora"], "scenes_per_place": 2, "size_px": 128, "seed": 9}
    paths = simulate(tmp_path / "a", **options)
    names = [path.relative_to(tmp_path / "a").as_posix() for path in paths]
    assert names == ["train/images/salvora1.tif", "train/images/salvora2.tif"]
    boxes = []
    for path in paths:
        gt = path.parents[1] / "gt" / path.name
        with rasterio.open(path) as image, rasterio.open(gt) as mask:
            assert image.crs == mask.crs == rasterio.CRS.from_epsg(PLACES["salvora"].epsg)
            assert image.transform == mask.transform
            assert image.res == (0.3, 0.3)
            assert (image.count, mask.count) == (3, 1)
            assert image.bounds.left >= 100_000  # inside a UTM zone
            boxes.append(shapely.box(*image.bounds))
            labels = mask.read(1)
        footprints, crs = read_footprints(path.parents[1] / "footprints" / f"{path.stem}.geojson")
        assert crs == image.crs
        grid = Grid(128, 128, image.transform, crs)
        np.testing.assert_array_equal(rasterize_footprints(footprints, grid), labels)
    assert all(a.distance(b) > 30 for a, b in itertools.combinations(boxes, 2))

    again = simulate(tmp_path / "b", **options)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert len(again) == 2
    with pytest.raises(OutputExistsError):
        simulate(tmp_path / "a", **options)


def test_a_scene_does_not_depend_on_how_many_are_asked_for(tmp_path):
    few = simulate(tmp_path / "few", places=["hohental"], scenes_per_place=1, size_px=32)
    more = simulate(tmp_path / "more", places=["arden", "hohental"], scenes_per_place=2, size_px=32)
    assert [path.stem for path in more] == ["arden1", "arden2", "hohental1", "hohental2"]
    assert few[0].read_bytes() == more[2].read_bytes()
