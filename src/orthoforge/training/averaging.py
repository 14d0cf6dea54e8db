"""The average of a network's weights over its last steps."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from orthoforge.models.generator import Generator

STYLE_BANKS = ("styles.codes", "styles.roofs", "styles.ground")
"""Buffers that are filled in both at once, and never averaged."""


class Average:
    """A copy of ``network`` whose weights and statistics follow those of the network, exponentially.

    Its decay grows to ``decay`` with the steps followed so far, n, as (1 + n) / (10 + n). So do TensorFlow's. One of full length
    from the start holds the beginning for as many steps as it is long, and in a short training nothing else. The first step's
    weights begin the average: initial noise is no part of it.

    Weights lie in memory as those of the network do, so that all of them follow in a few passes, and nothing waits for the host.
    """

    def __init__(self, network: Generator, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.count, self._decay = 0, decay

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Take one step towards what ``network`` is now."""
        pairs = list(zip(_followed(self.module), _followed(network), strict=True))
        numbers = [(own, new) for own, new in pairs if own.is_floating_point()]
        own, new = map(list, zip(*numbers, strict=True))
        if self.count:
            decay = min(self._decay, (1 + self.count) / (10 + self.count))
            torch._foreach_lerp_(own, new, 1 - decay)
        else:
            torch._foreach_copy_(own, new)
        for counter, now in pairs:
            if not counter.is_floating_point():
                counter.copy_(now)
        self.count += 1


def _followed(network: nn.Module) -> Iterator[Tensor]:
    yield from (parameter.detach() for parameter in network.parameters())
    yield from (buffer for name, buffer in network.named_buffers() if name not in STYLE_BANKS)
