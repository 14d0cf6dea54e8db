"""Several trainings in one call, compared at the end: recipes on the tiles that they ask for, or one over a grid of settings."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orthoforge import run_files
from orthoforge.comparison.compare import compare
from orthoforge.config import Recipe, Setting, load_recipe
from orthoforge.errors import ConfigError, OrthoforgeError, OutOfMemoryError, ResourceError
from orthoforge.tiles.prepare import prepare
from orthoforge.training.session import train

REPORT = "report.html"


@dataclass(frozen=True)
class Outcome:
    """What came of several trainings."""

    report: Path | None
    """The comparison; ``None`` when no run came about."""
    failures: dict[str, str]
    """Why a run failed, by its name."""


def experiment(
    recipes: Sequence[str | Path | Recipe],
    scenes: str | Path,
    out: str | Path = Path("experiments"),
    *,
    overrides: Mapping[str, Setting] | None = None,
    price_per_hour: float | None = None,
) -> Outcome:
    """Cut the tiles that each of ``recipes`` asks for out of ``scenes``, train the recipes, and compare the runs.

    Tiles go to ``OUT/tiles``; recipes that ask for the same tiles share them. Runs go to ``OUT/runs/NAME``, the comparison to
    ``OUT/report.html``. If a recipe starts from the weights of another one, that one is trained first. ``overrides`` replaces
    fields in every recipe. Call it again after an interruption: finished parts are kept, and an interrupted run goes on.

    A run that fails is left out, and ``failures`` of the result says why. Only a full disk, bad scenes or unknown recipes raise.

    Examples:
        >>> from pathlib import Path
        >>> from orthoforge import experiment, load_recipe
        >>> small = {"generator_width": 4, "discriminator_width": 4, "crops_per_tile": 1, "epochs": 1, "decay_epochs": 0}
        >>> recipe = load_recipe("tiny", tiles="--gsd 0.3 --size 96")
        >>> outcome = experiment([recipe], Path("my-data"), Path("tried"), overrides=small | {"crop_px": 32})
        my-data: images/ and masks/
        tried/tiles/gsd-0.3-size-96: 48 tiles...
        >>> outcome.report.as_posix(), outcome.failures
        ('tried/report.html', {})
    """
    out = Path(out)
    plans = with_predecessors([_recipe(recipe, overrides or {}) for recipe in recipes], overrides or {})
    stores: dict[str, Path] = {}
    for recipe in plans.values():
        if recipe.tiles not in stores:
            stores[recipe.tiles] = out / "tiles" / _slug(recipe.tiles)
            prepare(scenes, stores[recipe.tiles], **recipe.tile_options)
    sources = {name: out / "runs" / recipe.starts_from for name, recipe in plans.items() if recipe.starts_from}
    return _train_all(plans, stores, out, price_per_hour, sources)


def sweep(
    recipe: str | Path,
    data: str | Path,
    out: str | Path,
    over: Mapping[str, Sequence[Setting]],
    *,
    overrides: Mapping[str, Setting] | None = None,
    init_from: str | Path | None = None,
    price_per_hour: float | None = None,
) -> Outcome:
    """Train ``recipe`` on the tiles in ``data`` with every combination of the values in ``over``, and compare the runs.

    ``over`` maps fields of the recipe to values: ``{"learning_rate": [1e-4, 2e-4], "lambda_l1": [10, 100]}`` makes four runs below
    ``OUT/runs``. ``init_from`` is the run whose weights all of them start from. All else is as in ``experiment``.

    Examples:
        >>> from pathlib import Path
        >>> from orthoforge import sweep
        >>> small = {"generator_width": 4, "discriminator_width": 4, "crops_per_tile": 1, "epochs": 1, "decay_epochs": 0}
        >>> outcome = sweep("tiny", Path("tiles"), Path("swept"), {"lambda_l1": [10, 100]}, overrides=small | {"crop_px": 32})
        lambda_l1=10 (1 of 2)...
        >>> sorted(path.name for path in (outcome.report.parent / "runs").iterdir())
        ['lambda_l1=10', 'lambda_l1=100']
    """
    if not over or not all(over.values()):
        raise ConfigError("nothing to sweep over: name a field and at least one value, as in learning_rate=1e-4,2e-4.")
    if "tiles" in over:
        raise ConfigError("tiles cannot be swept over: a sweep is on one set of tiles. Use orthoforge experiment.")
    plans = {}
    for values in itertools.product(*over.values()):
        chosen = dict(zip(over, values, strict=True))
        name = ",".join(f"{field}={value}" for field, value in chosen.items()).replace("/", "-")  # of a path, such as weights'
        plans[name] = load_recipe(recipe, **(dict(overrides or {}) | chosen | {"name": name}))
    tiles = next(iter(plans.values())).tiles
    return _train_all(
        plans, {tiles: Path(data)}, Path(out), price_per_hour, dict.fromkeys(plans, None if init_from is None else Path(init_from))
    )


def with_predecessors(recipes: Sequence[Recipe], overrides: Mapping[str, Setting]) -> dict[str, Recipe]:
    """``recipes`` by name, each after the one whose weights it starts from; what is missing of those comes from the package."""
    given: dict[str, Recipe] = {}
    for recipe in recipes:
        if given.setdefault(recipe.name, recipe) != recipe:
            raise ConfigError(f"two recipes are called {recipe.name}, and their runs would be one. Give one another `name`.")
    ordered: dict[str, Recipe] = {}

    def add(recipe: Recipe, after: tuple[str, ...]) -> None:
        before = recipe.starts_from
        if recipe.name in after:
            raise ConfigError(f"{', which starts from '.join([*after, recipe.name]).replace(', which starts', ' starts', 1)}.")
        if before and before not in ordered:
            add(given.get(before) or load_recipe(before, **overrides), (*after, recipe.name))
        ordered.setdefault(recipe.name, recipe)

    for recipe in recipes:
        add(recipe, ())
    return ordered


def _recipe(recipe: str | Path | Recipe, overrides: Mapping[str, Setting]) -> Recipe:
    if isinstance(recipe, Recipe):
        return replace(recipe, **overrides)  # type: ignore[arg-type]  # of each field its own
    return load_recipe(recipe, **overrides)


def _train_all(
    plans: Mapping[str, Recipe],
    stores: Mapping[str, Path],
    out: Path,
    price_per_hour: float | None,
    sources: Mapping[str, Path | None],
) -> Outcome:
    """Train each recipe on the tiles that it asks for, from the weights of the run in ``sources``, and compare the runs."""
    failures: dict[str, str] = {}
    finished: list[Path] = []
    for number, (name, recipe) in enumerate(plans.items(), start=1):
        run = out / "runs" / name
        print(f"{name} ({number} of {len(plans)})", flush=True)
        if recipe.starts_from in failures and recipe.starts_from in plans:
            failures[name] = f"{recipe.starts_from}, whose weights it starts from, failed."
            continue
        try:
            train(recipe, stores[recipe.tiles], run, resume=True, init_from=sources.get(name))
        except OrthoforgeError as error:
            if isinstance(error, ResourceError) and not isinstance(error, OutOfMemoryError):
                raise  # a full disk: the next run would meet it too
            failures[name] = str(error)
            print(f"failed: {error}", flush=True)
            if run_files.read_results(run):
                finished.append(run)
            continue
        if len(run_files.read_results(run)) < recipe.total_epochs:
            raise KeyboardInterrupt  # the training was asked to stop, and took the request for itself
        finished.append(run)
    if not finished:
        return Outcome(None, failures)
    return Outcome(compare(finished, out / REPORT, price_per_hour=price_per_hour, overwrite=True), failures)


def _slug(options: str) -> str:
    """A folder's name for options of ``prepare``: 'grid-2-size-286-split-digits'."""
    return re.sub(r"[^\w.]+", "-", options).strip("-") or "default"
