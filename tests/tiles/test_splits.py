from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from orthoforge.errors import DataError
from orthoforge.scenes.place_names import place_of
from orthoforge.tiles.splits import Site, assign_splits, touching


def scene(name, rows, cols, *, at=(0.0, 0.0), tile=10.0, space="EPSG:32633", gap=0.0):
    """Sites of a scene cut into rows × cols tiles, ``gap`` apart."""
    x, y = at
    step = tile + gap
    whole = (x, y, x + cols * step, y + rows * step)
    boxes = [(x + c * step, y + r * step, x + c * step + tile, y + r * step + tile) for r in range(rows) for c in range(cols)]
    return [Site(name, place_of(name), space, box, whole) for box in boxes]


def inria(cut, side=100.0):
    cities = ("austin", "chicago", "kitsap", "tyrol-w", "vienna")
    return [
        site
        for row, city in enumerate(cities)
        for number in range(1, 37)
        for site in scene(f"{city}{number}", cut, cut, at=(number * 10 * side, row * 10 * side), tile=side / cut)
    ]


def touch(a, b):
    """From the definition, without tolerance: the closed boxes have a point in common."""
    one, two = a.box, b.box
    return a.space == b.space and one[0] <= two[2] and two[0] <= one[2] and one[1] <= two[3] and two[1] <= one[3]


def require_apart(sites, splits):
    for i, a in enumerate(sites):
        for j in range(i):
            if splits[i] != splits[j] and "buffer" not in (splits[i], splits[j]):
                assert not touch(a, sites[j]), (a, sites[j], splits[i], splits[j])


@pytest.mark.parametrize(("cut", "train", "val", "test"), [(1, 135, 30, 15), (2, 540, 120, 60), (5, 3375, 750, 375)])
def test_digits_gives_the_counts_of_the_seed(cut, train, val, test):
    counts = Counter(assign_splits(inria(cut), "digits"))
    assert counts == {"train": train, "val": val, "test": test}


def test_digits_goes_by_the_last_digit():
    sites = [site for number in range(1, 12) for site in scene(f"austin{number}", 1, 1)]
    expected = ["train"] * 6 + ["val"] * 2 + ["test"] + ["train"] * 2
    assert assign_splits(sites, "digits") == expected


def test_inria_keeps_the_first_five_of_each_city():
    sites = inria(1)
    splits = assign_splits(sites, "inria")
    assert {site.scene for site, split in zip(sites, splits, strict=True) if split == "val"} == {
        f"{city}{number}" for city in ("austin", "chicago", "kitsap", "tyrol-w", "vienna") for number in range(1, 6)
    }
    assert Counter(splits) == {"train": 155, "val": 25}


@pytest.mark.parametrize("method", ["digits", "inria"])
def test_a_scene_without_number_is_named(method):
    with pytest.raises(DataError, match=f"harbour: has no number in its name, and --split {method}.*--split blocks"):
        assign_splits(scene("austin1", 1, 1) + scene("harbour", 1, 1), method)


def test_random_is_seeded_and_in_ratio():
    sites = scene("a1", 20, 10)
    splits = assign_splits(sites, "random", seed=3)
    assert Counter(splits) == {"train": 140, "val": 30, "test": 30}
    assert splits == assign_splits(sites, "random", seed=3)
    assert splits != assign_splits(sites, "random", seed=4)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_blocks_drops_nothing_where_scenes_lie_apart(cut):
    sites = inria(cut)
    splits = assign_splits(sites, "blocks")
    counts = Counter(splits)
    assert counts["buffer"] == 0
    assert counts["train"] / len(sites) == pytest.approx(0.7, abs=0.03)
    by_city = {site.place: Counter() for site in sites}
    for site, split in zip(sites, splits, strict=True):
        by_city[site.place][split] += 1
    assert all(city["val"] and city["test"] for city in by_city.values())


@pytest.mark.parametrize(
    ("rows", "cols", "most_dropped"), [(5, 5, 6), (6, 6, 10), (8, 6, 9), (1, 20, 2), (20, 1, 2), (3, 3, 4), (30, 30, 45)]
)
def test_blocks_cuts_a_single_scene_and_drops_few_tiles(rows, cols, most_dropped):
    sites = scene("town", rows, cols)
    for seed in range(5):
        splits = assign_splits(sites, "blocks", seed)
        counts = Counter(splits)
        require_apart(sites, splits) if rows * cols < 100 else None
        assert counts["train"] >= counts["val"] > 0
        assert counts["test"] > 0
        assert counts["buffer"] <= most_dropped


def test_seeds_put_validation_in_different_places():
    sites = scene("town", 8, 8)
    assert len({tuple(assign_splits(sites, "blocks", seed)) for seed in range(8)}) > 2


def test_scenes_that_touch_are_one_group():
    # 48 web tiles in a block of 8×6, as published for Banepa, with the rounding of degrees.
    sites = [
        site
        for row in range(8)
        for col in range(6)
        for site in scene(f"banepa_{row}_{col}", 1, 1, at=(85.5 + col * 0.000686, 27.6 + row * 0.0006083), tile=0.00060830001)
    ]
    splits = assign_splits(sites, "blocks")
    require_apart(sites, splits)
    counts = Counter(splits)
    assert min(counts["val"], counts["test"]) >= 5
    assert counts["buffer"] <= 12


