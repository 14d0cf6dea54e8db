"""What a segmenter learns of composed images in place of buildings: each part of them swapped for the real one in turn.

    python -m bench.shortcuts DATA STATE [--place rf_arid] [--tiles 22] [--seeds 2] [--weights RUN]

Segmenters are taught with strong augmentation by one set of images at a time and tested on the place's real test tiles. A shortcut
shows as high precision with low recall: of real roofs only those that bear the mark are found. Near buildings is within 15 px. The
last set has real tiles and canvases alike. Outcomes are kept in STATE and printed with what is there; the figures of
docs/decisions/material.md are these.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from bench.proof.places import PLACES, tiles_of
from orthoforge.geo.grid import Window
from orthoforge.material.canvas import Composer
from orthoforge.measures.segmenter.augmentation import source_px, strongly_augmented
from orthoforge.measures.segmenter.segmentation import Sample, SegmenterSettings, train_segmenter
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import training_on
from orthoforge.trained_generator import TrainedGenerator, load_generator
from orthoforge.usefulness.design import real_subset

STEPS, COPIES = 200, 4
NEAR_PX, OTHER_SEED = 15, 7777
Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tiles:
    """Images (N, S, S, 3) and masks (N, S, S) of a user's tiles, and a generator that is given them as material."""

    images: np.ndarray
    masks: np.ndarray
    generator: TrainedGenerator

    def canvas(self, number: int, seed: int, *, of_itself: bool = False, sun: float | None = None) -> np.ndarray:
        """A canvas of a tile's own mask, of all other tiles' material or, ``of_itself``, of its own; under a ``sun`` elsewhere."""
        mask, library = self.masks[number], self.generator.library
        assert library is not None
        buildings = self.generator.buildings_of(lambda window: mask[window.slices], *mask.shape)
        assert buildings is not None
        own = int(np.abs(library.images.astype(int) - self.images[number]).sum(axis=(1, 2, 3)).argmin())
        without = [other for other in range(len(library)) if other != own] if of_itself else [own]
        composer = Composer.of(library, buildings, seed=seed, place=0, without=without, sun=sun)
        return composer.canvas(Window(0, 0, *mask.shape)).image

    def refined(self, number: int, seed: int, canvas: np.ndarray) -> np.ndarray:
        """What the network makes of a canvas."""
        return self.generator(self.masks[number], seed=seed, told=np.ascontiguousarray(canvas))

    def made(self, one: Callable[[int, int], np.ndarray], copies: int = COPIES) -> Pairs:
        """``one`` of each tile's number and a seed, ``copies`` of each tile."""
        count = len(self.images)
        made = [one(number, 5000 + count * copy + number) for copy in range(copies) for number in range(count)]
        return np.stack(made), np.concatenate([self.masks] * copies)

    def roofs_on(self, number: int, roofs: np.ndarray, ground: np.ndarray) -> np.ndarray:
        """``roofs`` where the tile's mask has buildings, ``ground`` elsewhere."""
        return np.where((self.masks[number] > 0)[..., None], roofs, ground)

    def beside(self, number: int, ring: np.ndarray, others: np.ndarray) -> np.ndarray:
        """``ring`` on the ground within ``NEAR_PX`` of the tile's buildings, ``others`` on these and farther off."""
        off_px = self._off_px(number)
        return np.where(((off_px > 0) & (off_px <= NEAR_PX))[..., None], ring, others)

    def beyond(self, number: int, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """``near`` on the tile's buildings and within ``NEAR_PX`` of them, ``far`` elsewhere."""
        return np.where((self._off_px(number) > NEAR_PX)[..., None], far, near)

    def _off_px(self, number: int) -> np.ndarray:
        free = self.masks[number] == 0
        return np.full(free.shape, np.inf) if free.all() else ndimage.distance_transform_edt(free)


def sets_of(tiles: Tiles) -> dict[str, Callable[[], Pairs]]:
    """The sets by name, from real images to refined canvases."""
    real = tiles.images
    return {
        "real": lambda: (real, tiles.masks),
        "real, refined": lambda: tiles.made(lambda number, seed: tiles.refined(number, seed, real[number]), 1),
        "real ground, real roofs turned there and back": lambda: tiles.made(
            lambda number, seed: tiles.roofs_on(number, turned_and_back(real[number], seed), real[number]), 1
        ),
        "real ground, own roofs laid again": lambda: tiles.made(
            lambda number, seed: tiles.roofs_on(number, tiles.canvas(number, seed, of_itself=True), real[number]), 1
        ),
        "real ground, roofs of other tiles": lambda: tiles.made(
            lambda number, seed: tiles.roofs_on(number, tiles.canvas(number, seed), real[number])
        ),
        "composed ground, real roofs": lambda: tiles.made(
            lambda number, seed: tiles.roofs_on(number, real[number], tiles.canvas(number, seed))
        ),
        "canvas": lambda: tiles.made(tiles.canvas),
        "canvas, refined": lambda: tiles.made(lambda number, seed: tiles.refined(number, seed, tiles.canvas(number, seed))),
        "canvas, real ground near buildings": lambda: tiles.made(
            lambda number, seed: tiles.beside(number, real[number], tiles.canvas(number, seed))
        ),
        "real, composed ground near buildings": lambda: tiles.made(
            lambda number, seed: tiles.beside(number, tiles.canvas(number, seed), real[number])
        ),
        "canvas, farther off another one": lambda: tiles.made(
            lambda number, seed: tiles.beyond(number, tiles.canvas(number, seed), tiles.canvas(number, seed + OTHER_SEED))
        ),
        "real and canvas, 1:1": lambda: both((real, tiles.masks), tiles.made(tiles.canvas)),
    }


def both(real: Pairs, made: Pairs) -> Pairs:
    """Real pairs as often as those that were made of them, and these."""
    images, masks = (np.concatenate([*[some] * COPIES, others]) for some, others in zip(real, made, strict=True))
    return images, masks


def turned_and_back(image: np.ndarray, seed: int) -> np.ndarray:
    """An image (S, S, B) uint8 that was turned and scaled, and turned back: twice interpolated by cubic splines."""
    rng = np.random.default_rng(seed)
    angle, scale = np.radians(rng.uniform(10, 80)), rng.uniform(0.8, 1.25)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    side = len(image)
    large = int(1.8 * side / min(scale, 1))
    middle, middle_of_large = np.full(2, (side - 1) / 2), np.full(2, (large - 1) / 2)
    bands = []
    for band in np.moveaxis(image.astype(np.float32), 2, 0):
        there = ndimage.affine_transform(
            band, turn, middle - turn @ middle_of_large, output_shape=(large, large), order=3, mode="mirror"
        )
        back = np.linalg.inv(turn)
        bands.append(
            ndimage.affine_transform(
                there, back, middle_of_large - back @ middle, output_shape=(side, side), order=3, mode="mirror"
            )
        )
    return np.clip(np.rint(np.stack(bands, axis=-1)), 0, 255).astype(np.uint8)


def sample_of(pairs: Pairs, seed: int, settings: SegmenterSettings) -> Sample:
    """Strongly augmented crops of the pairs in all eight orientations, each pair once before any comes twice."""
    images, masks = pairs
    side = source_px(settings.crop_px, images.shape[1])

    def sample(step: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, step])
        cut: list[Pairs] = []
        for position in range(step * settings.batch_size, (step + 1) * settings.batch_size):
            epoch, at = divmod(position, len(images))
            number = np.random.default_rng([seed, epoch]).permutation(len(images))[at]
            row, col = rng.integers(0, images.shape[1] - side + 1, 2)
            turns, flip = divmod(int(rng.integers(8)), 2)
            part = slice(row, row + side), slice(col, col + side)
            image, mask = images[number][part], masks[number][part]
            image, mask = (image.swapaxes(0, 1), mask.T) if flip else (image, mask)
            cut.append((np.rot90(image, turns), np.rot90(mask, turns)))
        keys = [(seed, step, number) for number in range(len(cut))]
        return strongly_augmented(*map(np.stack, zip(*cut, strict=True)), crop_px=settings.crop_px, keys=keys)

    return sample


