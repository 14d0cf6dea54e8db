"""The form of what ``utility`` finds: a training's outcome, and ``utility.json``. docs/utility.md says what each part means."""

from typing import Literal, TypedDict

from orthoforge.measures.means import Mean
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.usefulness.design import Kind
from orthoforge.usefulness.paired_statistics import Difference
from orthoforge.usefulness.synthetic_tiles import SourceFacts


class Drawn(TypedDict):
    """How many crops of real and of synthetic tiles a training saw."""

    real: int
    synthetic: int


class Spent(TypedDict):
    """Time, by the clock and of the processor."""

    seconds: float
    cpu_seconds: float


class Outcome(Spent):
    """One training, tested: what its file holds."""

    arm: str
    fraction: float
    seed: int
    real_tiles: int
    synthetic_tiles: int
    drawn: Drawn
    scenes: dict[str, list[list[int]]]
    """``held_out_counts`` of the test tiles."""
    validation: dict[str, list[list[int]]]
    """The same of the validation tiles; empty where there are none, or they test."""


class MeanBySeed(Mean):
    """A mean over seeds, and what it is a mean of."""

    by_seed: list[float]


class ArmRow(TypedDict):
    """An arm at one fraction; differences are to the reference, which has none itself, ``to_best`` to the best baseline.

    ``validation_iou`` is ``None`` where no validation tile could choose.
    """

    arm: str
    kind: Kind
    ratio: float
    fraction: float
    real_tiles: int
    synthetic_tiles: int
    drawn: Drawn
    iou: MeanBySeed
    validation_iou: float | None
    difference: Difference | None
    to_best: Difference | None
    boundary_f: MeanBySeed
    boundary_difference: Difference | None


class FractionFound(TypedDict):
    """What synthetic images of all ratios together did at one fraction of the real tiles.

    ``difference`` is that to ``best_baseline``, the best arm without synthetic images on validation tiles, or strong augmentation
    where none could choose (``chosen_on`` is ``None``); ``to_plain`` that to real tiles turned and mirrored. ``best_synthetic`` is
    the arm with synthetic images that is best on validation tiles, and ``best_synthetic_difference`` its difference to the best
    baseline.
    """

    fraction: float
    real_tiles: int
    best_baseline: str
    chosen_on: Literal["val"] | None
    difference: Difference
    to_plain: Difference
    best_synthetic: str | None
    best_synthetic_difference: Difference | None


class FractionSaid(FractionFound):
    """That, and the verdict in words."""

    text: str


class CurveSide(TypedDict):
    """An arm over the number of real tiles: 1 − IoU = a · tiles^−``exponent``, and what that says of further labels."""

    arm: str
    real_tiles: list[int]
    iou: list[float]
    exponent: float
    exponent_interval: tuple[float, float] | None
    next_labels_bring: float
    next_labels_interval: tuple[float, float] | None


class LearningCurve(TypedDict):
    """The best arm without synthetic images, and the best with them; what the next ``labels`` tiles would bring, in words."""

    labels: int
    sides: list[CurveSide]
    text: str


class TestedOn(TypedDict):
    """The real tiles."""

    tiles: str
    fingerprint: str
    split: str
    split_method: str
    training_tiles: int
    validation_tiles: int
    test_tiles: int
    test_scenes: int
    test_places: int
    size_px: int
    gsd_m: float | None
    allowed_leaks: bool


class SyntheticUsed(SourceFacts):
    """The synthetic tiles."""

    tiles_fingerprint: str


class SettingsUsed(TypedDict):
    """Of the experiment; ``segmenter`` as ``SegmenterSettings``."""

    segmenter: dict[str, float]
    augmentation: Augmentation
    seeds: list[int]
    fractions: list[float]
    ratios: list[float]


class Trainings(Spent):
    """How many there were, and their time together."""

    n: int


class UtilityFound(TypedDict):
    """What the trainings say."""

    format: int
    made_by: str
    data: TestedOn
    synthetic: SyntheticUsed
    settings: SettingsUsed
    method: dict[str, str | float]
    verdict: str
    by_fraction: list[FractionSaid]
    arms: list[ArmRow]
    curve: LearningCurve | None
    trainings: Trainings


class Utility(UtilityFound):
    """What ``utility`` returns and ``utility.json`` holds."""

    warnings: list[str]
    this_call: Spent