def test_scenes_without_crs_cannot_touch():
    sites = [site for number in range(20) for site in scene(f"a{number}", 1, 1, space=f"a{number}")]
    assert Counter(assign_splits(sites, "blocks")) == {"train": 14, "val": 3, "test": 3}


def test_groups_too_small_to_cut_even_out_the_ratio():
    sites = [site for letter in "abcdefghijklmnopqrst" for site in scene(letter, 2, 2, at=(ord(letter) * 1000.0, 0))]
    assert Counter(assign_splits(sites, "blocks")) == {"train": 56, "val": 12, "test": 12}


def test_a_single_tile_trains():
    assert assign_splits(scene("a", 1, 1), "blocks") == ["train"]


def test_near_counts_as_touching():
    boxes = [(0, 0, 10, 10), (10.1, 0, 20.1, 10), (25, 0, 35, 10)]
    assert touching(boxes, ["x"] * 3).tolist() == [[0, 1], [1, 0]]
    assert touching(boxes, ["x", "y", "x"]).size == 0


def test_the_same_ground_in_two_crss_goes_to_one_split():
    """Scenes of 8 × 8 tiles, each once more in the CRS of another datum's name, whose numbers are the same to a millimetre."""
    here, there = CRS.from_epsg(32633), CRS.from_epsg(25833)
    sites = [
        site
        for number in range(6)
        for name, crs in ((f"town{number}", here), (f"again{number}", there))
        for site in scene(name, 4, 4, at=(400_000 + 5000.0 * number, 5_500_000), tile=80, space=crs)
    ]
    splits = dict(zip(((site.scene, site.box) for site in sites), assign_splits(sites, "blocks"), strict=True))
    assert min(Counter(splits.values())[split] for split in ("train", "val", "test")) >= 16
    for (name, box), split in splits.items():
        other = splits[name.replace("town", "again"), box]
        assert split == other or "buffer" in (split, other)


def test_a_town_across_two_utm_zones_is_cut_as_one():
    """Its two halves, each in its own zone, whose axes differ by 4.7° here."""
    zones, degrees = (CRS.from_epsg(32632), CRS.from_epsg(32633)), CRS.from_epsg(4326)
    (_, middle), (_, north) = transform_points(degrees, zones[0], [12.0, 12.0], [52.0, 52.0])
    west = scene("west", 8, 8, at=(middle - 8 * 80, north), tile=80, space=zones[0])
    (east_x, *_), (east_y, *_) = transform_points(degrees, zones[1], [12.0], [52.0])
    east = scene("east", 8, 8, at=(east_x, east_y), tile=80, space=zones[1])
    sites = [*west, *east]
    splits = assign_splits(sites, "blocks")
    assert {"train", "val", "test", "buffer"} == set(splits)
    pairs = touching([site.box for site in sites], [site.space for site in sites])
    across = [(a, b) for a, b in pairs.T.tolist() if sites[a].space != sites[b].space]
    assert across
    for a, b in pairs.T.tolist():
        assert splits[a] == splits[b] or "buffer" in (splits[a], splits[b])


@st.composite
def layouts(draw):
    """Scenes on a coarse raster of places, so that some touch, some overlap and some lie apart; some lack a CRS."""
    sites = []
    for number in range(draw(st.integers(1, 8))):
        cut = draw(st.integers(1, 4))
        at = (draw(st.integers(0, 6)) * 20.0, draw(st.integers(0, 6)) * 20.0)
        space = draw(st.sampled_from(["EPSG:32633", "EPSG:32633", "EPSG:4326", f"s{number}"]))
        name = f"{draw(st.sampled_from('abc'))}{number}"
        sites += scene(name, cut, cut, at=at, tile=draw(st.sampled_from([40.0, 20.0, 10.0])) / cut, space=space)
    keep = draw(st.lists(st.booleans(), min_size=len(sites), max_size=len(sites)))
    return [site for site, kept in zip(sites, keep, strict=True) if kept or draw(st.booleans())]


@given(sites=layouts(), seed=st.integers(0, 5))
def test_no_two_splits_touch_and_no_tile_is_dropped_in_vain(sites, seed):
    splits = assign_splits(sites, "blocks", seed)
    assert len(splits) == len(sites)
    assert set(splits) <= {"train", "val", "test", "buffer"}
    require_apart(sites, splits)
    assert splits == assign_splits(sites, "blocks", seed)
    if sites:
        pairs = touching([site.box for site in sites], [site.space for site in sites])
        for tile in (index for index, split in enumerate(splits) if split == "buffer"):
            beside = {splits[other] for other in pairs[1, pairs[0] == tile]} - {"buffer"}
            assert len(beside) >= 2


@given(rows=st.integers(3, 12), cols=st.integers(3, 12), holes=st.integers(0, 3), seed=st.integers(0, 5))
def test_every_split_has_tiles_where_there_are_enough(rows, cols, holes, seed):
    rng = np.random.default_rng(seed)
    sites = scene("town", rows, cols)
    sites = [sites[index] for index in sorted(rng.permutation(len(sites))[holes:])]
    if len(sites) >= 12:
        assert {"train", "val", "test"} <= set(assign_splits(sites, "blocks", seed))
