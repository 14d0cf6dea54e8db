"""The weights that come with the package."""

import json

import numpy as np
import pytest

from orthoforge import load_generator
from orthoforge.checkpoints import CONFIG, MODEL
from orthoforge.pretrained import bundled_folder, bundled_names

MOST_BYTES = 10e6


@pytest.fixture(scope="module")
def generator():
    return load_generator("orthoforge-s")


def town(size=160):
    mask = np.zeros((size, size), bool)
    for row in range(10, size - 40, 50):
        mask[row : row + 25, 20:60] = mask[row : row + 30, 90:130] = True
    return mask


def test_it_is_small_and_of_data_that_may_be_shipped(generator):
    assert bundled_names() == ["orthoforge-material", "orthoforge-s"]
    folder = bundled_folder("orthoforge-s")
    assert (folder / MODEL).stat().st_size < MOST_BYTES
    assert sum(parameter.numel() for parameter in generator.network.parameters()) <= 5e6
    assert generator.styles == ("banepa_core",)  # images CC-BY-4.0, labels ODbL
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC-BY" in card and "OpenStreetMap" in card
    assert "EfficientNet-Lite0 trained on ImageNet" in card and "from scratch" not in card
    assert "| styles | banepa_core (27 looks) |" in card  # as many as training tiles
    assert json.loads((folder / "stac-item.json").read_text())["properties"]["mlm:framework"] == "PyTorch"
    assert "/" not in json.loads((folder / CONFIG).read_text())["recipe"]["perceptual_weights"]


def test_its_images_show_the_mask_and_vary_with_the_seed(generator):
    mask = town()
    one, again, other = generator(mask, seed=1), generator(mask, seed=1), generator(mask, seed=2)
    assert (one == again).all() and (one != other).mean() > 0.5
    assert not np.array_equal(one, np.broadcast_to(one[:1, :1], one.shape))
    # An edge in the mask is one in the image: colours change more across outlines than elsewhere.
    steps = np.abs(np.diff(one.astype(float), axis=0)).mean(axis=2)
    outlines = mask[1:] != mask[:-1]
    assert steps[outlines].mean() > 1.3 * steps[~outlines].mean()


def test_a_place_and_a_reference_image_are_styles(generator):
    like = generator.with_style(np.full((64, 64, 3), (200, 180, 150), np.uint8))
    assert (like(town()) != generator.with_style("banepa_core")(town())).mean() > 0.2


def test_material_is_small_and_says_whose_roofs_and_ground_it_shows():
    folder, generator = bundled_folder("orthoforge-material"), load_generator("orthoforge-material")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    assert generator.styles == ("banepa_core", "dhaka", "kampala", "zanzibar")
    assert set(generator.library.place_names) == set(generator.styles)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| {place} | images CC-BY-4.0" in card for place in generator.styles)
    mask = town()
    one, again, other = (generator.with_style("zanzibar")(mask, seed=seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).mean() > 0.5
    assert np.abs(one.astype(int).mean((0, 1)) - generator.with_style("banepa_core")(mask, seed=1).mean((0, 1))).max() > 5
