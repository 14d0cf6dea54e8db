"""Resampling by windows: the same values whatever the windows, and Pillow's when the whole is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orthoforge.geo.grid import Window
from orthoforge.geo.resampling import nearest, resample

sides = st.tuples(st.integers(1, 60), st.integers(1, 60))


def reader(pixels):
    def read(window):
        part = pixels[window.slices]
        assert part.shape[:2] == (window.height, window.width)  # never asked for what is not there
        return part

    return read


def whole(shape):
    return Window(0, 0, *shape)


@given(sides, sides, st.data(), st.sampled_from(["linear", "cubic"]))
def test_a_window_holds_what_the_whole_holds_there(source, target, data, kernel):
    pixels = np.random.default_rng(source[0]).integers(0, 256, (*source, 2))
    row, col = data.draw(st.integers(0, target[0] - 1)), data.draw(st.integers(0, target[1] - 1))
    window = Window(row, col, data.draw(st.integers(1, target[0] - row)), data.draw(st.integers(1, target[1] - col)))
    part = resample(reader(pixels), source, target, window, kernel=kernel)
    assert np.array_equal(part, resample(reader(pixels), source, target, whole(target), kernel=kernel)[window.slices])  # to the bit
    values = nearest(reader(pixels), source, target, window)
    assert np.array_equal(values, nearest(reader(pixels), source, target, whole(target))[window.slices])


@pytest.mark.parametrize(("kernel", "pillow"), [("linear", Image.Resampling.BILINEAR), ("cubic", Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("target", [(17, 90), (80, 23), (40, 41)])
def test_the_whole_is_as_pillows(kernel, pillow, target):
    pixels = np.random.default_rng(1).normal(100, 30, (40, 41)).astype(np.float32)
    theirs = np.asarray(Image.fromarray(pixels).resize(target[::-1], pillow))
    assert resample(reader(pixels), (40, 41), target, whole(target), kernel=kernel) == pytest.approx(theirs, abs=1e-3)


def test_nearest_takes_the_pixel_at_the_centre():
    pixels = np.arange(6).reshape(2, 3)
    assert nearest(reader(pixels), (2, 3), (4, 3), whole((4, 3))).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert nearest(reader(pixels), (2, 3), (1, 1), whole((1, 1))).tolist() == [[4]]


def test_a_constant_stays_that_constant():
    for kernel in ("linear", "cubic"):
        flat = resample(reader(np.full((9, 7), 255.0)), (9, 7), (31, 3), whole((31, 3)), kernel=kernel)
        assert np.abs(flat - 255).max() < 1e-9
