"""Learning rates: functions of the step, the epoch, and what the finished epochs measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from orthoforge.config import Recipe

Count = Annotated[int, Field(ge=0, le=10**15)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

STEP_FACTOR = 0.1
# Columns of ``results.csv`` by what ``best_by`` calls them.
BEST_COLUMNS = {"perceptual": "perceptual", "kernel": "kernel_x1000"}
# How much of the smoothed validation score is its former value: single epochs of a GAN jump by more than they improve.
SMOOTHING = 0.8


@dataclass(frozen=True)
class Plateau:
    """Lowers a rate when a score stands still (torch's ReduceLROnPlateau with a relative threshold, lower is better)."""

    cut: float
    """Factor of each lowering."""
    patience: int
    """Epochs without improvement that are let pass."""
    threshold: float
    """Relative improvement that counts as one."""
    floor: float
    """Factor that is never gone below."""


@dataclass(frozen=True)
class Standing:
    """Where one plateau schedule stands after some epochs. Plain values: it goes into ``state.json``."""

    factor: Finite = 1.0
    best: Finite | None = None
    waited: Count = 0
    smoothed: Finite | None = None


# The seed's: fed with training losses, which in a GAN need not fall while it learns, and without a floor.
PLATEAU_2021 = Plateau(cut=0.2, patience=5, threshold=0.01, floor=0.0)
PLATEAU = Plateau(cut=0.5, patience=15, threshold=0.005, floor=0.01)


def learning_rates(recipe: Recipe, *, epoch: int, step: int, standings: Mapping[str, Standing]) -> tuple[float, float]:
    """Rates of generator and discriminator for ``step`` (from 0) in ``epoch`` (from 0)."""
    warmth = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    rate = recipe.learning_rate * warmth
    if recipe.schedule in ("plateau", "plateau-2021"):
        factor_g, factor_d = (standings.get(network, Standing()).factor for network in ("generator", "discriminator"))
        return rate * factor_g, rate * factor_d
    factor = epoch_factor(recipe, epoch)
    return rate * factor, rate * factor


def epoch_factor(recipe: Recipe, epoch: int) -> float:
    """Factor of the rate in ``epoch`` (from 0) for the schedules that depend on nothing else. Never quite 0."""
    if recipe.schedule == "step":
        return STEP_FACTOR ** (epoch // recipe.step_epochs)
    share = max(0, epoch + 1 - recipe.epochs) / (recipe.decay_epochs + 1)
    if recipe.schedule == "cosine":
        return (1 + math.cos(math.pi * share)) / 2  # Loshchilov and Hutter 2017, eq. 5, without restarts
    return 1 - share


def standings_after(recipe: Recipe, standings: Mapping[str, Standing], row: Mapping[str, float]) -> dict[str, Standing]:
    """The plateau schedules' standings after an epoch with these losses and scores; none for the other schedules."""
    if recipe.schedule == "plateau-2021":
        fed_by = {"generator": row["loss_g"], "discriminator": row.get("loss_d")}
        plateau, smoothing = PLATEAU_2021, 0.0
    elif recipe.schedule == "plateau":
        fed_by = dict.fromkeys(("generator", "discriminator"), shortfall(recipe, row))
        plateau, smoothing = PLATEAU, SMOOTHING
    else:
        return {}
    return {
        network: standing_after(plateau, standings.get(network, Standing()), value, smoothing=smoothing)
        for network, value in fed_by.items()
        if value is not None
    }


def shortfall(recipe: Recipe, scores: Mapping[str, float]) -> float:
    """The score that ``recipe.best_by`` names, turned so that lower is better."""
    return 1 - scores["ssim"] if recipe.best_by == "ssim" else scores[BEST_COLUMNS[recipe.best_by]]


def standing_after(plateau: Plateau, standing: Standing, value: float, *, smoothing: float = 0.0) -> Standing:
    """The standing after an epoch that measured ``value`` (lower is better)."""
    smoothed = value if standing.smoothed is None else smoothing * standing.smoothed + (1 - smoothing) * value
    standing = replace(standing, smoothed=smoothed)
    # Losses below 0, as of a Wasserstein critic, improve by getting larger in size.
    if standing.best is None or smoothed < standing.best - plateau.threshold * abs(standing.best):
        return replace(standing, best=smoothed, waited=0)
    if standing.waited < plateau.patience:
        return replace(standing, waited=standing.waited + 1)
    return replace(standing, factor=max(plateau.floor, plateau.cut * standing.factor), waited=0)
