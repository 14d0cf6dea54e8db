"""Inception v3 as the Fréchet distance's standard weights have it, with the parameter names of their file."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 2048
_CLASSES = 1008  # of the TensorFlow graph of 2015; the classifier is in the file and is not computed here


class InceptionV3(nn.Module):
    """Szegedy et al. 2016: images (N, 3, 299, 299) in [-1, 1] to the 2048 means before the classifier.

    As in the graph of 2015 that the distance is defined by: average poolings inside the blocks leave the border's padding out, and
    the last block has a max pooling in place of the average.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b = _Grid35(192, 32)
        self.Mixed_5c = _Grid35(256, 64)
        self.Mixed_5d = _Grid35(288, 64)
        self.Mixed_6a = _Reduction35(288)
        self.Mixed_6b = _Grid17(768, 128)
        self.Mixed_6c = _Grid17(768, 160)
        self.Mixed_6d = _Grid17(768, 160)
        self.Mixed_6e = _Grid17(768, 192)
        self.Mixed_7a = _Reduction17(768)
        self.Mixed_7b = _Grid8(1280, max_pooled=False)
        self.Mixed_7c = _Grid8(2048, max_pooled=True)
        self.fc = nn.Linear(CHANNELS, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = F.max_pool2d(x, 3, stride=2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (N, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean(dim=(2, 3))


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inside: int, outside: int, kernel: int | tuple[int, int], *, stride: int = 1, padding: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Grid35(nn.Module):
    """Figure 5 of the paper; the 5×5 stays one, as in the network that was trained."""

    def __init__(self, inside: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inside, 64, 1)
        self.branch5x5_1 = _Conv(inside, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Conv(inside, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(inside, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_average(x))], dim=1)


class _Reduction35(nn.Module):
    """Figure 10: 35×35 to 17×17."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inside, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Conv(inside, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class _Grid17(nn.Module):
    """Figure 6, n = 7: 7×7 as 1×7 and 7×1."""

    def __init__(self, inside: int, narrow: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inside, 192, 1)
        self.branch7x7_1 = _Conv(inside, narrow, 1)
        self.branch7x7_2 = _row(narrow, narrow)
        self.branch7x7_3 = _column(narrow, 192)
        self.branch7x7dbl_1 = _Conv(inside, narrow, 1)
        self.branch7x7dbl_2 = _column(narrow, narrow)
        self.branch7x7dbl_3 = _row(narrow, narrow)
        self.branch7x7dbl_4 = _column(narrow, narrow)
        self.branch7x7dbl_5 = _row(narrow, 192)
        self.branch_pool = _Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average(x))], dim=1)


def _row(inside: int, outside: int) -> _Conv:
    return _Conv(inside, outside, (1, 7), padding=(0, 3))


def _column(inside: int, outside: int) -> _Conv:
    return _Conv(inside, outside, (7, 1), padding=(3, 0))


class _Reduction17(nn.Module):
    """17×17 to 8×8."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(inside, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(inside, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, stride=2)], dim=1)


class _Grid8(nn.Module):
    """Figure 7: the 3×3 spread into 1×3 and 3×1 beside each other."""

    def __init__(self, inside: int, *, max_pooled: bool) -> None:
        super().__init__()
        self.max_pooled = max_pooled
        self.branch1x1 = _Conv(inside, 320, 1)
        self.branch3x3_1 = _Conv(inside, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Conv(inside, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.max_pooled else _average(x)
        branches = [
            self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled),
        ]  # fmt: skip
        return torch.cat(branches, dim=1)


def _average(x: Tensor) -> Tensor:
    """3×3 means, at the border of the pixels that are there."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
