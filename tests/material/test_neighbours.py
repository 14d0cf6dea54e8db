"""Ground goes on from what lies beside it, and buildings near have roofs of their own."""

import numpy as np
import pytest
from made_library import make_library

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer
from orthoforge.material.continuing import Beside, Continuing, in_cells
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.neighbours import earlier, turn_of
from orthoforge.material.pieces import ANY, Wanted

CELL = 4


def all_open(window):
    shape = window.height, window.width
    return Wanted(np.full(shape, ANY, np.int16), np.ones(shape, bool), np.zeros(shape, bool))


def test_neighbours_have_other_turns_and_questions_end():
    for cell in [(row, col) for row in range(-2, 3) for col in range(-2, 3)]:
        others = dict(earlier(cell))
        assert all(turn_of(other) < turn_of(cell) for other in others)
        assert all(other == (cell[0] + down, cell[1] + right) for other, (down, right) in others.items())
        around = [(cell[0] + down, cell[1] + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
        assert all((cell in dict(earlier(other))) != (other in others) for other in around), "one of two looks at the other"


def test_what_differs_from_what_lies_beside_is_the_sum_over_common_cells():
    library, rng = make_library(3), np.random.default_rng(0)
    is_open = np.stack([library.open_ground(tile) for tile in range(3)])
    continuing = Continuing(library, range(3), is_open, CELL)
    beside = Beside(rng.uniform(0, 255, (20, 20, 3)).astype(np.float32), rng.uniform(0, 1, (20, 20)).astype(np.float32))
    tiles, shifts = np.array([2, 0]), rng.normal(0, 9, (2, 3))
    off = continuing.off(beside, tiles, shifts)
    assert off.shape == (2, 9, 9)
    for number, tile in enumerate(tiles.tolist()):
        share = in_cells(is_open[tile], CELL)
        colours = in_cells(library.images[tile] * is_open[tile, ..., None], CELL) / np.maximum(share, 1e-6)[..., None]
        for row, col in ((0, 0), (3, 8), (8, 5)):
            part = slice(row, row + 20), slice(col, col + 20)
            apart = ((beside.colours - colours[part] - shifts[number]) ** 2).mean(axis=2)
            wanted = (apart * beside.share * share[part]).sum()
            assert off[number, row, col] == pytest.approx(wanted, rel=1e-3)


def crossed_by_paths(tiles=12, size=112):
    """Tiles of open ground, each crossed by a path from left to right, higher or lower."""
    rng = np.random.default_rng(0)
    images = np.full((tiles, size, size, 3), (70, 90, 55), np.uint8)
    for number, image in enumerate(images):
        first = 6 + number * (size - 24) // tiles
        image[first : first + 10] = (195, 185, 165)
    images = (images + rng.integers(0, 6, images.shape)).astype(np.uint8)
    return Library(images, np.zeros((tiles, size, size), bool), np.zeros(tiles, int), ("farm",), tuple(map(str, range(tiles))))


def jumps(library, seed):
    """Squared differences of patches to those left and right of them, in levels, where both lie."""
    quilt = Quilt(library, np.arange(len(library)), seed, all_open)
    first, last = np.s_[:, : quilt._overlap], np.s_[:, quilt._hop :]
    apart = []
    for row, col in [(row, col) for row in (0, 2, 4) for col in range(4)]:
        left, right = quilt._made((row, col)), quilt._made((row, col + 1))
        apart.append(((left.tone[last] + left.texture[last] - right.tone[first] - right.texture[first]) ** 2).mean())
    return np.mean(apart)


def test_paths_go_on_from_patch_to_patch(monkeypatch):
    library = crossed_by_paths(24)
    going_on = np.mean([jumps(library, seed) for seed in range(4)])
    monkeypatch.setattr(Quilt, "_beside", lambda *_: None)
    by_themselves = np.mean([jumps(library, seed) for seed in range(4)])
    print(f"{going_on:.0f} and {by_themselves:.0f} squared levels")
    assert going_on < 0.7 * by_themselves


def test_a_tile_is_seldom_shown_beside_itself():
    quilt = Quilt(crossed_by_paths(24), np.arange(24), 0, all_open)
    pairs = [(patch, other) for patch in np.ndindex(6, 6) for other, _ in earlier(patch)]
    again = [bool(quilt._made(patch).tiles & quilt._made(other).tiles) for patch, other in pairs]
    assert len(pairs) > 100 and np.mean(again) < 0.05


def test_ground_is_the_same_whichever_part_is_looked_at():
    library = crossed_by_paths()
    whole = Quilt(library, np.arange(12), 1, all_open).lay(Window(-40, 30, 400, 300))
    part = Quilt(library, np.arange(12), 1, all_open).lay(Window(150, 110, 90, 70))
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[190:280, 80:150], other)


def test_buildings_near_have_roofs_of_their_own():
    mask = np.zeros((240, 240), bool)
    for row in range(10, 230, 40):
        for col in range(10, 230, 40):
            mask[row : row + 18, col : col + 18] = True
    library = make_library(24)
    composer = Composer.of(library, Houses.of(mask), seed=0, place=0)
    roofs = [composer.roofs_on(number)[0].roof.building for number in range(len(composer.buildings))]
    assert len(roofs) == 36 and len(set(roofs)) == 36
