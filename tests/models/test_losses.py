"""Losses, by hand with three numbers each."""

import math

import pytest
import torch
from torch import nn

from orthoforge.models.losses import (
    GAN_LOSSES,
    colour_l1,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    l1,
    lsgan_discriminator,
    lsgan_generator,
    oasis,
    over_scales,
    vanilla_discriminator,
    vanilla_generator,
    wgan_discriminator,
    wgan_generator,
)
from orthoforge.networks import build_discriminator

REAL, FAKE = torch.tensor([1.0, 0.5, -1.0]), torch.tensor([0.0, 0.5, -2.0])


def test_lsgan_wants_real_at_1_and_fake_at_0_and_averages_both():
    real_term = (0 + 0.25 + 4) / 3
    fake_term = (0 + 0.25 + 4) / 3
    assert lsgan_discriminator(REAL, FAKE).item() == pytest.approx((real_term + fake_term) / 2)
    assert lsgan_discriminator(torch.tensor([1.0]), torch.tensor([0.0])) == 0
    assert lsgan_discriminator(torch.tensor([0.0]), torch.tensor([0.0])) == 0.5


def test_the_generator_of_lsgan_wants_fake_at_1_without_a_factor_of_one_half():
    assert lsgan_generator(torch.tensor([1.0, 0.0, 3.0])).item() == pytest.approx((0 + 1 + 4) / 3)


def test_vanilla_is_the_cross_entropy_of_the_logits_sigmoid_halved():
    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    real_term = -sum(math.log(sigmoid(x)) for x in REAL.tolist()) / 3
    fake_term = -sum(math.log(1 - sigmoid(x)) for x in FAKE.tolist()) / 3
    assert vanilla_discriminator(REAL, FAKE).item() == pytest.approx((real_term + fake_term) / 2)
    assert vanilla_discriminator(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(2))
    assert vanilla_generator(FAKE).item() == pytest.approx(-sum(math.log(sigmoid(x)) for x in FAKE.tolist()) / 3)


def test_vanilla_neither_overflows_nor_stops_teaching_a_generator_that_is_far_behind():
    assert vanilla_discriminator(torch.tensor([-1e4]), torch.tensor([1e4])).item() == 1e4
    hopeless = torch.tensor([-200.0], requires_grad=True)  # σ is 0 in float32
    loss = vanilla_generator(hopeless)
    loss.backward()
    assert loss.item() == 200
    assert hopeless.grad.item() == -1  # log(1 − σ), the saturating form, would give 0


def test_hinge_asks_for_a_margin_and_no_more():
    assert hinge_discriminator(REAL, FAKE).item() == pytest.approx((0 + 0.5 + 2) / 3 + (1 + 1.5 + 0) / 3)
    assert hinge_discriminator(torch.tensor([1.0, 9.0]), torch.tensor([-1.0, -9.0])) == 0
    assert hinge_generator(FAKE).item() == pytest.approx(0.5)


def test_wgan_is_a_difference_of_means():
    assert wgan_discriminator(REAL, FAKE).item() == pytest.approx(-0.5 - 0.5 / 3)
    assert wgan_generator(FAKE).item() == pytest.approx(0.5)


def test_l1_is_the_mean_absolute_difference():
    assert l1(torch.tensor([0.0, 1.0, -2.0]), torch.tensor([0.5, -1.0, -2.0])).item() == pytest.approx(2.5 / 3)


def test_every_game_has_its_name():
    assert set(GAN_LOSSES) == {"lsgan", "vanilla", "hinge", "wgan-gp"}
    functions = [function for loss in GAN_LOSSES.values() for function in loss]
    assert len(set(functions)) == 8
    for name, loss in GAN_LOSSES.items():
        assert loss.discriminator.__name__ == f"{name.removesuffix('-gp')}_discriminator"
        assert loss.generator.__name__ == f"{name.removesuffix('-gp')}_generator"


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_descending_pulls_real_and_fake_apart_and_the_generator_pulls_fake_up(name):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    GAN_LOSSES[name].discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all() or name == "lsgan"  # lsgan's fake is at its target already
    fake.grad = None
    GAN_LOSSES[name].generator(fake).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_the_terms_of_the_discriminator_weigh_the_same_whatever_their_sizes(name):
    discriminator, real = GAN_LOSSES[name].discriminator, torch.tensor([0.3])
    assert discriminator(real, torch.full((1, 1, 10, 10), -0.2)).item() == pytest.approx(
        discriminator(real, torch.tensor([-0.2])).item()
    )


# ------------------------------------------------------------------------------------------------------------- OASIS


def cells(*logits):
    """Logits (1, C, 1, cells) of a row of cells, a list each."""
    return torch.tensor(logits, dtype=torch.float32).T[None, :, None]


