"""Pieces of ground go on where those beside them end."""

from dataclasses import replace

import numpy as np
import pytest

from orthoforge.geo.grid import Window
from orthoforge.material import pieces
from orthoforge.material.continuing import CELL_PX, Continuing, Shown
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.pieces import Wanted

SIZE, SIDE, OVERLAP = 224, 176, 48
TRACK = np.array([60, 50, 30])


def tracks(rows):
    """Tiles of rough ground, each with a bright track from left to right, which begins and ends at these rows."""
    images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
    for number, (first, last) in enumerate(rows):
        ground = np.random.default_rng(number).normal(0, 6, (SIZE, SIZE, 1)) + np.array([90, 120, 70])
        middle = np.linspace(first, last, SIZE)
        is_track = np.abs(np.arange(SIZE)[:, None] - middle) < 5
        images[number] = np.clip(ground + is_track[..., None] * TRACK, 0, 255)
    count = len(rows)
    return Library(
        images, np.zeros((count, SIZE, SIZE), bool), np.zeros(count, int), ("heath",), tuple(f"heath{n}" for n in range(count))
    )


def anything(window):
    shape = window.height, window.width
    return Wanted(np.zeros(shape, np.int16), np.ones(shape, bool))


def test_what_goes_on_differs_least_as_a_whole_and_along_the_cut():
    library = tracks([(112, 112), (60, 60)])
    continuing = Continuing(library, np.arange(2), SIDE)
    beside = [Shown(0, 24, 24, 0, SIDE - OVERLAP)]  # its track is 88 px below its upper edge
    needed = np.ones((SIDE // CELL_PX, SIDE // CELL_PX), np.float32)
    misfits = continuing.misfits(beside, needed)
    assert misfits.shape == (2, 13, 13)
    rows = np.arange(13) * CELL_PX
    assert rows[misfits[0].mean(axis=1).argmin()] == 24
    off = np.abs(60 - rows - 88)
    assert misfits[1].mean(axis=1)[off > 10].min() > 2 * misfits[0, 6].mean()
    candidates = np.array([(0, 24, 20), (0, 8, 20), (1, 0, 20)])
    cuts = continuing.cuts(beside, np.ones((SIDE, SIDE), bool), candidates)
    assert cuts[0] < 0.7 * cuts[1:].min()


@pytest.mark.parametrize("size", [32, 50, 64, 75, 112, 200])
def test_tiles_of_any_size(size):
    library = tracks([(20, 30), (40, 10), (15, 15)])
    library = replace(library, images=library.images[:, :size, :size], masks=library.masks[:, :size, :size])
    tone, texture, source = Quilt(library, np.arange(3), 0, anything).lay(Window(-30, 40, 90, 120))
    assert np.isfinite(tone + texture).all() and (source >= 0).all()


def test_what_nobody_sees_does_not_count():
    continuing = Continuing(tracks([(112, 112), (60, 60)]), np.arange(2), SIDE)
    beside, needed = [Shown(0, 24, 24, SIDE - OVERLAP, 0)], np.ones((SIDE, SIDE), bool)
    candidates = np.array([(0, 24, 20), (1, 0, 20)])
    seen = continuing.cuts(beside, needed, candidates)
    needed[SIDE - OVERLAP :] = False
    assert (continuing.cuts(beside, needed, candidates) == 0).all() and (seen > 0).all()
    assert (continuing.misfits(beside, np.zeros((44, 44), np.float32)) == 0).all()


def test_tracks_go_on_from_patch_to_patch(monkeypatch):
    library, hop = tracks([(40 + 12 * n, 40 + 12 * n) for n in range(12)]), SIDE - OVERLAP

    def ends():
        """Rows that have a track on one side of a seam alone."""
        count = 0
        for seed in range(3):
            tone, texture, _ = Quilt(library, np.arange(12), seed, anything).lay(Window(0, 0, 900, 900))
            image = (tone + texture).mean(axis=2)
            for first in range(hop, 900 - hop, hop):
                left, right = (image[:, at : at + 6].mean(axis=1) > 120 for at in (first - 8, first + OVERLAP + 2))
                count += (left != right).sum()
        return count

    now = ends()
    monkeypatch.setattr(pieces, "_MISFIT_LEVELS", 1e9)
    assert now < 0.75 * ends()


@pytest.mark.parametrize("window", [Window(130, 257, 90, 70), Window(-40, -300, 64, 64)])
def test_a_part_of_the_plane_is_the_same_whoever_asks_first(window):
    library = tracks([(40 + 12 * n, 80) for n in range(8)])
    alone = Quilt(library, np.arange(8), 1, anything)
    after = Quilt(library, np.arange(8), 1, anything)
    after.lay(Window(window.row - 150, window.col - 90, 400, 300))
    for one, other in zip(alone.lay(window), after.lay(window), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_patch_whose_neighbours_changed_is_chosen_anew():
    library = tracks([(40 + 12 * n, 40 + 12 * n) for n in range(8)])
    house = [False]

    def wanted(window):
        found = anything(window)
        if house[0] and window.row <= 60 < window.row + window.height and window.col <= 60 < window.col + window.width:
            found.needed[max(0, 60 - window.row) :, max(0, 60 - window.col) :] = False
        return found

    before = Quilt(library, np.arange(8), 3, wanted)
    before.lay(Window(0, 0, 500, 500))
    house[0] = True
    kept, anew = (Quilt(library, np.arange(8), 3, wanted) for _ in range(2))
    kept.keep(before)
    for one, other in zip(kept.lay(Window(0, 0, 500, 500)), anew.lay(Window(0, 0, 500, 500)), strict=True):
        np.testing.assert_array_equal(one, other)
