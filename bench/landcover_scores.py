"""Whether images of land cover show their masks: a segmenter of all classes, on generated images beside the real ones.

    python -m bench.landcover_scores TILES WEIGHTS [--steps 150]

TILES as ``bench/landcover.py`` says. The segmenter learns from the validation tiles, real and of no library, and is asked about the
test tiles, whose masks the generator is given in the style of their place. Prints the intersection over union of each class. The
picture, where it is asked for, shows mask, generated and real.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings, tile_sample, train_segmenter
from orthoforge.runs import TileImages
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator

_LEAST = 0.05  # of overlap in real images: a segmenter that finds less knows nothing of the class


def main() -> None:
    """Train, generate, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--segmenter", type=Path, help="folder of one that was trained here before, or where to keep it")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = TileStore.open(options.tiles)
    images_of, tests = TileImages(load_generator(options.weights)), store.ids("test").tolist()
    real, masks = (np.stack(part) for part in zip(*(store.tile(tile_id) for tile_id in tests), strict=True))
    made = np.stack([images_of.of_tile(store, tile_id, 0) for tile_id in tests])
    if options.picture:
        shown = np.concatenate([store.mask_rgb(masks), made, real], axis=2)
        Image.fromarray(shown.reshape(-1, *shown.shape[2:])).save(options.picture)
    segmenter = opened(store, options.segmenter or Path(tempfile.mkdtemp()) / "segmenter", options.steps)
    assert store.classes is not None
    found_in_real, found_in_made = (segmenter(images) for images in (real, made))
    print(f"{len(tests)} test tiles; intersection over union of a segmenter of {options.steps} steps\n")
    print("| class | share of pixels | real | generated | of real |\n|---|---|---|---|---|")
    for index, name in enumerate(store.classes.names):
        one, other = (overlap(found == index, masks == index) for found in (found_in_real, found_in_made))
        ratio = f"{other / one:.2f}" if one > _LEAST else "–"
        print(f"| {name} | {(masks == index).mean():.3f} | {one:.3f} | {other:.3f} | {ratio} |")


def opened(store: TileStore, folder: Path, steps: int) -> Segmenter:
    """The segmenter that lies in a folder, or a new one, which is put there."""
    if not folder.is_dir():
        settings = SegmenterSettings(steps=steps, crop_px=112, batch_size=6)
        sample = tile_sample(store, np.asarray(store.ids("val")), settings)
        train_segmenter(sample, settings, class_count=store.class_count).save(folder)
    return Segmenter.load(folder)


def overlap(found: np.ndarray, there: np.ndarray) -> float:
    """Intersection over union, of all pixels together; 0 where there is nothing."""
    return float((found & there).sum() / max(1, (found | there).sum()))


if __name__ == "__main__":
    main()
