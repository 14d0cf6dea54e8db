"""What networks are made of: norms, upsampling, dropout, initial weights."""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.convolving import conv2d, conv_transpose2d
from orthoforge.models.noise import NoiseField, draw

Norm = Literal["batch", "instance", "group"]
Upsample = Literal["transposed", "resize"]

GROUPS = 32
# At 8×8 px, 1024 → 512 channels, one image and one thread: 370 ms in one step, 30 ms in two. From 32×32 px on, one is faster.
# The bound keeps clear of ResNets, whose smallest map is a quarter of the crop: up to 32 px of it they are concerned too.
SMALL_MAP_PX = 8 * 8


def norm_layer(norm: Norm | Literal["none"], channels: int) -> nn.Module:
    """Batch norm with affine and running statistics, instance norm with neither, group norm with affine, or nothing."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels)
        case "group":
            return nn.GroupNorm(group_count(channels), channels)
        case "none":
            return nn.Identity()


def has_bias(norm: Norm | Literal["none"]) -> bool:
    """Whether a convolution before this norm carries a bias: not where the norm's own shift does the same.

    Before instance norm a bias changes nothing either. It is there because it was in the system that the recipes reproduce.
    """
    return norm in ("instance", "none")


def group_count(channels: int) -> int:
    """Groups of a group norm: 32 (Wu & He 2018, section 4), in narrow networks fewer of at least 4 channels each.

    A group of one channel would be instance norm, which forgets every channel's level. Channels that 4 does not fit into
    evenly twice or more end up in one group (layer norm).
    """
    if channels % GROUPS == 0 and channels >= 2 * GROUPS:
        return GROUPS
    return max((groups for groups in range(1, GROUPS) if channels % groups == 0 and channels // groups >= 4), default=1)


def reflected(x: Tensor, px: int) -> Tensor:
    """``x`` (N, C, H, W), padded on all sides by reflection, in the type that a convolution takes.

    Autocast would have it padded in float32: there and back three passes more, and as many of its gradients.
    """
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        if kind == "cpu" and x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            made: Tensor = _Reflected.apply(x, px)  # type: ignore[no-untyped-call]
            return made
        return F.pad(x, (px,) * 4, mode="reflect")
    with torch.autocast(kind, enabled=False):
        return F.pad(x.to(torch.get_autocast_dtype(kind)), (px,) * 4, mode="reflect")


class _Reflected(torch.autograd.Function):
    """On a processor PyTorch takes several passes for the gradient; but for the borders it is a copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, px: int) -> Tensor:
        ctx.px = px
        return F.pad(x, (px,) * 4, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (itself_row, *rows), (itself_col, *cols) = (_reflections(side - 2 * ctx.px, ctx.px) for side in gradient.shape[2:])
        of_x = gradient[..., itself_row.lies, itself_col.lies].clone()
        borders = [(row, itself_col, [2]) for row in rows] + [(itself_row, col, [3]) for col in cols]
        for row, col, axes in [*borders, *((row, col, [2, 3]) for row in rows for col in cols)]:
            border = gradient[..., row.lies, col.lies]
            of_x[..., row.comes_from, col.comes_from] += border.flip(axes) if ctx.px > 1 else border
        return of_x, None


class _Reflection(NamedTuple):
    comes_from: slice
    lies: slice


def _reflections(side: int, px: int) -> list[_Reflection]:
    """Along an axis: the pixels themselves, and those that are reflected before and after them."""
    places = slice(0, side), slice(1, px + 1), slice(side - px - 1, side - 1)
    return [_Reflection(*both) for both in zip(places, (slice(px, px + side), slice(0, px), slice(px + side, None)), strict=True)]


class ReflectionPad2d(nn.ReflectionPad2d):
    """Before a convolution: ``reflected``."""

    def forward(self, x: Tensor) -> Tensor:
        return reflected(x, self.padding[0])


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour resizing by 2 and a 3×3 convolution with zero padding, in one (Odena et al. 2016).

    Each weight meets two equal pixels along each axis, so both steps are one transposed convolution whose 4×4 kernel sums the
    3×3 one over shifts of a pixel. Its four phases come from the same weights, which is why it leaves no checkerboard. Less than
    half the arithmetic, and no wide feature map of full resolution in between.

    Summing the kernel costs as much as convolving some hundred pixels. On the small maps inside a U-Net, where the widest
    kernels are, the two steps are therefore taken one after the other.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] <= SMALL_MAP_PX:
            return conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), self.weight, self.bias, padding=1)
        shifted = [F.pad(self.weight.flip(2, 3), (col, 1 - col, row, 1 - row)) for row in (0, 1) for col in (0, 1)]
        kernel = torch.stack(shifted).sum(dim=0).transpose(0, 1)  # (in, out, 4, 4)
        return conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class NoiseDropout(nn.Module):
    """Dropout that also drops in ``eval()``: in pix2pix it is the generator's noise (Isola et al. 2017, section 3.2).

    In training it draws from torch's global generator of the tensor's device. Where ``noise_fields`` are given, what is dropped
    is a function of its seed and of the place on the ground: ``stride`` pixels a cell, ``layer`` keeps the layers of a network
    apart.
    """

    def __init__(self, probability: float = 0.5, *, layer: int = 0, stride: int = 1) -> None:
        super().__init__()
        self.probability, self.layer, self.stride = probability, layer, stride
        self.noise_fields: tuple[NoiseField, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        if self.noise_fields:
            drawn = torch.cat([field.uniform(self.layer, x.shape, self.stride, x.device) for field in self.noise_fields])
        else:
            drawn = draw(torch.rand, x.shape, x.device)
        return x * (drawn >= self.probability) / (1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability}, also in eval()"


def init_weights(network: nn.Module) -> nn.Module:
    """Convolutions N(0, 0.02), biases 0, norms' scales N(1, 0.02). Draws from torch's global generator, in module order.

    A network on the meta device has no values and is left alone: to draw there, torch would import its compiler, in some seconds.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        return network
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
