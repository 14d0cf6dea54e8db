"""Gradient accumulation: a step's batch is computed part by part, and both networks take the step of the whole batch.

The generator learns from the discriminator as that is after its own update. So the parts are gone through twice, once for each
network, and each image is made twice. What is drawn at random is the same both times, and the same as without parts.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import parametrize

from orthoforge.models.noise import drawn_for
from orthoforge.training.hardware import mean_over_processes


@dataclass(frozen=True, eq=False)
class Shown:
    """What both networks are shown of a batch, or of a part of it: images are (N, B, H, W)."""

    condition: Tensor
    real: Tensor
    told: dict[str, Tensor]
    """What the generator is told beside the condition, by the names that it has for it; (N, …) each."""
    own: int
    """So many fakes, the first ones, have the style of their own real image and are compared with it."""
    unchanged: int
    """So many fakes, the first ones, are made of their real image as a canvas; nobody judges whether these are real."""
    canvas: Tensor | None
    """What the fakes refine, in [-1, 1]."""

    def __len__(self) -> int:
        return len(self.real)

    @property
    def judged(self) -> int:
        """So many are shown to the discriminator."""
        return len(self) - self.unchanged

    def rows(self, start: int, stop: int) -> "Shown":
        """A part of them."""
        condition, real, canvas = (None if each is None else each[start:stop] for each in (self.condition, self.real, self.canvas))
        assert condition is not None and real is not None
        own, unchanged = (min(max(first - start, 0), stop - start) for first in (self.own, self.unchanged))
        return Shown(condition, real, {name: each[start:stop] for name, each in self.told.items()}, own, unchanged, canvas)


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a step's batch, of which there may be but one."""

    shown: Shown
    whole: Shown
    start: int = 0
    """Which image of the batch is its first one."""
    is_first_judged: bool = True
    """Whether it is the first one of which the discriminator is shown something."""

    @property
    def is_all(self) -> bool:
        """Whether there is no other."""
        return self.shown is self.whole

    def weight(self, kind: str) -> float:
        """What a mean over its images weighs in that over the batch's; ``kind`` is own, unchanged, judged or all."""
        of_part, of_batch = ((len(shown) if kind == "all" else getattr(shown, kind)) for shown in (self.shown, self.whole))
        return of_part / of_batch if of_batch else 0.0


def parts_of(whole: Shown, count: int) -> list[Part]:
    """A batch in ``count`` parts of about the same size, or as many as it has images."""
    count = min(count, len(whole))
    if count == 1:
        return [Part(whole, whole)]
    bounds = [number * len(whole) // count for number in range(count + 1)]
    parts = [Part(whole.rows(start, stop), whole, start, False) for start, stop in pairwise(bounds)]
    first = next(number for number, part in enumerate(parts) if part.shown.judged)
    parts[first] = replace(parts[first], is_first_judged=True)
    return parts


@contextmanager
def computed(fabric: Fabric, part: Part, *networks: nn.Module | None) -> Iterator[None]:
    """Within, ``networks`` as Fabric runs them compute a part of a batch.

    Of what is drawn of torch's global generator it gets its own rows, and that generator stands where it stood afterwards.
    Processes do not exchange gradients yet.
    """
    if part.is_all:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []))
        stack.enter_context(drawn_for(len(part.whole), part.start, len(part.shown), fabric.device))
        for network in networks:
            if network is not None:
                stack.enter_context(fabric.no_backward_sync(network))  # type: ignore[arg-type]  # Fabric runs it
        yield


@contextmanager
def unmoved(network: nn.Module, *, when: bool = True) -> Iterator[None]:
    """Within, passes in training change nothing that ``network`` keeps: spectral norms take no power iteration, batch norms
    keep their running statistics, and normalise by those of what they are shown, as ever."""
    spectral = [module for module in network.modules() if isinstance(module, parametrize.ParametrizationList)] if when else []
    batch = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)] if when else []
    for norms in spectral:
        norms.eval()
    for norm in batch:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norms in spectral:
            norms.train()
        for norm in batch:
            norm.track_running_stats = True


def exchange_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Give every process the mean of all processes' gradients, once for all parts."""
    if fabric.world_size == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    mean = mean_over_processes(fabric, torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, of_all in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(of_all.view_as(gradient))
