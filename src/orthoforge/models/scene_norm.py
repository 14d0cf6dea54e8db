"""Norms whose statistics are those of a whole scene, so that every window of it is normalised alike.

Instance and group norm take mean and variance from the image before them. Generated window by window, each window would get its
own: neighbours would differ in colour, and no overlap hides that. Here the statistics are gathered once, over windows spread over
the scene, and then kept. What is left is an affine map for each channel, and the network sees no further than its receptive
field.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def has_image_statistics(network: nn.Module) -> bool:
    """Whether what the network makes of a pixel depends on all others, through a norm over the image."""
    return any(isinstance(module, nn.InstanceNorm2d | nn.GroupNorm) for module in network.modules())


def with_statistics_of(network: Network, conditions: Tensor) -> Network:
    """A copy of ``network`` that normalises everything by the statistics of ``conditions`` (N, C, H, W) taken as one image.

    Each layer's mean and variance are those over all N windows, computed with the layers before it already so normalised, in
    one pass. For a single window that is the whole scene, they are what the network itself would compute.
    """
    network = copy.deepcopy(network)
    gathering = [
        (parent, name, _GatheringNorm(norm))
        for parent in network.modules()
        for name, norm in parent.named_children()
        if isinstance(norm, nn.InstanceNorm2d | nn.GroupNorm)
    ]
    for parent, name, norm in gathering:
        setattr(parent, name, norm)
    with torch.inference_mode():
        network(conditions)
    for parent, name, norm in gathering:
        setattr(parent, name, norm.frozen())
    return network


class _GatheringNorm(nn.Module):
    """Normalises a batch by its common statistics, by channel or by group of channels, and remembers them."""

    def __init__(self, norm: nn.InstanceNorm2d | nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm
        self.frozen_norm: nn.BatchNorm2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)  # (C,)
        if isinstance(self.norm, nn.GroupNorm):
            groups = self.norm.num_groups
            means = mean.view(groups, -1)
            # The variance of a group is the mean variance of its channels plus the variance between their means.
            spread = variance.view(groups, -1).mean(dim=1) + means.var(dim=1, correction=0)
            mean, variance = (each.repeat_interleave(means.shape[1]) for each in (means.mean(dim=1), spread))
        frozen = nn.BatchNorm2d(x.shape[1], eps=self.norm.eps, affine=self.norm.weight is not None, device=x.device)
        frozen.running_mean, frozen.running_var = mean, variance
        if self.norm.weight is not None:
            frozen.weight, frozen.bias = self.norm.weight, self.norm.bias
        self.frozen_norm = frozen.eval().requires_grad_(False)
        return self.frozen_norm(x)

    def frozen(self) -> nn.BatchNorm2d:
        assert self.frozen_norm is not None, "the network was not run"
        return self.frozen_norm
