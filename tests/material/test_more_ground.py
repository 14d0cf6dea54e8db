"""Places with few tiles have turned copies of them for ground."""

from dataclasses import replace

import numpy as np
import pytest
from made_library import make_library

from orthoforge.geo.grid import Window
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.more_ground import more_ground
from orthoforge.material.pieces import ANY, Wanted
from orthoforge.material.sun import turns_by_sun


def all_open(window):
    shape = window.height, window.width
    return Wanted(np.full(shape, ANY, np.int16), np.ones(shape, bool), np.zeros(shape, bool))


def effective(library, allowed):
    """How many tiles there would be, if each showed as much of the ground of a plane."""
    quilt = Quilt(library, allowed, 0, all_open)
    shares = np.bincount(quilt.lay(Window(0, 0, 700, 700))[2].ravel()) / 700**2
    return 1 / (shares**2).sum()


def test_less_of_the_ground_comes_again_where_tiles_are_few():
    library = make_library(4)
    more = more_ground(library, np.arange(4))
    assert len(more.library) == len(more.origin) == 4 * sum(off <= 90 for _, off in turns_by_sun(library.light(0).azimuth))
    assert effective(library, np.arange(4)) <= 4 < effective(more.library, more.allowed)


@pytest.mark.parametrize("own", [0.0, 30.0, 200.0, 359.0])
def test_the_sun_never_stands_on_the_other_side(own):
    turns = turns_by_sun(own)
    assert turns[0][0] == (0, False) and turns[0][1] == 0
    offs = [abs(off) for _, off in turns]
    assert offs == sorted(offs) and len(turns) == 8
    for turn, off in turns:
        assert (turn.azimuth(own) + off - own) % 360 == pytest.approx(0, abs=1e-9)
    assert sum(off <= 90 for off in offs) == 5 + (own % 45 == 0)


def test_copies_are_turned_tiles_and_say_of_which():
    library = make_library(3)
    more = more_ground(library, np.arange(3))
    for number, tile in enumerate(more.origin.tolist()):
        shown, mask = more.library.images[number], more.library.masks[number]
        alike = [
            turn for turn, _ in turns_by_sun(None)
            if np.array_equal(turn.of(library.images[tile][None])[0], shown)
            and np.array_equal(turn.of(library.masks[tile][None])[0], mask)
        ]  # fmt: skip
        assert len(alike) == 1
    assert more.library.names[-1] == library.names[more.origin[-1]]


def test_a_tile_that_is_left_out_is_left_out_in_all_its_turns():
    library = make_library(4)
    more = more_ground(library, np.array([0, 2, 3]))
    assert set(more.origin[more.allowed].tolist()) == {0, 2, 3}
    assert more.library is more_ground(library, np.arange(4)).library, "it is made once for all of them"


def test_other_places_give_nothing():
    library = make_library(6, places=2)
    more = more_ground(library, library.of_place(1))
    assert set(more.library.places.tolist()) == {1}
    assert set(more.origin.tolist()) == set(library.of_place(1).tolist())


def test_places_with_many_tiles_have_no_copies():
    few = make_library(2)
    images, masks = (np.concatenate([layer] * 42) for layer in (few.images, few.masks))
    library = Library(images, masks, np.zeros(84, int), few.place_names, few.names * 42)
    more = more_ground(library, np.arange(3, 84))
    assert more.library is library
    np.testing.assert_array_equal(more.allowed, np.arange(3, 84))


def test_ground_of_a_turned_copy_is_the_turned_ground():
    library = make_library(3)
    more = more_ground(library, np.arange(3)).library
    afresh = replace(more)
    for tile in range(len(more)):
        np.testing.assert_array_equal(more.open_ground(tile), afresh.open_ground(tile))
        np.testing.assert_array_equal(more.shade(tile), afresh.shade(tile))
