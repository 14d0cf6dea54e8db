"""The arms of the augmentation experiment: who is trained on which images, in which order. All arms draw from common streams."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from orthoforge.measures.segmenter.augmentation import Augmentation, source_px, strongly_augmented
from orthoforge.measures.segmenter.mask_scores import components
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import Flips, TileStore, crop_batch, epoch_order
from orthoforge.tiles.subset import balanced_subset

Kind = Literal["no flips", "flips", "strong", "copy-paste", "mixed", "synthetic", "synthetic first"]
Sample = Callable[[int], tuple[np.ndarray, np.ndarray]]
# Streams of draws. Arms that share a stream see the same crops of the same tiles in the same order, as far as they go.
_REAL, _SYNTHETIC, _PASTED, _PASTE, _AUGMENT = 1, 2, 3, 4, 5
# Ghiasi et al. 2021, "Simple Copy-Paste", section 3: a random subset of the objects of the other image is pasted.
_PASTED_SHARE = 0.5
# Ratios are ratios of small whole numbers, however they were written.
_LARGEST_DENOMINATOR = 1000


@dataclass(frozen=True)
class Arm:
    """One way to fill batches. ``ratio`` is synthetic images per real one, for kind ``mixed``."""

    kind: Kind
    ratio: float = 0.0

    @property
    def name(self) -> str:
        """As in tables and files."""
        return {
            "no flips": "real, no flips", "flips": "real", "strong": "real, strong augmentation", "copy-paste": "real, copy-paste",
            "mixed": f"real + synthetic 1:{self.ratio:g}", "synthetic": "synthetic alone", "synthetic first": "synthetic first",
        }[self.kind]  # fmt: skip

    @property
    def is_free(self) -> bool:
        """Whether it needs nothing but the real tiles: a baseline that costs nothing."""
        return self.kind in ("no flips", "flips", "strong", "copy-paste")

    def augmentation(self, of_all: Augmentation) -> Augmentation:
        """How its crops are varied, where those of all arms are varied like ``of_all``. The plain arms stay plain."""
        if self.kind in ("no flips", "flips"):
            return "flips"
        return "strong" if self.kind == "strong" else of_all


REFERENCE, STRONG = Arm("flips"), Arm("strong")


@dataclass(frozen=True)
class Job:
    """One training: an arm at a fraction of the real tiles, with a seed."""

    arm: Arm
    fraction: float
    seed: int

    @property
    def file(self) -> str:
        """Name of the file with its outcome."""
        return f"{self.arm.name.replace(',', '').replace(' ', '-').replace(':', '-')}_{self.fraction:g}_{self.seed}.json"


def arms_of(ratios: Sequence[float]) -> list[Arm]:
    """The reference, what costs nothing, each ratio above 0, synthetic images alone, and first."""
    mixed = [Arm("mixed", ratio) for ratio in sorted(set(ratios)) if ratio > 0]
    return [REFERENCE, Arm("no flips"), STRONG, Arm("copy-paste"), *mixed, Arm("synthetic"), Arm("synthetic first")]


def synthetic_count(arm: Arm, images: int, total: int) -> int:
    """How many of the first ``images`` of the ``total`` that an arm draws are synthetic: the whole part of
    images · ratio / (1 + ratio); of ``synthetic first`` all in the first half, and none afterwards.

    Steps and batch are the same in all arms, so a ratio says how the same number of images is shared out. Ratio 1 shows half as
    many crops of real tiles as ratio 0, not the same real crops and as many synthetic ones on top.
    """
    if arm.kind == "synthetic first":
        return min(images, total // 2)
    if arm.kind != "mixed":
        return images if arm.kind == "synthetic" else 0
    ratio = Fraction(arm.ratio).limit_denominator(_LARGEST_DENOMINATOR)
    return math.floor(images * ratio / (1 + ratio))


def real_subset(rows: Sequence[TileRow], tile_ids: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """``fraction`` of the tiles of each place, rounded up, spread over its scenes: a function of ``seed``.

    Of one seed, a larger fraction holds all tiles of a smaller one.
    """
    places: dict[str, list[int]] = {}
    for tile_id in tile_ids.tolist():
        places.setdefault(rows[tile_id].place, []).append(tile_id)
    chosen = [
        # Less a hair: 0.1 of 10 tiles is 1, though 0.1 · 10 may come out above it.
        balanced_subset(rows, np.array(some), tiles_per_place=math.ceil(fraction * len(some) - 1e-9), seed=seed)
        for some in places.values()
    ]
    return np.sort(np.concatenate(chosen))


def arm_sample(
    arm: Arm,
    real: tuple[TileStore, np.ndarray],
    synthetic: tuple[TileStore, np.ndarray],
    *,
    steps: int,
    batch_size: int,
    crop_px: int,
    seed: int,
    augmentation: Augmentation = "flips",
) -> Sample:
    """What an arm trains on: ``sample(step)`` is images (N, C, C, 3) and masks (N, C, C), uint8, a function of its arguments only.

    ``real`` and ``synthetic`` are tiles of a store. The n-th real image that any two arms draw is of the same tile; it is the same
    crop, turned alike where both turn and augmented alike where both are. So is the n-th synthetic one.
    """
    flips: Flips = "none" if arm.kind == "no flips" else "dihedral"
    strong = arm.augmentation(augmentation) == "strong"

    def take(source: tuple[TileStore, np.ndarray], first: int, count: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
        store, ids = source
        keys = [(seed, stream, *divmod(number, len(ids))) for number in range(first, first + count)]
        orders = {epoch: epoch_order(ids, seed=(seed, stream), epoch=epoch) for epoch in {key[2] for key in keys}}
        tiles = np.array([orders[key[2]][key[3]] for key in keys])
        side = source_px(crop_px, store.size_px) if strong else crop_px
        batch = crop_batch(store, tiles, crop_px=side, flips=flips, keys=keys)
        return batch.image, batch.mask

    def varied(images: np.ndarray, masks: np.ndarray, first: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
        if not strong:
            return images, masks
        keys = [(seed, _AUGMENT, stream, number) for number in range(first, first + len(images))]
        return strongly_augmented(images, masks, crop_px=crop_px, keys=keys)

    def sample(step: int) -> tuple[np.ndarray, np.ndarray]:
        before, after = (synthetic_count(arm, number * batch_size, steps * batch_size) for number in (step, step + 1))
        parts = []
        if after - before < batch_size:
            first, count = step * batch_size - before, batch_size - (after - before)
            images, masks = take(real, first, count, _REAL)
            if arm.kind == "copy-paste":
                rng = np.random.default_rng((seed, _PASTE, step))
                classes = real[0].class_count
                copy_paste(images, masks, *take(real, first, count, _PASTED), background=0 if classes is None else None, rng=rng)
            parts.append(varied(images, masks, first, _REAL))
        if after > before:
            parts.append(varied(*take(synthetic, before, after - before, _SYNTHETIC), before, _SYNTHETIC))
        images, masks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return images, masks

    return sample


def copy_paste(
    images: np.ndarray,
    masks: np.ndarray,
    other_images: np.ndarray,
    other_masks: np.ndarray,
    *,
    background: int | None,
    rng: np.random.Generator,
) -> None:
    """Paste half of the objects of each other image, at random, in their place onto its image and mask (changed in place).

    An object is a connected patch of one value of the other mask: any value but ``background``, or where that is ``None`` a value
    drawn among those there.
    """
    for image, mask, other_image, other_mask in zip(images, masks, other_images, other_masks, strict=True):
        values = np.unique(other_mask)
        values = values[values != background] if background is not None else values
        if not len(values):
            continue
        objects = components(other_mask == rng.choice(values))
        numbers = np.arange(1, objects.max() + 1)
        chosen = np.isin(objects, numbers[rng.random(len(numbers)) < _PASTED_SHARE])
        image[chosen], mask[chosen] = other_image[chosen], other_mask[chosen]
