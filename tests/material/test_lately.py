"""What a composer remembers of a large scene is bounded, and what was forgotten is made again just so."""

import numpy as np
import pytest
from made_library import make_library, make_town

from made_land_cover import BUILDING, make_land_cover
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material import canvas as canvases
from orthoforge.material import edges, ground, pieces, roofs, seams
from orthoforge.material.canvas import Composer
from orthoforge.material.lately import Lately

STRIP = np.tile(make_town(), (7, 1))
LIBRARY = make_library()


def strip_of(mask=STRIP, library=LIBRARY, **options):
    composer = Composer.of(library, Houses.of(mask), seed=3, place=0, **options)
    blocks = [Window(row, 0, min(150, len(mask) - row), mask.shape[1]) for row in range(0, len(mask), 150)]
    return composer, [composer.canvas(block) for block in blocks]


def require_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.source, other.source)


def remembered(composer):
    """How many roofs, outlines, patches, chosen patches and seams."""
    quilt = composer.quilt
    kept = composer.edges.outlines, quilt._recent, quilt._pieces._chosen, quilt._seams._beside, quilt._seams._below
    return [sum(len(cell) for _, cell in composer._laid.kept()), *map(len, kept)]


@pytest.fixture
def forgetful(monkeypatch):
    monkeypatch.setattr(canvases, "_KEPT_ROOFS", 20)
    monkeypatch.setattr(edges, "_KEPT_OUTLINES", 20)
    monkeypatch.setattr(ground, "_KEPT", 20)
    monkeypatch.setattr(pieces, "_KEPT_BYTES", 20 * 2000)
    monkeypatch.setattr(seams, "_KEPT", 20)
    monkeypatch.setattr(roofs, "_KEPT_BYTES", 2e5)


def test_a_long_strip_is_remembered_in_part_and_comes_out_the_same(forgetful, monkeypatch):
    composer, found = strip_of()
    counts = remembered(composer)
    monkeypatch.undo()
    all_of_it, wanted = strip_of()
    require_same(found, wanted)
    assert max(counts) <= 20
    assert min(remembered(all_of_it)) > 3 * 20


def test_with_classes_too(forgetful, monkeypatch):
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 4, (30, 8), np.uint8), np.ones((30, 30), np.uint8))
    of = {"mask": mask, "library": make_land_cover()}
    buildings = Houses.of(mask == BUILDING)

    def made():
        composer = Composer.of(of["library"], buildings, seed=3, place=0, classes=lambda window: mask[window.slices])
        return composer, [composer.canvas(Window(row, 0, 150, mask.shape[1])) for row in range(0, len(mask), 150)]

    composer, found = made()
    monkeypatch.undo()
    require_same(found, made()[1])
    assert len(composer.quilt._pieces._chosen) < 20


def test_roofs_that_were_forgotten_are_chosen_again_with_few_more(forgetful, monkeypatch):
    monkeypatch.setattr(canvases, "_KEPT_ROOFS", 60)  # of a block and of what lies around it
    chosen, choose = [], Composer._roofs_of

    def counted(self, building, *among):
        chosen.append(building)
        return choose(self, building, *among)

    monkeypatch.setattr(Composer, "_roofs_of", counted)
    composer, _ = strip_of()
    assert len(chosen) < 2 * len(composer.buildings)


def test_drawings_keep_all(forgetful):
    composer, _ = strip_of(keeps=True)
    assert remembered(composer)[:2] == [len(composer.buildings)] * 2


def test_what_was_asked_for_last_is_kept():
    made, lately = [], Lately(3)
    for key in (1, 2, 3, 1, 4, 1, 2):
        assert lately.of(key, lambda key: made.append(key) or -key) == -key
    assert made == [1, 2, 3, 4, 2]
    assert lately.kept() == [(4, -4), (1, -1), (2, -2)]


def test_it_is_weighed():
    lately = Lately(10, weight=len)
    for length in (4, 5, 6, 12):
        lately.of(length, lambda key: "x" * key)
        assert sum(len(made) for _, made in lately.kept()) <= 11 or len(lately) == 1
    assert list(lately) == [12], "what is too heavy is kept alone"
