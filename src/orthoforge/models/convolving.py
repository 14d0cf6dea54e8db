"""Convolutions that learn fast on processors with AVX2 and without AVX-512, in float32 and channels last.

There oneDNN takes two to six times as long as its arithmetic for gradients of weights, where maps are large. Here these are
products of matrices, one for each place of the kernel, and 3×3 convolutions of many channels follow Winograd, forward and back.
Elsewhere, in bf16, under a compiler, and where no weight learns, these are PyTorch's own. All gradients are made of operations that
have gradients themselves, as WGAN-GP asks of a discriminator.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models import winograd

_IS_SLOW_HERE = torch.backends.cpu.get_cpu_capability() == "AVX2"
# From how much on it pays, measured on a Zen 3. Channels are the fewer of those of both sides.
_WINOGRAD_CHANNELS, _WINOGRAD_TILES = 48, 32  # tiles of 4×4 px of all images: fewer do not pay for bringing the kernels into form
_MANY_CHANNELS, _WIDE_PX = 128, 32 * 32
_FEW_CHANNELS, _LARGE_MAP = 32, 400_000  # numbers of an image's map


class Conv2d(nn.Conv2d):
    """``conv2d`` as a layer: the same stride and zeros along both axes, one group."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride[0], int(self.padding[0]))


class ConvTranspose2d(nn.ConvTranspose2d):
    """``conv_transpose2d`` as a layer, likewise."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None, "it follows from the layer's own sizes"
        row, col = self.output_padding
        return conv_transpose2d(x, self.weight, self.bias, self.stride[0], int(self.padding[0]), (row, col))


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """What ``torch.nn.functional.conv2d`` makes of ``x`` (N, C, H, W) and ``weight`` (O, C, k, k), and its gradients."""
    if not _learns_slowly(x, weight):
        return F.conv2d(x, weight, bias, stride, padding)
    made: Tensor
    if stride == 1 and _suits_winograd(x.shape, weight, padding):
        made = _Winograd.apply(x, weight, bias, padding)  # type: ignore[no-untyped-call]
    elif _suits_products(x.shape, weight):
        made = _Convolution.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    else:
        made = F.conv2d(x, weight, bias, stride, padding)
    return made


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """What ``torch.nn.functional.conv_transpose2d`` makes of ``x`` (N, C, H, W) and ``weight`` (C, O, k, k), and its gradients."""
    if not (_learns_slowly(x, weight) and _suits_products(_enlarged(x, weight, stride), weight)):
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)
    return _Transposed.apply(x, weight, bias, stride, padding, output_padding)  # type: ignore[no-untyped-call]


def weight_gradient(x: Tensor, gradient: Tensor, kernel_px: int, stride: int = 1, padding: int = 0) -> Tensor:
    """The gradient of a convolution of ``x`` (N, C, H, W) to its weight (O, C, k, k), of that to what it made (N, O, h, w).

    Rows of both are padded to one length. What a place of the kernel meets then lies as far apart as the gradient's pixels do, so
    it is one product of matrices, and nothing is copied for it. At stride s each place meets one of the s² phases of ``x``.
    """
    channels, *sides = x.shape[1:]
    further = -(-kernel_px // stride) - 1  # cells of a phase that the kernel sees beyond the first
    rows, cols = (side + further for side in gradient.shape[2:])
    bottom, right = (max(0, cells * stride - side - padding) for cells, side in zip((rows, cols), sides, strict=True))
    seen = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, right, padding, bottom))
    given = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, further, 0, further)).flatten(0, 2)  # (pixels, O)

    def place(i: int, j: int) -> Tensor:
        shift = i // stride * cols + j // stride
        return given[: len(given) - shift].t() @ phases[i % stride, j % stride][shift:]

    phases = {
        (i, j): seen[:, i : rows * stride : stride, j : cols * stride : stride].reshape(-1, channels)
        for i in range(stride)
        for j in range(stride)
    }
    places = torch.stack([place(i, j) for i in range(kernel_px) for j in range(kernel_px)])
    return places.view(kernel_px, kernel_px, -1, channels).permute(2, 3, 0, 1)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (stride, padding) = ctx.saved_tensors, ctx.steps
        gradient, kernel_px = gradient.contiguous(memory_format=torch.channels_last), weight.shape[2]
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            row, col = ((side + 2 * padding - kernel_px) % stride for side in x.shape[2:])  # that it does not see
            of_x = conv_transpose2d(gradient, weight, None, stride, padding, (row, col))
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(x, gradient, kernel_px, stride, padding)
        return of_x, of_weight, _bias_gradient(ctx, gradient), None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, output_padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, padding
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = conv2d(gradient, weight, None, *ctx.steps) if ctx.needs_input_grad[0] else None
        # It goes a convolution's way back: what that would see is what this one made.
        of_weight = weight_gradient(gradient, x, weight.shape[2], *ctx.steps) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, _bias_gradient(ctx, gradient), None, None, None


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        forms = winograd.forms(x, weight, padding)
        ctx.save_for_backward(x, weight, *forms)
        ctx.padding = padding
        return winograd.convolved(x, weight, padding, bias, forms)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *forms = ctx.saved_tensors
        # Where gradients shall have gradients, forms have to follow from x and weight again.
        given = None if torch.is_grad_enabled() else winograd.Forms(*forms)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight = winograd.gradients(x, weight, gradient, ctx.padding, given)
        return of_x, of_weight, _bias_gradient(ctx, gradient), None


def _bias_gradient(ctx: Any, gradient: Tensor) -> Tensor | None:
    return gradient.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None


def _learns_slowly(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients of weights are wanted where oneDNN is slow at them."""
    if not _IS_SLOW_HERE or torch.compiler.is_compiling() or not (torch.is_grad_enabled() and weight.requires_grad):
        return False
    is_float32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_float32 and x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)


def _suits_winograd(image: torch.Size, weight: Tensor, padding: int) -> bool:
    """Whether Winograd's convolution and its gradients are the faster; ``image`` (N, C, H, W) is what is convolved."""
    if weight.shape[2] != winograd.KERNEL or min(weight.shape[:2]) < _WINOGRAD_CHANNELS:
        return False
    return winograd.tiles(image, padding) >= _WINOGRAD_TILES


def _suits_products(image: torch.Size, weight: Tensor) -> bool:
    """Whether products of matrices are the faster gradient; ``image`` (N, C, H, W) is the larger of both sides."""
    is_large = min(weight.shape[:2]) >= _FEW_CHANNELS and image[1:].numel() >= _LARGE_MAP
    return is_large or _is_wide(image, weight)


def _enlarged(x: Tensor, weight: Tensor, stride: int) -> torch.Size:
    """What a transposed convolution makes, to a few pixels."""
    return torch.Size((len(x), weight.shape[1], x.shape[2] * stride, x.shape[3] * stride))


def _is_wide(image: torch.Size, weight: Tensor) -> bool:
    return min(weight.shape[:2]) >= _MANY_CHANNELS and image[2] * image[3] >= _WIDE_PX
