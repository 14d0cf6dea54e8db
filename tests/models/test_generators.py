"""One battery for every generator."""

import itertools
from typing import get_args

import pytest
import torch

from orthoforge.models.layers import NoiseDropout, Norm, Upsample
from orthoforge.models.modulated import Noise
from orthoforge.networks import GENERATORS, build_generator

NORMS, UPSAMPLES = get_args(Norm), get_args(Upsample)
EVERY = [
    (name, norm, upsample)
    for name, norm, upsample in itertools.product(GENERATORS, NORMS, UPSAMPLES)
    if name != "modulated" or (norm, upsample) == ("group", "resize")  # it has a norm and an upsampling of its own
]
PARAMETERS = {  # at 3 channels and width 64
    ("resnet6", "batch"): 7_841_411, ("resnet6", "instance"): 7_837_699,
    ("resnet9", "batch"): 11_383_427, ("resnet9", "instance"): 11_378_179,  # the seed's 11.38 M, both
    ("resunet6", "batch"): 8_219_459, ("resunet6", "instance"): 8_215_747,
    ("resunet9", "batch"): 11_761_475, ("resunet9", "instance"): 11_756_227,
    # Encoder 16 · (3·64 + 64·128 + 128·256 + 256·512 + 4·512²) = 19 532 800, decoder 16 · (512² + 3·1024·512 + 1024·256 + 512·128
    # + 256·64 + 128·3) = 34 871 296, norms 2 · (128 + 256 + 4·512) + 2 · (4·512 + 256 + 128 + 64) = 9 856 (last of encoder: none),
    # biases 64 + 512 + 3 = 579. Instance norm: no norms' weights, biases 3 008 + 2 499.
    ("unet256", "batch"): 54_414_531, ("unet256", "instance"): 54_409_603,
    # One layer more each: 16 · (512² + 1024·512), and 2·2·512 of norms or 2·512 of biases.
    ("unet512", "batch"): 66_999_491, ("unet512", "instance"): 66_993_539,
    ("modulated", "batch"): 58_274_966,  # added up in modulated_parameters; its one norm has no weights
}  # fmt: skip
# What 3×3 instead of 4×4 takes off a U-Net's decoder: 7 of 16 weights.
RESIZING_SAVES = {"unet256": 7 * 34_871_296 // 16, "unet512": 7 * (34_871_296 + 16 * 1024 * 512) // 16}


def without_weights(name, width=1, norm="batch", upsample="transposed"):
    with torch.device("meta"):
        return GENERATORS[name](3, width=width, norm=norm, upsample=upsample)


def small(name, norm="batch", upsample="transposed", channels=3, width=None):
    torch.manual_seed(0)
    width = width or (2 if name.startswith("unet") else 4)
    return build_generator(name, channels, width=width, norm=norm, upsample=upsample)


def smallest(name, batch=1, channels=3, seed=0):
    """A condition of a size that is hard to mistake: wider than high where that is cheap."""
    least = without_weights(name).least_px
    size = (least, least) if least > 32 else (least, least + 16)
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def silenced(network):
    """Without noise: two calls can be compared whatever their shapes."""
    for module in network.modules():
        if isinstance(module, NoiseDropout):
            module.probability = 0.0
        elif isinstance(module, Noise):
            module.weight.data.zero_()
    return network


def modulated_parameters(width):
    """Those of the modulated network for three channels, added up by layer."""
    channels = [width * times for times in (1, 2, 4, 8, 12)]
    steps = list(itertools.pairwise(channels))

    def modulation(c):  # 1×1 of the mask's features and a line from the code of 16 numbers: scale and shift
        return (c * 2 * c + 2 * c) + (16 * 2 * c + 2 * c)

    count = 2 * (3 * 9 * width + width) + 9 * channels[-1] ** 2 + channels[-1]  # stems of mask and colours, deepest
    count += sum(9 * inside * outside + outside for inside, outside in steps)  # down
    count += sum(9 * inside * outside + inside for inside, outside in steps)  # up
    count += sum(modulation(c) + c for c in channels)  # with a weight of noise for each channel
    count += sum(2 * (2 * (9 * c * c + c) + 2 * modulation(c) + c) for c in channels[2:])  # two blocks at each of three scales
    count += 9 * width * 3 + 3 + 3  # head, with a weight of colours for each band
    code = (3, 32, 64, 128, 128)
    return count + sum(9 * inside * outside + outside for inside, outside in itertools.pairwise(code)) + 128 * 16 + 16


def seeded(network, condition):
    torch.manual_seed(1)
    return network(condition)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_parameter_counts(name, norm, upsample):
    network = without_weights(name, 64, norm, upsample)
    saved = RESIZING_SAVES.get(name, 0) if upsample == "resize" else 0
    affine = "instance" if norm == "instance" else "batch"  # group norm weighs what batch norm weighs
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name, affine] - saved


