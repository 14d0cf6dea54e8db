"""A trained EfficientNet-Lite0, or a part of it, in less time: the same values to 1e-5. Gradients pass to the images alone."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.fusion import fuse_conv_bn_eval

from orthoforge.models.features.efficientnet import InvertedBottleneck, SameConv2d

# oneDNN's product and convolution with the activation in the same pass over memory. torch.compile calls them; where a build of
# PyTorch has none, activations take a pass of their own.
_LINEAR: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_CONVOLUTION: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_RELU6: tuple[str, list[float], str] = ("hardtanh", [0.0, 6.0], "")
_NO_ACTIVATION: tuple[str, list[float], str] = ("none", [], "")

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """A copy of ``network`` whose EfficientNet blocks, and stems like theirs, take about half of the time on a CPU.

    Each batch norm becomes part of the convolution before it. 1×1 convolutions become matrix products of a channels-last image,
    which PyTorch's convolution is slow at where batches are small, and the ReLU6 is taken in the same pass. Convolutions of stride
    2 get a row and a column of zeros in place of a padded copy of their input.
    """
    network = copy.deepcopy(network).eval()
    _fold_children(network)
    network.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _fold_children(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, InvertedBottleneck):
            setattr(module, name, _Block(child))
        elif isinstance(child, nn.Sequential) and [type(part) for part in child] == [SameConv2d, nn.BatchNorm2d, nn.ReLU6]:
            setattr(module, name, _step(child[0], child[1], clamped=True))
        else:
            _fold_children(child)


class _Block(nn.Module):
    """An ``InvertedBottleneck``."""

    def __init__(self, block: InvertedBottleneck) -> None:
        super().__init__()
        expand = [_step(block._expand_conv, block._bn0, clamped=True)] if block.expands else []
        self.steps = nn.Sequential(
            *expand,
            _step(block._depthwise_conv, block._bn1, clamped=True),
            _step(block._project_conv, block._bn2, clamped=False),
        )
        self.adds = block.adds

    def forward(self, x: Tensor) -> Tensor:
        y = self.steps(x)
        return y.add_(x) if self.adds else y


class _Pointwise(nn.Module):
    """A 1×1 convolution of a channels-last image as the matrix product that it is."""

    def __init__(self, convolution: nn.Conv2d, *, clamped: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(convolution.weight.detach().flatten(1)), convolution.bias
        self.clamped = clamped

    def forward(self, x: Tensor) -> Tensor:
        if _LINEAR is None or not _only_looks(x):
            y = F.conv2d(x, self.weight[:, :, None, None], self.bias)
            return clamped(y) if self.clamped else y
        y = _LINEAR(x.permute(0, 2, 3, 1), self.weight, self.bias, *(_RELU6 if self.clamped else _NO_ACTIVATION))
        return y.permute(0, 3, 1, 2)


class _Convolution(nn.Module):
    """A convolution and its activation, padded as ``SameConv2d`` does."""

    def __init__(self, convolution: SameConv2d, *, clamped: bool) -> None:
        super().__init__()
        self.plain, self.clamped = convolution, clamped
        (side, _), (self.stride, _) = convolution.kernel_size, convolution.stride
        self.padding_px = side // 2
        # At stride 2 an even image is padded by one more on the right and below than on the left and top. That is padding it by as
        # much all around, and leaving out the first row and column: those of the kernel are 0.
        weight = convolution.weight.detach()
        weight = weight if self.stride == 1 else F.pad(weight, (1, 0, 1, 0))
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1 and (any(side % self.stride for side in x.shape[2:]) or not _only_looks(x)):
            by_channel = self.stride == 2 and self.plain.groups == x.shape[1] and x.device.type == "cpu"
            y = convolved_by_channel(self.plain.padded(x), self.plain.weight, self.plain.bias) if by_channel else self.plain(x)
            return clamped(y) if self.clamped else y
        step, padding, groups = [self.stride] * 2, [self.padding_px] * 2, self.plain.groups
        if _CONVOLUTION is not None and _only_looks(x):
            activation: Any = _RELU6 if self.clamped else _NO_ACTIVATION
            return _CONVOLUTION(x, self.weight, self.plain.bias, padding, step, [1, 1], groups, *activation)
        y = F.conv2d(x, self.weight, self.plain.bias, step, padding, groups=groups)
        return clamped(y) if self.clamped else y


def convolved_by_channel(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (N, C, H, W), each channel by its own kernel of ``weight`` (C, 1, k, k) at stride 2; gradients pass to ``x`` alone.

    For processors, where PyTorch takes several times as long for the same bits of these gradients. They are a convolution of stride
    1 of the incoming ones, spread apart by zeros, and as such have a fast way.
    """
    made: Tensor = _ByChannel.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return made


class _ByChannel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.type = x.shape, x.dtype
        return F.conv2d(x, weight, bias, stride=2, groups=x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        (count, channels, *sides), kernel = ctx.shape, weight.shape[2]
        shape = count, channels, *(side - kernel + 1 for side in sides)
        apart = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
        apart[:, :, ::2, ::2] = gradient
        return F.conv2d(apart, weight.flip(2, 3).to(gradient.dtype), padding=kernel - 1, groups=channels).to(ctx.type), None, None


def clamped(y: Tensor) -> Tensor:
    """ReLU6, written over ``y``, which nothing else needs."""
    if not (torch.is_grad_enabled() and y.requires_grad) or torch.compiler.is_compiling():
        return F.relu6(y, inplace=True)
    made: Tensor = _Clamped.apply(y)  # type: ignore[no-untyped-call]
    return made


class _Clamped(torch.autograd.Function):
    """PyTorch's own keeps a copy of its input. Its output says as well where gradients pass."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.mark_dirty(y)
        y.clamp_(0, 6)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, y, 0, 6)
        return passed


def _only_looks(x: Tensor) -> bool:
    """Whether oneDNN's own operations do: they know neither gradients nor autocast, and are not compiled."""
    is_learnt_from = torch.is_grad_enabled() and x.requires_grad
    by_itself = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    return by_itself and not is_learnt_from


def _step(convolution: nn.Module, norm: nn.Module, *, clamped: bool) -> nn.Module:
    assert isinstance(convolution, SameConv2d) and isinstance(norm, nn.BatchNorm2d), (convolution, norm)
    fused = fuse_conv_bn_eval(convolution, norm)
    return _Pointwise(fused, clamped=clamped) if fused.kernel_size == (1, 1) else _Convolution(fused, clamped=clamped)
