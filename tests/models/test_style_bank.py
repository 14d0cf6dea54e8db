"""Codes of images, and the bank that remembers them by place."""

import pytest
import torch

from orthoforge.models.ground import GROUND_SIDE
from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import COLOURS
from orthoforge.models.styles import BLUR, CODE, KEPT, Style, StyleBank, StyleEncoder, bank_of
from orthoforge.networks import build_generator


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return StyleEncoder().eval()


@pytest.fixture
def bank():
    """Three places; each code holds its place, its number, and nothing else, and so does each colour."""
    bank = StyleBank(3)
    for place in range(3):
        bank.codes[place] = torch.stack([torch.tensor([place, number] + [0] * (CODE - 2)) for number in range(KEPT)])
    bank.roofs[:] = bank.codes[:, :, None, :3]
    bank.ground[:] = bank.codes[:, :, :3].repeat_interleave(GROUND_SIDE**2, 2)
    return bank


def equal(one, other):
    """Whether two styles are the same to the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def joined(styles):
    return Style(*map(torch.cat, zip(*styles, strict=True)))


def belongs_together(style):
    first = style.code[:, :3]
    roofs, ground = first[:, None].expand(-1, COLOURS, -1), first[:, :, None, None].expand(-1, -1, GROUND_SIDE, GROUND_SIDE)
    return torch.equal(style.roofs, roofs) and torch.equal(style.ground, ground)


def tiled(pattern):
    """A periodic image (1, 3, 96, 96) of a pattern of 16 px, which is what the encoder halves four times."""
    return pattern.repeat(1, 1, 6, 6)


def middle_code(encoder, image):
    """The code of what lies far from the border, whose zeros are the only place that the encoder knows."""
    return torch.tanh(encoder.to_code(encoder.layers(image)[..., 2:-2, 2:-2].mean(dim=(2, 3))))


def test_a_code_is_blind_to_where_things_are(encoder):
    pattern = torch.randn(1, 3, 16, 16).tanh()
    lone = torch.zeros(1, 3, 160, 160)
    lone[..., 64:80, 48:64] = pattern
    moved = lone.roll((16, -16), dims=(2, 3))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(moved), encoder(lone), atol=1e-6, rtol=0)
        assert not torch.allclose(encoder(lone), encoder(torch.zeros_like(lone)), atol=1e-4), "it sees the thing"


def test_a_code_is_of_the_look_and_not_of_the_size(encoder):
    pattern = torch.randn(1, 3, 16, 16).tanh()
    with torch.inference_mode():
        small, large = (middle_code(encoder, pattern.repeat(1, 1, side, side)) for side in (6, 10))
        torch.testing.assert_close(small, large, atol=1e-5, rtol=0)
        assert not torch.allclose(small, middle_code(encoder, tiled(-pattern)), atol=1e-2)


def test_codes_lie_between_minus_one_and_one_and_training_blurs_them(encoder):
    images = (5 * torch.randn(1, 3, 64, 64)).expand(200, -1, -1, -1)
    with torch.inference_mode():
        sharp = encoder(images)
        assert sharp.shape == (200, CODE) and sharp.abs().max() <= 1
        assert torch.equal(encoder(images), sharp)
        off = encoder.train()(images) - sharp
    assert off.mean().item() == pytest.approx(0, abs=0.01)
    assert off.std().item() == pytest.approx(BLUR, rel=0.1)
    assert off.std(dim=0).min() > 0.5 * BLUR and off.std(dim=1).min() > 0.3 * BLUR, "each number of each image for itself"


def seeded(bank, seed, count=1, origin=(0, 0)):
    bank.noise_fields = (NoiseField(seed, *origin),)
    return bank(count)


def test_seeds_choose_styles_of_all_places_and_the_same_seed_the_same(bank):
    chosen = joined(seeded(bank, seed) for seed in range(400))
    assert equal(joined(seeded(bank, seed) for seed in range(400)), chosen)
    places = chosen.code[:, 0].long().bincount(minlength=3)
    assert places.min() > 90, "a third of 400 each"
    assert len({tuple(code) for code in chosen.code[:, :2].tolist()}) > 150, "of 192; by chance 168"
    assert (
        chosen.roofs.shape == (400, COLOURS, 3)
        and chosen.ground.shape == (400, 3, GROUND_SIDE, GROUND_SIDE)
        and belongs_together(chosen)
    )


def test_a_scene_has_one_style_wherever_its_windows_lie(bank):
    for seed in range(20):
        style = seeded(bank, seed)
        assert all(equal(seeded(bank, seed, origin=origin), style) for origin in ((16, 0), (0, 4096), (-512, 80)))
        assert equal(seeded(bank, seed, count=3), joined([style] * 3))


def test_fields_of_several_images_each_choose_their_own(bank):
    bank.noise_fields = tuple(NoiseField(seed) for seed in range(8))
    assert equal(bank(8), joined(seeded(bank, seed) for seed in range(8)))


def test_without_a_seed_torch_draws(bank):
    torch.manual_seed(0)
    drawn = bank(300)
    torch.manual_seed(0)
    assert equal(bank(300), drawn)
    assert len(drawn.code.unique(dim=0)) > 120
    assert belongs_together(drawn)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_place_alone(bank, place):
    bank.place = place
    chosen = joined(seeded(bank, seed) for seed in range(200))
    assert set(chosen.code[:, 0].tolist()) == {place}
    assert len(set(chosen.code[:, 1].tolist())) > 0.8 * KEPT
    assert belongs_together(chosen)


def test_one_style_instead_of_all(bank):
    roofs, ground = torch.rand(1, COLOURS, 3), torch.rand(1, 3, GROUND_SIDE, GROUND_SIDE)
    bank.place, bank.fixed = 1, Style(torch.full((1, CODE), 0.25), roofs, ground)
    assert equal(seeded(bank, 5, count=4), (torch.full((4, CODE), 0.25), roofs.expand(4, -1, -1), ground.expand(4, -1, -1, -1)))
    assert equal(bank.double()(1), [part.double() for part in bank.fixed]), "where the bank is"


def test_styles_of_the_places_that_are_named(bank):
    torch.manual_seed(0)
    places = [2, 0, 1, 1] * 100
    chosen = bank.of_places(places)
    assert chosen.code[:, 0].tolist() == places
    assert len(set(chosen.code[:, 1].tolist())) == KEPT
    assert belongs_together(chosen)


@pytest.mark.parametrize(("place", "number"), [(0, 0), (1, 20), (2, KEPT - 1)])
def test_a_code_from_elsewhere_has_the_colours_of_the_nearest(bank, place, number):
    code = bank.codes[place, number, None] + torch.linspace(-0.2, 0.2, CODE)
    style = bank.like(code)
    assert torch.equal(style.code, code)
    assert torch.equal(style.roofs, bank.roofs[place, number, None])
    assert torch.equal(style.ground.flatten(), bank.ground[place, number])
    bank.place = 1 - min(place, 1)
    assert equal(bank.like(code), style), "of any place"


def test_a_network_keeps_as_many_places_as_it_is_built_for_and_only_one_with_styles_keeps_any():
    networks = [build_generator(name, 3, width=1, norm="batch", upsample="resize", places=5) for name in ("modulated", "resnet6")]
    styled, plain = map(bank_of, networks)
    shapes = {"codes": (5, KEPT, CODE), "roofs": (5, KEPT, COLOURS, 3), "ground": (5, KEPT, 3 * GROUND_SIDE**2)}
    assert {name: buffer.shape for name, buffer in styled.named_buffers()} == shapes
    saved = networks[0].state_dict()
    assert all(saved[f"styles.{name}"].shape == shape for name, shape in shapes.items()), "it is in checkpoints"
    assert not any(buffer.any() for buffer in styled.buffers()), "until they are filled"
    assert plain is None
