"""Whether generated images can be told from real ones by their kernel distance, and what difference could have been seen at all."""

import numpy as np

from orthoforge.measures.realism.distances import polynomial_kernel
from orthoforge.measures.realism.figures import Figure, Verdict

# Of each kind. Below it halves hold so few images that a ball around each reaches over a fifth of them, and distances are chance.
LEAST_IMAGES = 30
# "Not told" needs sets in which a difference of so much of the real images' spread would have been seen: half a standard deviation,
# which Cohen 1988 calls medium, squared.
WORTH_SEEING = 0.25
# So many of the floor's deviations above the floor is called different, and 0.84 more are reached in four of five cases.
DEVIATIONS, _FOUR_OF_FIVE = 2, 0.84
_WIDTH_IN_DEVIATIONS = 3.92  # of a 95 % interval
_MOST_VECTORS = 1000


def spread(vectors: np.ndarray) -> float:
    """How far an image lies from the mean of its set (N, C), squared, in the kernel distance's own space.

    E k(x, x) − E k(x, x'). A kernel distance by this is a squared difference of means in standard deviations. Of many images a
    thousand, spread over them.
    """
    some = vectors[np.unique(np.linspace(0, len(vectors) - 1, min(_MOST_VECTORS, len(vectors))).astype(int))].astype(np.float64)
    kernel = polynomial_kernel(some, some)
    n = len(some)
    return float(kernel.trace() / n - (kernel.sum() - kernel.trace()) / (n * (n - 1)))


def verdict(figure: Figure, spread_x1000: float) -> Verdict:
    """Plain values for a ``kernel_x1000`` of ``realism``: what is ``said``, ``why``, and what was ``seen_from``.

    *Told* where one half lies more than ``DEVIATIONS`` above real halves. ``seen_from`` is what a half would have to lie above them
    to be told in four of five cases. *Not told* is said only where that is at most ``WORTH_SEEING`` of the spread, and the interval
    reaches down to the real halves: the wider it is, the less is said. Nothing is said of fewer than ``LEAST_IMAGES`` of a kind.
    """
    result: Verdict = {
        "said": "no verdict", "why": "", "seen_from_x1000": None, "seen_from_share": None, "spread_x1000": spread_x1000,
        "least_images": LEAST_IMAGES, "worth_seeing": WORTH_SEEING,
    }  # fmt: skip
    counts = figure["n_generated"], figure["n_real"]
    if min(counts) < LEAST_IMAGES:
        why = (
            f"{counts[0]} generated and {counts[1]} real images are fewer than the {LEAST_IMAGES} of each kind that a verdict needs"
        )
        return result | {"why": why}
    low, high = figure.get("low"), figure.get("high")
    if figure["value"] is None or not figure["floor"] or not figure["matched"] or low is None or high is None:
        return result | {"why": "the real images lie in too few scenes for halves and an interval"}
    floor, half = figure["floor"], figure["matched"]
    deviations = floor["standard_deviation"] or 0.0, half["standard_deviation"] or 0.0
    width = (high - low) / _WIDTH_IN_DEVIATIONS
    seen_from = DEVIATIONS * deviations[0] + _FOUR_OF_FIVE * max(*deviations, width)
    result |= {"seen_from_x1000": seen_from, "seen_from_share": seen_from / spread_x1000 if spread_x1000 > 0 else None}
    if half["mean"] - floor["mean"] > DEVIATIONS * deviations[0]:
        return result | {"said": "told"}
    if low > floor["mean"]:
        return result | {
            "why": "all images together lie above the real halves, but halves of them differ by about as much by chance"
        }
    if result["seen_from_share"] is None or result["seen_from_share"] > WORTH_SEEING:
        return result | {"why": "the images differ too much among themselves, or are too few, for a smaller difference to show"}
    return result | {"said": "not told"}


def words(found: Verdict) -> str:
    """The verdict as a sentence or two."""
    if found["said"] == "told":
        return (
            "The generated images can be told from real ones: their kernel distance is above what two halves of the real images "
            "have between them."
        )
    if found["said"] == "not told":
        return f"By their kernel distance the generated images were not told from real ones.{_seen(found)} Smaller ones may exist."
    return f"No verdict on whether the generated images can be told from real ones: {found['why']}.{_seen(found)}"


def _seen(found: Verdict) -> str:
    """What difference could have been seen; nothing where that is not known."""
    if found["seen_from_x1000"] is None:
        return ""
    share = f"of {100 * found['seen_from_share']:.0f} % of the real images' own spread or more " if found["seen_from_share"] else ""
    return (
        f" A difference {share}would have been seen in four of five cases (a kernel distance × 1000 of "
        f"{found['seen_from_x1000']:.0f} above that of real halves)."
    )
