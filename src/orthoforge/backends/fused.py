"""The same network in fewer and plainer steps, for engines that compile it. Numbers differ by rounding alone."""

import copy
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.generator import Generator
from orthoforge.models.layers import ResizeConv2d
from orthoforge.models.modulated import MARGIN, ModulatedGenerator, Modulation, near_hues
from orthoforge.models.modulating import EPSILON, SLOPE
from orthoforge.models.styles import Style

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def fused(network: Generator) -> Generator:
    """A copy on the CPU that is ready to be traced: resizing convolutions have one kernel, modulations no split, and a modulated
    network sees condition and colours by one convolution."""
    plain = copy.deepcopy(network).to("cpu").eval().requires_grad_(False)
    for parent in list(plain.modules()):
        for name, module in parent.named_children():
            if isinstance(module, ResizeConv2d):
                setattr(parent, name, _transposed(module))
            elif isinstance(module, Modulation):
                setattr(parent, name, _TwoConvolutions(module))
    if isinstance(plain, ModulatedGenerator):
        plain.forward = partial(_modulated, plain, _side_by_side(plain.stem, plain.colour_stem))  # type: ignore[method-assign]
    return plain


def _transposed(module: ResizeConv2d) -> nn.ConvTranspose2d:
    """Its two steps as one transposed convolution, with the kernel summed once (``ResizeConv2d``)."""
    shifted = [F.pad(module.weight.flip(2, 3), (col, 1 - col, row, 1 - row)) for row in (0, 1) for col in (0, 1)]
    one = nn.ConvTranspose2d(module.in_channels, module.out_channels, 4, stride=2, padding=1, bias=module.bias is not None)
    one.weight = nn.Parameter(torch.stack(shifted).sum(dim=0).transpose(0, 1).contiguous(), requires_grad=False)
    one.bias = module.bias
    return one


class _TwoConvolutions(nn.Module):
    """``Modulation`` with a convolution for the scale and one for the shift, in place of one whose channels are split."""

    def __init__(self, module: Modulation) -> None:
        super().__init__()
        self.scale, self.shift = _halves(module.by_mask)
        self.style_scale, self.style_shift = _halves(module.by_style)
        assert self.scale.bias is not None
        self.scale.bias = nn.Parameter(self.scale.bias + 1, requires_grad=False)

    def forward(self, x: Tensor, spatial: Tensor, code: Tensor) -> Tensor:
        scale = self.scale(spatial) + self.style_scale(code)[:, :, None, None]
        shift = self.shift(spatial) + self.style_shift(code)[:, :, None, None]
        return F.leaky_relu(x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPSILON) * scale + shift, SLOPE)


def _halves(layer: Layer) -> tuple[Layer, Layer]:
    """Two layers, each with half of the outputs."""
    halves = []
    assert layer.bias is not None
    for weight, bias in zip(layer.weight.chunk(2), layer.bias.chunk(2), strict=True):
        half = copy.copy(layer)
        half._parameters = {"weight": nn.Parameter(weight.contiguous(), False), "bias": nn.Parameter(bias.contiguous(), False)}
        halves.append(half)
    return halves[0], halves[1]


def _side_by_side(one: nn.Conv2d, other: nn.Conv2d) -> nn.Conv2d:
    """The sum of two convolutions as one, of the channels of both."""
    both = copy.copy(one)
    both.in_channels = one.in_channels + other.in_channels
    assert one.bias is not None and other.bias is not None
    weight, bias = torch.cat([one.weight, other.weight], dim=1), one.bias + other.bias
    both._parameters = {"weight": nn.Parameter(weight, False), "bias": nn.Parameter(bias, False)}
    return both


def _modulated(network: ModulatedGenerator, stem: nn.Conv2d, condition: Tensor, style: Style, *, colours: Tensor) -> Tensor:
    """``ModulatedGenerator.forward`` with one ``stem`` and each activation once."""
    condition = condition if network.sees_mask else torch.zeros_like(condition)
    told = F.pad(torch.cat([condition, colours], dim=1), (MARGIN,) * 4, mode="reflect")
    colours = told[:, condition.shape[1] :]
    seen = [F.leaky_relu(stem(told), SLOPE)]
    for halve in network.down:
        seen.append(F.leaky_relu(halve(seen[-1]), SLOPE))
    x = network.deepest[1](seen[-1])
    for stage in network.decoder:
        x = stage(x, seen.pop(), style.code)
    x = network.last(network.last_noise(x), seen.pop(), style.code)
    image = torch.tanh(network.head(x) + network.colour_weight * colours)
    image = near_hues(image, torch.tanh(colours)) if network.refines else image
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
