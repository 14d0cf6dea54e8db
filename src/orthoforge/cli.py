"""The command line: parse, call, print. Each command is the Python call of the same name with the same defaults."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional

from orthoforge.config import Recipe, dump_yaml, load_recipe, recipe_names, recipe_values
from orthoforge.errors import ConfigError, OrthoforgeError, exit_code

# Heavy imports (torch, matplotlib) wait inside the commands, so that `--help` answers at once.


def check(data: Positional[Path], *, threshold: int | None = None, palette: Path | None = None, all: bool = False) -> int:
    """Check image/mask pairs: names, sizes, CRS, grids, values, unreadable pixels, alignment. Exit 1 on a fault.

    Args:
        data: Inria's layout as downloaded, or a folder with images/ and masks/.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        palette: JSON file of class names and colours, for colour-coded masks.
        all: List the sound scenes too.
    """
    from rich.console import Console

    from orthoforge.scenes.check_table import format_report
    from orthoforge.scenes.checks import check

    report = check(data, threshold=threshold, palette=palette)
    Console().print(format_report(report, all_scenes=all))
    return 1 if report.faults else 0


def prepare(
    data: Positional[Path],
    tiles: Positional[Path],
    *,
    grid: int | None = None,
    gsd: float | None = None,
    size: int = 286,
    split: Literal["digits", "inria", "blocks", "random"] = "blocks",
    min_building: float = 0.0,
    palette: Path | None = None,
    threshold: int | None = None,
    attribution: str = "",
    skip_bad: bool = False,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
) -> None:
    """Cut scenes into tiles, once, for all trainings. Killed and run again, it goes on.

    Args:
        data: Inria's layout as downloaded, or a folder with images/ and masks/.
        tiles: Folder to write.
        grid: Cut each scene into GRID × GRID tiles and resize them (1 when --gsd is not given either).
        gsd: Or cut tiles at this ground resolution, in metres per pixel.
        size: Side of a tile in pixels.
        split: Who trains and who tests: blocks (by place, no two splits touch), digits (as in 2021: last digit of the scene number
            0-6 train, 7-8 validation, 9 test), inria (numbers 1-5 of each city validate), random (by tile; neighbours leak).
        min_building: Leave out tiles with a smaller share of building.
        palette: JSON file of class names and colours, for colour-coded masks.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        attribution: Whom to credit for the imagery; travels into runs and generated files.
        skip_bad: Leave out scenes that cannot be read, and say which.
        seed: Of the random choices of blocks and random.
        workers: Scenes read at a time; all cores when left out.
        overwrite: Replace tiles made with other settings.
    """
    from orthoforge.tiles.prepare import prepare

    prepare(
        data, tiles, grid=grid, gsd=gsd, size=size, split=split, min_building=min_building, palette=palette, threshold=threshold,
        attribution=attribution, skip_bad=skip_bad, seed=seed, workers=workers, overwrite=overwrite,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainOptions:
    """Train a recipe. Every field of the recipe is an option, with the recipe's value as its default."""

    recipe: Positional[str]
    """A recipe's name (see `orthoforge recipes`) or file; a run's args.yaml is one."""
    settings: OmitArgPrefixes[Recipe]
    data: Path | None = None
    """Tiles made by `orthoforge prepare`."""
    out: Path | None = None
    """Run folder; runs/NAME, numbered, when left out."""
    resume: bool = False
    """Go on with the run in --out from its last checkpoint, exactly as if it had never stopped."""
    init_from: Path | None = None
    """Start from the weights of another run."""
    stop_after: int | None = None
    """Train so many epochs now, save, and leave the rest to --resume."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where curves and pictures go besides the run folder; none of them can stop a training."""
    print_config: bool = False
    """Show the resolved recipe and stop."""


def train(argv: list[str]) -> None:
    """``orthoforge train``: its options depend on the recipe, so that is looked for first."""
    words = [word for word in argv if not word.startswith("-")]
    name = next((word for word in words if word in recipe_names() or word.endswith((".yaml", ".yml"))), next(iter(words), None))
    options = _train_options(argv, name)
    if name and options.recipe != name:  # that was an option's value, such as `--schedule plateau`
        options = _train_options(argv, options.recipe)
    settings = options.settings
    if options.print_config:
        print(dump_yaml(recipe_values(settings)), end="")
        return
    if options.data is None:
        raise ConfigError("--data is needed: a folder made by `orthoforge prepare`.")
    from orthoforge.training import train

    train(
        settings, options.data, options.out, resume=options.resume, init_from=options.init_from, stop_after=options.stop_after,
        trackers=options.trackers,
    )  # fmt: skip


