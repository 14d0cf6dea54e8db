"""The modulated generator: what steers it, how far it sees, and that its noise belongs to the ground."""

import copy

import pytest
import torch

from orthoforge.models.generators import GENERATORS, build_generator
from orthoforge.models.modulated import BLOCKS, MARGIN, REACH, STRIDE, Modulation, Noise
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.models.scene_norm import has_image_statistics
from orthoforge.models.styles import CODE

SIDE = 24 * STRIDE  # what one pixel sees, and more


def network_of(channels=3, width=2, seed=0):
    torch.manual_seed(seed)
    return build_generator("modulated", channels, width=width, norm="group", upsample="resize").eval()


@pytest.fixture(scope="module")
def network():
    return network_of()


def condition_of(*sides, batch=1, channels=3, seed=0):
    return torch.randn(batch, channels, *sides, generator=torch.Generator().manual_seed(seed))


def made(network, condition, *, code=None, seed=0, origin=(0, 0)):
    place_noise(network, NoiseField(seed, *origin))
    with torch.inference_mode():
        return network(condition, code=torch.zeros(1, CODE) if code is None else code)


@pytest.mark.parametrize("sides", [(32, 32), (32, 80), (112, 48)])
def test_an_image_for_sides_of_two_cells_or_more(network, sides):
    image = made(network, condition_of(*sides, batch=2))
    assert image.shape == (2, 3, *sides)
    assert image.abs().max() < 1
    assert image.std(dim=(2, 3)).min() > 0.01


def test_its_least_size_is_the_least_there_is(network):
    assert GENERATORS["modulated"].least_px == 32
    with pytest.raises(RuntimeError, match="Padding size"):
        made(network, condition_of(16, 16))


@pytest.mark.parametrize("channels", [1, 6])
def test_any_number_of_classes(channels):
    network, condition = network_of(channels), condition_of(32, 48, channels=channels)
    image = made(network, condition)
    for channel in range(channels):
        changed = condition.clone()
        changed[:, channel] *= -1
        assert not torch.allclose(made(network, changed), image, atol=1e-3), f"class {channel} is not looked at"


def test_mask_code_and_seed_each_change_the_image_and_the_same_three_give_the_same(network):
    condition, code = condition_of(32, 48), torch.linspace(-1, 1, CODE)[None]
    image = made(network, condition, code=code)
    assert torch.equal(made(network, condition, code=code), image)
    others = {
        "mask": made(network, -condition, code=code),
        "code": made(network, condition, code=-code),
        "seed": made(network, condition, code=code, seed=1),
    }
    assert {name for name, other in others.items() if (other - image).abs().mean() > 0.01} == set(others)


def test_a_reference_is_its_code(network):
    condition, reference = condition_of(32, 48), condition_of(64, 64).tanh()
    place_noise(network, NoiseField(0))
    with torch.inference_mode():
        image = network(condition, reference)
        assert torch.equal(image, network(condition, code=network.style_encoder(reference)))
        assert not torch.allclose(image, network(condition, -reference), atol=1e-3)


def test_without_a_code_it_takes_one_from_its_bank():
    network, condition = network_of(), condition_of(32, 48)
    network.styles.codes.copy_(torch.rand_like(network.styles.codes))
    place_noise(network, NoiseField(3))
    with torch.inference_mode():
        image, code = network(condition), network.styles(1)
        assert torch.equal(image, network(condition, code=code))
    assert code.abs().min() > 0


def test_every_modulation_hears_the_mask_the_code_and_its_place(network):
    modulations = [module for module in network.modules() if isinstance(module, Modulation)]
    assert len(modulations) == 5 + 2 * sum(BLOCKS)
    condition, code = condition_of(32, 32), torch.ones(1, CODE)
    image = made(network, condition, code=code)
    for number, _ in enumerate(modulations):
        for steering in ("by_mask", "by_style"):
            other = copy.deepcopy(network)
            silent = [module for module in other.modules() if isinstance(module, Modulation)][number]
            getattr(silent, steering).weight.data.zero_()
            assert not torch.equal(made(other, condition, code=code), image), f"{steering} {number} counts for nothing"


def test_a_pixel_is_normalised_over_its_channels_alone():
    layer = Modulation(8, 3)
    for part in (layer.by_mask, layer.by_style):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    x, spatial, code = torch.randn(1, 8, 4, 4), torch.randn(1, 3, 4, 4), torch.randn(1, CODE)
    out = layer(x, spatial, code)
    torch.testing.assert_close(out.square().mean(dim=1), torch.ones(1, 4, 4), atol=1e-2, rtol=0)
    torch.testing.assert_close(layer(1000 * x, spatial, code), out, atol=1e-2, rtol=0)
    changed = x.clone()
    changed[..., 0, 0] = 100
    assert torch.equal(layer(changed, spatial, code)[..., 1:, 1:], out[..., 1:, 1:])
    # Scale and shift by hand: 1 + 2 times the normalised, and 3, from the biases alone.
    layer.by_mask.bias.data[:8], layer.by_mask.bias.data[8:] = 2.0, 3.0
    torch.testing.assert_close(layer(x, spatial, code), 3 * out + 3, atol=1e-5, rtol=0)


