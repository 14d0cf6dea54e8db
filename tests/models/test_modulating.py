"""The gradients that are written out."""

import copy

import pytest
import torch

from orthoforge.models.features.folding import folded
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.modulating import modulated, modulated_plainly, noised
from orthoforge.models.perceptual import load_features


def drawn(*shape, dtype=torch.float64, needs=True):
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]), dtype=dtype)
    return numbers.requires_grad_(needs)


def test_gradients_of_a_modulation_are_those_of_its_formula():
    inputs = drawn(2, 3, 4, 5), drawn(2, 6, 4, 5), drawn(2, 6)
    torch.testing.assert_close(modulated(*inputs), modulated_plainly(*inputs))
    assert torch.autograd.gradcheck(modulated, inputs)


def test_gradients_of_noise_are_those_of_its_formula():
    x, weight, noise = drawn(2, 3, 4, 5), drawn(1, 3, 1, 1), drawn(2, 1, 4, 5, needs=False)
    torch.testing.assert_close(noised(x, weight, noise), x + weight * noise)
    assert torch.autograd.gradcheck(noised, (x, weight, noise))


def test_one_map_of_noise_for_all_images_teaches_what_as_many_like_ones_do():
    x, weight, noise = drawn(2, 3, 4, 5), drawn(1, 3, 1, 1), drawn(1, 1, 4, 5, needs=False)
    torch.testing.assert_close(noised(x, weight, noise), x + weight * noise)
    assert torch.autograd.gradcheck(noised, (x, weight, noise))


@pytest.mark.parametrize(("channels", "computed"), [(8, torch.float32), (32, torch.bfloat16)])
@pytest.mark.parametrize("types", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.bfloat16)])
def test_in_bf16_it_differs_by_rounding_alone(types, channels, computed):
    style = drawn(2, 2 * channels, dtype=types[1])
    given = [drawn(2, channels, 6, 6, dtype=types[0]), drawn(2, 2 * channels, 6, 6, dtype=types[1]), style]
    exact = [value.detach().double().requires_grad_() for value in given]
    made, expected = modulated(*given), modulated_plainly(*exact)
    assert made.dtype == computed
    torch.testing.assert_close(made.double(), expected, atol=0.06, rtol=0.03)
    made.sum().backward()
    expected.sum().backward()
    for one, other in zip(given, exact, strict=True):
        assert one.grad.dtype == one.dtype
        if computed == torch.float32:
            torch.testing.assert_close(one.grad.double(), other.grad, atol=0.15, rtol=0.05)
        apart = one.grad.double() - other.grad
        assert apart.norm() < 0.06 * other.grad.norm(), "where the leaky ReLU has its kink, single ones are of the other side"


def test_in_bf16_sums_over_a_map_are_gathered_in_float32():
    """In bf16 a sum of numbers like 1 would stay at 256."""
    x, by_mask, by_style = (torch.ones(1, *shape).bfloat16().requires_grad_() for shape in ((32, 64, 64), (64, 64, 64), (64,)))
    modulated(x, by_mask, by_style).sum().backward()
    torch.testing.assert_close(by_style.grad, torch.full_like(by_style, 64.0**2), rtol=0.01, atol=0)
    weight = torch.ones(1, 32, 1, 1, requires_grad=True)
    noised(x.detach(), weight, torch.ones(1, 1, 64, 64)).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 64.0**2), rtol=0.01, atol=0)


def test_a_network_teaches_the_same_either_way(monkeypatch):
    torch.manual_seed(0)
    network = ModulatedGenerator(width=2)
    other = copy.deepcopy(network)
    condition, colours = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for each in (network, other):
        torch.manual_seed(1)
        each(condition, reference=colours, colours=colours).square().mean().backward()
        monkeypatch.setattr("orthoforge.models.modulated.modulated", modulated_plainly)
        monkeypatch.setattr("orthoforge.models.modulated.noised", lambda x, weight, noise: x + weight * noise)
    gradients = dict(other.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-3, atol=1e-6, msg=name)


def test_folded_features_pass_on_the_same_gradients():
    features = load_features("efficientnet-lite0", ["stage1", "stage3"])
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    slopes = []
    for network in (features, folded(features)):
        shown = images.clone().requires_grad_()
        sum(layer.square().mean() for layer in network(shown)).backward()
        slopes.append(shown.grad)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-3, atol=1e-5 * float(slopes[0].abs().max()))
