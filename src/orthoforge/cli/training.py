"""Commands that train: train, experiment, sweep, recipes, demo."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional

from orthoforge.cli.options import OptionalOut, Out
from orthoforge.config import Recipe, load_recipe, recipe_from, recipe_names, recipe_values
from orthoforge.errors import ConfigError
from orthoforge.plain_yaml import dump_yaml

START_FROM = {
    "orthoforge-xs": "for a first try",
    "orthoforge-s": "for realistic images",
    "baseline": "for comparison",
}
# Said where no recipe is named.
_DEFAULTS = (
    "No recipe is named, so the defaults below are those that hold where a recipe says nothing. To see the defaults of a recipe, "
    "name it: `orthoforge train orthoforge-s --help`."
)


@dataclass(frozen=True)
class TrainOptions:
    """Train a recipe. Every field of the recipe is an option, with the recipe's value as its default.

    `orthoforge train --resume --out RUN` goes on with a run. RUN/args.yaml names its recipe and its tiles.
    """

    recipe: Positional[str]
    """Name of a recipe (`orthoforge recipes` lists them) or its file. A run's args.yaml is one. Not needed with --resume."""
    settings: OmitArgPrefixes[Recipe]
    data: Path | None = None
    """Tiles made by `orthoforge prepare`. With --resume, only if they have moved."""
    out: OptionalOut = None
    """Run folder. When left out, it is runs/NAME with a number."""
    resume: bool = False
    """Go on with the run in --out from its last checkpoint, exactly as if it had never stopped."""
    init_from: Path | None = None
    """Start from the weights of another run."""
    stop_after: int | None = None
    """Train so many epochs now and save. --resume does the rest."""
    minutes: float | None = None
    """Train so long now and save: on a cluster, some minutes less than its limit. --resume does the rest."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where curves and pictures go besides the run folder. None of them can stop a training."""
    device: str = "auto"
    """auto (a GPU where there is one, else the processor), cpu, cuda, cuda:1 or mps. Several GPUs: docs/recipes.md."""
    dry_run: bool = False
    """Say what the training would take, measured by a few steps on this machine, and stop. Nothing is written."""
    print_config: bool = False
    """Show the resolved recipe and stop."""


@dataclass(frozen=True)
class _UncheckedRecipe(Recipe):
    """Fields of a recipe that is not known yet: whether they fit it is asked later."""

    def __post_init__(self) -> None:
        pass


def train(argv: list[str]) -> None:
    """``orthoforge train``: its options depend on the recipe, so that is looked for first."""
    # Both of `--flag` and `--no-flag` are known here: which of them a recipe has depends on its own value.
    words = [word for word in argv if word not in ("-h", "--help")]
    unchecked = TrainOptions(recipe="", settings=_UncheckedRecipe(name="RECIPE"))
    given = tyro.cli(TrainOptions, prog="orthoforge train", args=words, default=unchecked)
    if given.recipe:
        options = _train_options(argv, given.recipe, load_recipe(given.recipe))
    elif given.resume:
        options = _train_options(argv, *_recipe_of_run(given.out))
    else:
        options = _train_options(argv, tyro.MISSING, Recipe(name="RECIPE"))
    if options.print_config:
        print(dump_yaml(recipe_values(options.settings)), end="")
        return
    data = options.data or (_tiles_of_run(options.out) if options.resume and options.out else None)
    if data is None:
        raise ConfigError("--data is needed: a folder made by `orthoforge prepare`.")
    if options.dry_run:
        from orthoforge.training.dry_run import dry_run

        estimate = dry_run(
            options.settings, data, options.out, resume=options.resume, init_from=options.init_from, device=options.device
        )
        print("\n".join(estimate.lines()))
        return
    from orthoforge.training.session import train

    train(
        options.settings, data, options.out, resume=options.resume, init_from=options.init_from, stop_after=options.stop_after,
        minutes=options.minutes, trackers=options.trackers, device=options.device,
    )  # fmt: skip


def _train_options(argv: list[str], recipe: Any, settings: Recipe) -> TrainOptions:
    """``argv``, with this recipe and its fields as defaults."""
    default = TrainOptions(recipe=recipe, settings=settings)
    about = f"{TrainOptions.__doc__}\n\n{_DEFAULTS}" if recipe is tyro.MISSING else None
    return tyro.cli(FlagCreatePairsOff[TrainOptions], prog="orthoforge train", args=argv, default=default, description=about)


