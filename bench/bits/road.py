"""The road: two small towns, with buildings and with classes, through every step to the pages at its end."""

import csv
import json
import os
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np

import orthoforge
from orthoforge import run_files
from orthoforge.config import Recipe, Setting, load_recipe
from orthoforge.generation import scene
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.run_files import TIMING_COLUMNS

SHORT: dict[str, Setting] = {
    "tiles": "", "crop_px": 32, "generator_width": 2, "discriminator_width": 2, "batch_size": 8, "crops_per_tile": 1, "epochs": 1,
    "decay_epochs": 1, "precision": "float32", "learning_rate": 2e-3, "ema_decay": 0.8, "panels_every": 2, "canvases_per_tile": 2,
}  # fmt: skip
QUICK = SegmenterSettings(steps=6, batch_size=4, crop_px=32, width=2)
COLOURS = {"Building": (60, 16, 152), "Green": (20, 160, 60), "Paved": (120, 120, 120)}
SCENES = Path("scenes/train")
UNSEEN = Path("unseen/train")
Step = Callable[[], object]


def travel(folder: Path, say: Callable[[str], None]) -> None:
    """Make everything below ``folder``: paths are relative, so that what is written does not say where that is."""
    with chdir(folder):
        # Blocks as small as they may be, so that a scene of a few hundred pixels has several.
        scene.BLOCK_BYTES, scene.FEWEST_MARGINS = 1.0, 1
        run_files.plot_results = lambda run: None  # the same numbers as in results.csv, drawn for seconds
        for name, step in STEPS.items():
            say(name)
            step()


def towns() -> None:
    """Scenes to train on and one that no run sees."""
    orthoforge.simulate(Path("scenes"), places=("arden", "brennau"), scenes_per_place=4, size_px=168, gsd_m=0.8)
    orthoforge.simulate(Path("unseen"), places=("arden",), scenes_per_place=1, size_px=240, gsd_m=0.8, seed=7)
    for root in (SCENES, UNSEEN):
        for image in sorted((root / "images").iterdir()):
            _write_classes(image, root / "gt" / image.name, root.parent / "classes")
    Path("palette.json").write_text(json.dumps({name: list(colour) for name, colour in COLOURS.items()}))


def _write_classes(image: Path, mask: Path, out: Path) -> None:
    """The same pair with a mask of three colours: buildings, and of the rest what is green and what is not."""
    with open_raster(image) as raster:
        pixels, grid = read_image(raster), raster.grid
    with open_raster(mask) as raster:
        buildings = read_mask(raster) > 0
    green = pixels[..., 1].astype(int) * 2 > pixels[..., 0].astype(int) + pixels[..., 2]
    index = np.where(buildings, 0, np.where(green, 1, 2))
    write_geotiff(out / "images" / image.name, pixels, grid)
    write_geotiff(out / "gt" / image.name, np.array(list(COLOURS.values()), np.uint8)[index], grid)


def tiles() -> None:
    """A store of buildings and one of classes."""
    orthoforge.prepare(SCENES, Path("tiles"), grid=3, size=56, attribution="Simulated", workers=1)
    orthoforge.prepare(Path("scenes/classes"), Path("class-tiles"), grid=3, size=48, palette=Path("palette.json"), workers=1)


def _train(name: str, recipe: Recipe, data: str = "tiles", init_from: Path | None = None) -> None:
    """Half of a training, and its second half as a resumption."""
    for resume in (False, True):
        out = Path("runs", name)
        # MLflow and W&B are not asked, TensorBoard's files say when they were written.
        source = None if resume else init_from
        orthoforge.train(
            recipe, Path(data), out, resume=resume, stop_after=None if resume else 1, init_from=source, trackers=(), quiet=True
        )
    _forget_time(Path("runs", name))


def _forget_time(run: Path) -> None:
    """Set the columns of time to 1, which pages show."""
    path = run / "results.csv"
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | dict.fromkeys(set(TIMING_COLUMNS) & set(row), "1.0") for row in rows)


