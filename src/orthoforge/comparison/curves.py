"""Curves of several runs: a plot for each quantity that a run has written down."""

import math
from collections.abc import Sequence

import numpy as np

from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.comparison.settings import differing_fields, settings_of
from orthoforge.pages import html
from orthoforge.pages.html import Html
from orthoforge.pages.line_drawings import Curve, curves_plot, legend
from orthoforge.run_files import TIMING_COLUMNS

_NOT_CURVES = {"epoch", "step", "psnr_seed", *TIMING_COLUMNS}
# In this order; columns that stand here by no name come after them.
_TITLES = {
    "learning_rate": "Learning rate",
    "learning_rate_d": "Learning rate of the discriminator",
    "loss_d": "Loss of the discriminator",
    "loss_d_penalty": "Discriminator, gradient penalty",
    "loss_g": "Loss of the generator, all terms",
    "loss_g_gan": "Generator, adversarial term",
    "loss_g_l1": "Generator, L1 term",
    "loss_g_perceptual": "Generator, perceptual term",
    "psnr": "PSNR on validation tiles, dB",
    "ssim": "SSIM on validation tiles",
    "detail": "Detail: generated to real, 1 is best",
    "outlines": "Outlines of the masks that show, 1 is all",
}
# A spike such as that of the first epoch, or of a training that diverges, would press all the rest flat.
_SPIKE = 3.0
# No quantity of a training reaches that; differences of such numbers are numbers still.
_MOST_DRAWN = 1e100


def curve_parts(runs: Sequence[ComparedRun]) -> list[Html]:
    """A legend and the plots, all runs in each; a sentence when no run has finished an epoch."""
    drawn = [(number, run) for number, run in enumerate(runs) if run.results]
    if not drawn:
        return [html.paragraph("No run has finished an epoch.")]
    x_label, by_images = x_axis([run for _, run in drawn])
    written = dict.fromkeys(name for _, run in drawn for row in run.results for name in row if name not in _NOT_CURVES)
    columns = [*(name for name in _TITLES if name in written), *(name for name in written if name not in _TITLES)]
    plots, clipped = [], False
    for column in columns:
        curves = []
        for number, run in drawn:
            seen = run.images_seen
            points = [
                (seen[i] if by_images else row["epoch"], row[column])
                for i, row in enumerate(run.results)
                if abs(row.get(column, math.nan)) < _MOST_DRAWN
            ]
            if points:
                curves.append(Curve(run.label, [x for x, _ in points], [y for _, y in points], number))
        if not curves:
            continue
        limits = y_limits([curve.y for curve in curves])
        clipped = clipped or limits is not None
        plots.append(curves_plot(_TITLES.get(column, column.replace("_", " ")), x_label, curves, limits))
    return [
        html.paragraph(_words(runs, by_images, clipped)),
        legend([(run.label, number) for number, run in drawn]),
        html.plots(plots),
    ]


def x_axis(runs: Sequence[ComparedRun]) -> tuple[str, bool]:
    """What to draw over: epochs where an epoch is as many images in all runs, else training images seen."""
    an_epoch = [round(run.images_seen[-1] / len(run.results)) if math.isfinite(run.images_seen[-1]) else None for run in runs]
    by_images = None not in an_epoch and len(set(an_epoch)) > 1
    return ("training images seen" if by_images else "epoch"), by_images


def y_limits(lines: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Limits that cut off spikes, when there are some far above everything else; ``None`` when all fits."""
    values = np.concatenate([np.asarray(line, float) for line in lines])
    low, usual, high = float(values.min()), float(np.quantile(values, 0.95)), float(values.max())
    if len(values) < 20 or high - low <= _SPIKE * (usual - low):
        return None
    return low - 0.05 * (usual - low), usual + 0.15 * (usual - low)


def _words(runs: Sequence[ComparedRun], by_images: bool, clipped: bool) -> str:
    words = "One plot for each quantity, all runs in it, " + (
        "over training images seen: an epoch is not the same number of images in all of them." if by_images else "over epochs."
    )
    weights = [name for name in differing_fields([settings_of(run) for run in runs]) if name.startswith("lambda_")]
    if weights:
        named = " and ".join(f"`{name}`" for name in weights)
        words += f" Losses are drawn with their weight in them; {named} differ, so those terms do not compare between such runs."
    words += " Where curves coincide, the last one is on top."
    return words + (" Spikes are cut off where they would press the rest flat." if clipped else "")