def _recipe_of_run(out: Path | None) -> tuple[str, Recipe]:
    """The file that names the recipe of the run to go on with, and that recipe."""
    from orthoforge.run_files import read_args

    if out is None:
        raise ConfigError("--resume needs --out: the run to go on with.")
    path, args = out / "args.yaml", read_args(out)
    if args is None:
        raise ConfigError(
            f"{path}: is not there, so the run's recipe and tiles are not known. Check --out, or name them: "
            f"orthoforge train RECIPE --data TILES --out {out} --resume."
        )
    return str(path), recipe_from(args.recipe, source=str(path))


def _tiles_of_run(out: Path) -> Path | None:
    """Where the tiles of the run to go on with are; ``None`` where it has no ``args.yaml``."""
    from orthoforge.run_files import read_args

    path, args = out / "args.yaml", read_args(out)
    if args is None:
        return None
    if not args.data:
        raise ConfigError(f"{path}: does not say which tiles the run is trained on. Name their folder with --data.")
    if not Path(args.data).is_dir():
        raise ConfigError(f"{path}: the run's tiles are not in {args.data}. Name the folder where they are now with --data.")
    return Path(args.data)


def experiment(
    recipes: Positional[tuple[str, ...]],
    *,
    scenes: Path,
    out: Out = Path("experiments"),
    set: tuple[str, ...] = (),
    price_per_hour: float | None = None,
) -> int:
    """Cut the tiles that recipes ask for, train the recipes, and compare the runs. If it is stopped and run again, it goes on.

    Args:
        recipes: Names of recipes. If one starts from the weights of another, that one is trained too.
        scenes: Inria's layout as downloaded, or a folder with images/ and masks/.
        out: Folder for tiles, runs and report.html.
        set: Fields to change in every recipe: --set epochs=10 generator_width=16.
        price_per_hour: Price of the machine per hour. It adds a column of costs.
    """
    from orthoforge.experiments import experiment

    return _show(experiment(recipes, scenes, out, overrides=_fields(set), price_per_hour=price_per_hour))


def sweep(
    recipe: Positional[str],
    *,
    data: Path,
    out: Out,
    over: tuple[str, ...],
    set: tuple[str, ...] = (),
    init_from: Path | None = None,
    price_per_hour: float | None = None,
) -> int:
    """Train a recipe with every combination of some settings, and compare the runs. If it is stopped and run again, it goes on.

    Args:
        recipe: Name or file of a recipe.
        data: Tiles made by `orthoforge prepare`.
        out: Folder for runs and report.html.
        over: Fields and their values: --over learning_rate=1e-4,2e-4 lambda_l1=10,100.
        set: Fields to change in every run: --set epochs=10.
        init_from: Run whose weights all of them start from.
        price_per_hour: Price of the machine per hour. It adds a column of costs.
    """
    from orthoforge.experiments import sweep

    values = {name: text.split(",") for name, text in _fields(over).items()}
    return _show(sweep(recipe, data, out, values, overrides=_fields(set), init_from=init_from, price_per_hour=price_per_hour))


def _fields(words: tuple[str, ...]) -> dict[str, str]:
    """'epochs=10' to {'epochs': '10'}; dashes are taken for underscores, as in options."""
    for word in words:
        if not all(word.partition("=")):
            raise ConfigError(f"`{word}` is not a setting; write FIELD=VALUE, as in epochs=10.")
    return {name.replace("-", "_"): value for name, _, value in (word.partition("=") for word in words)}


def _show(outcome: Any) -> int:
    """Print an experiment's outcome; the exit code."""
    for name, reason in outcome.failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if outcome.report:
        print(outcome.report)
    return 1 if outcome.failures else 0


def recipes() -> None:
    """List the recipes that come with Orthoforge: first three to start from, then the others, with what came of them in 2021."""
    print("Start from one of these:")
    for name, purpose in START_FROM.items():
        print(f"  {name:22} {purpose}: {_description(name)}")
    print("\nThe others:")
    for name in recipe_names():
        if name not in START_FROM:
            print(f"  {name:22} {_description(name)}")


def _description(name: str) -> str:
    recipe = load_recipe(name)
    return f"{recipe.description}{f'. 2021: {recipe.outcome}' if recipe.outcome else ''}"


def demo(*, out: Out = Path("demo"), map: bool = False, overwrite: bool = False) -> None:
    """Simulate towns, train on them, generate scenes that were never seen, and write report.html. It takes about ten minutes on two
    cores.

    If it is stopped and run again, it goes on.

    Args:
        out: Folder for everything.
        map: Then make the same towns from their maps: buildings, roads, water and trees. It takes about as long again.
        overwrite: Begin anew, and replace the demo that is there.
    """
    from orthoforge.demonstration import demo

    demo(out, map=map, overwrite=overwrite)
