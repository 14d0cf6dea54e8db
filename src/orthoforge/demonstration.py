"""The whole road on simulated towns, in minutes: scenes, tiles, a run, images of scenes that it never saw, scores, a report."""

import contextlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from orthoforge import runs
from orthoforge.checkpoints import load_checkpoint, newest_checkpoint
from orthoforge.config import Recipe, load_recipe, recipe_values
from orthoforge.errors import DataError, OutputExistsError
from orthoforge.evaluation import report
from orthoforge.evaluation.evaluate import evaluate
from orthoforge.evaluation.paired import score_parts, tile_scores
from orthoforge.evaluation.report import Html, Picture, Step
from orthoforge.files import lock, new_file, writable
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.scenes.checks import check
from orthoforge.scenes.simulate import PLACES, simulate
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.training import train

RECIPE = "tiny"
JOURNAL, REPORT = "demo.json", "report.html"
# Everything that a demo writes into its folder, and all that --overwrite removes.
_OWN = ("scenes", ".simulating", "tiles", "run", "generated", "evaluation", REPORT, JOURNAL)
# Side of the part of each scene that is shown pixel by pixel: three of them fill the width of the page.
_DETAIL_PX = 376


@dataclass(frozen=True)
class Extent:
    """How much is simulated, and how it is cut."""

    places: tuple[str, ...] = tuple(PLACES)
    scenes_per_place: int = 5
    """The last of each place becomes no tile: it is for looking at what was learnt."""
    scene_px: int = 480
    gsd_m: float = 0.6
    """Of scenes and tiles alike, so that a scene's mask is on the scale that the run was trained at."""
    tile_px: int = 160
    seed: int = 0


def demo(out: Path = Path("demo"), *, overwrite: bool = False) -> Path:
    """Simulate, check, prepare, train, generate and evaluate in the folder ``out``; returns the path of ``report.html`` there.

    Takes a few minutes on two cores. Interrupted and called again it goes on; finished, it only says so.

    Raises ``OutputExistsError`` when ``out`` holds other things, or a demo of other settings without ``overwrite``;
    ``LockedError``, ``ResourceError``.
    """
    return run_demo(Path(out), Extent(), load_recipe(RECIPE), overwrite=overwrite)


def run_demo(out: Path, extent: Extent, recipe: Recipe, *, overwrite: bool = False) -> Path:
    """``demo`` of any extent and recipe."""
    with lock(out / "demo"):
        settings = {"orthoforge": version("orthoforge"), "extent": asdict(extent), "recipe": recipe_values(recipe)}
        journal = _open_journal(out, json.loads(json.dumps(settings)), overwrite)
        if (out / REPORT).is_file():
            print(f"{out / REPORT} is there already. Pass --overwrite to make it again.")
            return out / REPORT
        print(f"{out}: a few minutes on two cores. Stopped by Ctrl-C, the same command goes on.")
        _make_scenes(out, extent, journal)
        _check_scenes(out, journal)
        store = _make_tiles(out, extent, journal)
        _train(out, recipe, store, journal)
        _generate(out, journal)
        with journal.stage("evaluate", f"{len(store.ids('test'))} test tiles") as done:
            result = evaluate(out / "run", out / "tiles", out / "evaluation", overwrite=True)
            done(f"PSNR {result['scores']['generated']['psnr']['mean']:.2f} dB")
        with journal.stage("report", "") as done:
            report.write_page(out / REPORT, _page(out, extent, recipe, store, result, journal.seconds), overwrite=True)
            done(f"{out / REPORT}")
    return out / REPORT