def scores(pairs: Pairs, test: Pairs, seed: int) -> dict[str, float]:
    """IoU, precision and recall on ``test`` of a segmenter that ``pairs`` taught."""
    settings = SegmenterSettings(steps=STEPS, seed=seed)
    segmenter = train_segmenter(sample_of(pairs, seed, settings), settings)
    found = np.concatenate([segmenter(test[0][at : at + 4]) for at in range(0, len(test[0]), 4)]) > 0
    right = test[1] > 0
    both = float((found & right).sum())
    counts = {"iou": found | right, "precision": found, "recall": right}
    return {score: both / max(1.0, float(of.sum())) for score, of in counts.items()}


def pairs_of(store: TileStore, ids: Sequence[int]) -> Pairs:
    """Images and masks of tiles."""
    images, masks = zip(*(store.tile(tile_id) for tile_id in ids), strict=True)
    return np.stack(images), np.stack(masks)


def given_tiles(store: TileStore, count: int, weights: str) -> Tiles:
    """So many training tiles of a store, as material of a generator."""
    train = store.ids("train")
    subset = real_subset(store.rows, train, fraction=count / len(train), seed=0)
    given = load_generator(weights).with_material(replace(training_on(store, subset), shown=None)).with_refinement(1)
    return Tiles(*pairs_of(store, subset.tolist()), given.with_style(given.styles[0]))


def parser_of_a_place(description: str | None) -> argparse.ArgumentParser:
    """What says which tiles and weights to look at."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--place", default="rf_arid", choices=sorted(PLACES))
    parser.add_argument("--tiles", type=int, default=22)
    parser.add_argument("--weights", default="orthoforge-material")
    return parser


def main() -> None:
    """Teach and test what is missing, and print what is there."""
    parser = parser_of_a_place(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", nargs="*", help="some of them, by number from 0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = tiles_of(PLACES[options.place], options.data, options.state / "places")
    tiles = given_tiles(store, options.tiles, options.weights)
    test = pairs_of(store, store.ids("test").tolist())
    kept = options.state / f"shortcuts-{options.place}-{options.tiles}-{tiles.generator.sha256[:8]}.json"
    rows: dict[str, list[dict[str, float]]] = json.loads(kept.read_text()) if kept.exists() else {}
    for number, (name, make) in enumerate(sets_of(tiles).items()):
        if options.sets and str(number) not in options.sets:
            continue
        pairs = make() if len(rows.get(name, [])) < options.seeds else None
        for seed in range(len(rows.get(name, [])), options.seeds):
            assert pairs is not None
            rows.setdefault(name, []).append(scores(pairs, test, seed))
            kept.write_text(json.dumps(rows, indent=1))
            print(f"{name}, seed {seed}: {rows[name][-1]}", flush=True)
    print(f"{options.place}, {options.tiles} tiles, {len(test[0])} test tiles, {STEPS} steps")
    for name, found in rows.items():
        means = {score: np.mean([row[score] for row in found]) for score in ("iou", "precision", "recall")}
        print(f"| {name} | {len(found)} | {means['iou']:.3f} | {means['precision']:.2f} | {means['recall']:.2f} |")


if __name__ == "__main__":
    main()