@pytest.mark.parametrize(("width", "count", "most"), [(16, 3_926_726, 5_000_000), (40, 22_982_702, 25_000_000)])
def test_the_sizes_of_the_two_recipes(width, count, most):
    with torch.device("meta"):
        network = build_generator("modulated", 3, width=width, norm="group", upsample="resize")
    assert sum(p.numel() for p in network.parameters()) == count == modulated_parameters(width)
    assert count <= most


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_an_image_of_the_conditions_size_in_minus_one_to_one_and_gradients_everywhere(name, norm, upsample):
    network = small(name, norm, upsample, channels=5)
    condition = smallest(name, batch=2, channels=5)
    training = {"reference": torch.randn(2, 3, 32, 32), "colours": torch.randn(2, 3, *condition.shape[2:])}
    image = network(condition, **training) if name == "modulated" else network(condition)
    assert image.shape == (2, 3, *condition.shape[2:])
    assert image.abs().max() <= 1
    assert image.std() > 0
    image.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    weights = [p for p in network.parameters() if p.dim() == 4]
    assert all((p.grad != 0).any() for p in weights)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("channels", "width"), [(1, 3), (7, 1)])
@pytest.mark.parametrize("norm", NORMS)
def test_odd_counts_of_channels(name, channels, width, norm):
    image = small(name, norm, channels=channels, width=width)(smallest(name, channels=channels))
    assert image.shape[:2] == (1, 3)
    assert image.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "norm"), itertools.product(GENERATORS, NORMS))
