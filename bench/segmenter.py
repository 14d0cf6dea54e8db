"""How well the segmenter that judges fidelity sees real tiles, by place, and what it says of images that are known to be bad.

    python -m bench.segmenter DATA [--seeds 3] [--steps 150] [--train train|val] [--json PATH]

DATA is a folder of image/mask pairs. Scenes become tiles of 256 px, split by place; tiles coarser than 0.5 m are left out. With
``--train val`` the validation tiles train the segmenter and the test tiles are looked at, as for fidelity; with ``train`` the
training tiles do, and validation and test tiles are looked at. Each seed is a training of its own on the same tiles.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, tile_sample, train_segmenter
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

SIZE_PX, COARSEST_M = 256, 0.5
GOAL_MINUTES = 15


def blurred(image: np.ndarray, factor: int) -> np.ndarray:
    """Shrunk by ``factor`` and stretched again."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    small = F.avg_pool2d(pixels, factor)
    again = F.interpolate(small, size=image.shape[:2], mode="bilinear", align_corners=False)
    return again[0].permute(1, 2, 0).round().byte().numpy()


def fine(store: TileStore, tile_ids: np.ndarray) -> np.ndarray:
    """Those of the tiles that are not too coarse for houses; a scene without metres is taken to be fine."""
    return np.array([i for i in tile_ids.tolist() if (store.rows[i].gsd_m or 0) <= COARSEST_M], np.int64)


def measure(store: TileStore, training: np.ndarray, scored: np.ndarray, settings: SegmenterSettings) -> dict:
    """One training, and what the segmenter sees in real and in spoilt images."""
    began, cpu_began = time.monotonic(), time.process_time()
    segmenter = train_segmenter(tile_sample(store, training, settings), settings)
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu_began
    spoilt = {
        "real": lambda tile_id: store.tile(tile_id)[0],
        "blurred 4×": lambda tile_id: blurred(store.tile(tile_id)[0], 4),
        "blurred 16×": lambda tile_id: blurred(store.tile(tile_id)[0], 16),
        "grey": lambda tile_id: np.full((SIZE_PX, SIZE_PX, 3), 110, np.uint8),
    }
    seen = {name: image_fidelity(segmenter, store, scored, image_of) for name, image_of in spoilt.items()}
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "seen": seen, "sha256": segmenter.sha256}


def show(seed: int, measured: dict) -> None:
    real = measured["seen"]["real"]
    places = ", ".join(f"{place} {found['real']['iou']:.3f} (n {found['n']})" for place, found in real["by_place"].items())
    print(f"seed {seed}: {measured['seconds']:.0f} s ({measured['cpu_seconds']:.0f} s of CPU)")
    print(
        f"  real IoU {real['real']['iou']:.3f}, F1 {real['real']['f1']:.3f}, boundary F {real['real']['boundary_f']:.3f}: {places}"
    )
    for name, found in measured["seen"].items():
        ratio, shuffled = found["ratio"], found["shuffled"]
        value, (low, high) = ratio["iou"]["value"], ratio["iou"]["interval"] or (np.nan, np.nan)
        print(
            f"  {name:11} fidelity {value:.3f} ({low:.3f} to {high:.3f}), of edges {ratio['boundary_f']['value']:.3f}; "
            f"shuffled IoU {shuffled['iou']:.3f}, chance {shuffled['chance_iou']:.3f}"
        )
    sizes = ", ".join(f"{name} {found['real']['found']:.2f} (n {found['n']})" for name, found in real["by_size"].items())
    print(f"  buildings found: {sizes}", flush=True)


def spread(runs: list[dict]) -> None:
    """Mean, least and most over the seeds."""
    reals = [run["seen"]["real"] for run in runs]
    columns = {"all": [real["real"]["iou"] for real in reals]}
    columns |= {place: [real["by_place"][place]["real"]["iou"] for real in reals] for place in reals[0]["by_place"]}
    for place, values in columns.items():
        print(f"{place:14} IoU {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) over {len(values)} seeds")
    slowest = max(run["seconds"] for run in runs) / 60
    print(f"slowest {slowest:.1f} min; goal {GOAL_MINUTES} min: {'reached' if slowest <= GOAL_MINUTES else 'MISSED'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=SegmenterSettings.steps)
    parser.add_argument("--train", choices=("train", "val"), default="val")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(args.data, Path(folder) / "tiles", grid=1, size=SIZE_PX)
        if args.train == "val":
            training, scored = segmenter_tiles(store)
        else:
            training, scored = store.ids("train"), np.concatenate([store.ids("val"), store.ids("test")])
        training, scored = fine(store, training), fine(store, scored)
        print(f"{len(training)} tiles train, {len(scored)} are looked at; {torch.get_num_threads()} threads", flush=True)
        runs = []
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            runs.append(measure(store, training, scored, SegmenterSettings(steps=args.steps, seed=seed)))
            show(seed, runs[-1])
        spread(runs)
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
