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
    assert not Library(library.images, masks, library.places, library.place_names, library.names).whole_roofs(0)


def huts(number, mask, image):
    """Buildings of odd number are many small huts that the mask takes for one."""
    if number % 2:
        rows, cols = np.indices(mask.shape) // 4
        image[mask & ((rows + cols) % 2 == 0)] = 220


def gardens(number, mask, image):
    """Buildings of odd number are green."""
    if number % 2:
        image[mask] = (70, 110, 50)


def painted(number, mask, image):
    """Buildings of odd number are of sheets painted in turquoise."""
    if number % 2:
        image[mask] = (60, 140, 135)


@pytest.mark.parametrize(("paint", "of_twelve"), [(gardens, 6), (painted, 0)])
def test_leaves_on_roofs_are_told_from_paint(paint, of_twelve):
    library = library_of([np.ones((24, 30), bool)] * 12, paint)
    assert sum(roof.foliage > 0.9 for tile in range(12) for roof in library.roofs(tile)) == of_twelve
    assert sum(roof.foliage == 0 for tile in range(12) for roof in library.roofs(tile)) == 12 - of_twelve


def taken_of(library, seeds):
    """Tiles of the roofs that one building gets with each seed."""
    target = rectangle_of(np.ones((24, 30), bool))
    one = GROUND.astype(float)
    return [Roofs(library, np.arange(12), seed).of_building([target], (seed, 3), one)[0].roof.tile for seed in range(seeds)]


def test_cluttered_roofs_are_as_frequent_as_they_are_in_the_tiles():
    taken = np.array(taken_of(library_of([np.ones((24, 30), bool)] * 12, huts), 60))
    assert 0.3 < (taken % 2).mean() < 0.7
    assert len(set(taken.tolist())) > 8, "neighbours differ"


def test_roofs_without_leaves_are_taken_before_gardens():
    taken = np.array(taken_of(library_of([np.ones((24, 30), bool)] * 12, gardens), 40))
    assert (taken % 2).sum() <= 6
    assert len(set(taken.tolist())) > 2, "neighbours differ"
