"""Balanced choices of training tiles: which of them, and in which order."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.tiles.subset import balanced_order, balanced_subset

CITIES = ("austin", "chicago", "kitsap", "tyrol-w", "vienna")


def rows_of(tiles_by_scene):
    """Rows for {(place, scene): count}."""
    return [SimpleNamespace(place=place, scene=scene) for (place, scene), count in tiles_by_scene.items() for _ in range(count)]


MID = rows_of({(city, f"{city}{number}"): 4 for city in CITIES for number in range(27)})  # the seed's 540


def test_the_seeds_140_tiles_28_a_city_from_every_scene():
    chosen = balanced_subset(MID, np.arange(540), tiles_per_place=28, seed=0)
    assert len(chosen) == 140
    assert Counter(MID[i].place for i in chosen) == dict.fromkeys(CITIES, 28)
    by_scene = Counter(MID[i].scene for i in chosen)
    assert sorted(by_scene.values()) == [1] * 130 + [2] * 5, "27 scenes a city: each gives one, and one gives two"


def test_the_choice_is_a_function_of_the_seed():
    one, same, other = (balanced_subset(MID, np.arange(540), tiles_per_place=28, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert 0.1 < len(set(one.tolist()) & set(other.tolist())) / 140 < 0.5, "a quarter by chance"
    assert len({int(i) % 4 for i in one}) == 4, "not the first tile of each scene"


counts = st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), st.integers(1, 6), min_size=1)


@given(counts, st.integers(1, 20), st.integers(0, 5))
def test_each_place_gives_its_number_or_all_and_scenes_differ_by_one_at_most(tiles_by_scene, tiles_per_place, seed):
    rows = rows_of({(place, place + scene): count for (place, scene), count in tiles_by_scene.items()})
    chosen = balanced_subset(rows, np.arange(len(rows)), tiles_per_place=tiles_per_place, seed=seed)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    available = Counter(row.scene for row in rows)
    taken = Counter(rows[i].scene for i in chosen)
    for place in {row.place for row in rows}:
        scenes = [scene for scene in available if scene[0] == place]
        assert sum(taken[scene] for scene in scenes) == min(tiles_per_place, sum(available[scene] for scene in scenes))
        most = max(taken[scene] for scene in scenes)
        assert all(taken[scene] >= min(most - 1, available[scene]) for scene in scenes)


# The order of an epoch

BANDS = ((0.0, 0.05), (0.06, 0.2), (0.21, 0.4), (0.41, 1.0))  # shares of building, both ends in the band


def shares_of(tiles_by_group):
    """Rows for {(place, band): count}, whose shares lie at either end of their band."""
    return [
        SimpleNamespace(place=place, scene=place, building_share=BANDS[band][number % 2])
        for (place, band), count in tiles_by_group.items()
        for number in range(count)
    ]


def band_of(row):
    return next(number for number, (low, high) in enumerate(BANDS) if low <= row.building_share <= high)


def order_of(rows, tile_ids=None, *, by_building=True, seed=0, epoch=0):
    tile_ids = np.arange(len(rows)) if tile_ids is None else tile_ids
    return balanced_order(rows, tile_ids, by_building=by_building, seed=seed, epoch=epoch)


groups = st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), st.integers(1, 9), min_size=1)


@given(groups, st.booleans(), st.integers(1, 3), st.integers(0, 5), st.integers(0, 5))
def test_places_come_equally_often_bands_within_them_and_tiles_within_those(groups, by_building, crops, seed, epoch):
    rows = shares_of(groups)
    tile_ids = np.tile(np.arange(len(rows)), crops)
    order = order_of(rows, tile_ids, by_building=by_building, seed=seed, epoch=epoch)
    assert len(order) == len(tile_ids)
    np.testing.assert_array_equal(order_of(rows, tile_ids, by_building=by_building, seed=seed, epoch=epoch), order)

    def spread(counts, keys):
        return max(counts[key] for key in keys) - min(counts[key] for key in keys)

    places = {row.place for row in rows}
    assert spread(Counter(rows[i].place for i in order), places) <= 1
    by_group = Counter((rows[i].place, band_of(rows[i]) if by_building else 0) for i in order)
    of_group = {
        key: [i for i, row in enumerate(rows) if (row.place, band_of(row) if by_building else 0) == key] for key in by_group
    }
    if by_building:
        for place in places:
            assert spread(by_group, [key for key in groups if key[0] == place]) <= 1
    shown = Counter(order.tolist())
    for key, members in of_group.items():
        # A tile is there as often as there are crops before the group begins anew.
        rounds, rest = divmod(by_group[key], crops * len(members))
        assert all(rounds * crops <= shown[i] <= (rounds + (rest > 0)) * crops for i in members)


def test_a_small_group_is_repeated_and_some_of_a_large_one_wait():
    rows = shares_of({("a", 0): 90, ("a", 3): 2, ("b", 1): 8})
    shown = Counter(order_of(rows).tolist())
    assert [shown[i] for i in (90, 91)] == [13, 12] or [shown[i] for i in (90, 91)] == [12, 13], "half of a's 50, on two tiles"
    assert sorted(shown[i] for i in range(92, 100)) == [6] * 6 + [7] * 2, "b's 50, on eight"
    assert sum(shown[i] for i in range(90)) == 25
    assert max(shown[i] for i in range(90)) == 1
    by_place = Counter(order_of(rows, by_building=False).tolist())
    assert sum(by_place[i] for i in range(92)) == 50
    assert max(by_place[i] for i in range(92)) == 1, "without bands its 92 tiles are alike"


def test_what_waits_and_the_order_are_a_function_of_seed_and_epoch():
    rows = shares_of({("a", 0): 90, ("b", 1): 10})
    one, same = order_of(rows, seed=(3, 0)), order_of(rows, seed=(3, 0))
    np.testing.assert_array_equal(one, same)
    for other in (order_of(rows, seed=(4, 0)), order_of(rows, seed=(3, 1)), order_of(rows, seed=(3, 0), epoch=1)):
        assert one.tolist() != other.tolist()
        assert set(one[one < 90].tolist()) != set(other[other < 90].tolist()), "others wait"
    seen = {tile_id for epoch in range(8) for tile_id in order_of(rows, epoch=epoch).tolist()}
    assert len(seen) > 95, "each has its turn"


def test_places_do_not_alternate():
    rows = shares_of({("a", 0): 100, ("b", 0): 100})
    turns = "".join(rows[i].place for i in order_of(rows))
    assert "aaaa" in turns and "bbbb" in turns, "a batch of four may show one place"


def test_the_bounds_of_the_bands_belong_to_the_lower_band():
    rows = [SimpleNamespace(place="a", scene="a", building_share=share) for share in (0.05, 0.050001, 0.2, 0.4, 0.400001)]
    shown = Counter(order_of(rows, np.tile(np.arange(5), 8)).tolist())
    assert shown[0] == shown[3] == shown[4] == 10
    assert shown[1] + shown[2] == 10
