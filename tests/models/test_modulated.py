"""The modulated generator: what steers it, how far it sees, and that its noise belongs to the ground."""

import copy

import pytest
import torch

from orthoforge.models import modulated
from orthoforge.models.conditions import encode_canvas
from orthoforge.models.ground import GROUND_SIDE
from orthoforge.models.modulated import BLOCKS, MARGIN, REACH, STRIDE, ModulatedGenerator, Modulation, Noise
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.models.roofs import COLOURS
from orthoforge.models.scene_norm import has_image_statistics
from orthoforge.models.styles import CODE, Style
from orthoforge.networks import build_generator

SIDE = 24 * STRIDE  # what one pixel sees, and more


def network_of(channels=3, width=2, seed=0):
    torch.manual_seed(seed)
    return build_generator("modulated", channels, width=width, norm="group", upsample="resize").eval()


@pytest.fixture(scope="module")
def network():
    return network_of()


def condition_of(*sides, batch=1, channels=3, seed=0):
    return torch.randn(batch, channels, *sides, generator=torch.Generator().manual_seed(seed))


def houses(*sides, channels=3, size=12, gap=4):
    """A condition of like houses on all of it, as far apart as no edge can meet."""
    rows, cols = (torch.arange(side) % (size + gap) < size for side in sides)
    return torch.where(rows[:, None] & cols, 1.0, -1.0).expand(1, channels, -1, -1).clone()


def palette_of(seed=0):
    """A palette (1, 16, 3) of strong colours."""
    return torch.randn(1, COLOURS, 3, generator=torch.Generator().manual_seed(seed)).sign()


def ground_of(seed=0):
    """Ground (1, 3, 16, 16) of strong colours."""
    return torch.randn(1, 3, GROUND_SIDE, GROUND_SIDE, generator=torch.Generator().manual_seed(seed)).sign()


def style_of(code=None, roofs=None, ground=None):
    """A style, of zeros where nothing else is asked for."""
    given = zip((code, roofs, ground), ((CODE,), (COLOURS, 3), (3, GROUND_SIDE, GROUND_SIDE)), strict=True)
    return Style(*(torch.zeros(1, *shape) if part is None else part for part, shape in given))


def made(network, condition, *, code=None, palette=None, ground=None, seed=0, origin=(0, 0)):
    place_noise(network, NoiseField(seed, *origin))
    with torch.inference_mode():
        return network(condition, style_of(code, palette, ground))


@pytest.mark.parametrize("sides", [(32, 32), (32, 80), (112, 48)])
def test_an_image_for_sides_of_two_cells_or_more(network, sides):
    image = made(network, condition_of(*sides, batch=2))
    assert image.shape == (2, 3, *sides)
    assert image.abs().max() < 1
    assert image.std(dim=(2, 3)).min() > 0.01


def test_its_least_size_is_the_least_there_is(network):
    assert ModulatedGenerator.least_px == 32
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


def test_mask_code_palettes_and_seed_each_change_the_image_and_the_same_five_give_the_same(network):
    condition = houses(32, 48)
    style = {"code": torch.linspace(-1, 1, CODE)[None], "palette": palette_of(), "ground": ground_of()}
    image = made(network, condition, **style)
    assert torch.equal(made(network, condition, **style), image)
    others = {"mask": made(network, -condition, **style), "seed": made(network, condition, **style, seed=1)}
    for name, part in style.items():
        others[name] = made(network, condition, **{**style, name: -part})
    assert {name for name, other in others.items() if (other - image).abs().mean() > 0.01} == set(others)


def test_in_training_a_reference_gives_the_code_and_colours_are_given(network):
    condition, reference = houses(32, 48), condition_of(64, 64).tanh()
    place_noise(network, NoiseField(0))
    with torch.inference_mode():
        colours = network.colours(condition, palette_of(), ground_of())
        image = network(condition, reference=reference, colours=colours)
        assert torch.equal(image, network(condition, Style(network.style_encoder(reference), palette_of(), ground_of())))
        assert not torch.allclose(image, network(condition, reference=-reference, colours=colours), atol=1e-3)
        assert not torch.allclose(image, network(condition, reference=reference, colours=-colours), atol=1e-3)


def test_without_a_style_it_takes_one_from_its_bank():
    network, condition = network_of(), houses(32, 48)
    network.styles.codes.copy_(torch.rand_like(network.styles.codes))
    network.styles.roofs.copy_(torch.rand_like(network.styles.roofs))
    network.styles.ground.copy_(torch.rand_like(network.styles.ground))
    place_noise(network, NoiseField(3))
    with torch.inference_mode():
        image, style = network(condition), network.styles(1)
        assert torch.equal(image, network(condition, style))
    assert all(part.abs().min() > 0 for part in style)


