"""The figures of realism as reports hold them: the form of each, and what it is in words."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, NotRequired, TypedDict

Said = Literal["told", "not told", "no verdict"]
FigureName = Literal["frechet", "kernel_x1000", "precision", "recall", "density", "coverage"]
FIGURES: dict[FigureName, str] = {
    "frechet": "Fréchet distance of two normal distributions fitted to the vectors; lower is closer. Grows when images are few",
    "kernel_x1000": "kernel distance of the vectors × 1000, without bias: 0 for one distribution, also for few images",
    "precision": "share of the generated images that lie among the real ones (k = 3); higher is better",
    "recall": "share of the real images that lie among the generated ones (k = 3); higher is better",
    "density": "how densely real images lie around the generated ones (k = 5); about 1 for real ones",
    "coverage": "share of the real images with a generated one in their neighbourhood (k = 5); higher is better",
}


class Spread(TypedDict):
    """Mean and standard deviation of a figure over several ways to halve a set."""

    mean: float
    standard_deviation: float | None


class Figure(TypedDict):
    """A figure of two sets, with its 95 % interval and its floor. Without a ``value`` there is only ``why``, and the counts."""

    value: float | None
    n_generated: int
    n_real: int
    why: NotRequired[str]
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    floor: NotRequired[Spread | None]
    matched: NotRequired[Spread | None]


class Verdict(TypedDict):
    """What is said of a kernel distance, and what could have been seen at all."""

    said: Said
    why: str
    seen_from_x1000: float | None
    seen_from_share: float | None
    spread_x1000: float
    least_images: int
    worth_seeing: float


class Spectrum(TypedDict):
    """How far two spectra are apart, in dB; ``floor`` of two halves of the real images."""

    value: float
    floor: float | None
    by_frequency: list[float]
    """A quarter of the rings each, coarse to fine: below 0 the generated images lack power there, above it they have too much."""
    n_generated: int
    n_real: int


class Checkerboard(TypedDict):
    """How far a checkerboard stands out, in the middle of the generated images (``value``) and of the real ones."""

    value: float | None
    real: float | None
    why: NotRequired[str]
    n_generated: int
    n_real: int


class Resampled(TypedDict):
    """How intervals were drawn: over ``scenes`` or ``images``, ``None`` where there are too few."""

    resampled: Literal["scenes", "images"] | None
    rounds: int
    frechet_axes: int


class Halves(TypedDict, total=False):
    """How the real images were halved, or ``why`` they were not."""

    splits: int
    by: Literal["scene", "image"]
    n: list[float]
    why: str


class OfSpectra(TypedDict):
    """The figures that need no network."""

    spectrum_db: Spectrum
    checkerboard: Checkerboard


class Figures(TypedDict):
    """Those of ``FIGURES``."""

    frechet: Figure
    kernel_x1000: Figure
    precision: Figure
    recall: Figure
    density: Figure
    coverage: Figure


class Realism(Figures, OfSpectra):
    """What ``realism`` measures. Of fewer than two images of a kind there are no halves and no intervals."""

    verdict: Verdict
    interval: NotRequired[Resampled]
    halves: NotRequired[Halves]


class Floor(NamedTuple):
    """A figure of two halves of the real images, and of generated ones in place of one half."""

    floor: Spread | None
    matched: Spread | None


def measured(value: float, interval: tuple[float, float] | None, counts: tuple[int, int], floor: Floor) -> Figure:
    """A figure with its interval, the numbers of generated and real images, and its floor."""
    low, high = interval or (None, None)
    return {
        "value": value, "low": low, "high": high, "n_generated": counts[0], "n_real": counts[1],
        "floor": floor.floor, "matched": floor.matched,
    }  # fmt: skip


def unmeasured(why: str, counts: tuple[int, int]) -> Figure:
    """A figure that there are too few images for."""
    return {"value": None, "why": why, "n_generated": counts[0], "n_real": counts[1]}


def figures_of(by_name: Mapping[FigureName, Figure]) -> Figures:
    """All of them."""
    return {
        "frechet": by_name["frechet"], "kernel_x1000": by_name["kernel_x1000"], "precision": by_name["precision"],
        "recall": by_name["recall"], "density": by_name["density"], "coverage": by_name["coverage"],
    }  # fmt: skip
