"""The demo's report: what happened, what was learnt, how good it is, and what to type next."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge import run_files
from orthoforge.checkpoint_files import Checkpoint, load_checkpoint
from orthoforge.checkpoints import newest_checkpoint
from orthoforge.config import Recipe, load_recipe
from orthoforge.demonstration.extent import Extent
from orthoforge.demonstration.journal import in_seconds
from orthoforge.demonstration.unseen import Unseen, read_pixels, read_unseen
from orthoforge.evaluation.result import Evaluation
from orthoforge.evaluation.tables import score_parts
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture, Step
from orthoforge.tiles.store import TileStore


def page(out: Path, extent: Extent, recipe: Recipe, store: TileStore, result: Evaluation, seconds: dict[str, float]) -> Html:
    """The report on the demo in ``out``, from its files, the evaluation's ``result`` and how many ``seconds`` each stage took."""
    unseen = read_unseen(out)
    # Not the best one: the middle one of the ranking, so that the first picture is what to expect.
    headline = sorted(unseen, key=lambda scene: scene.scores["ssim"])[len(unseen) // 2]
    side_m = extent.scene_px * extent.gsd_m
    return html.page(
        "Orthoforge demo: from building masks to orthophotos",
        f"A small network learnt, from {len(store.ids('train'))} image tiles and their building masks, to turn a mask into an "
        "image. Here is what it makes of the masks of scenes that it never saw. All scenes are simulated: rendered towns, no "
        "photographs.",
        html.picture_row(headline.pictures(), stack=True),
        html.paragraph(
            f"Scene {headline.name}, {side_m:.0f} × {side_m:.0f} m, in the simulated town {headline.place}. By SSIM it is the "
            f"middle one of the {len(unseen)} unseen scenes below. Click any picture to enlarge it; the arrow keys then compare "
            "its row."
        ),
        html.section("What happened", _steps(extent, recipe, out, store, result, len(unseen), seconds)),
        html.section("Every unseen scene", *_unseen_rows(unseen)),
        html.section("One mask, other places", *_styles(out, extent, unseen[0])),
        html.section("How it learnt", *_learning(out, recipe)),
        html.section("Scores", *_scores(unseen, result)),
        html.section("Files", *_files(out)),
        html.section("What to do next", *_next(out, recipe, headline)),
    )


def _steps(
    extent: Extent, recipe: Recipe, out: Path, store: TileStore, result: Evaluation, unseen: int, seconds: dict[str, float]
) -> Html:
    checkpoint = load_checkpoint(newest_checkpoint(out / "run"))
    in_generator, in_discriminator = (_parameters(checkpoint, optimizer) for optimizer in ("optimizer_g", "optimizer_d"))
    counts = {split: len(store.ids(split)) for split in ("train", "val", "test", "buffer")}
    scenes, places = len(extent.places) * extent.scenes_per_place, len(extent.places)
    dropped = f" {counts['buffer']} between them are dropped, so that no two splits touch." if counts["buffer"] else ""
    took = {name: in_seconds(value) for name, value in seconds.items()}
    boxes = html.steps(
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
                f"{checkpoint.state.progress.step} steps",
                f"{recipe.total_epochs} epochs of recipe {recipe.name}: {_millions(in_generator)} parameters in the generator, "
                f"{_millions(in_discriminator)} in the discriminator. {took['train']}",
            ),
            Step("Generate", f"{unseen} scenes", f"Whole masks to GeoTIFF, on the masks' grids. {took['generate']}"),
            Step("Evaluate", f"{result['data']['n']} tiles", f"Test tiles, against the real images. {took['evaluate']}"),
        ]
    )
    total = sum(seconds.values())
    return html.join([boxes, html.paragraph(f"{total / 60:.1f} minutes in all, on {_cores()} CPU cores.")])


def _unseen_rows(unseen: list[Unseen]) -> list[Html]:
    parts = [
        html.paragraph(
            "All of them, none picked, each generated in one piece, in the style of its own place. Below each scene its middle at "
            "full size: a pixel of the image on a pixel of the page."
        )
    ]
    for scene in unseen:
        heading = f"{scene.name}: PSNR {scene.scores['psnr']:.1f} dB, SSIM {scene.scores['ssim']:.2f}"
        parts += [html.picture_row(scene.pictures(), heading=heading)]
        parts += [html.picture_row(scene.pictures(scene.centre), natural=True)]
    return parts


def _styles(out: Path, extent: Extent, scene: Unseen) -> list[Html]:
    captions = [f"as in {scene.place}"] + [f"as in {place}" for place in extent.places[1:]]
    fakes = [scene.fake] + [read_pixels(out / "styles" / f"{place}.tif") for place in extent.places[1:]]
    return [
        html.paragraph(
            "A mask does not say what a place looks like. The network learnt that beside it, so it can be asked for: the middle of "
            f"{scene.name} in the style of each town. Roofs draw their colours from those of the town; another seed draws others."
        ),
        html.picture_row(
            [Picture(scene.mask[scene.centre], "mask", alt=f"{scene.name}, mask")]
            + [
                Picture(fake[scene.centre], caption, alt=f"{scene.name}, {caption}")
                for fake, caption in zip(fakes, captions, strict=True)
            ]
        ),
    ]


