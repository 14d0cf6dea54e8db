import numpy as np
import pytest
from made_library import SIZE

from orthoforge.material.library import Library
from orthoforge.material.rectangles import rectangle_of
from orthoforge.material.roofs import Roofs
from orthoforge.material.shapes import CELLS, likeness, shape_of

GROUND = np.array([90, 130, 80])


def corner(height=40, width=50, of=18):
    """An L: (h, w) bool."""
    own = np.zeros((height, width), bool)
    own[:of] = own[:, :of] = True
    return own


def tee(height=40, width=50, of=18):
    own = np.zeros((height, width), bool)
    own[:of] = own[:, width // 2 - of // 2 : width // 2 + of // 2] = True
    return own


def library_of(buildings, paint=None):
    """One tile for each building, alone in its middle, of a colour of its own."""
    masks, images = np.zeros((len(buildings), SIZE, SIZE), bool), np.empty((len(buildings), SIZE, SIZE, 3), np.uint8)
    for number, (own, mask, image) in enumerate(zip(buildings, masks, images, strict=True)):
        mask[20 : 20 + own.shape[0], 20 : 20 + own.shape[1]] = own
        image[...] = np.where(mask[..., None], np.array([100 + 10 * number, 60, 50]), GROUND)
        if paint:
            paint(number, mask, image)
    return Library(images, masks, np.zeros(len(buildings), int), ("place",), tuple(map(str, range(len(buildings)))))


def whole_roof(library, own, seed=0):
    around = rectangle_of(own)
    roofs = Roofs(library, np.arange(len(library)), seed)
    return roofs.of_shape(around.moved(500, 700), shape_of(own, around), (500, 700), GROUND.astype(float))


def test_likeness_is_the_share_that_two_shapes_have_in_common():
    left, right = np.zeros((2, CELLS, CELLS), bool)
    left[:, : CELLS // 2] = right[:, CELLS // 4 : 3 * CELLS // 4] = True
    np.testing.assert_allclose(likeness(left, np.stack([left, right, ~left])), [1, 1 / 3, 0])


def test_a_building_with_wings_gets_the_whole_roof_of_one_of_its_shape():
    library = library_of([tee(), corner(44, 46), np.ones((30, 40), bool)])
    (laid,) = whole_roof(library, corner())
    assert laid.roof.tile == 1
    assert (laid.target.row, laid.target.col) == pytest.approx((500 + 19.5, 700 + 24.5), abs=0.6)


@pytest.mark.parametrize("own", [corner()[::-1], corner()[:, ::-1], corner(80, 100, 36), tee()])
def test_another_turn_size_or_shape_does_not_fit(own):
    assert whole_roof(library_of([corner(44, 46)]), own) == []


def test_a_roof_that_the_edge_of_its_tile_cuts_is_none_of_a_whole_building():
    library = library_of([corner()])
    masks = np.roll(library.masks, -20, axis=1)
    assert not Library(library.images, masks, library.places, library.place_names, library.names).whole_roofs[0]


def huts(number, mask, image):
    """Buildings of odd number are many small huts that the mask takes for one."""
    if number % 2:
        rows, cols = np.indices(mask.shape) // 4
        image[mask & ((rows + cols) % 2 == 0)] = 220


def test_plain_roofs_are_taken_before_blocks_of_huts():
    library = library_of([np.ones((24, 30), bool)] * 12, huts)
    clutter = np.array([roof.clutter for roof in library.roofs])
    assert clutter[1::2].min() > 2.5 * clutter[::2].max()
    target = rectangle_of(np.ones((24, 30), bool))
    taken = [
        Roofs(library, np.arange(12), seed).of_building([target], (seed, 3), GROUND.astype(float))[0].roof.tile % 2
        for seed in range(40)
    ]
    assert sum(taken) <= 6
    tiles = {Roofs(library, np.arange(12), 0).of_building([target], (at, 3), GROUND.astype(float))[0].roof.tile for at in range(12)}
    assert len(tiles) > 3, "neighbours differ"