def test_a_seed_paints_the_roofs_and_they_lie_on_the_ground():
    """Without noise in the layers: all that the seed changes are colours, and they go along with the window."""
    network, condition, palette = network_of(), houses(48, 640, size=28), palette_of()
    for module in network.modules():
        if isinstance(module, Noise):
            module.weight.data.zero_()
    image, other = made(network, condition, palette=palette), made(network, condition, palette=palette, seed=1)
    assert (other - image).abs().mean() > 1e-3
    assert torch.equal(made(network, condition), made(network, condition, seed=1)), "of one colour whatever the seed"
    assert torch.equal(made(network, -condition.abs(), palette=palette), made(network, -condition.abs(), palette=-palette))
    # Houses of 28 px every 32: what is made over the next two is what the window that begins there makes.
    middle = slice(REACH, -REACH - 64)
    moved = made(network, condition, palette=palette, origin=(0, 64))
    torch.testing.assert_close(moved[..., middle], image[..., 64:][..., REACH:-REACH], atol=1e-4, rtol=0)
    assert not torch.allclose(moved[..., middle], image[..., middle], atol=0.1)


def test_roofs_and_ground_begin_as_their_colours():
    network, condition = network_of(), houses(32, 48)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    place_noise(network, NoiseField(0))
    with torch.inference_mode():
        image = network(condition, style_of(roofs=palette_of(), ground=ground_of()))
        colours = network.colours(condition, palette_of(), ground_of())
    assert len(colours.flatten(2).unique(dim=2)[0].T) > 3
    torch.testing.assert_close(image, colours.tanh())


@pytest.mark.parametrize("kind", ["palette", "ground"])
def test_without_a_class_of_buildings_no_palette_is_seen(kind):
    networks = [build_generator("modulated", 3, width=2, norm="group", upsample="resize", building=at).eval() for at in (None, 2)]
    condition, parts = houses(32, 48), {"palette": palette_of(), "ground": ground_of()}
    for network, seen in zip(networks, (False, True), strict=True):
        images = [made(network, condition, **{kind: given}) for given in (parts[kind], -parts[kind])]
        assert torch.equal(*images) != seen
        condition[:, :2] = -1.0  # only the third is building
        images = [made(network, condition, **{kind: given}) for given in (parts[kind], -parts[kind])]
        assert torch.equal(*images) != seen


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
    activated = layer(x, spatial, code)
    out = torch.where(activated < 0, activated / 0.2, activated)  # before the leaky ReLU
    torch.testing.assert_close(out.square().mean(dim=1), torch.ones(1, 4, 4), atol=1e-2, rtol=0)
    torch.testing.assert_close(layer(1000 * x, spatial, code), activated, atol=1e-2, rtol=0)
    changed = x.clone()
    changed[..., 0, 0] = 100
    assert torch.equal(layer(changed, spatial, code)[..., 1:, 1:], activated[..., 1:, 1:])
    # Scale and shift by hand: 1 + 2 times the normalised, and 3, from the biases alone.
    layer.by_mask.bias.data[:8], layer.by_mask.bias.data[8:] = 2.0, 3.0
    torch.testing.assert_close(layer(x, spatial, code), torch.nn.functional.leaky_relu(3 * out + 3, 0.2), atol=1e-5, rtol=0)


def test_a_modulation_that_learns_makes_what_one_that_does_not_learn_makes():
    layer = Modulation(8, 3)
    torch.nn.init.normal_(layer.by_mask.bias)
    x, spatial, code = torch.randn(2, 8, 4, 5), torch.randn(2, 3, 4, 5), torch.randn(2, CODE)
    with torch.no_grad():
        expected = layer(x, spatial, code)
    torch.testing.assert_close(layer(x.requires_grad_(), spatial, code), expected)


def test_no_norm_takes_the_images_statistics(network):
    assert not has_image_statistics(network)


def test_mask_and_colours_are_seen_as_far_as_the_reach_and_no_further():
    network = network_of(channels=1, width=1).double()
    place_noise(network, NoiseField(0))
    condition = condition_of(SIDE, SIDE, channels=1).double().requires_grad_()
    colours = condition_of(SIDE, SIDE, seed=1).double().requires_grad_()
    image = network(condition, reference=torch.zeros(1, 3, 32, 32, dtype=torch.double), colours=colours)
    assert ModulatedGenerator.reach == REACH == 175
    for seen_of in (condition, colours):
        seen = []
        for row, col in ((192, 192 + 15), (192 + 15, 192), (192 + 7, 192 + 8)):  # first, last and middle of a deepest cell
            (slope,) = torch.autograd.grad(image[0, :, row, col].sum(), seen_of, retain_graph=True)
            rows, cols = (slope[0].any(dim=0).any(dim=axis).nonzero().flatten() for axis in (1, 0))
            seen += [row - rows.min(), rows.max() - row, col - cols.min(), cols.max() - col]
        assert max(seen) == REACH
        assert min(seen) == REACH - 2 * (STRIDE - 1), "the other way from the last pixel of a cell"


