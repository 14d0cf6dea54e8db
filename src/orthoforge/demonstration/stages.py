"""The demo's stages, one after the other: simulate, check, prepare, train, generate, evaluate, report."""

import contextlib
import io
import json
import os
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe, recipe_values
from orthoforge.demonstration.extent import Extent
from orthoforge.demonstration.from_map import run_map_demo
from orthoforge.demonstration.journal import Journal, open_journal
from orthoforge.demonstration.page import page
from orthoforge.errors import DataError
from orthoforge.evaluation.evaluate import evaluate
from orthoforge.files import lock, require_place, writable
from orthoforge.generation import generate
from orthoforge.pages import html
from orthoforge.scenes.checks import check
from orthoforge.scenes.simulate import simulate
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.training import train

RECIPE = "orthoforge-xs"
REPORT = "report.html"
# What the stages write into the demo's folder: all that --overwrite removes, besides the journal.
_WRITTEN = ("scenes", ".simulating", "tiles", "run", "generated", "styles", "evaluation", "map", REPORT)


def demo(out: str | Path = Path("demo"), *, map: bool = False, overwrite: bool = False) -> Path:
    """Simulate, check, prepare, train, generate and evaluate in the folder ``out``. Returns the path of ``report.html`` there.

    It takes about ten minutes on two cores. Call it again after an interruption: it goes on. Once it is finished it only says so.
    With ``map`` a second half follows, which takes about as long: the same towns from their maps, in ``out/map``, whose report is
    returned.

    Raises:
        OutputExistsError: ``out`` holds other things, or a demo of other settings and ``overwrite`` is false.
        LockedError: another process makes the same demo.
        ResourceError: too little disk or memory.

    Examples:
        >>> from orthoforge import demo
        >>> demo("country").as_posix()
        country: a few minutes on two cores...
        'country/report.html'
    """
    report = run_demo(Path(out), Extent(), load_recipe(RECIPE), overwrite=overwrite)
    return run_map_demo(Path(out), Extent(), load_recipe(RECIPE), overwrite=overwrite) if map else report


def run_demo(out: Path, extent: Extent, recipe: Recipe, *, overwrite: bool = False) -> Path:
    """``demo`` of any extent, and of any recipe whose network has styles."""
    require_place(out, folder=True)
    with lock(out / "demo"):
        settings = {"orthoforge": version("orthoforge"), "extent": asdict(extent), "recipe": recipe_values(recipe)}
        journal = open_journal(out, json.loads(json.dumps(settings)), _WRITTEN, overwrite=overwrite)
        if (out / REPORT).is_file():
            print(f"{out / REPORT} is there already. Pass --overwrite to make it again.")
            return out / REPORT
        again = "the same command without --overwrite" if overwrite else "the same command"
        print(f"{out}: a few minutes on two cores. Stopped by Ctrl-C, {again} goes on.")
        _make_scenes(out, extent, journal)
        _check_scenes(out, journal)
        store = _make_tiles(out, extent, journal)
        _train(out, recipe, store, journal)
        _generate(out, extent, journal)
        with journal.stage("evaluate", f"{len(store.ids('test'))} test tiles") as done:
            result = evaluate(out / "run", out / "tiles", out / "evaluation", overwrite=True)
            assert result["scores"] is not None  # of a run every image is a tile's
            done(f"PSNR {result['scores']['generated']['psnr']['mean']:.2f} dB")
        with journal.stage("report", "") as done:
            html.write_page(out / REPORT, page(out, extent, recipe, store, result, journal.seconds), overwrite=True)
            done(f"{out / REPORT}")
    return out / REPORT


def _make_scenes(out: Path, extent: Extent, journal: Journal) -> None:
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


def _check_scenes(out: Path, journal: Journal) -> None:
    with journal.stage("check", "image and mask of every scene") as done:
        found = check(out / "scenes" / "train")
        done(f"{found.faults} faults")
    if found.faults:
        raise DataError(
            f"{out / 'scenes'}: {found.faults} faults; `orthoforge check {out / 'scenes'}` lists them. Pass --overwrite."
        )


def _make_tiles(out: Path, extent: Extent, journal: Journal) -> TileStore:
    with journal.stage("prepare", f"tiles of {extent.tile_px} px", goes_on=True) as done:
        with contextlib.redirect_stdout(io.StringIO()):  # its summary is longer than the demo's line
            store = prepare(out / "scenes" / "train", out / "tiles", gsd=extent.gsd_m, size=extent.tile_px, seed=extent.seed)
        done(", ".join(f"{len(store.ids(split))} {split}" for split in ("train", "val", "test")))
    return store


def _train(out: Path, recipe: Recipe, store: TileStore, journal: Journal) -> None:
    crops = len(store.ids("train")) * recipe.crops_per_tile
    steps = -(-crops // recipe.batch_size) * recipe.total_epochs
    with journal.stage("train", f"recipe {recipe.name}, {recipe.total_epochs} epochs, {steps} steps", goes_on=True) as done:
        print(flush=True)  # a line an epoch follows
        train(recipe, out / "tiles", out / "run", resume=True)
        rows = run_files.read_results(out / "run")
        if len(rows) < recipe.total_epochs:  # it saved and returned: Ctrl-C or SIGTERM
            raise KeyboardInterrupt
        done(f"validation PSNR {rows[-1]['psnr']:.2f} dB")


def _generate(out: Path, extent: Extent, journal: Journal) -> None:
    """Each unseen mask in the style of its own place, and the first of them in every other's."""
    masks = {place: out / "scenes" / "unseen" / "gt" / f"{place}{extent.scenes_per_place}.tif" for place in extent.places}
    with journal.stage("generate", f"{len(masks)} whole scenes that were not trained on"):
        generator = load_generator(out / "run")
        for place, mask in masks.items():
            generate(generator, [mask], out / "generated" / mask.name, style=place, overwrite=True)
        for place in extent.places[1:]:
            generate(generator, [masks[extent.places[0]]], out / "styles" / f"{place}.tif", style=place, overwrite=True)