def baselines() -> None:
    """pix2pix on buildings and on classes, and one that starts from the first with other losses, rates and drawing of tiles."""
    resnet = SHORT | {"generator": "resnet6", "ema_decay": 0.0}
    _train("baseline", load_recipe("baseline", **resnet | {"name": "baseline"}))
    _train("classes", load_recipe("baseline", **resnet | {"name": "classes", "norm": "instance"}), "class-tiles")
    other = resnet | {
        "name": "varied", "gan_loss": "hinge", "discriminator_norm": "instance", "lambda_perceptual": 1.0, "lambda_colour": 1.0,
        "flips": "dihedral", "balance": "building", "schedule": "plateau", "warmup_steps": 3, "best_by": "perceptual",
    }  # fmt: skip
    _train("varied", load_recipe("baseline", **other), init_from=Path("runs/baseline"))


def modulated() -> None:
    """Styles on buildings and on classes, and material."""
    _train("styles", load_recipe("orthoforge-s", **SHORT | {"name": "styles"}))
    _train("class-styles", load_recipe("orthoforge-s", **SHORT | {"name": "class-styles", "best_by": "kernel"}), "class-tiles")
    _train("material", load_recipe("orthoforge-material", **SHORT | {"name": "material"}))


def images() -> None:
    """The unseen scene by every run, in blocks; in a style; from footprints; of another resolution; and by the Python call."""
    mask = UNSEEN / "gt/arden1.tif"
    for run in ("baseline", "varied", "styles", "material"):
        orthoforge.generate(Path("runs", run), [mask], Path("images", f"{run}.tif"), seed=3)
    for run in ("classes", "class-styles"):
        classes = Path("unseen/classes/gt/arden1.tif")
        orthoforge.generate(Path("runs", run), [classes], Path("images", f"{run}.tif"), seed=3, resample=True)
    orthoforge.generate("runs/styles", [mask], Path("images/style.tif"), style="brennau", seed=1, variants=2)
    orthoforge.generate("runs/styles", [mask], Path("images/photo.tif"), style=SCENES / "images/brennau1.tif")
    footprints = UNSEEN / "footprints/arden1.geojson"
    orthoforge.generate("runs/baseline", [footprints], Path("images/footprints.tif"), like=mask)
    orthoforge.generate("runs/baseline", [footprints], Path("images/coarser.tif"), like=mask, resample=True)
    with open_raster(mask) as raster:
        drawn = read_mask(raster)[:100, :90] > 0
    np.save("images/called.npy", orthoforge.load_generator("runs/material")(drawn, seed=5))


def new_data() -> None:
    """Forged masks in each way, and a larger data set of three kinds of masks."""
    for how in ("recombine", "streets", "transform"):
        orthoforge.forge(SCENES, Path("forged", how), how=how, count=1)
    for masks in ("real", "transform"):
        orthoforge.grow("runs/styles", SCENES, Path("grown", masks), ratio=0.25, masks=masks, segmenter=QUICK)
    orthoforge.grow("runs/baseline", SCENES, Path("grown/unjudged"), ratio=0.25, least_agreement=0)


def pages() -> None:
    """Scores of two runs, all runs side by side, the experiment of usefulness, and a folder to publish."""
    orthoforge.evaluate("runs/styles", Path("tiles"), Path("scores/styles"), fidelity=QUICK)
    orthoforge.evaluate("runs/class-styles", Path("class-tiles"), Path("scores/class-styles"))
    compared = [Path("runs", name) for name in ("baseline", "varied", "styles", "material", "classes")]
    orthoforge.compare(compared, Path("compared/page.html"), price_per_hour=1.0)
    quick = {"ratios": (1,), "fractions": (1.0,), "seeds": 2, "steps": 4}
    orthoforge.utility("runs/styles", Path("tiles"), Path("utility"), segmenter=QUICK, **quick)  # type: ignore[arg-type]
    orthoforge.load_generator("runs/styles").save_pretrained(Path("published"), name="bits-town")


STEPS: dict[str, Step] = {
    "towns": towns, "tiles": tiles, "baselines": baselines, "modulated": modulated, "images": images, "new data": new_data,
    "pages": pages,
}  # fmt: skip
FOLDERS = (
    "scenes", "unseen", "tiles", "class-tiles", "runs", "images", "forged", "grown", "scores", "compared", "utility", "published",
)  # fmt: skip


def one_thread() -> None:
    """Sums in one order, whatever the machine: before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