def test_what_changes_far_away_changes_nothing_and_what_changes_within_a_building_may(network):
    """A street that is one building, and far along it the place where it ends: its first pixel says its colour."""
    condition, palette = condition_of(48, 32 * STRIDE).clamp(max=0), palette_of()
    condition[..., 20:24, :] = 1.0
    condition[..., 19, 64 + REACH + 8] = 1.0  # the first
    images = [made(network, condition, palette=palette, seed=seed) for seed in range(8)]
    for cut, seen in ((64 + REACH + 9, False), (64 + REACH + 1, True)):
        changed = condition.clone()
        changed[..., cut:] = -1.0
        others = [made(network, changed, palette=palette, seed=seed) for seed in range(8)]
        same = [torch.equal(other[..., :65], image[..., :65]) for other, image in zip(others, images, strict=True)]
        assert all(same) != seen
        assert not any(torch.equal(other, image) for other, image in zip(others, images, strict=True))


def test_a_window_makes_what_the_whole_makes_there(network):
    # Both see the same beyond the pixels compared: all that differs between them is where they begin.
    offset, side = 12 * STRIDE, 48 * STRIDE
    whole, palette = torch.where(condition_of(2, 5 * STRIDE) > 0, 1.0, -1.0), palette_of()
    whole = whole.repeat_interleave(STRIDE, 2).repeat_interleave(12, 3)[..., : 5 * 12 * STRIDE]  # roofs that end on no cell
    whole[..., offset - 1] = -1.0  # no roof goes beyond the window
    window = whole[..., offset : offset + side]
    palettes = {"palette": palette, "ground": ground_of()}
    image, part = made(network, whole, **palettes), made(network, window, **palettes, origin=(0, offset))
    inside = slice(REACH, side - REACH)
    torch.testing.assert_close(part[..., inside], image[..., offset:][..., inside], atol=3e-5, rtol=0)  # 0.004 levels: rounding
    elsewhere = made(network, window, **palettes)
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
        first, second = network(condition, style_of())
        assert not torch.allclose(first, second, atol=1e-3)
        for module in network.modules():
            if isinstance(module, Noise):
                module.weight.data.zero_()
        first, second = network(condition, style_of())
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def test_what_is_padded_is_cut_off_evenly(network, monkeypatch):
    """A condition symmetric about its middle is padded alike on both sides: without noise so is what the encoder sees."""
    assert MARGIN % STRIDE == 0, "or the noise would not lie on the grid of the deepest cells"
    seen, stems = [], network._stems
    monkeypatch.setattr(network, "_stems", lambda told: seen.append(told[:, :3]) or stems(told))
    condition = condition_of(32, 48)
    made(network, condition)
    assert torch.equal(seen[0][..., MARGIN:-MARGIN, MARGIN:-MARGIN], condition)
    assert torch.equal(seen[0][..., MARGIN:-MARGIN, :MARGIN], condition[..., 1 : MARGIN + 1].flip(3)), "by reflection"