class _Journal:
    """``demo.json``: what the demo was begun with, and how long each stage took. Prints a line a stage."""

    def __init__(self, path: Path, settings: dict[str, Any], seconds: dict[str, float]) -> None:
        self.path, self.settings, self.seconds = path, settings, seconds

    @contextlib.contextmanager
    def stage(self, name: str, what: str, *, goes_on: bool = False) -> Iterator[Callable[[str], None]]:
        """Time what happens inside and print it; ``goes_on`` adds to the time of an interrupted call before."""
        print(f"{name:9} {what}{' … ' if what else ''}", end="", flush=True)
        outcome: list[str] = []
        started_at, before = time.monotonic(), self.seconds.get(name, 0.0) if goes_on else 0.0
        try:
            yield outcome.append
        except BaseException:
            print(flush=True)
            raise
        finally:
            elapsed = time.monotonic() - started_at
            self.seconds[name] = before + elapsed
            self.write()
        print(", ".join([*outcome, _seconds(elapsed)]), flush=True)

    def write(self) -> None:
        with new_file(self.path, overwrite=True) as partial:
            partial.write_text(json.dumps({"settings": self.settings, "seconds": self.seconds}, indent=1), encoding="utf-8")


def _open_journal(out: Path, settings: dict[str, Any], overwrite: bool) -> _Journal:
    """The journal of the demo in ``out``, which may be a new one. ``OutputExistsError`` when ``out`` belongs to something else."""
    path = out / JOURNAL
    if not path.is_file():
        if any(not entry.name.endswith(".lock") for entry in out.iterdir()):
            raise OutputExistsError(f"{out} holds files that are not of a demo. Choose another --out.")
    elif overwrite:
        with writable(out):
            for name in _OWN:
                shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink(missing_ok=True)
    else:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != settings:
            raise OutputExistsError(
                f"{out} holds a demo of other settings or another version. Pass --overwrite to replace it, or choose another --out."
            )
        return _Journal(path, settings, found["seconds"])
    journal = _Journal(path, settings, {})
    journal.write()
    return journal


def _make_scenes(out: Path, extent: Extent, journal: _Journal) -> None:
    """``scenes/train`` for tiles and ``scenes/unseen``, each with images/, gt/ and footprints/. All there, or nothing."""
    if (out / "scenes").is_dir():
        return
    count, side = len(extent.places) * extent.scenes_per_place, extent.scene_px
    with journal.stage("simulate", f"{count} scenes of {side}×{side} px in {len(extent.places)} places"), writable(out):
        work = out / ".simulating"
        shutil.rmtree(work, ignore_errors=True)
        simulate(
            work, places=extent.places, scenes_per_place=extent.scenes_per_place, size_px=side, gsd_m=extent.gsd_m, seed=extent.seed
        )
        for folder in (work / "train").iterdir():
            unseen = work / "unseen" / folder.name
            unseen.mkdir(parents=True)
            for place in extent.places:
                for path in folder.glob(f"{place}{extent.scenes_per_place}.*"):
                    os.rename(path, unseen / path.name)
        os.rename(work, out / "scenes")


def _check_scenes(out: Path, journal: _Journal) -> None:
    with journal.stage("check", "image and mask of every scene") as done:
        found = check(out / "scenes" / "train")
        done(f"{found.faults} faults")
    if found.faults:
        raise DataError(
            f"{out / 'scenes'}: {found.faults} faults; `orthoforge check {out / 'scenes'}` lists them. Pass --overwrite."
        )


def _make_tiles(out: Path, extent: Extent, journal: _Journal) -> TileStore:
    with journal.stage("prepare", f"tiles of {extent.tile_px} px", goes_on=True) as done:
        with contextlib.redirect_stdout(io.StringIO()):  # its summary is longer than the demo's line
            store = prepare(out / "scenes" / "train", out / "tiles", gsd=extent.gsd_m, size=extent.tile_px, seed=extent.seed)
        done(", ".join(f"{len(store.ids(split))} {split}" for split in ("train", "val", "test")))
    return store


