"""A balanced choice of training tiles."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.tiles.subset import balanced_subset

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
