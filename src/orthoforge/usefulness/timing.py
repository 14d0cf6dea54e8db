"""How long an experiment takes on this machine, told from a few steps of its segmenter."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.progress import duration
from orthoforge.tiles.store import TileStore
from orthoforge.usefulness.design import STRONG, arm_sample

_FEW, _MORE = 1, 5  # steps: their difference leaves out what a training costs but once
_LOOKED_AT = 8  # tiles


def training_seconds(
    store: TileStore,
    train: Callable[..., Callable[[np.ndarray], np.ndarray]],
    settings: SegmenterSettings,
    *,
    held_out: int,
    device: str,
) -> float:
    """Seconds of one training of ``settings.steps`` steps on the training tiles of ``store``, and of a look at ``held_out`` tiles.

    ``train`` is called as ``train_segmenter`` is, for a few steps. Raises what it raises.
    """
    ids = store.ids("train")
    images = np.stack([store.tile(tile_id)[0] for tile_id in ids[:_LOOKED_AT].tolist()])

    def timed(steps: int) -> tuple[float, float]:
        sample = arm_sample(
            STRONG, (store, ids), (store, ids), steps=steps, batch_size=settings.batch_size, crop_px=settings.crop_px, seed=0
        )  # fmt: skip
        began = time.monotonic()
        segmenter = train(sample, replace(settings, steps=steps), class_count=store.class_count, device=device)
        trained = time.monotonic()
        segmenter(images)
        return trained - began, (time.monotonic() - trained) / len(images)

    timed(_FEW)  # what is imported and read once is no part of it
    once, _ = timed(_FEW)
    longer, a_tile = timed(_MORE)
    a_step = max(0.0, longer - once) / (_MORE - _FEW)
    return once + a_step * (settings.steps - _FEW) + a_tile * held_out


@dataclass
class TimeLeft:
    """How long what is left will take: ``trainings`` of it, and ``sets`` of images that a generator still has to make.

    Both are told from those that this call has finished: their seconds are in ``trained`` and ``made``.
    """

    trainings: int
    sets: int
    trained: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)

    def finished(self, seconds: float, making: float | None) -> None:
        """One more training, which took so long; ``making`` of that went into its images, where it was the first to need them."""
        self.trainings -= 1
        self.trained.append(seconds - (making or 0.0))
        if making is not None:
            self.sets -= 1
            self.made.append(making)

    def __str__(self) -> str:
        seconds = self.trainings * float(np.mean(self.trained))
        if not self.sets:
            return f"about {duration(seconds)} left"
        if self.made:
            return f"about {duration(seconds + self.sets * float(np.mean(self.made)))} left"
        images = f"{self.sets} sets of images" if self.sets > 1 else "a set of images"
        return f"about {duration(seconds)} left, and the making of {images} on top"


def time_line(trainings: int, steps: int, seconds: float) -> str:
    """What ``trainings`` of ``seconds`` each take, for a terminal."""
    return (
        f"{trainings} trainings of {steps} steps take about {duration(trainings * seconds)} on this machine, as busy as it is now "
        f"({duration(seconds)} each). Images that a generator has to make come on top."
    )