def _train(out: Path, recipe: Recipe, store: TileStore, journal: _Journal) -> None:
    crops = len(store.ids("train")) * recipe.crops_per_tile
    steps = -(-crops // recipe.batch_size) * recipe.total_epochs
    with journal.stage("train", f"recipe {recipe.name}, {recipe.total_epochs} epochs, {steps} steps", goes_on=True) as done:
        print(flush=True)  # a line an epoch follows
        train(recipe, out / "tiles", out / "run", resume=(out / "run" / "weights").exists())
        rows = runs.read_results(out / "run")
        if len(rows) < recipe.total_epochs:  # it saved and returned: Ctrl-C or SIGTERM
            raise KeyboardInterrupt
        done(f"validation PSNR {rows[-1]['psnr']:.2f} dB")


def _generate(out: Path, journal: _Journal) -> None:
    masks = sorted((out / "scenes" / "unseen" / "gt").glob("*.tif"))
    with journal.stage("generate", f"{len(masks)} whole scenes that were not trained on"):
        generate(out / "run", masks, out / "generated", overwrite=True)


# The report


@dataclass(frozen=True)
class _Unseen:
    """A scene that no tile came from, and what the run made of its mask."""

    name: str
    place: str
    mask: np.ndarray  # (H, W)
    fake: np.ndarray  # (H, W, 3)
    real: np.ndarray  # (H, W, 3)
    scores: dict[str, float]

    def pictures(self, window: tuple[slice, slice] = (slice(None), slice(None))) -> list[Picture]:
        captions = ("mask", "generated", "real (simulated)")
        return [
            Picture(pixels[window], caption, alt=f"{self.name}, {caption}")
            for pixels, caption in zip((self.mask, self.fake, self.real), captions, strict=True)
        ]

    @property
    def centre(self) -> tuple[slice, slice]:
        """The detail that is shown: the middle, whatever is there."""
        height, width = (min(side, _DETAIL_PX) for side in self.mask.shape)
        top, left = (self.mask.shape[0] - height) // 2, (self.mask.shape[1] - width) // 2
        return slice(top, top + height), slice(left, left + width)


def _read_unseen(out: Path) -> list[_Unseen]:
    scenes = []
    for pair in find_pairs(out / "scenes" / "unseen").pairs:
        with open_raster(pair.mask) as raster:
            mask = read_mask(raster)
        images = []
        for path in (out / "generated" / f"{pair.name}.tif", pair.image):
            with open_raster(path) as raster:
                images.append(read_image(raster))
        fake, real = images
        scenes.append(_Unseen(pair.name, pair.place, mask, fake, real, tile_scores(fake, real)))
    return scenes


def _page(out: Path, extent: Extent, recipe: Recipe, store: TileStore, result: dict[str, Any], seconds: dict[str, float]) -> Html:
    unseen = _read_unseen(out)
    # Not the best one: the middle one of the ranking, so that the first picture is what to expect.
    headline = sorted(unseen, key=lambda scene: scene.scores["ssim"])[len(unseen) // 2]
    side_m = extent.scene_px * extent.gsd_m
    return report.page(
        "Orthoforge demo: from building masks to orthophotos",
        f"A small network learnt, from {len(store.ids('train'))} image tiles and their building masks, to turn a mask into an "
        "image. Here is what it makes of the masks of scenes that it never saw. All scenes are simulated: rendered towns, no "
        "photographs.",
        report.picture_row(headline.pictures(), stack=True),
        report.paragraph(
            f"Scene {headline.name}, {side_m:.0f} × {side_m:.0f} m, in the simulated town {headline.place}. By SSIM it is the "
            f"middle one of the {len(unseen)} unseen scenes below. Click any picture to enlarge it; the arrow keys then compare "
            "its row."
        ),
        report.section("What happened", _steps(extent, recipe, out, store, result, len(unseen), seconds)),
        report.section("Every unseen scene", *_unseen_rows(unseen)),
        report.section("How it learnt", *_learning(out, recipe)),
        report.section("Scores", *_scores(unseen, result)),
        report.section("Files", *_files(out)),
        report.section("What to do next", *_next(out, extent, recipe, headline)),
    )


def _steps(
    extent: Extent, recipe: Recipe, out: Path, store: TileStore, result: dict[str, Any], unseen: int, seconds: dict[str, float]
) -> Html:
    checkpoint = load_checkpoint(newest_checkpoint(out / "run"))
    in_generator = sum(tensor.numel() for name, tensor in checkpoint.model.items() if _is_learnt(name))
    in_discriminator = sum(
        tensor.numel() for name, tensor in checkpoint.train.items() if name.startswith("discriminator.") and _is_learnt(name)
    )
    counts = {split: len(store.ids(split)) for split in ("train", "val", "test", "buffer")}
    scenes, places = len(extent.places) * extent.scenes_per_place, len(extent.places)
    dropped = f" {counts['buffer']} between them are dropped, so that no two splits touch." if counts["buffer"] else ""
    took = {name: _seconds(value) for name, value in seconds.items()}
    boxes = report.steps(
        [
            Step(
                "Simulate",
                f"{scenes} scenes",
                f"{places} places, each scene {extent.scene_px}×{extent.scene_px} px of {extent.gsd_m:g} m, with an exact mask. "
                f"{unseen} are set aside. {took['simulate']}",
            ),
            Step("Check", f"{scenes - unseen} sound", f"Sizes, grids, values, alignment of image and mask. {took['check']}"),
            Step(
                "Prepare",
                f"{sum(counts.values())} tiles",
                f"{counts['train']} to train, {counts['val']} to validate, {counts['test']} to test.{dropped} {took['prepare']}",
            ),
            Step(
                "Train",
                f"{checkpoint.state['progress']['step']} steps",
                f"{recipe.total_epochs} epochs of recipe {recipe.name}: {_millions(in_generator)} parameters in the generator, "
                f"{_millions(in_discriminator)} in the discriminator. {took['train']}",
            ),
            Step("Generate", f"{unseen} scenes", f"Whole masks to GeoTIFF, on the masks' grids. {took['generate']}"),
            Step("Evaluate", f"{result['data']['n']} tiles", f"Test tiles, against the real images. {took['evaluate']}"),
        ]
    )
    total = sum(seconds.values())
    return report.join([boxes, report.paragraph(f"{total / 60:.1f} minutes in all, on {_cores()} CPU cores.")])


def _unseen_rows(unseen: list[_Unseen]) -> list[Html]:
    parts = [
        report.paragraph(
            "All of them, none picked, each generated in one piece. Below each scene its middle at full size: a pixel of the image "
            "on a pixel of the page."
        )
    ]
    for scene in unseen:
        heading = f"{scene.name}: PSNR {scene.scores['psnr']:.1f} dB, SSIM {scene.scores['ssim']:.2f}"
        parts += [report.picture_row(scene.pictures(), heading=heading)]
        parts += [report.picture_row(scene.pictures(scene.centre), natural=True)]
    return parts


def _learning(out: Path, recipe: Recipe) -> list[Html]:
    panels = sorted((out / "run" / "panels").glob("epoch*.png"))
    shown = [panels[i] for i in np.unique(np.linspace(0, len(panels) - 1, 3).round().astype(int))]
    strips = [_panel_rows(np.asarray(Image.open(path)), recipe.crop_px) for path in shown]
    epochs = [int(path.stem.removeprefix("epoch")) for path in shown]
    rows = []
    for tile in zip(*strips, strict=True):
        mask, _, real = tile[-1]
        fakes = [Picture(fake, f"epoch {epoch}") for (_, fake, _), epoch in zip(tile, epochs, strict=True)]
        rows.append(report.picture_row([Picture(mask, "mask", lossless=True), *fakes, Picture(real, "real")]))
    results = runs.read_results(out / "run")
    x = [row["epoch"] for row in results]
    curves = [
        ("Discriminator and adversarial loss", {"discriminator": "loss_d", "generator": "loss_g_gan"}),
        ("PSNR on validation tiles, dB", {"PSNR": "psnr"}),
        ("SSIM on validation tiles", {"SSIM": "ssim"}),
    ]
    return [
        report.paragraph(
            f"Validation tiles after {', '.join(map(str, epochs[:-1]))} and {epochs[-1]} epochs, the same tiles each time."
        ),
        *rows,
        report.plots(
            [
                report.line_plot(title, "epoch", x, {label: [row[column] for row in results] for label, column in lines.items()})
                for title, lines in curves
            ]
        ),
    ]


def _panel_rows(panel: np.ndarray, tile_px: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mask, generated and real of each row of a ``runs.panel``."""
    gap = (panel.shape[1] - 3 * tile_px) // 2
    starts = range(0, panel.shape[0], tile_px + gap)
    columns = [slice(i * (tile_px + gap), i * (tile_px + gap) + tile_px) for i in range(3)]
    return [tuple(panel[top : top + tile_px, column] for column in columns) for top in starts]  # type: ignore[misc]


def _scores(unseen: list[_Unseen], result: dict[str, Any]) -> list[Html]:
    whole = report.table(
        ["Scene", ">PSNR, dB", ">SSIM", ">L1, levels", ">Detail, levels"],
        [
            [
                scene.name,
                f"{scene.scores['psnr']:.2f}",
                f"{scene.scores['ssim']:.3f}",
                f"{scene.scores['l1_levels']:.1f}",
                f"{scene.scores['detail_levels']:.1f}",
            ]
            for scene in unseen
        ],
        "The unseen scenes, whole",
    )
    return [*score_parts(result), whole]


def _files(out: Path) -> list[Html]:
    entries = [
        ("scenes/train/", "simulated scenes that tiles were cut from, in Inria's layout: images/, gt/ (masks), footprints/"),
        ("scenes/unseen/", "simulated scenes that were set aside"),
        ("tiles/", "prepared tiles, with manifest.jsonl: which tile is where, and in which split"),
        ("run/", "the trained run: args.yaml, results.csv, panels/, weights/, and curves for TensorBoard"),
        ("generated/", "an image for each unseen mask: Cloud Optimized GeoTIFF on the mask's grid, tagged as synthetic"),
        ("evaluation/report.html", "scores tile by tile, with examples from worst to best"),
        ("evaluation/report.json", "the same numbers for programs"),
    ]
    rows = [[report.link(name), what, _size(out / name)] for name, what in entries]
    return [report.paragraph(f"All in {out}/, beside this report."), report.table(["", "", ">"], rows)]


def _next(out: Path, extent: Extent, recipe: Recipe, scene: _Unseen) -> list[Html]:
    prepare_options = f"--gsd {extent.gsd_m:g} --size {extent.tile_px}"
    return [
        report.paragraph(
            "Generate one of the scenes again, or put a mask of your own there (GeoTIFF, PNG or JPEG; 0 and 255, or 0 and 1):"
        ),
        report.commands(f"orthoforge generate {out}/run {out}/scenes/unseen/gt/{scene.name}.tif --out {scene.name}.tif"),
        report.paragraph("Train longer on the same tiles; two minutes are a beginning:"),
        report.commands(f"orthoforge train {recipe.name} --data {out}/tiles --out runs/longer --epochs {recipe.epochs * 10}"),
        report.paragraph(
            "Use real imagery: a folder with `images/` and `masks/` of the same names, or Inria's data set as downloaded:"
        ),
        report.commands(
            "orthoforge check DATA\n"
            f"orthoforge prepare DATA tiles {prepare_options}\n"
            f"orthoforge train {recipe.name} --data tiles --out runs/first\n"
            "orthoforge generate runs/first MASKS… --out images\n"
            "orthoforge evaluate runs/first --data tiles --out runs/first/scores"
        ),
        report.paragraph("`orthoforge recipes` lists larger networks and longer trainings; they want a GPU."),
    ]


def _is_learnt(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _millions(count: int) -> str:
    return f"{count / 1e6:.2g} million" if count >= 1e5 else f"{count}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _size(path: Path) -> str:
    paths = path.rglob("*") if path.is_dir() else [path]
    return f"{sum(p.stat().st_size for p in paths if p.is_file()) / 1e6:.1f} MB"
