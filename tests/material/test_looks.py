"""Histogram matching: the shares of levels that a look has, and order that is kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_library import make_library

from orthoforge.material.looks import Looks, histograms, recoloured


def looks(*images):
    return Looks(np.stack([histograms(image) for image in images]), "")


def test_an_image_gets_the_histogram_of_the_look():
    random = np.random.default_rng(0)
    image = random.integers(20, 250, (200, 200, 3)).astype(np.uint8)
    there = np.clip(random.normal((120, 60, 200), (30, 5, 20), (200, 200, 3)), 0, 255).astype(np.uint8)
    matched = recoloured(image, looks(there).table(histograms(image), seed=0))
    quantiles = np.linspace(0.05, 0.95, 10)
    apart = np.quantile(matched, quantiles, axis=(0, 1)) - np.quantile(there, quantiles, axis=(0, 1))
    assert np.abs(apart).max() <= 2


def test_an_image_keeps_its_own_histogram():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    np.testing.assert_array_equal(recoloured(image, looks(image).table(histograms(image), seed=5)), image)


@given(st.integers(0, 2**31 - 1))
def test_levels_keep_their_order(seed):
    random = np.random.default_rng(seed)
    own, there = (random.integers(0, 256, (9, 9, 2)).astype(np.uint8) for _ in range(2))
    table = looks(there).table(histograms(own), seed).astype(int)
    assert (np.diff(table, axis=1) >= 0).all()
    matched = recoloured(own, table.astype(np.uint8))
    assert (matched.min((0, 1)) >= there.min((0, 1))).all()
    assert (matched.max((0, 1)) == there.max((0, 1))).all()


def test_the_seed_draws_one_of_the_looks():
    dark, bright = (np.full((8, 8, 3), level, np.uint8) for level in (20, 220))
    own = histograms(np.full((8, 8, 3), 100, np.uint8))
    drawn = {int(looks(dark, bright).table(own, seed)[0, 100]) for seed in range(20)}
    assert drawn == {20, 220}


def test_a_place_has_the_histograms_of_its_tiles_alone():
    library = make_library(4, places=2)
    counts = library.histograms(1)
    assert counts.shape == (3, 256)
    assert counts.sum(axis=1).tolist() == [2 * library.size_px**2] * 3
    np.testing.assert_array_equal(counts, histograms(library.images[[1, 3]]))