def _train_options(argv: list[str], name: str | None) -> TrainOptions:
    """``argv`` with the fields of recipe ``name`` as defaults."""
    return tyro.cli(
        FlagCreatePairsOff[TrainOptions],
        prog="orthoforge train",
        args=argv,
        default=TrainOptions(recipe=name or tyro.MISSING, settings=load_recipe(name) if name else Recipe(name="RECIPE")),
    )


def generate(
    run: Positional[str],
    masks: Positional[tuple[Path, ...]],
    *,
    out: Path,
    seed: int = 0,
    threshold: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Turn masks into images with a trained run. Size, CRS and transform of each mask are kept.

    Args:
        run: A run folder, or one of its checkpoints such as RUN/weights/best.
        masks: Masks: GeoTIFF, PNG or JPEG of any size.
        out: A .tif or .png for one mask, or a folder.
        seed: Of all that is random in the network.
        threshold: Mask values at or above it are building; without it only 0, 1 and 255 are accepted.
        device: cpu or cuda.
        overwrite: Replace images that are there.
    """
    from orthoforge.generation import generate

    for path in generate(run, masks, out, seed=seed, threshold=threshold, device=device, overwrite=overwrite):
        print(path)


def evaluate(
    images: Positional[Path],
    *,
    data: Path,
    out: Path,
    split: Literal["train", "val", "test"] = "test",
    masks: Path | None = None,
    network: Literal["efficientnet-lite0", "inception-v3"] = "efficientnet-lite0",
    weights: Path | None = None,
    threshold: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
    fidelity: bool = False,
    overwrite: bool = False,
) -> None:
    """Score a run, or any folder of images, against real tiles: realism, pixel by pixel, diversity, memorisation.

    Writes report.json and report.html, every score beside a floor that makes it readable.

    Args:
        images: A run folder, one of its checkpoints such as RUN/weights/best, or a folder of images of the tiles' size. Images
            named as a tile (SCENE_ROW_COLUMN, or SCENE where it is the only one) are also compared with it pixel by pixel.
        data: Tiles made by `orthoforge prepare`.
        out: Folder for the report.
        split: Whose tiles are the real images.
        masks: For a folder of images: masks of the same names.
        network: What realism and memorisation are seen with.
        weights: The file of inception-v3's weights; torch hub's folder when left out. Nothing is downloaded.
        threshold: Values of --masks at or above it are building; without it only 0, 1 and 255 are accepted.
        seed: Of all that is random in the network, in splits and in intervals.
        device: cpu or cuda.
        allow_trained: Score tiles that the run was trained on all the same; the report says so.
        fidelity: Of a run: train a segmenter on real tiles, minutes, and see whether it finds the masks' buildings in the images.
        overwrite: Replace a report that is there.
    """
    from orthoforge.evaluation.evaluate import REPORT_HTML, evaluate, summary_lines

    result = evaluate(
        images, data, out, split=split, masks=masks, network=network, weights=weights, threshold=threshold, seed=seed,
        device=device, allow_trained=allow_trained, fidelity=fidelity, overwrite=overwrite,
    )  # fmt: skip
    print("\n".join(summary_lines(result)))
    print(out / REPORT_HTML)


def utility(
    synthetic: Positional[Path],
    *,
    data: Path,
    out: Path,
    ratios: tuple[float, ...] = (0.5, 1, 2, 3),
    fractions: tuple[float, ...] = (0.05, 0.1, 0.25, 1.0),
    seeds: int = 3,
    steps: int = 400,
    device: str = "cpu",
    quick: bool = False,
    allow_leaks: bool = False,
    overwrite: bool = False,
) -> None:
    """Measure whether training on synthetic images helps a segmenter. Takes hours on two cores, less with --quick.

    The same segmenter is trained on real tiles, on real and synthetic ones, on synthetic ones alone, and with copy-paste, and
    tested on held-out places. Writes utility.json and utility.html. Interrupted and run again, it goes on.

    Args:
        synthetic: A run, which is given masks of training tiles, or a folder of tiles cut from synthetic images and masks.
        data: Real tiles made by `orthoforge prepare`.
        out: Folder for the report, the trainings' outcomes and the generated images.
        ratios: Synthetic images for each real one, at equal steps.
        fractions: Shares of the real training tiles.
        seeds: Trainings of each kind; their spread gives the intervals.
        steps: Optimizer steps of each training.
        device: cpu or cuda.
        quick: One ratio, the smallest and the largest fraction, and a quarter of the steps: to see that it runs.
        allow_leaks: Go on without test tiles, with a random split, or with images that may carry test tiles; the report says so.
        overwrite: Begin anew, replacing an experiment with other settings.
    """
    from orthoforge.evaluation.utility.experiment import REPORT_HTML, summary_lines, utility

    result = utility(
        synthetic, data, out, ratios=ratios, fractions=fractions, seeds=seeds, steps=steps, device=device, quick=quick,
        allow_leaks=allow_leaks, overwrite=overwrite,
    )  # fmt: skip
    print("\n".join(summary_lines(result)))
    print(out / REPORT_HTML)


def compare(
    runs: Positional[tuple[Path, ...]],
    *,
    out: Path,
    data: Path | None = None,
    split: Literal["train", "val", "test"] = "test",
    price_per_hour: float | None = None,
    currency: str = "€",
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Put runs beside each other in one page: pictures of the same ground, curves, settings that differ, time, cost, scores.

    Args:
        runs: Run folders, or checkpoints in them such as RUN/weights/best.
        out: The page, a .html file; the same figures go to a .json beside it.
        data: Tiles, where they are no longer at the place that the runs name.
        split: Whose tiles are shown and scored; validation where a run has no others.
        price_per_hour: Of the machine, for a column of costs.
        currency: Of that price.
        seed: Of all that is random in the networks.
        device: cpu or cuda.
        overwrite: Replace a page that is there.
    """
    from orthoforge.evaluation.comparison.compare import compare

    print(
        compare(
            runs, out, data=data, split=split, price_per_hour=price_per_hour, currency=currency, seed=seed, device=device,
            overwrite=overwrite,
        )
    )  # fmt: skip


def experiment(
    recipes: Positional[tuple[str, ...]],
    *,
    scenes: Path,
    out: Path = Path("experiments"),
    set: tuple[str, ...] = (),
    price_per_hour: float | None = None,
) -> int:
    """Cut the tiles that recipes ask for, train them, and compare the runs. Interrupted and run again, it goes on.

    Args:
        recipes: Names of recipes; those whose weights they start from are trained too.
        scenes: Inria's layout as downloaded, or a folder with images/ and masks/.
        out: Folder for tiles, runs and report.html.
        set: Fields to change in every recipe: --set epochs=10 generator_width=16.
        price_per_hour: Of the machine, for a column of costs.
    """
    from orthoforge.experiments import experiment

    return _show(experiment(recipes, scenes, out, overrides=_fields(set), price_per_hour=price_per_hour))


def sweep(
    recipe: Positional[str],
    *,
    data: Path,
    out: Path,
    over: tuple[str, ...],
    set: tuple[str, ...] = (),
    init_from: Path | None = None,
    price_per_hour: float | None = None,
) -> int:
    """Train a recipe with every combination of some settings, and compare the runs. Interrupted and run again, it goes on.

    Args:
        recipe: A recipe's name or file.
        data: Tiles made by `orthoforge prepare`.
        out: Folder for runs and report.html.
        over: Fields and their values: --over learning_rate=1e-4,2e-4 lambda_l1=10,100.
        set: Fields to change in every run: --set epochs=10.
        init_from: Start all of them from the weights of another run.
        price_per_hour: Of the machine, for a column of costs.
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


def demo(*, out: Path = Path("demo"), overwrite: bool = False) -> None:
    """Simulate towns, train on them, generate scenes that were never seen, and write report.html: minutes on two cores.

    Interrupted and run again, it goes on.

    Args:
        out: Folder for everything.
        overwrite: Begin anew, replacing the demo that is there.
    """
    from orthoforge.demonstration import demo

    demo(out, overwrite=overwrite)


def recipes() -> None:
    """List the recipes that come with Orthoforge, and what came of them in the 2021 project."""
    for name in recipe_names():
        recipe = load_recipe(name)
        print(f"{name:22} {recipe.description}{f'. 2021: {recipe.outcome}' if recipe.outcome else ''}")


# `train` is parsed by its own function; it stands here for the list in `orthoforge --help`.
COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo, "check": check, "prepare": prepare, "train": TrainOptions, "generate": generate, "evaluate": evaluate,
    "utility": utility, "compare": compare, "experiment": experiment, "sweep": sweep, "recipes": recipes,
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. An error of ours is one line on stderr; its kind decides the code (``errors.CODES``)."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            return _run(argv)
    except OrthoforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(version("orthoforge"))
        return 0
    if argv[:1] == ["train"]:
        train(argv[1:])
        return 0
    result: Any = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="orthoforge", description="Masks to orthophotos.", args=argv, config=(FlagCreatePairsOff,)
    )
    return result if isinstance(result, int) else 0


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":  # torchrun -m orthoforge.cli
    sys.exit(main())
