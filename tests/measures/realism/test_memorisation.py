"""Copies of training tiles are found, and strangers are not called copies."""

import numpy as np
import pytest

from orthoforge.measures.realism import memorisation as module
from orthoforge.measures.realism.memorisation import chosen_training_tiles, levels_apart, memorisation, nearest


def batches(ids, rows, size):
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size], rows[begin : begin + size]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_nearest_is_the_nearest_however_they_come(size):
    rng = np.random.default_rng(0)
    training, some = rng.normal(size=(40, 6)), rng.normal(size=(9, 6))
    ids = list(range(100, 140))
    (found,) = nearest([some], batches(ids, training, size))
    apart = np.linalg.norm(some[:, None] - training[None], axis=2)
    assert found.distances == pytest.approx(apart.min(axis=1))
    assert found.tile_ids.tolist() == [ids[index] for index in apart.argmin(axis=1)]


def figures(fake, real, training):
    found = nearest([fake, real], batches(list(range(len(training))), training, 16))
    return memorisation(*found, searched=len(training), training_tiles=len(training))


def test_copies_are_told_from_strangers():
    rng = np.random.default_rng(0)
    training, real, strangers = rng.normal(size=(200, 8)), rng.normal(size=(100, 8)), rng.normal(size=(100, 8))
    copies = training[:100] + rng.normal(0, 0.01, (100, 8))
    copied, fresh = figures(copies, real, training), figures(strangers, real, training)
    assert copied["nearer_than_real"] == 1
    assert copied["ratio"] < 0.05
    assert fresh["nearer_than_real"] < 0.1
    assert fresh["ratio"] == pytest.approx(1, abs=0.15)
    half = figures(np.concatenate([copies[:50], strangers[:50]]), real, training)
    assert half["nearer_than_real"] == pytest.approx(0.5, abs=0.1)
    assert half["least_generated"] < half["least_real"]


def test_a_yardstick_of_zero_gives_no_ratio():
    training = np.random.default_rng(0).normal(size=(20, 3))
    assert figures(training, training, training)["ratio"] is None


def test_many_training_tiles_are_searched_in_part(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRAINING_TILES", 10)
    assert chosen_training_tiles(np.arange(8)).tolist() == list(range(8))
    chosen = chosen_training_tiles(np.arange(500, 600))
    assert len(set(chosen.tolist())) == 10
    assert (chosen[0], chosen[-1]) == (500, 599)


def test_levels_apart_do_not_wrap_around():
    assert levels_apart(np.array([[0, 250]], np.uint8), np.array([[255, 0]], np.uint8)) == pytest.approx(252.5)