def test_a_cell_is_asked_for_its_class_and_a_fake_one_to_be_fake():
    mask = cells([1, 0], [0, 1])  # of two cells the first is ground, the second building
    game = oasis(mask)
    sure = cells([50, 0, 0], [0, 50, 0])
    fakes = cells([0, 0, 50], [0, 0, 50])
    assert game.discriminator(sure, fakes).item() == pytest.approx(0, abs=1e-6)
    assert game.generator(sure).item() == pytest.approx(0, abs=1e-6)
    assert game.generator(fakes).item() == pytest.approx(50), "seen through"
    assert game.generator(cells([0, 50, 0], [50, 0, 0])).item() == pytest.approx(50), "the wrong classes, real as they may look"
    assert game.discriminator(cells([0, 0, 0]), cells([0, 0, 0])).item() == pytest.approx(2 * math.log(3))


def test_a_rare_class_weighs_as_much_as_a_frequent_one_down_to_a_fiftieth():
    def weight_of_the_roof(cells_without):
        mask = cells(*[[1, 0]] * cells_without, [0, 1])
        logits = torch.zeros(1, 3, 1, cells_without + 1, requires_grad=True)
        oasis(mask).generator(logits).backward()
        towards_classes = -logits.grad[0].clamp(max=0).sum(dim=(1, 2))  # what pulls ground and building up
        return (towards_classes[1] / towards_classes[0]).item()

    assert weight_of_the_roof(1) == pytest.approx(1)
    assert weight_of_the_roof(9) == pytest.approx(1)
    assert weight_of_the_roof(49) == pytest.approx(1)
    assert weight_of_the_roof(199) == pytest.approx(0.25, rel=0.01), "a two-hundredth is a quarter of a fiftieth"


def test_where_one_class_is_all_there_is_its_weight_is_one():
    ground = torch.zeros(2, 2, 8, 8)
    ground[:, 0] = 1
    assert oasis(ground).generator(torch.zeros(2, 3, 4, 4)).item() == pytest.approx(math.log(3))


def test_coarse_cells_are_asked_for_shares():
    mask = torch.zeros(1, 2, 4, 4)
    mask[:, 1, :, :1], mask[:, 0, :, 1:] = 1, 1  # a quarter is building, of one cell
    logits = torch.zeros(1, 3, 1, 1, requires_grad=True)
    oasis(mask).generator(logits).backward()
    assert logits.grad.flatten().tolist() == pytest.approx([-1 / 6, -1 / 6, 1 / 3]), "a half each, by their weights"


# ------------------------------------------------------------------------------------------------ the gradient penalty

IMAGES = torch.Generator().manual_seed(0)
MIX = torch.tensor([0.0, 0.25, 1.0]).reshape(3, 1, 1, 1)


def some_images(count=3, side=8):
    return torch.randn(count, 3, side, side, generator=IMAGES)


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_a_linear_critic_is_fined_by_its_slope(slope, penalty):
    direction = torch.zeros(3, 8, 8)
    direction[0, 2, 3], direction[2, 5, 5] = 0.6 * slope, -0.8 * slope

    def critic(images):
        return (images * direction).sum(dim=(1, 2, 3))

    assert gradient_penalty(critic, some_images(), some_images(), MIX).item() == pytest.approx(penalty)


def test_slopes_are_taken_image_by_image_where_mix_says():
    real, fake = torch.full((3, 1, 1, 1), 4.0), torch.zeros(3, 1, 1, 1)
    seen = []

    def critic(images):
        seen.append(images.detach())
        return images.square() / 2  # its slope is the image

    penalty = gradient_penalty(critic, real, fake, MIX)
    assert seen[0].flatten().tolist() == [0, 1, 4]  # mix is the share of the real image
    assert penalty.item() == pytest.approx((1 + 0 + 9) / 3)


def test_an_images_score_is_the_mean_of_its_patches():
    def critic(images):  # four logits, each with slope 3 to pixels of its own
        return 3 * images

    penalty = gradient_penalty(critic, torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1))
    assert penalty.item() == pytest.approx((3 / 2 - 1) ** 2)  # each pixel moves the mean by 3/4: ‖∇‖ = √(4 · 9/16)


def test_it_teaches_the_critic_and_nobody_else():
    weight = torch.tensor(3.0, requires_grad=True)
    real, fake = torch.ones(2, 1, 1, 1, requires_grad=True), torch.zeros(2, 1, 1, 1, requires_grad=True)
    gradient_penalty(lambda images: weight * images, real, fake, MIX[:2]).backward()
    assert weight.grad.item() == pytest.approx(2 * (3 - 1))  # d/dw (|w| − 1)²
    assert real.grad is None and fake.grad is None


