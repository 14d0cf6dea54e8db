"""The demo's second half: the same towns from their maps, with buildings, roads, water and trees."""

import contextlib
import io
import json
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from orthoforge import run_files
from orthoforge.config import Recipe, recipe_values
from orthoforge.demonstration.extent import Extent
from orthoforge.demonstration.journal import Journal, in_seconds, open_journal
from orthoforge.demonstration.unseen import Unseen, read_pixels, read_unseen
from orthoforge.files import lock, require_place, writable
from orthoforge.generation import generate
from orthoforge.masks.layer_style import LayerStyle, load_style
from orthoforge.masks.reader import open_raster_mask
from orthoforge.measures.paired import tile_scores
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture
from orthoforge.scenes.simulate import simulate_maps
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator
from orthoforge.training import train

FOLDER = "map"
REPORT = "report.html"
_WRITTEN = ("maps", "land-cover", ".mapping", "tiles", "run", "generated", REPORT)


@dataclass(frozen=True)
class Mapped:
    """An unseen scene, and what each half of the demo made of it."""

    scene: Unseen
    labels: np.ndarray  # (H, W) class indices
    fake: np.ndarray  # (H, W, 3)
    scores: dict[str, float]


def run_map_demo(demo: Path, extent: Extent, recipe: Recipe, *, overwrite: bool = False) -> Path:
    """Train on classes and generate the unseen scenes from their maps, in ``demo/map``; returns the path of its report.

    ``demo`` holds the finished first half, of the same extent and recipe. Interrupted and called again it goes on. Raises what
    ``run_demo`` raises.
    """
    out = demo / FOLDER
    require_place(out, folder=True)
    with lock(out / "demo"):
        settings = {"orthoforge": version("orthoforge"), "extent": asdict(extent), "recipe": recipe_values(recipe)}
        journal = open_journal(out, json.loads(json.dumps(settings)), _WRITTEN, overwrite=overwrite)
        if (out / REPORT).is_file():
            print(f"{out / REPORT} is there already. Pass --overwrite to make it again.")
            return out / REPORT
        print(f"{out}: the same towns from their maps, which takes about as long again.")
        maps = _make_maps(out, extent, journal)
        unseen = [f"{place}{extent.scenes_per_place}" for place in extent.places]
        _prepare(demo, out, [path for name, path in maps.items() if name not in unseen], extent, journal)
        _train(out, recipe, journal)
        _generate(demo, out, {name: maps[name] for name in unseen}, journal)
        with journal.stage("report", "") as done:
            html.write_page(out / REPORT, _page(demo, out, extent, journal.seconds), overwrite=True)
            done(f"{out / REPORT}")
        print(f"the second half took {sum(journal.seconds.values()) / 60:.1f} minutes in all")
    return out / REPORT


def _make_maps(out: Path, extent: Extent, journal: Journal) -> dict[str, Path]:
    """Maps and masks of classes of all scenes, by name. All there, or nothing."""
    count = len(extent.places) * extent.scenes_per_place
    if not (out / "maps").is_dir():
        with journal.stage("map", f"{count} maps with streets, water, trees and ground cover"), writable(out):
            work = out / ".mapping"
            shutil.rmtree(work, ignore_errors=True)
            simulate_maps(
                work, places=extent.places, scenes_per_place=extent.scenes_per_place, size_px=extent.scene_px, gsd_m=extent.gsd_m,
                seed=extent.seed,
            )  # fmt: skip
            shutil.rmtree(out / "land-cover", ignore_errors=True)
            (work / "land-cover").rename(out / "land-cover")
            (work / "maps").rename(out / "maps")
            work.rmdir()
    return {path.stem: path for path in sorted((out / "maps").glob("*.geojson"))}


def _prepare(demo: Path, out: Path, maps: list[Path], extent: Extent, journal: Journal) -> None:
    with journal.stage("prepare", f"tiles of {extent.tile_px} px with the maps' classes", goes_on=True) as done:
        with contextlib.redirect_stdout(io.StringIO()):
            scenes = demo / "scenes" / "train"
            store = prepare(scenes, out / "tiles", gsd=extent.gsd_m, size=extent.tile_px, seed=extent.seed, layers=maps)
        assert store.classes
        done(f"{len(store.ids('train'))} train; classes {', '.join(store.classes.names)}")


def _train(out: Path, recipe: Recipe, journal: Journal) -> None:
    with journal.stage("train", f"recipe {recipe.name}, {recipe.total_epochs} epochs", goes_on=True) as done:
        print(flush=True)  # a line an epoch follows
        train(recipe, out / "tiles", out / "run", resume=True)
        rows = run_files.read_results(out / "run")
        if len(rows) < recipe.total_epochs:  # it saved and returned: Ctrl-C or SIGTERM
            raise KeyboardInterrupt
        done(f"validation PSNR {rows[-1]['psnr']:.2f} dB")


