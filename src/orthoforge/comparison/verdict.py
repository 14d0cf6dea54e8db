"""Which of several runs is better than the first, in words, where the intervals of their differences allow it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as students_t

from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.comparison.scores import RunScores

# An interval needs so many scenes, whose means are independent, or else so many tiles; of fewer nothing is said.
LEAST_SCENES, LEAST_TILES = 6, 30
# So many runs are named in the verdict; the others are in the table.
_NAMED = 4
_OF_BLUR = "That is what blur does: it costs detail, and gains pixel by pixel."


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, with its interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def words(self) -> str:
        """'higher by 0.031, 95 % interval 0.010 to 0.052', whichever of the two is the higher."""
        values = (self.mean, self.low, self.high) if self.mean >= 0 else (-self.mean, -self.high, -self.low)
        mean, low, high = (f"{value:.3f}".replace("-", "−") for value in values)
        return f"higher by {mean}, 95 % interval {low} to {high}"


def interval(differences: Sequence[float], scenes: Sequence[str], *, comparisons: int = 1) -> Difference | None:
    """Student's 95 % interval of the mean difference; ``None`` of too few.

    Of ``LEAST_SCENES`` scenes and more each scene's mean counts once, since tiles of one resemble each other. With several
    ``comparisons`` all their intervals together hold in 95 % (Bonferroni).
    """
    by_scene = defaultdict(list)
    for value, scene in zip(differences, scenes, strict=True):
        by_scene[scene].append(value)
    values = np.array([np.mean(part) for part in by_scene.values()] if len(by_scene) >= LEAST_SCENES else differences)
    if len(by_scene) < LEAST_SCENES and len(values) < LEAST_TILES:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    reach = float(students_t.ppf(1 - 0.025 / comparisons, len(values) - 1)) * error
    return Difference(mean, mean - reach, mean + reach)


def verdict(runs: Sequence[ComparedRun], scores: Sequence[RunScores | None]) -> str:
    """A sentence for each run beside the first, as far as their scores on the same tiles allow it; empty for a single run."""
    if len(runs) < 2:
        return ""
    first = scores[0]
    others = [(run.label, one) for run, one in zip(runs[1:], scores[1:], strict=True) if one is not None]
    if first is None or not others:
        return "No verdict on which run is better: fewer than two of them could be scored."
    said = [_against(label, one, runs[0].label, first, len(others)) for label, one in others[:_NAMED]]
    if len(others) > _NAMED:
        said.append(f"{len(others) - _NAMED} more are in the table of scores.")
    return " ".join([*said, "How real the images look is not judged here: that is what `orthoforge evaluate` measures."])


def _against(label: str, one: RunScores, first_label: str, first: RunScores, comparisons: int) -> str:
    """What can be said of a run beside the first."""
    pixels, detail, scenes = _differences(one, first)
    if not scenes:
        return f"{label} and {first_label} were scored on different tiles, so which is better is not known."
    by_pixel, by_detail = (interval(values, scenes, comparisons=comparisons) for values in (pixels, detail))
    if by_pixel is None or by_detail is None:
        return (
            f"Too few to tell whether {label} is better than {first_label}: {len(scenes)} tile{'s' * (len(scenes) != 1)} of "
            f"{len(set(scenes))} scene{'s' * (len(set(scenes)) != 1)}; it takes {LEAST_SCENES} scenes or {LEAST_TILES} tiles."
        )
    closer, nearer = by_pixel.sign, -by_detail.sign
    ssim = f"SSIM {by_pixel.words()}"
    if closer == nearer == 0:
        reach = (by_pixel.high - by_pixel.low) / 2
        return f"{first_label} and {label} cannot be told apart; a difference in SSIM of {reach:.2g} or more would have shown."
    if closer * nearer < 0:
        sharp, blurred = (label, first_label) if nearer > 0 else (first_label, label)
        return (
            f"Neither {first_label} nor {label} is better: {blurred} is closer to the real images pixel by pixel ({ssim}), "
            f"{sharp} in detail. {_OF_BLUR}"
        )
    better, worse = (label, first_label) if closer + nearer > 0 else (first_label, label)
    if closer and nearer:
        return f"{better} is better than {worse}: closer to the real images pixel by pixel ({ssim}), and in detail."
    if closer:
        return f"{better} is closer to the real images than {worse} pixel by pixel ({ssim}); in detail they cannot be told apart."
    return f"{better} is closer to the real images than {worse} in detail; pixel by pixel they cannot be told apart ({ssim})."


def _differences(one: RunScores, first: RunScores) -> tuple[list[float], list[float], list[str]]:
    """Of each tile that both were scored on: difference in SSIM, in distance from the real image's detail, and its scene."""
    theirs = {sha256: (row, real) for sha256, row, real, _ in _by_tile(first)}
    pixels, detail, scenes = [], [], []
    for sha256, row, real, scene in _by_tile(one):
        if sha256 in theirs:
            other, other_real = theirs[sha256]
            pixels.append(row["ssim"] - other["ssim"])
            detail.append(abs(row["detail_levels"] - real) - abs(other["detail_levels"] - other_real))
            scenes.append(scene)
    return pixels, detail, scenes


def _by_tile(scores: RunScores) -> list[tuple[str, dict[str, float], float, str]]:
    """Checksum, scores, detail of the real image and scene of each tile."""
    scored = scores.scored
    rows = [scored.store.rows[tile_id] for tile_id in scored.tile_ids]
    return [(row.sha256, dict(one), real, row.scene) for row, one, real in zip(rows, scores.tiles, scored.real_detail, strict=True)]
