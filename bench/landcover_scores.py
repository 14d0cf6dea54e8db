"""Whether images of land cover show their masks: segmenters of all classes, on generated images beside the real ones.

    python -m bench.landcover DUBAI WHOLE --whole
    orthoforge prepare WHOLE whole-tiles --palette WHOLE/palette.json --pixel-size 1 --gsd 1 --size 224 --split digits
    python -m bench.landcover_scores TILES whole-tiles WEIGHTS [--refinement 0 1] [--seeds 2] [--segmenters FOLDER]

TILES as ``bench/landcover.py`` says. Generated and asked about are its validation and test tiles, in three folds by the number of
the scene. A segmenter of a fold learns from whole scenes of the other two numbers, which are real and of no library. Tiles that
show rare classes come more often. Each image is that of a tile's mask in the style of its place. Prints for each set the
intersection over union of each class, all pixels of the folds together, and what it is of that in real images: the mean over the
seeds of the segmenters, and the least and the most of single folds and seeds. The picture shows mask, generated and real.
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
_TIMES = 8  # a tile of the mean content comes so often before any comes again


def main() -> None:
    """Generate, train segmenters, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("whole", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--refinement", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--segmenters", type=Path, help="folder of those that were trained here before, or where to keep them")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store, whole = TileStore.open(options.tiles), TileStore.open(options.whole)
    asked = [tile_id for tile_id in held_out(store) if number_of(store, tile_id) in options.folds]
    real, masks = (np.stack(part) for part in zip(*(store.tile(tile_id) for tile_id in asked), strict=True))
    sets, generator = {"real": real}, load_generator(options.weights)
    for share in options.refinement:
        images_of = TileImages(generator.with_refinement(share))
        sets[f"refinement {share:g}"] = np.stack([images_of.of_tile(store, tile_id, 0) for tile_id in asked])
    if options.picture:
        shown = np.concatenate([store.mask_rgb(masks), *list(sets.values())[1:], real], axis=2)
        Image.fromarray(shown.reshape(-1, *shown.shape[2:])).save(options.picture)
    folder = options.segmenters or Path(tempfile.mkdtemp())
    folds = np.array([number_of(store, tile_id) for tile_id in asked])
    counts = {name: np.zeros((options.seeds, len(options.folds), 2, store.class_count or 0)) for name in sets}
    for seed in range(options.seeds):
        for at, fold in enumerate(options.folds):
            segmenter = opened(whole, folder / f"{fold}-{seed}-{options.steps}", fold, SegmenterSettings(
                steps=options.steps, crop_px=112, batch_size=8, seed=seed
            ))  # fmt: skip
            own = folds == fold
            for name, images in sets.items():
                counts[name][seed, at] = overlaps(segmenter(images[own]), masks[own], store.class_count or 0)
    print(f"{len(asked)} tiles; segmenters of {options.steps} steps, {options.seeds} seeds, {len(options.folds)} folds\n")
    for line in table(counts, store.classes.names if store.classes else (), masks):
        print(line)


def held_out(store: TileStore) -> list[int]:
    """The validation and test tiles."""
    return [int(tile_id) for split in ("val", "test") for tile_id in store.ids(split)]


def number_of(store: TileStore, tile_id: int) -> int:
    """The last digit of the scene's number."""
    return int(store.rows[tile_id].scene[-1])


def opened(whole: TileStore, folder: Path, fold: int, settings: SegmenterSettings) -> Segmenter:
    """The segmenter that lies in a folder, or a new one of the other folds, which is put there."""
    if not folder.is_dir():
        ids = np.array([tile_id for tile_id in held_out(whole) if number_of(whole, tile_id) != fold])
        sample = tile_sample(whole, np.repeat(ids, times(whole, ids, fold)), settings)
        train_segmenter(sample, settings, class_count=whole.class_count).save(folder)
    return Segmenter.load(folder)


def times(whole: TileStore, ids: np.ndarray, fold: int) -> np.ndarray:
    """How often each tile comes: by its shares of the classes, each in parts of what all tiles have of it, without the last class,
    which is what nobody labelled."""
    count = whole.class_count or 0
    shares = np.stack([np.bincount(whole.tile(int(tile_id))[1].ravel(), minlength=count)[: count - 1] for tile_id in ids])
    wanted = (shares / shares.sum(axis=0)).sum(axis=1)
    chance = np.random.default_rng(fold).random(len(ids))
    return np.round(_TIMES * (0.9 * wanted / wanted.mean() + 0.1 * chance)).astype(int)


def overlaps(found: np.ndarray, there: np.ndarray, count: int) -> np.ndarray:
    """Intersection and union of each class, (2, count), of all pixels together."""
    both = [[((found == k) & (there == k)).sum(), ((found == k) | (there == k)).sum()] for k in range(count)]
    return np.array(both).T


def table(counts: dict[str, np.ndarray], names: tuple[str, ...], masks: np.ndarray) -> list[str]:
    """Rows of a table: each class, its share of pixels, and the intersection over union in each set, of real in parentheses."""
    lines = ["| class | share of pixels | " + " | ".join(counts) + " |", "|---" * (len(counts) + 2) + "|"]
    for index, name in enumerate(names):
        cells = []
        real = score(counts["real"][..., index].sum(axis=1))
        for label, of in counts.items():
            own = score(of[..., index].sum(axis=1))
            cells.append(f"{own.mean():.3f}")
            if label != "real" and real.min() > _LEAST:
                single = score(counts["real"][..., index])
                parts = (score(of[..., index]) / np.maximum(single, 1e-9))[single > _LEAST]
                cells[-1] += f" ({(own / real).mean():.2f}; {parts.min():.2f} to {parts.max():.2f})"
        lines.append(f"| {name} | {(masks == index).mean():.3f} | " + " | ".join(cells) + " |")
    return lines


def score(pair: np.ndarray) -> np.ndarray:
    """Intersections over unions, (n, …), of counts (n, …, 2)."""
    return pair[..., 0] / np.maximum(pair[..., 1], 1)


if __name__ == "__main__":
    main()