def _learning(out: Path, recipe: Recipe) -> list[Html]:
    panels = sorted((out / "run" / "panels").glob("epoch*.png"))
    shown = [panels[i] for i in np.unique(np.linspace(0, len(panels) - 1, 3).round().astype(int))]
    strips = [_panel_rows(np.asarray(Image.open(path)), recipe.crop_px) for path in shown]
    epochs = [int(path.stem.removeprefix("epoch")) for path in shown]
    rows = []
    for tile in zip(*strips, strict=True):
        mask, _, real = tile[-1]
        fakes = [Picture(fake, f"epoch {epoch}") for (_, fake, _), epoch in zip(tile, epochs, strict=True)]
        rows.append(html.picture_row([Picture(mask, "mask", lossless=True), *fakes, Picture(real, "real")]))
    results = run_files.read_results(out / "run")
    x = [row["epoch"] for row in results]
    curves = [
        ("Discriminator and adversarial loss", {"discriminator": "loss_d", "generator": "loss_g_gan"}),
        ("PSNR on validation tiles, dB", {"PSNR": "psnr"}),
        ("Kernel distance to real validation tiles × 1000", {"kernel distance": "kernel_x1000"}),
    ]
    return [
        html.paragraph(
            f"Validation tiles after {', '.join(map(str, epochs[:-1]))} and {epochs[-1]} epochs, the same tiles each time."
        ),
        *rows,
        html.plots(
            [
                html.line_plot(title, "epoch", x, {label: [row[column] for row in results] for label, column in lines.items()})
                for title, lines in curves
            ]
        ),
    ]


def _panel_rows(panel: np.ndarray, tile_px: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mask, generated and real of each row of a ``run_files.panel``."""
    gap = (panel.shape[1] - 3 * tile_px) // 2
    starts = range(0, panel.shape[0], tile_px + gap)
    columns = [slice(i * (tile_px + gap), i * (tile_px + gap) + tile_px) for i in range(3)]
    return [tuple(panel[top : top + tile_px, column] for column in columns) for top in starts]  # type: ignore[misc]


def _scores(unseen: list[Unseen], result: Evaluation) -> list[Html]:
    whole = html.table(
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
        ("styles/", "the first unseen mask in the styles of the other places"),
        ("evaluation/report.html", "scores tile by tile, with examples from worst to best"),
        ("evaluation/report.json", "the same numbers for programs"),
    ]
    rows = [[html.link(name), what, _size(out / name)] for name, what in entries]
    return [html.paragraph(f"All in {out}/, beside this report."), html.table(["", "", ">"], rows)]


def _next(out: Path, recipe: Recipe, scene: Unseen) -> list[Html]:
    real = load_recipe("orthoforge-s")
    return [
        html.paragraph(
            "Generate one of the scenes again, or put a mask of your own there (GeoTIFF, PNG or JPEG; 0 and 255, or 0 and 1):"
        ),
        html.commands(
            f"orthoforge generate {out}/run {out}/scenes/unseen/gt/{scene.name}.tif --out {scene.name}.tif --style {scene.place}\n"
            f"orthoforge generate {out}/run {out}/scenes/unseen/gt/{scene.name}.tif --out images --variants 4"
        ),
        html.paragraph("Train longer on the same tiles; some minutes are a beginning:"),
        html.commands(f"orthoforge train {recipe.name} --data {out}/tiles --out runs/longer --epochs {recipe.epochs * 10}"),
        html.paragraph(
            "Use real imagery: a folder with `images/` and `masks/` of the same names, or Inria's data set as downloaded:"
        ),
        html.commands(
            "orthoforge check DATA\n"
            f"orthoforge prepare DATA tiles {real.tiles}\n"
            f"orthoforge train {real.name} --data tiles --out runs/first\n"
            "orthoforge generate runs/first MASKS… --out images\n"
            "orthoforge evaluate runs/first --data tiles --out runs/first/scores"
        ),
        html.paragraph(f"{real.name} wants a GPU, or a night; `orthoforge recipes` lists all that can be trained."),
    ]


def _parameters(checkpoint: Checkpoint, optimizer: str) -> int:
    """Of the network that it moves. Its weights alone do not tell: beside them lie style banks, statistics and fixed kernels."""
    moments = (name for name in checkpoint.train if name.startswith(f"{optimizer}.") and name.endswith(".exp_avg"))
    return sum(checkpoint.train[name].numel() for name in moments)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2g} million" if count >= 1e5 else f"{count}"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _size(path: Path) -> str:
    paths = path.rglob("*") if path.is_dir() else [path]
    return f"{sum(p.stat().st_size for p in paths if p.is_file()) / 1e6:.1f} MB"
