"""Modulation and noise in few passes over memory, for training: their gradients are written out.

Both are bound by memory, not arithmetic. Composed of single operations they would pass over their maps some twenty times, forward
and back. Gradients of gradients are not written out; no loss asks a generator for them.

Under autocast they compute in bf16, as the convolutions around them do, and gather sums in float32. What mixes both types is slower
than either: PyTorch brings each operand to the wider one first, in a pass of its own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-4
SLOPE = 0.2  # of the leaky ReLU that follows each modulation
_NARROW = 16  # channels: half of what a vector of AVX-512 holds in bf16


def modulated(x: Tensor, by_mask: Tensor, by_style: Tensor) -> Tensor:
    """Channels of ``x`` (N, C, H, W) normalised at each pixel, scaled by 1 + the first C channels of ``by_mask`` (N, 2C, H, W) and
    ``by_style`` (N, 2C), shifted by their others, and through a leaky ReLU."""
    out: Tensor = _Modulated.apply(x, by_mask, by_style)  # type: ignore[no-untyped-call]
    return out


def modulated_plainly(x: Tensor, by_mask: Tensor, by_style: Tensor) -> Tensor:
    """The same composed of single operations, which can be traced and exported."""
    scale, shift = (by_mask + by_style[:, :, None, None]).chunk(2, dim=1)
    normalised = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPSILON)
    return F.leaky_relu(torch.addcmul(shift, normalised, 1 + scale), SLOPE)


def noised(x: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
    """``x`` (N, C, H, W) and ``noise`` (N, 1, H, W), weighted by channel (1, C, 1, 1)."""
    out: Tensor = _Noised.apply(x, weight, noise)  # type: ignore[no-untyped-call]
    return out


class _Modulated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, by_mask: Tensor, by_style: Tensor) -> Tensor:
        channels = x.shape[1]
        ones = torch.arange(2 * channels, device=x.device) < channels
        both = by_mask + (by_style + ones).to(by_mask.dtype)[:, :, None, None]
        scale, shift = both.chunk(2, dim=1)
        precise = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=precise)
        inverse = torch.rsqrt(norm.square_().div_(channels).add_(EPSILON)).to(_type(by_mask, channels))  # (N, 1, H, W)
        normalised = x.to(inverse.dtype) * inverse
        out = F.leaky_relu_(torch.addcmul(shift, normalised, scale), SLOPE)
        ctx.save_for_backward(normalised, scale, inverse, out)
        ctx.types = x.dtype, by_style.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normalised, scale, inverse, out = ctx.saved_tensors
        gradient = torch.ops.aten.leaky_relu_backward(gradient, out, SLOPE, True)
        channels = out.shape[1]
        shape = len(out), 2 * channels, *out.shape[2:]
        both = torch.empty(shape, dtype=scale.dtype, device=out.device, memory_format=torch.channels_last)
        torch.mul(gradient, normalised, out=both[:, :channels])
        both[:, channels:] = gradient
        by_style = both.sum(dim=(2, 3)).to(ctx.types[1])
        gradient.mul_(scale)
        along = (gradient * normalised).mean(dim=1, keepdim=True)
        x = gradient.addcmul_(normalised, along, value=-1).mul_(inverse)
        return x.to(ctx.types[0]), both, by_style


class _Noised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
        noise = noise.to(_type(x, x.shape[1])).expand(len(x), -1, -1, -1)  # one for all images, or one for each
        ctx.save_for_backward(noise)
        ctx.types = x.dtype, weight.dtype
        return torch.addcmul(x, weight.to(noise.dtype), noise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (noise,) = ctx.saved_tensors
        channels = gradient.shape[1]
        weight = noise.reshape(-1) @ gradient.permute(0, 2, 3, 1).reshape(-1, channels)
        return gradient.to(ctx.types[0]), weight.view(1, channels, 1, 1).to(ctx.types[1]), None


def _type(maps: Tensor, channels: int) -> torch.dtype:
    """What is computed in: the type of ``maps``, but float32 at least where a pixel's ``channels`` fill no vector in bf16."""
    return maps.dtype if channels > _NARROW else torch.promote_types(maps.dtype, torch.float32)
