"""Masks whose buildings are shifted and partly missing, before and after `realign`: how well they fit, and what a segmenter learns.

    python -m bench.realign DATA STATE [--place barnarp] [--shift-m 2] [--dropped 0.2] [--rounds 2] [--seeds 2] [--arms noisy …]
                                       [--every 1] [--clean]

Training tiles of a place (bench/proof/places.py) get labels in which each building is shifted by itself, by a normal draw of
``--shift-m`` along rows and along columns, and a share is left out. ``realign`` sees those alone. Printed are the IoU of the labels
with the true ones before it and after each round, without and with the buildings that it finds beyond them; with ``--clean`` also
that of labels that were right already. Then the IoU on the place's clean test tiles of a segmenter taught on each kind of labels
(strong augmentation, 200 steps): ``noisy``, ``realigned``, ``found added`` and ``clean``. Figures go to
``bench/results/realign.json``. What is finished is kept in STATE, also between calls with more rounds, seeds or arms.
"""

import argparse
import contextlib
import json
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from bench.proof.places import GSD_M, PLACES, tiles_of
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.measures.segmenter.mask_scores import mask_scores, pooled_scores
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, train_segmenter
from orthoforge.realigning.learning import Ground, ground_sample
from orthoforge.realigning.realign import Realigned, realign
from orthoforge.tiles.store import TileStore, centre_batch

RESULTS = Path(__file__).parent / "results" / "realign.json"
STEPS = 200
ARMS = ("noisy", "realigned", "found added", "clean")


def main() -> None:
    """Realign, teach, test, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--place", default="barnarp", choices=[name for name in PLACES if not PLACES[name].like])
    parser.add_argument("--shift-m", type=float, default=2.0)
    parser.add_argument("--dropped", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    parser.add_argument("--every", type=int, default=1, help="take every so manieth training tile")
    parser.add_argument("--clean", action="store_true", help="also realign labels that are right")
    options = parser.parse_args()
    place = PLACES[options.place]
    noisy = place.with_noise(options.shift_m, options.dropped)
    state = options.state / f"{place.name}-{options.shift_m:g}m-{options.dropped:g}"
    truth, given = (tiles_of(one, options.data, state / "places") for one in (place, noisy))
    images, true_masks = (pixels[:: options.every] for pixels in pixels_of(truth, "train"))
    labels = {"noisy": pixels_of(given, "train")[1][:: options.every], "clean": true_masks}
    figures: dict[str, object] = {"tiles": len(images), "labels": {"before": iou(labels["noisy"], true_masks)}, "taught": {}}
    for number in range(1, options.rounds + 1):
        for name, add in (("realigned", False), ("found added", True)):
            labels[name], made = realigned(state / "noisy", images, labels["noisy"], rounds=number, add=add)
            figures["labels"][f"round {number}, {name}"] = iou(labels[name], true_masks)  # type: ignore[index]
        print(figures["labels"], *made.lines, sep="\n", flush=True)
    if options.clean:
        again, made = realigned(state / "clean", images, true_masks, rounds=options.rounds, add=False)
        figures["right labels afterwards"] = iou(again, true_masks)
        print(figures["right labels afterwards"], *made.lines, sep="\n", flush=True)
    test = pixels_of(truth, "test")
    for arm in options.arms:
        rounds = f"-{options.rounds}" if arm in ("realigned", "found added") else ""
        kept = [state / "arms" / f"{arm}{rounds}-{seed}.json" for seed in range(options.seeds)]
        scores = [taught_iou(images, labels[arm], test, seed, file) for seed, file in enumerate(kept)]
        figures["taught"][arm] = scores  # type: ignore[index]
        print(arm, [f"{score:.3f}" for score in scores], flush=True)
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    results[f"{place.name}, {options.shift_m:g} m, {options.dropped:.0%}"] = figures
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def realigned(folder: Path, images: np.ndarray, masks: np.ndarray, *, rounds: int, add: bool) -> tuple[np.ndarray, Realigned]:
    """The masks (N, S, S) that ``realign`` makes of tiles, each a scene of its own, 10 km from the next."""
    for number, pair in enumerate(zip(images, masks, strict=True)):
        for kind, pixels in zip(("images", "masks"), pair, strict=True):
            path = folder / "data" / kind / f"tile{number}.tif"
            if not path.exists():
                transform = Affine(GSD_M, 0, 10_000 * number, 0, -GSD_M, 5_000_000)
                height, width = pixels.shape[:2]
                write_geotiff(path, pixels, Grid(height, width, transform, CRS.from_epsg(32633)))
    made = realign(folder / "data", folder / "realigned", rounds=rounds, add=add, steps=STEPS, gsd=GSD_M)
    with contextlib.ExitStack() as stack:
        return np.stack([read_mask(stack.enter_context(open_raster(path))) for path in made.masks]), made


def pixels_of(store: TileStore, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, S, S, 3) and masks (N, S, S) of a split."""
    batch = centre_batch(store, store.ids(split), crop_px=store.size_px)
    return batch.image, batch.mask


def iou(masks: np.ndarray, others: np.ndarray) -> float:
    """Of all pixels together."""
    one, other = masks > 0, others > 0
    return float((one & other).sum() / (one | other).sum())


def taught_iou(images: np.ndarray, masks: np.ndarray, test: tuple[np.ndarray, np.ndarray], seed: int, kept: Path) -> float:
    """The IoU on test tiles of a segmenter that was taught on ``masks``; read from ``kept`` where it is finished."""
    if not kept.is_file():
        settings = SegmenterSettings(steps=STEPS, seed=seed)
        sample = ground_sample([Ground(*pair) for pair in zip(images, masks, strict=True)], settings)
        segmenter = train_segmenter(sample, settings)
        counts = [mask_scores(segmenter(image[None])[0], mask) for image, mask in zip(*test, strict=True)]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"iou": pooled_scores(counts)["iou"]}), encoding="utf-8")
    return float(json.loads(kept.read_text("utf-8"))["iou"])


if __name__ == "__main__":
    main()