def _generate(demo: Path, out: Path, maps: dict[str, Path], journal: Journal) -> None:
    """Each unseen scene from its footprints and its map, in the style of its own place."""
    with journal.stage("generate", f"{len(maps)} whole scenes from footprints and map"):
        generator = load_generator(out / "run")
        unseen = demo / "scenes" / "unseen"
        for name, path in maps.items():
            place = name.rstrip("0123456789")
            generate(
                generator, [unseen / "footprints" / f"{name}.geojson"], out / "generated" / f"{name}.tif", style=place,
                layers=[path], like=unseen / "gt" / f"{name}.tif", overwrite=True,
            )  # fmt: skip


def read_mapped(demo: Path) -> list[Mapped]:
    """The unseen scenes from both halves of a demo."""
    out, style = demo / FOLDER, load_style()
    found = []
    for scene in read_unseen(demo):
        with open_raster_mask(out / "land-cover" / f"{scene.name}.tif", classes=style.classes) as mask:
            labels = mask.labels()
        fake = read_pixels(out / "generated" / f"{scene.name}.tif")
        found.append(Mapped(scene, labels, fake, tile_scores(fake, scene.real)))
    return found


def levels_on(labels: np.ndarray, index: int, image: np.ndarray, real: np.ndarray) -> float:
    """Mean distance in levels of an image's colours from the real one's on the pixels of a class; NaN where there is none."""
    on = labels == index
    return float(np.abs(image[on].astype(float) - real[on]).mean()) if on.any() else float("nan")


def _page(demo: Path, out: Path, extent: Extent, seconds: dict[str, float]) -> Html:
    mapped, style = read_mapped(demo), load_style()
    first = mapped[0]
    took = ", ".join(f"{name} {in_seconds(value)}" for name, value in seconds.items())
    return html.page(
        "Orthoforge demo: the same towns from their maps",
        "A mask of buildings leaves the network to guess where streets, trees and water are. Here it was trained on six classes, "
        "painted from a map, and is given the maps of the scenes that it never saw. All scenes are simulated: rendered towns, no "
        "photographs.",
        html.picture_row(_pictures(first, style), stack=True),
        html.paragraph(f"Scene {first.scene.name}, the first of the unseen ones. Click any picture to enlarge it."),
        html.section(
            "Streets where streets are",
            html.paragraph(
                "Mean distance of the colours from the real image's, in levels of 255, on the pixels of each class: from buildings "
                "alone, and from the map. Lower is nearer."
            ),
            _levels(mapped, style),
        ),
        html.section("Every unseen scene", *(_row(one, style) for one in mapped)),
        html.section(
            "How to do it",
            html.commands(
                f"orthoforge prepare {demo}/scenes/train tiles --gsd {extent.gsd_m:g} --size {extent.tile_px} "
                f"--layers {out}/maps/*.geojson\n"
                "orthoforge train orthoforge-xs --data tiles --out runs/map\n"
                f"orthoforge generate runs/map {demo}/scenes/unseen/footprints/{first.scene.name}.geojson "
                f"--layers {out}/maps/{first.scene.name}.geojson --out {first.scene.name}.tif --style {first.scene.place}"
            ),
            html.paragraph(f"Time of each stage: {took}; {sum(seconds.values()) / 60:.1f} minutes in all."),
        ),
    )


def _row(one: Mapped, style: LayerStyle) -> Html:
    before, after = one.scene.scores, one.scores
    heading = (
        f"{one.scene.name}: from buildings PSNR {before['psnr']:.1f} dB, SSIM {before['ssim']:.2f}; from the map "
        f"{after['psnr']:.1f} dB, {after['ssim']:.2f}"
    )
    return html.picture_row(_pictures(one, style), heading=heading)


def _pictures(one: Mapped, style: LayerStyle) -> list[Picture]:
    pixels = (style.classes.rgb(one.labels), one.fake, one.scene.fake, one.scene.real)
    captions = ("map", "generated from the map", "generated from buildings alone", "real (simulated)")
    return [Picture(image, caption, alt=f"{one.scene.name}, {caption}") for image, caption in zip(pixels, captions, strict=True)]


def _levels(mapped: list[Mapped], style: LayerStyle) -> Html:
    rows: list[list[str]] = []
    for index, name in enumerate(style.classes.names):
        pixels = [np.count_nonzero(one.labels == index) for one in mapped]
        if not sum(pixels):
            continue
        values = [
            float(np.average([levels_on(one.labels, index, image, one.scene.real) if count else 0.0 for one, image, count in
                              zip(mapped, images, pixels, strict=True)], weights=pixels))
            for images in ([one.scene.fake for one in mapped], [one.fake for one in mapped])
        ]  # fmt: skip
        share = sum(pixels) / sum(one.labels.size for one in mapped)
        rows.append([name, f"{100 * share:.1f} %", *(f"{value:.1f}" for value in values)])
    return html.table(["Class", ">Of the ground", ">From buildings alone", ">From the map"], rows)