def test_no_norm_takes_the_images_statistics(network):
    assert not has_image_statistics(network)


def test_the_mask_is_seen_as_far_as_the_reach_and_no_further():
    network = network_of(channels=1, width=1).double()
    place_noise(network, NoiseField(0))
    condition = condition_of(SIDE, SIDE, channels=1).double().requires_grad_()
    image = network(condition, code=torch.zeros(1, CODE, dtype=torch.double))
    seen = []
    for row, col in ((192, 192 + 15), (192 + 15, 192), (192 + 7, 192 + 8)):  # first, last and middle of a deepest cell
        (slope,) = torch.autograd.grad(image[0, :, row, col].sum(), condition, retain_graph=True)
        rows, cols = (slope[0, 0].any(dim=axis).nonzero().flatten() for axis in (1, 0))
        seen += [row - rows.min(), rows.max() - row, col - cols.min(), cols.max() - col]
    assert max(seen) == REACH == GENERATORS["modulated"].reach == 175
    assert min(seen) == REACH - 2 * (STRIDE - 1), "the other way from the last pixel of a cell"


def test_what_changes_far_away_changes_nothing(network):
    condition = condition_of(48, 24 * STRIDE)
    changed = condition.clone()
    changed[..., 64 + REACH + 1 :] = 1.0  # a roof over all the rest
    image, other = made(network, condition), made(network, changed)
    assert torch.equal(other[..., :65], image[..., :65])
    assert not torch.equal(other, image)


def test_a_window_makes_what_the_whole_makes_there(network):
    # Both see the same beyond the pixels compared: all that differs between them is where they begin.
    whole, offset = condition_of(32, 48 * STRIDE), 12 * STRIDE
    window = whole[..., offset : offset + 30 * STRIDE]
    image, part = made(network, whole), made(network, window, origin=(0, offset))
    inside = slice(REACH, 30 * STRIDE - REACH)
    torch.testing.assert_close(part[..., inside], image[..., offset:][..., inside], atol=1e-5, rtol=0)
    elsewhere = made(network, window)
    assert not torch.allclose(elsewhere[..., inside], part[..., inside], atol=1e-2), "the noise lies on the ground"


def test_each_layers_noise_is_its_own_and_of_its_own_scale(network):
    layers = [module for module in network.modules() if isinstance(module, Noise)]
    assert is_noisy(network)
    assert sorted({module.stride for module in layers}) == [1, 2, 4, 8, 16]
    assert len({module.layer for module in layers}) == len(layers) == 5 + sum(BLOCKS)
    condition = condition_of(48, 48)
    image = made(network, condition)
    for number, _ in enumerate(layers):
        other = copy.deepcopy(network)
        [module for module in other.modules() if isinstance(module, Noise)][number].weight.data.zero_()
        assert not torch.equal(made(other, condition), image), f"noise {number} counts for nothing"


def test_noise_has_mean_0_and_variance_1_and_is_weighted_by_channel():
    layer = Noise(3, layer=5, stride=4)
    layer.weight.data[:] = torch.tensor([0.0, 1.0, -2.0]).view(1, 3, 1, 1)
    layer.noise_fields = (NoiseField(0), NoiseField(0, 4, 0))
    first, second = layer(torch.zeros(2, 3, 200, 200)).detach()
    assert torch.equal(first[0], torch.zeros(200, 200))
    assert abs(first[1].mean().item()) < 0.02 and first[1].var().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(first[2], -2 * first[1]), "one map for all channels"
    assert torch.equal(second[:, :-1], first[:, 1:]), "a cell of 4 px further down"
    layer.noise_fields = ()
    torch.manual_seed(0)
    drawn = layer(torch.zeros(2, 3, 50, 50))
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn, layer(torch.zeros(2, 3, 50, 50)))
    torch.manual_seed(0)
    assert torch.equal(drawn, layer(torch.zeros(2, 3, 50, 50)))


def test_without_weight_the_seed_changes_nothing_and_with_it_every_image_of_a_batch_differs():
    network, condition = network_of(), condition_of(32, 32).expand(2, -1, -1, -1)
    torch.manual_seed(0)
    place_noise(network)
    with torch.inference_mode():
        first, second = network(condition, code=torch.zeros(1, CODE))
        assert not torch.allclose(first, second, atol=1e-3)
        for module in network.modules():
            if isinstance(module, Noise):
                module.weight.data.zero_()
        first, second = network(condition, code=torch.zeros(1, CODE))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def test_what_is_padded_is_cut_off_evenly(network):
    """A condition symmetric about its middle is padded alike on both sides: without noise so is what the encoder sees."""
    assert MARGIN % STRIDE == 0, "or the noise would not lie on the grid of the deepest cells"
    seen = []
    handle = network.stem.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    condition = condition_of(32, 48)
    made(network, condition)
    handle.remove()
    assert torch.equal(seen[0][..., MARGIN:-MARGIN, MARGIN:-MARGIN], condition)
    assert torch.equal(seen[0][..., MARGIN:-MARGIN, :MARGIN], condition[..., 1 : MARGIN + 1].flip(3)), "by reflection"