class WithColours(torch.nn.Module):
    """A network whose two inputs are a condition and its colours."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, condition, colours):
        return self.network(condition, colours=colours)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("ground", [True, False])
def test_it_can_be_traced_and_what_is_traced_follows_another_mask(ground):
    """What converters to other backends start from: of one seed and one size, for any mask and its colours."""
    network, condition = network_of().requires_grad_(requires_grad=False), houses(64, 96)
    network.colours.ground = ground
    for buffer in (network.styles.codes, network.styles.roofs, network.styles.ground):
        buffer.copy_(torch.rand_like(buffer))
    place_noise(network, NoiseField(3))
    other = houses(64, 96, size=28)
    with torch.inference_mode():
        told = [(mask, network.colours(mask, *network.styles(1)[1:])) for mask in (condition, other)]
        traced = torch.jit.trace(WithColours(network), told[0])
        torch.testing.assert_close(traced(*told[1]), network(other))
        assert not torch.allclose(traced(*told[1]), traced(*told[0]), atol=1e-2)


def test_what_refines_a_canvas_keeps_its_hues_and_may_change_its_light():
    torch.manual_seed(0)
    network = ModulatedGenerator(3, 3, width=2, refines=True)
    with torch.no_grad():
        network.head.weight.mul_(100)
    canvas = encode_canvas(torch.full((1, 32, 48, 3), 128, dtype=torch.uint8))
    place_noise(network, NoiseField(0, 0, 0))
    image = network(condition_of(32, 48), style_of(), colours=canvas)
    apart = image - torch.tanh(canvas)
    light = apart.mean(dim=1, keepdim=True)
    within = (image.abs() < 1).all(dim=1)
    assert light.abs().max() > 0.3 and within.float().mean() > 0.3
    assert (apart - light).norm(dim=1)[within].max() < 0.081
    assert image.abs().max() <= 1


def test_what_refines_without_its_mask_makes_the_same_of_every_mask():
    torch.manual_seed(0)
    canvas = encode_canvas(torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8))
    for sees_mask in (True, False):
        network = ModulatedGenerator(3, 3, width=2, refines=True, sees_mask=sees_mask)
        place_noise(network, NoiseField(0, 0, 0))
        one, other = (network(condition, style_of(), colours=canvas) for condition in (condition_of(32, 48), -condition_of(32, 48)))
        assert torch.equal(one, other) != sees_mask


class LeavingAll:
    """A ``Narrowing`` that narrows nothing."""

    def __init__(self, part, blocks):
        pass

    def place(self, level):
        return 0, 0

    def whole(self, maps, level):
        return maps

    finer = whole


def test_in_training_what_is_cut_off_is_not_made_and_the_network_learns_the_same(monkeypatch):
    network, seen = network_of().double().train(), []
    place_noise(network, NoiseField(5, 3, 70))
    network.head.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
    condition, colours = (condition_of(96, 64, batch=2, seed=seed).double() for seed in (0, 1))
    learnt = []
    for narrowing in (modulated.Narrowing, LeavingAll):
        monkeypatch.setattr(modulated, "Narrowing", narrowing)
        torch.manual_seed(0)
        network.zero_grad()
        image = network(condition, reference=colours, colours=colours)
        image.square().mean().backward()
        learnt.append([image.detach(), *(parameter.grad for parameter in network.parameters())])
    assert seen == [(98, 66), (128, 96)]
    for one, other in zip(*learnt, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_gradients_lie_in_memory_as_their_maps_do():
    narrow = modulated.Narrowing((slice(20, 30), slice(16, 40)), BLOCKS)
    maps = torch.randn(2, 4, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    for cut, of in ((narrow.whole(maps, 0), maps), (narrow.finer(maps, 0), maps)):
        (gradient,) = torch.autograd.grad(cut, of, torch.ones_like(cut))
        assert cut.is_contiguous(memory_format=torch.channels_last)
        assert gradient.is_contiguous(memory_format=torch.channels_last)
        assert gradient.sum() == cut.numel()


@pytest.mark.parametrize("part", [(slice(0, 1), slice(0, 1)), (slice(37, 90), slice(150, 151)), (slice(200, 224), slice(0, 224))])
def test_a_part_is_that_of_the_whole_and_what_lies_around_it_is_not_made(network, part, monkeypatch):
    condition, style = condition_of(224, 224), style_of()
    place_noise(network, NoiseField(5, 3, 70))
    sizes, hooks = [], [network.head.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[2:]))]
    hooks += [stage.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[2:])) for stage in network.decoder]
    with torch.inference_mode():
        made = network(condition, style, part=part)
        monkeypatch.setattr(modulated, "Narrowing", LeavingAll)
        whole = network(condition, style)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(made, whole[..., part[0], part[1]], rtol=0, atol=1e-4)  # a level is 8e-3
    of_part, of_whole = sizes[:5], sizes[5:]
    assert of_part[-1] == tuple(side.stop - side.start + 2 for side in part)
    assert all(one[0] * one[1] <= other[0] * other[1] for one, other in zip(of_part, of_whole, strict=True))


def test_together_makes_nothing_around_its_images(network):
    conditions, sizes, alone = condition_of(64, 96, batch=2), [], []
    hook = network.head.register_forward_pre_hook(lambda _, given: sizes.append(tuple(given[0].shape)))
    fields = [NoiseField(1), NoiseField(2, 5, 6)]
    with torch.inference_mode():
        made = network.made_together(conditions, fields, told=None, places=[None, None])
        for condition, field in zip(conditions, fields, strict=True):
            place_noise(network, field)
            alone.append(network.made(condition[None], slice(0, 64), slice(0, 96), field, told=None, place=None)[0])
    hook.remove()
    torch.testing.assert_close(made, torch.stack(alone), rtol=0, atol=1e-4)
    assert sizes == [(2, 2, 66, 98), *[(1, 2, 66, 98)] * 2]
