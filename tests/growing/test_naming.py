import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orthoforge.growing.mask_streams import shares
from orthoforge.growing.naming import Names
from orthoforge.growing.training_ground import largest_rectangles
from orthoforge.scenes.place_names import place_key, place_of
from orthoforge.scenes.sources import number_of

STEMS = st.text("aZ09-_ .é", min_size=1, max_size=12).filter(lambda name: name.strip(". ") == name)


@pytest.mark.parametrize(
    ("real", "new"),
    [
        (["austin1", "austin36"], ["austin40", "austin41"]),  # 37 to 39 validate and test by the split of 2021
        (["austin1"], ["austin6", "austin10"]),  # up to 5 validate in Inria's own
        (["tyrol-w12"], ["tyrol-w13"]),
        (["banepa_core_386690_220241", "banepa_core_386695_220248"], ["banepa_core386696"]),
        (["inria_austin1_09"], ["inria_austin10"]),
        (["town2_north_4"], ["town_north6"]),  # readers would take the 2 for its number
        (["000123", "000124"], ["scenes125"]),
        (["harbour"], ["harbour6"]),
    ],
)
def test_numbers_go_on_where_training_is(real, new):
    names = Names(real)
    assert [names.next(place_key(real[0])) for _ in new] == new


@given(st.lists(STEMS, min_size=1, max_size=6), st.integers(1, 12))
def test_every_reader_puts_new_names_into_training(real, count):
    names = Names(real)
    new = [names.next(place_key(name)) for name in real for _ in range(count)]
    assert len({*new, *real}) == len(new) + len(set(real))
    for name in new:
        number = int(re.search(r"([A-Za-z]+)(\d+)", name + ".tif")[2])
        assert number == number_of(name) > 5
        assert number % 10 <= 6
        assert place_of(name)


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_rectangles_cover_each_cell_once_largest_first(cells):
    covered = np.zeros(cells.shape, int)
    sizes = []
    for row, col, rows, cols in largest_rectangles(cells):
        covered[row : row + rows, col : col + cols] += 1
        sizes.append(rows * cols)
    np.testing.assert_array_equal(covered, cells)
    assert sizes == sorted(sizes, reverse=True)


@given(st.integers(0, 500), st.dictionaries(st.text(max_size=3), st.integers(1, 90), min_size=1, max_size=6))
def test_shares_add_up_and_are_in_proportion(total, weights):
    parts = shares(total, weights)
    assert sum(parts.values()) == total
    assert all(abs(parts[key] - total * weight / sum(weights.values())) < 1 for key, weight in weights.items())
