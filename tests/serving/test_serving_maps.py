"""The living map: tiles meet, are the same after a restart, and are generated once however many look at them."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from servers import client, generator, pixels

from conftest import make_grid, make_mask, write_tiff
from orthoforge.geo.grid import Grid, Window
from orthoforge.serving.block_cache import BlockCache
from orthoforge.serving.coarse_mask import CoarseMask
from orthoforge.serving.decoded import LABELS, DecodedMask, write_grid
from orthoforge.serving.living_map import LivingMap
from orthoforge.serving.mercator import bounds_of, covered, joined, pixels_per_pixel, tile_grid, warped
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.rectangles import rectangles
from small_disk import small_disk

SIZE = (300, 600)

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    raster = write_tiff(folder / "raster.tif", make_mask(SIZE), make_grid(SIZE))
    west, south, east, north = bounds_of(make_grid(SIZE))
    step = 1e-4
    rings = [
        [[x, y], [x + step, y], [x + step, y + step], [x, y + step], [x, y]]
        for x in np.arange(west, east - step, 3 * step)
        for y in np.arange(south, north - step, 3 * step)
    ]
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings]
    (folder / "town.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return [raster, folder / "town.geojson"]


@pytest.fixture(scope="module")
def served(tmp_path_factory, layers):
    with client(tmp_path_factory.mktemp("data"), "normed", "styled", "classes", layers=layers, block_px=128) as found:
        yield found


def tile_at(document, z, across=0.5, down=0.5):
    west, south, east, north = document["bounds"]
    lon, lat = west + across * (east - west), north - down * (north - south)
    x = (lon + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z
    return int(x), int(y)


def made(found, name="raster"):
    value = found.app.state.serving.metrics.registry.get_sample_value("orthoforge_map_blocks_total", {"how": "made"})
    return value or 0


def test_tilejson_says_where_the_tiles_are(served):
    document = served.get("/v1/maps/raster/tilejson.json?seed=3").json()
    assert document["tilejson"] == "3.0.0" and document["tiles"][0].endswith("/v1/maps/raster/tiles/{z}/{x}/{y}.png?seed=3")
    west, south, east, north = document["bounds"]
    assert west < document["center"][0] < east and south < document["center"][1] < north
    assert [one["name"] for one in served.get("/v1/maps").json()["maps"]] == ["raster", "town"]


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_neighbouring_tiles_meet_to_a_level(served, steps):
    """Two tiles, and the tile of both of them put together by one warp: the same pixels on both sides of the border."""
    found = served.app.state.serving.maps
    document = served.get("/v1/maps/raster/tilejson.json").json()
    z = document["maxzoom"] - 2 - steps
    x, y = tile_at(document, z)
    left, right = (pixels(served.get(f"/v1/maps/raster/tiles/{z}/{at}/{y}.png").content) for at in (x, x + 1))
    assert left.shape[:2] == right.shape[:2] == (256, 256)
    living = found._maps["raster", "normed", None, 0]

    level = living.level_of(z)
    grid, one = living.grids[level], tile_grid(z, x, y)
    both = Grid(256, 512, one.transform, one.crs)
    window = covered(grid, both)
    blocks = [(at, living._cache.get(f"{living.identity}/{level}_{at.row}_{at.col}")) for at in living._blocks_in(level, window)]
    whole = joined([(at, block[0]) for at, block in blocks if block], window, 3)
    wanted, there = warped(whole, None, grid.window(window), both, scale=pixels_per_pixel(grid, z))
    seen = np.hstack(
        [np.dstack([half[..., :3], np.full((256, 256), 255)]) if half.shape[2] == 3 else half for half in (left, right)]
    )
    shown = (seen[..., 3] > 0) & there
    assert shown.any()
    assert np.abs(seen[..., :3].astype(int) - wanted)[shown].max() <= 1


def test_the_same_place_and_seed_give_the_same_bytes_after_a_restart(tmp_path, layers):
    answers = []
    for data in (tmp_path / "one", tmp_path / "one", tmp_path / "other"):
        with client(data, "normed", layers=layers, block_px=128) as found:
            document = found.get("/v1/maps/raster/tilejson.json").json()
            z = document["maxzoom"] - 2
            x, y = tile_at(document, z)
            answers.append(found.get(f"/v1/maps/raster/tiles/{z}/{x}/{y}.png").content)
            generated = made(found)
    assert answers[0] == answers[1] == answers[2]
    assert generated > 0


def test_ten_who_look_at_once_generate_each_block_once(served):
    document = served.get("/v1/maps/raster/tilejson.json?model=styled&seed=77").json()
    z = document["maxzoom"] - 2
    x, y = tile_at(document, z)
    before = made(served)
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: served.get(f"/v1/maps/raster/tiles/{z}/{x}/{y}.png?model=styled&seed=77").content, range(10))
        )
    assert len(set(answers)) == 1
    living = served.app.state.serving.maps._maps["raster", "styled", None, 77]
    files = list((served.app.state.serving.settings.data / "blocks" / living.identity).glob("*.npz"))
    assert made(served) - before == len(files) > 0


def test_a_tile_in_webp_and_one_of_another_seed(served):
    document = served.get("/v1/maps/raster/tilejson.json").json()
    z = document["maxzoom"] - 2
    x, y = tile_at(document, z)
    webp = served.get(f"/v1/maps/raster/tiles/{z}/{x}/{y}.webp")
    assert webp.headers["content-type"] == "image/webp" and pixels(webp.content).shape[:2] == (256, 256)
    one, other = (
        served.get(f"/v1/maps/raster/tiles/{z}/{x}/{y}.png?model=styled&style=north&seed={seed}").content for seed in (1, 2)
    )
    assert one != other


def test_mask_tiles_show_the_footprints_in_their_place(served):
    document = served.get("/v1/maps/town/masks/tilejson.json").json()
    z = document["maxzoom"] - 2
    x, y = tile_at(document, z)
    seen = pixels(served.get(f"/v1/maps/town/masks/{z}/{x}/{y}.png").content)
    assert 0.05 < (seen[..., 0] == 255).mean() < 0.2  # a ninth
    assert served.get(f"/v1/maps/town/tiles/{z}/{x}/{y}.png").status_code == 200


def test_beyond_the_map_tiles_are_transparent_and_zooms_end(served):
    document = served.get("/v1/maps/raster/tilejson.json").json()
    far = served.get(f"/v1/maps/raster/tiles/{document['maxzoom']}/0/0.png")
    assert far.status_code == 200 and not pixels(far.content)[..., 3].any()
    for path in ("tiles/30/0/0.png", "tiles/1/2/0.png", "tiles/-1/0/0.png"):
        assert served.get(f"/v1/maps/raster/{path}").status_code == 404
    world = pixels(served.get("/v1/maps/raster/tiles/0/0/0.png").content)
    assert world.shape == (256, 256, 4)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (404, "/v1/maps/../tilejson.json"), (404, "/v1/maps/nowhere/tilejson.json"),
        (404, "/v1/maps/%2Fetc%2Fpasswd/tilejson.json"),
        (422, "/v1/maps/raster/tilejson.json?seed=-1"), (422, "/v1/maps/raster/tilejson.json?style=west&model=styled"),
        (404, "/v1/maps/raster/tilejson.json?model=/etc"), (422, "/v1/maps/town/tilejson.json?model=classes"),
    ],
)  # fmt: skip
def test_maps_that_there_are_not(served, status, path):
    answer = served.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not any(text in answer.json()["detail"] for text in ("/layers", "/tmp")), "no path of the server's is told"


def test_the_cache_lets_the_oldest_go_and_makes_damaged_blocks_anew(tmp_path):
    rng = np.random.default_rng(0)
    block = rng.integers(0, 255, (64, 64, 3), np.uint8)
    size = 0
    cache = BlockCache(tmp_path, 10**9, Metrics())
    for number in range(3):
        cache.put(f"scene/{number}", block, None)
    size = cache._bytes // 3
    small = BlockCache(tmp_path, 3 * size, Metrics())
    assert small.get("scene/0") is not None
    small.put("scene/3", block, None)
    assert small.get("scene/1") is None and small.get("scene/0") is not None
    assert len(list(tmp_path.glob("*/*.npz"))) == 3 and small._bytes <= 3 * size
    fresh = BlockCache(tmp_path, 10**9, Metrics())
    path = tmp_path / "scene" / "3.npz"
    path.write_bytes(path.read_bytes()[:-50])
    assert fresh.get("scene/3") is None and not path.exists()


def test_a_coarse_mask_is_the_same_in_any_window(tmp_path):
    np.save(tmp_path / LABELS, make_mask(SIZE))
    write_grid(tmp_path, make_grid(SIZE))
    coarse = CoarseMask(DecodedMask(tmp_path), 4, classes=False)
    whole = coarse.read(Window(0, 0, 75, 150))[0]
    coarse._step = 7
    assert (coarse.read(Window(10, 20, 50, 60))[0] == whole[10:60, 20:80]).all()
    assert 0.5 < (whole > 0).mean() / (make_mask(SIZE) > 0).mean() < 1.5


def test_a_far_view_is_the_scene_of_the_mask_in_coarser_pixels(served):
    document = served.get("/v1/maps/raster/tilejson.json?model=styled").json()
    living: LivingMap = served.app.state.serving.maps._maps["raster", "styled", None, 0]
    level = living.levels - 1
    z = next(z for z in range(document["maxzoom"], 0, -1) if living.level_of(z) == level)
    x, y = tile_at(document, z)
    assert served.get(f"/v1/maps/raster/tiles/{z}/{x}/{y}.png?model=styled").status_code == 200
    mask = living._masks[level]
    assert mask.grid.width <= 256 and level > 1
    labels, _ = mask.read(Window(0, 0, mask.grid.height, mask.grid.width))
    wanted = generator("styled")(labels, seed=0, origin=living._scenes[level].scene.origin)
    blocks = list((served.app.state.serving.settings.data / "blocks" / living.identity).glob(f"{level}_*.npz"))
    assert blocks
    for path in blocks:
        _, row, col = map(int, path.stem.split("_"))
        made, _ = living._cache.get(f"{living.identity}/{path.stem}")
        part = wanted[row : row + made.shape[0], col : col + made.shape[1]]
        assert np.abs(made.astype(int) - part).max() <= 1


def test_levels_go_from_the_models_pixels_to_one_small_scene(served):
    served.get("/v1/maps/raster/tilejson.json")
    living: LivingMap = served.app.state.serving.maps._maps["raster", "normed", None, 0]
    levels = [living.level_of(z) for z in range(living.most_zoom, 0, -1)]
    assert levels[0] == 0 and levels == sorted(levels) and levels[-1] == living.levels - 1


def test_what_a_view_lacks_is_made_in_one_piece(served):
    passes = served.app.state.serving.metrics.forward_passes._value.get
    document = served.get("/v1/maps/raster/tilejson.json?model=styled&seed=5").json()
    for out in (0, 1):
        z = document["maxzoom"] - 2 - out
        before, blocks = passes(), made(served)
        assert (
            served.get("/v1/maps/raster/tiles/{}/{}/{}.png?model=styled&seed=5".format(z, *tile_at(document, z))).status_code == 200
        )
        assert made(served) - blocks >= 4 and passes() - before == 1


def test_buildings_of_a_layer_are_found_once_for_all_seeds_and_styles(served):
    for query in ("seed=31", "seed=32", "seed=31&style=south"):
        served.get(f"/v1/maps/raster/tilejson.json?model=styled&{query}").raise_for_status()
    maps = [one for key, one in served.app.state.serving.maps._maps.items() if key[:2] == ("raster", "styled")]
    found = [{level: scene.scene.buildings for level, scene in one._scenes.items()} for one in maps]
    assert len(found) >= 3 and all(one == found[0] for one in found) and None not in found[0].values()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_rectangles_hold_their_blocks_and_cost_no_more_than_one_around_all(share):
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = [Window(10 * row, 10 * col, 10, 10) for row in range(6) for col in range(6) if rng.random() < share]
        parts = rectangles(chosen, 25)
        assert set(parts) == set(chosen)
        cover = np.zeros((60, 60), int)
        for part in set(parts.values()):
            cover[part.slices] += 1
        assert cover.max(initial=0) <= 1 and all(cover[block.slices].all() for block in chosen)
        assert all(
            part.row <= block.row
            and part.col <= block.col
            and block.row < part.row + part.height
            and block.col < part.col + part.width
            for block, part in parts.items()
        )
        cost = sum((part.height + 50) * (part.width + 50) for part in set(parts.values()))
        if chosen:
            spans = [np.ptp([getattr(one, name) for one in chosen]) + 10 for name in ("row", "col")]
            assert cost <= (spans[0] + 50) * (spans[1] + 50)


def test_a_layer_may_be_opened_and_read_by_any_thread(tmp_path, layers):
    with client(tmp_path, "normed", layers=layers[:1]) as found:  # it ends without an error: who opened the file closes it
        serving = found.app.state.serving
        mask = serving.maps.mask("raster", serving.models.find(None))
        windows = [Window(row, 0, 60, 600) for row in range(0, 300, 60)] * 8
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda window: mask.read(window)[0], windows))
    assert all((part == make_mask(SIZE)[window.slices]).all() for window, part in zip(windows, read, strict=True))


def test_a_map_is_shown_where_its_disk_is_full(tmp_path):
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        cache = BlockCache(disk / "blocks", 10**9, Metrics())
        block = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
        for number in range(4):
            cache.put(f"scene/{number}", block, None)
            assert (cache.get(f"scene/{number}")[0] == block).all()
        assert len(list(disk.glob("blocks/*/*"))) < 4 and cache._bytes <= 2_000_000