def test_an_image_depends_on_its_batch_only_through_batch_norm_in_training(name, norm, training):
    network, conditions = silenced(small(name, norm)).train(training), smallest(name, batch=3)
    with torch.no_grad():
        alone, together = network(conditions[:1]), network(conditions)[:1]
    assert torch.allclose(alone, together, atol=1e-4) == (norm != "batch" or not training or name == "modulated")


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_channels_last_gives_the_same_values(name, norm, upsample):
    network, condition = small(name, norm, upsample).eval(), smallest(name)
    with torch.inference_mode():
        plain = seeded(network, condition)
        columns = seeded(network.to(memory_format=torch.channels_last), condition.to(memory_format=torch.channels_last))
    torch.testing.assert_close(columns, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_bfloat16_autocast_gives_nearly_the_same_image(name, norm, upsample):
    network, condition = small(name, norm, upsample).eval(), smallest(name)
    with torch.inference_mode():
        plain = seeded(network, condition)
        with torch.autocast("cpu", torch.bfloat16):
            rough = seeded(network, condition).float()
    assert rough.abs().max() <= 1
    assert (rough - plain).square().mean().sqrt() < 0.1 * plain.square().mean().sqrt()


@pytest.mark.parametrize(("name", "training"), itertools.product(GENERATORS, [True, False]))
def test_only_the_u_nets_and_the_modulated_one_are_noisy_and_their_seed_decides(name, training):
    network, condition = small(name, "instance").train(training), smallest(name)
    with torch.no_grad():
        first, second, again = seeded(network, condition), network(condition), seeded(network, condition)
    assert torch.equal(first, again)
    assert torch.equal(first, second) == name.startswith("res")


@pytest.mark.parametrize("name", GENERATORS)
def test_initial_weights_are_a_function_of_the_seed(name):
    one, same = small(name, width=3), small(name, width=3)
    torch.manual_seed(1)
    other = build_generator(name, 3, width=3, norm="batch", upsample="transposed")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    drawn = [key for key, weight in one.named_parameters() if weight.dim() == 4 and "noise" not in key]
    assert not any(torch.equal(one.get_parameter(key), other.get_parameter(key)) for key in drawn)


def test_strides():
    networks = {name: without_weights(name) for name in GENERATORS}
    assert {name: network.stride for name, network in networks.items()} == {
        "resnet6": 4, "resnet9": 4, "resunet6": 4, "resunet9": 4, "unet256": 256, "unet512": 512, "modulated": 16,
    }  # fmt: skip
    assert all(network.least_px % network.stride == 0 for network in networks.values())


@pytest.mark.parametrize("name", GENERATORS)
def test_sides_are_multiples_of_the_stride_each_of_its_own(name):
    network = small(name, width=1).eval()
    sides, stride = (network.least_px, 2 * network.least_px), network.stride
    assert network(torch.zeros(1, 3, *sides)).shape[2:] == sides
    for wrong in ((sides[0] + 2, sides[1]), (sides[0], sides[1] - 2)):
        with pytest.raises(AssertionError, match=f"no multiple of {stride}"):
            network(torch.zeros(1, 3, *wrong))


@pytest.mark.parametrize("name", GENERATORS)
def test_what_is_given_to_make_a_part_holds_all_that_it_looks_at(name):
    network = without_weights(name)
    for part in (slice(0, 5), slice(700, 703), slice(1023, 1024)):
        rows = range(10_000)[network.around(part)]
        assert rows.start % network.stride == 0 and rows.start <= max(0, part.start - network.reach)
        assert rows.stop >= part.stop + network.reach


@pytest.mark.parametrize("name", GENERATORS)
def test_in_training_it_takes_what_it_is_shown(name):
    network, conditions = small(name, "instance").train(), smallest(name, batch=3)
    real = torch.rand(conditions.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    own, told = network.shown(conditions, real, None)
    assert network(conditions, **told).shape == real.shape
    assert own == (2 if network.styles is not None else 3)
    assert all(len(tensor) == 3 for tensor in told.values())


def power_of_single_pixels(image):
    """Power of (H, W, C) at the highest frequencies of either axis, where every second pixel differs; Hann window."""
    side = image.shape[-1]
    window = torch.hann_window(side, dtype=torch.float64)
    spectrum = torch.fft.fft2((image - image.mean(dim=(2, 3), keepdim=True)) * window * window[:, None]).abs().square()
    half = slice(side // 2 - 1, side // 2 + 2)
    return (spectrum[:, :, half].sum() + spectrum[:, :, :, half].sum()).item()


@pytest.mark.parametrize(("name", "norm"), itertools.product(["resnet6", "resunet6", "unet256", "unet512"], NORMS))
def test_over_an_empty_mask_transposing_shows_a_checkerboard_and_resizing_does_not(name, norm):
    side = max(192, without_weights(name).stride)  # the borders' effect stays outside the middle of a ResNet's image
    middle = slice(side // 2 - 32, side // 2 + 32)
    power = {}
    for upsample in UPSAMPLES:
        network = silenced(small(name, norm, upsample, width=4)).eval()
        with torch.inference_mode():
            image = network(torch.full((1, 3, side, side), -1.0))
        power[upsample] = power_of_single_pixels(image[..., middle, middle].double())
    assert power["transposed"] > 0
    assert power["resize"] < 0.05 * power["transposed"]