def test_a_critic_without_slope_is_fined_without_breaking():
    layer = nn.Conv2d(3, 1, 1)
    nn.init.zeros_(layer.weight)
    penalty = gradient_penalty(layer, some_images(), some_images(), MIX)
    penalty.backward()
    assert penalty.item() == 1
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "norm"), [("patch", "instance"), ("patch", "group"), ("patch", "none"), ("pixel", "instance")])
def test_it_reaches_every_weight_of_a_discriminator_as_finite_differences_say(kind, norm):
    torch.manual_seed(0)
    discriminator = build_discriminator(3, width=2, kind=kind, norm=norm)
    for place, module in enumerate(discriminator.layers):
        if isinstance(module, nn.LeakyReLU):
            discriminator.layers[place] = nn.Softplus()  # finite differences stumble over kinks
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, 0.5)
    discriminator.double()
    condition, real, fake = (some_images(side=32) for _ in range(3))

    def penalty():
        return gradient_penalty(lambda images: discriminator(condition.double(), images.double()), real, fake, MIX)

    penalty().backward()
    weights = [p for p in discriminator.parameters() if p.dim() == 4]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in weights)
    for weight in weights:
        place, step = weight.grad.abs().argmax(), 1e-2
        values = weight.detach().view(-1)
        start, sides = values[place].item(), []
        for shift in (step, -step):
            values[place] = start + shift
            sides.append(penalty().item())
        values[place] = start
        slope = weight.grad.flatten()[place].item()
        assert slope != 0
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=0.01)


@pytest.mark.parametrize("norm", ["instance", "group", "none"])
def test_it_reaches_every_weight_of_the_patch_discriminator_that_is_trained(norm):
    torch.manual_seed(0)
    discriminator = build_discriminator(3, width=4, norm=norm)
    condition, real, fake = (some_images(side=64) for _ in range(3))
    gradient_penalty(lambda images: discriminator(condition, images), real, fake, MIX).backward()
    weights = [p for p in discriminator.parameters() if p.dim() == 4]
    assert len(weights) == 5
    assert all(p.grad.isfinite().all() and (p.grad != 0).any() for p in weights)


def test_it_is_float32_also_under_autocast():
    torch.manual_seed(0)
    discriminator = build_discriminator(3, width=2, norm="instance")
    condition, real, fake = (some_images(side=32) for _ in range(3))

    def critic(images):
        assert images.dtype == torch.float32
        logits = discriminator(condition, images)
        assert logits.dtype == torch.float32
        return 1e3 * logits

    plain = gradient_penalty(critic, real, fake, MIX)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gradient_penalty(critic, real, fake, MIX), plain)
        assert gradient_penalty(critic, real.bfloat16(), fake.bfloat16(), MIX).dtype == torch.float32


def test_training_with_it_brings_the_slope_to_one():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.05)
    real, fake = some_images(), some_images()
    penalties = []
    for _ in range(60):
        penalty = gradient_penalty(critic, real, fake, torch.rand(3, 1, 1, 1))
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        penalties.append(penalty.item())
    assert penalties[0] > 0.5
    assert penalties[-1] < 0.02


# Colour, and scales


def test_colour_is_the_difference_of_the_cells_means():
    fake, real = torch.zeros(1, 1, 4, 8), torch.zeros(1, 1, 4, 8)
    fake[..., :4], real[..., :4] = 1.0, 0.5
    fake[0, 0, 0, 4] = 4.0  # a mean of 0.25 over 16 pixels
    assert colour_l1(fake, real, cell_px=4).item() == pytest.approx((0.5 + 0.25) / 2)
    assert l1(fake, real).item() == pytest.approx((16 * 0.5 + 4.0) / 32)


def test_colour_leaves_texture_within_a_cell_free_and_its_cells_are_of_16_px():
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1).expand(2, 3, 32, 32)
    assert colour_l1(board, -board).item() == pytest.approx(0, abs=1e-7)
    assert l1(board, -board) == 2
    halves = torch.ones(1, 3, 32, 32)
    halves[..., 16:] = -1
    assert colour_l1(halves, -halves) == 2
    halves[..., 8:24] *= -1  # half of each cell
    assert colour_l1(halves, -halves) == 0


def test_colour_moves_every_pixel_of_a_cell_alike():
    fake = torch.rand(1, 3, 16, 16, requires_grad=True)
    colour_l1(fake, torch.full((1, 3, 16, 16), 2.0)).backward()
    torch.testing.assert_close(fake.grad, torch.full((1, 3, 16, 16), -1 / (3 * 16 * 16)))


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_over_scales_every_scale_weighs_the_same_whatever_its_size(name):
    losses = GAN_LOSSES[name]
    real, fake = (tuple(torch.randn(2, 1, side, side) for side in (8, 4, 2)) for _ in range(2))
    both = [losses.discriminator(r, f).item() for r, f in zip(real, fake, strict=True)]
    assert over_scales(losses.discriminator, real, fake).item() == pytest.approx(sum(both) / 3, rel=1e-5)
    alone = [losses.generator(f).item() for f in fake]
    assert over_scales(losses.generator, fake).item() == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert over_scales(losses.discriminator, real[0], fake[0]).item() == both[0], "one scale is that scale"
