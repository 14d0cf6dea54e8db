"""No verdict without evidence: few images, wide intervals and weak comparisons say nothing, and what is said says what was seen."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orthoforge.evaluation.page import _copies
from orthoforge.evaluation.tables import realism_lines
from orthoforge.measures.realism.distances import kernel_distance
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.measures.realism.realism import Vectors, realism
from orthoforge.measures.realism.verdict import LEAST_IMAGES, spread, verdict, words


def figure(matched=60.0, low=-20.0, *, deviation=5.0, n=100, n_real=100):
    return {
        "value": matched, "low": low, "high": None if low is None else low + 40, "n_generated": n, "n_real": n_real,
        "matched": {"mean": matched, "standard_deviation": deviation}, "floor": {"mean": 8.0, "standard_deviation": deviation},
    }  # fmt: skip


def realism_of(fake, real, vectors_of=lambda images: images.mean(dim=(2, 3))):
    sets = []
    for images in (fake, real):
        kept = Vectors([str(number) for number in range(len(images))], vectors_of(images[:1]).shape[1])
        kept.add(range(len(images)), vectors_of(images), images)
        sets.append(kept)
    return realism(*sets, paired=True)


def town(n):
    """Roofs on textured ground (n, 3, 64, 64), and the same as plasticine: smeared, with a flat tone."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.uniform(-0.7, 0.7, (n, 3, 8, 8)), np.ones((1, 1, 8, 8)))
    real = torch.from_numpy(blocks + rng.normal(0, 0.15, blocks.shape)).clamp(-1, 1).float()
    return real, F.avg_pool2d(real, 9, stride=1, padding=4, count_include_pad=False)


@pytest.mark.parametrize("n", [2, 4, LEAST_IMAGES - 1])
def test_few_images_get_no_verdict_and_no_precision(n):
    torch.set_num_threads(1)
    real, plasticine = town(n)
    found = realism_of(plasticine, real)
    assert found["verdict"]["said"] == "no verdict"
    assert [found[name]["value"] for name in ("precision", "recall", "density", "coverage")] == [None] * 4
    assert found["precision"]["why"] == f"needs 30 images of each kind; there are {n} generated and {n} real"
    last = realism_lines(found)[-1]
    assert f"No verdict on whether the generated images can be told from real ones: {n} generated and {n} real images" in last
    assert "fewer than the 30 of each kind" in last


def test_enough_plasticine_is_told():
    torch.set_num_threads(1)
    real, plasticine = town(LEAST_IMAGES)
    lite = LiteFeatures().network()
    found = realism_of(plasticine, real, lite.embed)
    assert found["verdict"]["said"] == "told"
    assert "can be told from real ones" in realism_lines(found)[-1]
    assert found["precision"]["value"] < 0.5


@pytest.mark.parametrize(
    ("given", "spread_x1000", "said"),
    [
        (figure(matched=30), 100.0, "told"),  # 22 above the floor, of which 10 are chance
        (figure(matched=17), 100.0, "not told"),  # 2 · 5 + 0.84 · 10.2 = 18.6 would have been seen
        (figure(matched=17), 60.0, "no verdict"),  # that is more than a quarter of the spread
        (figure(matched=17, low=9.0), 100.0, "no verdict"),  # all images lie above the halves
        (figure(matched=17, deviation=15), 100.0, "no verdict"),  # halves differ too much
        (figure(matched=17, low=None), 100.0, "no verdict"),
        (figure(matched=17, n=LEAST_IMAGES - 1), 100.0, "no verdict"),
        (figure(matched=300, n_real=LEAST_IMAGES - 1), 100.0, "no verdict"),
    ],
)
def test_what_is_said_goes_by_the_interval_the_spread_and_the_number_of_images(given, spread_x1000, said):
    found = verdict(given, spread_x1000)
    assert found["said"] == said
    assert bool(found["why"]) is (said == "no verdict")


def test_a_wider_interval_says_less():
    said = [verdict(figure(matched=17, low=low) | {"high": -low}, 100.0)["said"] for low in (-10, -30, -60, -200)]
    assert said == ["not told", "not told", "no verdict", "no verdict"]


def test_the_words_say_what_would_have_been_seen():
    text = words(verdict(figure(matched=17), 100.0))
    assert text.startswith("By their kernel distance the generated images were not told from real ones.")
    assert "A difference of 19 % of the real images' own spread or more would have been seen in four of five cases" in text
    assert "(a kernel distance × 1000 of 19 above that of real halves)" in text
    weak = words(verdict(figure(matched=17), 20.0))
    assert weak.startswith("No verdict") and "93 % of the real images' own spread" in weak


def test_the_spread_is_what_two_sets_of_constants_would_be_apart():
    """Two sets of one image each are its kernel's distance apart; of the mean of both it is a half."""
    x, y = np.array([1.0, 0.0, 2.0]), np.array([-1.0, 1.0, 0.0])
    apart = kernel_distance(np.stack([x, x]), np.stack([y, y]))
    assert spread(np.stack([x, y])) == pytest.approx(apart / 2)
    assert spread(np.stack([x, x, x])) == pytest.approx(0)


@pytest.mark.parametrize(
    ("share", "n", "said"),
    [
        (0.0, 4, "So few images are no evidence: only copies of more than 53 % of all images would have shown."),
        (0.0, 100, "That is no sign of copies; of more than 3.0 % of all images they would have shown."),
        (0.3, 4, "Copies would lie there; look at the pictures below."),
    ],
)
def test_few_images_without_copies_are_no_evidence(share, n, said):
    assert _copies(share, 0.05, n, n) == said
