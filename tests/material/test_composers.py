"""Canvases of a drawing after each of its changes: they keep what has not changed, and are what a new composer makes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_library import make_library, make_town

from conftest import examples
from made_land_cover import BUILDING, ROAD, WATER, make_classed_town, make_land_cover
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.ground import Quilt
from orthoforge.material.roofs import Roofs
from orthoforge.trained_generator.told import Composers, canvas_teller

TOWN, CLASSED = make_town(), make_classed_town()
LIBRARY, LAND_COVER = make_library(), make_land_cover()
BOX = st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 60), st.integers(1, 60))


def told_by(composers, mask, library=LIBRARY, seed=3, origin=(0, 0)):
    """By ``composers``, or by a new one where there are none."""
    classes = (lambda window: mask[window.slices]) if library is LAND_COVER else None
    buildings = Houses.of(mask == BUILDING if classes else mask, origin=origin)
    if composers is None:
        return canvas_teller(library, buildings, seed, 0, classes)(Window(0, 0, *mask.shape))
    return composers.told(library, buildings, seed, 0, classes)


def require_same(composers, *what, **how):
    found, wanted = told_by(composers, *what, **how), told_by(None, *what, **how)
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.source, wanted.source)


@examples(0.1)
@given(st.lists(st.tuples(BOX, st.booleans()), min_size=1, max_size=4))
def test_each_state_of_a_drawing_has_the_canvas_of_a_new_one(changes):
    mask, composers = TOWN.copy(), Composers()
    require_same(composers, mask)
    for (row, col, height, width), is_drawn in changes:
        mask = mask.copy()
        mask[row : row + height, col : col + width] = is_drawn
        require_same(composers, mask)


@examples(0.1)
@given(st.lists(st.tuples(BOX, st.sampled_from([0, BUILDING, ROAD, WATER])), min_size=1, max_size=3))
def test_so_it_is_where_ground_has_classes(changes):
    mask, composers = CLASSED.copy(), Composers()
    told_by(composers, mask, LAND_COVER)
    for (row, col, height, width), kind in changes:
        mask = mask.copy()
        mask[row : row + height, col : col + width] = kind
        require_same(composers, mask, LAND_COVER)


def test_another_place_size_and_seed_are_not_mixed_up():
    composers = Composers()
    for mask, seed, origin in (
        (TOWN, 3, (0, 0)),
        (TOWN[40:200, 30:], 3, (40, 30)),
        (TOWN, 4, (0, 0)),
        (TOWN[:90], 3, (7, -500)),
        (TOWN, 3, (0, 0)),
    ):
        require_same(composers, mask, seed=seed, origin=origin)


def test_what_has_not_changed_is_not_made_again(monkeypatch):
    made = {"patches": 0, "roofs": 0}

    def counted(of, name, what):
        real = getattr(of, name)

        def counting(*given, **named):
            made[what] += 1
            return real(*given, **named)

        monkeypatch.setattr(of, name, counting)

    counted(Quilt, "_laid", "patches")
    counted(Roofs, "lay", "roofs")
    # With roofs enough, so that a house that is drawn takes none from those around it.
    composers, changed, library = Composers(), TOWN.copy(), make_library(24)
    told_by(composers, TOWN, library)
    first = dict(made)
    changed[2:12, 2:14] = ~changed[2:12, 2:14]
    told_by(composers, changed, library)
    assert 0 < made["patches"] - first["patches"] < first["patches"]
    assert 0 < made["roofs"] - first["roofs"] <= first["roofs"] / 2
    before = dict(made)
    told_by(composers, changed.copy(), library)
    assert made == before


def test_composers_are_not_kept_without_end():
    composers = Composers()
    for seed in range(9):
        told_by(composers, TOWN[:60, :60], seed=seed)
    assert len(composers._kept) == 4


# What rasterio does not want to hear of is silenced for the whole process, and so heard by another thread.
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_several_threads_may_ask():
    composers, masks = Composers(), [np.roll(TOWN, by, axis=1) for by in range(0, 40, 10)]
    with ThreadPoolExecutor(2) as pool:
        for mask, found in zip(masks, pool.map(lambda mask: told_by(composers, mask), masks), strict=True):
            np.testing.assert_array_equal(found.values, told_by(None, mask).values)
