"""Whether ``utility`` finds a gain where there is one, and none where there is none, on a simulated town; its time on real tiles.

    python -m bench.utility [--data FOLDER] [--only own noise wrong] [--out FOLDER]

The real tiles are of a simulated town, and one of them is used. "Synthetic" are, in turn, tiles of the same town with other seeds
(own: as good as real), random noise with those tiles' masks, and those tiles with the masks of others (wrong). With ``--data``, a
folder of real pairs, `tiny` is trained there for an epoch and measured.

In town the segmenter is a regression on colours and texture, so that hundreds of trainings take minutes; on real tiles it is the
package's own.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from orthoforge.config import load_recipe
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.models.conditions import encode_image
from orthoforge.scenes.simulate import simulate
from orthoforge.tiles.prepare import prepare
from orthoforge.training import train
from orthoforge.usefulness.utility import utility

RESULTS = Path(__file__).parent / "results" / "utility.json"
PLACE, SCENES = "arden", 36
SIZE, GSD = 96, 0.6
SIDES, RIDGE, FEATURES = (3, 9), 1e-4, 16
SEGMENTER = SegmenterSettings(width=8, crop_px=64, batch_size=4)
TOWNS: dict[str, Any] = {"ratios": (1, 3), "fractions": (0.01, 1.0), "seeds": 8, "steps": 12, "augmentation": "flips"}
REAL: dict[str, Any] = {"ratios": (1,), "fractions": (0.1,), "seeds": 3, "steps": 40, "augmentation": "flips"}
NAMES = ("own", "noise", "wrong")


def texture(images: np.ndarray) -> np.ndarray:
    """What a pixel looks like among its neighbours (N, H, W, 16): colours, their means and their spread at two scales."""
    pixels = encode_image(torch.from_numpy(images))
    means = [F.avg_pool2d(pixels, side, 1, side // 2, count_include_pad=False) for side in SIDES]
    squares = [F.avg_pool2d(pixels**2, side, 1, side // 2, count_include_pad=False) for side in SIDES]
    spread = [(square - mean**2).clamp(min=0).sqrt() for square, mean in zip(squares, means, strict=True)]
    return torch.cat([pixels, *means, *spread, torch.ones_like(pixels[:, :1])], 1).permute(0, 2, 3, 1).numpy()


def train_by_texture(sample: Any, settings: SegmenterSettings, *, class_count: None = None, device: str = "cpu") -> Any:
    """As ``train_segmenter``, for building masks, by ridge regression of the mask on ``texture``."""
    assert class_count is None, class_count
    products, targets, weight = np.zeros((FEATURES, FEATURES)), np.zeros((2, FEATURES)), np.zeros(2)
    for step in range(settings.steps):
        images, masks = sample(step)
        features, building = texture(images).reshape(-1, FEATURES).astype(float), masks.ravel() > 0
        products += features.T @ features
        for kind, chosen in enumerate((features[~building], features[building])):
            targets[kind] += chosen.sum(axis=0)
            weight[kind] += len(chosen)
    ridge = RIDGE * np.trace(products) / FEATURES * np.eye(FEATURES)
    slopes = np.linalg.solve(products + ridge, targets[1])
    # Halfway between the mean answers for ground and for buildings.
    threshold = (slopes @ (targets / np.maximum(weight, 1)[:, None]).T).mean()
    return lambda images: np.where(texture(images) @ slopes > threshold, np.uint8(255), np.uint8(0))


def spoil(folder: Path, how: str) -> None:
    """Replace the images of a folder of simulated scenes by noise, or shift their masks on to the next scene (wrong)."""
    rng = np.random.default_rng(0)
    images, masks = (sorted((folder / "train" / name).glob("*.tif")) for name in ("images", "gt"))
    labels: list[tuple[np.ndarray, Grid]] = []
    for path in masks:
        with open_raster(path) as raster:
            labels.append((read_mask(raster), raster.grid))
    for number, (image_path, mask_path) in enumerate(zip(images, masks, strict=True)):
        with open_raster(image_path) as raster:
            pixels, grid = read_image(raster), raster.grid
        if how == "noise":
            write_geotiff(image_path, rng.integers(0, 256, pixels.shape, dtype=np.uint8), grid, overwrite=True)
        else:
            write_geotiff(mask_path, labels[(number + 1) % len(labels)][0], grid, overwrite=True)


def towns(root: Path, names: list[str]) -> None:
    """The experiment on a simulated town, with each kind of synthetic image."""
    if not (root / "tiles").exists():
        simulate(root / "real", places=(PLACE,), scenes_per_place=SCENES, size_px=2 * SIZE, gsd_m=GSD, seed=0)
    prepare(root / "real", root / "tiles", grid=2, size=SIZE, split="blocks")
    found: dict[str, Any] = {}
    for name in names:
        if not (root / f"{name}-tiles").exists():
            simulate(root / name, places=(PLACE,), scenes_per_place=SCENES, size_px=2 * SIZE, gsd_m=GSD, seed=7)
            if name != "own":
                spoil(root / name, name)
        prepare(root / name, root / f"{name}-tiles", grid=2, size=SIZE, split="blocks")
        # One folder for all: trainings on real tiles alone are the same, and kept.
        options = TOWNS | {"segmenter": SEGMENTER, "train": train_by_texture, "overwrite": True}
        found[name] = measured(root / f"{name}-tiles", root / "tiles", root / "utility", **options)
        show(name, found[name])
        keep(found)


def real(root: Path, data: Path) -> dict[str, Any]:
    """End to end on real pairs: tiles, a few minutes of training, the experiment."""
    began, cpu = time.monotonic(), cpu_seconds()
    prepare(data, root / "real-tiles", grid=2, size=128, split="blocks", skip_bad=True)
    recipe = load_recipe("tiny", epochs=1, decay_epochs=0, crop_px=128)
    run = train(recipe, root / "real-tiles", root / "run", resume=True)
    trained = time.monotonic() - began
    found = measured(run, root / "real-tiles", root / "real-utility", segmenter=SEGMENTER, **REAL)
    spent = {"seconds": time.monotonic() - began, "cpu_seconds": cpu_seconds() - cpu, "seconds_until_trained": trained}
    show("real tiles", found)
    print(f"  all in all {spent['seconds'] / 60:.1f} min, {spent['cpu_seconds'] / 60:.1f} CPU min")
    return found | {"end_to_end": spent}


def measured(*words: Any, **options: Any) -> dict[str, Any]:
    """What ``utility`` found, with the time it took."""
    began, cpu = time.monotonic(), cpu_seconds()
    result = cast("dict[str, Any]", utility(*words, **options))
    wanted = ("verdict", "by_fraction", "arms", "settings", "data", "warnings", "trainings", "made_by")
    figures = {name: result[name] for name in wanted}
    figures["data"] = {name: value for name, value in figures["data"].items() if name != "tiles"}
    return figures | {"seconds": time.monotonic() - began, "cpu_seconds": cpu_seconds() - cpu}


def keep(found: dict[str, Any]) -> None:
    """Add results to the file of results."""
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(kept | found, indent=1) + "\n", encoding="utf-8")


def cpu_seconds() -> float:
    """Of this process and the ones it waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def show(name: str, figures: dict[str, Any]) -> None:
    """Print a result."""
    print(f"\n{name}: {figures['verdict']} ({figures['seconds']:.0f} s, {figures['cpu_seconds']:.0f} CPU s)", flush=True)
    for row in figures["arms"]:
        error = row["iou"]["standard_error"]
        print(f"  {100 * row['fraction']:5g} %  {row['arm']:26} IoU {row['iou']['mean']:.3f} ± {error:.3f}", flush=True)
    for entry in figures["by_fraction"]:
        print(f"  {entry['text']}", flush=True)


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=list(NAMES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = options.out or Path(name)
        if options.data:
            keep({"real tiles": real(root, options.data)})
        if options.only:
            towns(root, options.only)


if __name__ == "__main__":
    main()
