"""What can be made of the images of a place without labels: training tiles for each way to use them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from skimage.exposure import match_histograms
from skimage.morphology import remove_small_objects

from bench.proof.places import GSD_M
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.measures.segmenter.segmentation import Segmenter
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.usefulness.own_material import own_tiles

_CRS, _APART_M = CRS.from_epsg(32633), 10_000.0
_LEAST_PX = 40  # of what a segmenter takes for a building
_SWAPPED = 0.02  # of the spectrum's side on each side of its middle (Yang and Soatto 2020 took 0.01 to 0.09)


class Pair(NamedTuple):
    """``image`` (S, S, 3) uint8 and its ``mask`` (S, S) uint8 of 0 and 255."""

    image: np.ndarray
    mask: np.ndarray


def pairs_of(store: TileStore, ids: np.ndarray) -> list[Pair]:
    """Tiles of a store."""
    return [Pair(*store.tile(tile_id)) for tile_id in ids.tolist()]


def as_tiles(pairs: Iterable[Pair], folder: Path, *, place: str) -> TileStore:
    """Pairs of one size as training tiles in ``folder``; what was begun there is gone on with."""
    size_px = 0
    for number, pair in enumerate(pairs):
        size_px = len(pair.mask)
        for kind, pixels in (("images", pair.image), ("masks", pair.mask)):
            path = folder / "scenes" / kind / f"{place}_{10 * number}.tif"
            transform = Affine(GSD_M, 0, _APART_M * number, 0, -GSD_M, 5_000_000)
            write_geotiff(path, np.ascontiguousarray(pixels), Grid(size_px, size_px, transform, _CRS), overwrite=True)
    return prepare(folder / "scenes", folder / "tiles", gsd=GSD_M, size=size_px, split="digits", workers=1)


def seen_by(segmenter: Segmenter, target: Sequence[Pair]) -> list[Pair]:
    """The images with what a segmenter takes for buildings, by the mean over four turns; specks left out."""
    images = np.stack([pair.image for pair in target])
    turns = [np.rot90(segmenter.probabilities(np.rot90(images, turn, (1, 2))), -turn, (1, 2)) for turn in range(4)]
    masks = np.mean(turns, axis=0) > 0.5
    return [
        Pair(image, remove_small_objects(mask, max_size=_LEAST_PX).astype(np.uint8) * 255)
        for image, mask in zip(images, masks, strict=True)
    ]


def with_histograms(source: Sequence[Pair], target: Sequence[Pair], seed: int) -> list[Pair]:
    """Each pair of the source, with the histograms of an image of the target."""
    looks = _looks(target, len(source), seed)
    return [
        Pair(np.rint(match_histograms(pair.image, look, channel_axis=-1)).astype(np.uint8), pair.mask)
        for pair, look in zip(source, looks, strict=True)
    ]


def with_spectra(source: Sequence[Pair], target: Sequence[Pair], seed: int) -> list[Pair]:
    """Each pair of the source, with the low frequencies of an image of the target (Yang and Soatto, CVPR 2020)."""
    looks = _looks(target, len(source), seed)
    return [Pair(_swapped(pair.image, look), pair.mask) for pair, look in zip(source, looks, strict=True)]


def in_colours_of(generator: TrainedGenerator, source: Sequence[Pair], target: Sequence[Pair], seed: int) -> list[Pair]:
    """Images of the source's masks in the style of images of the target, with the colours of their roofs and ground."""
    chosen = np.random.default_rng((seed, 2)).integers(0, len(target), len(source)).tolist()
    made = []
    for number, (pair, look) in enumerate(zip(source, chosen, strict=True)):
        mask = target[look].mask
        known = mask if (mask > 0).any() and (mask == 0).any() else None
        styled = generator.with_style(target[look].image, mask=known)
        made.append(Pair(styled(pair.mask, seed=1000 * seed + number), pair.mask))
    return made


def canvases_of(generator: TrainedGenerator, seen: TileStore, folder: Path, seed: int) -> TileStore:
    """Canvases of the roofs and ground that a segmenter saw in the target, by the masks that it saw, turned and shifted."""
    return own_tiles(generator, seen, seen.ids("train"), folder, masks="turned", most=4 * len(seen.rows), seed=seed)


def _looks(target: Sequence[Pair], count: int, seed: int) -> list[np.ndarray]:
    return [target[number].image for number in np.random.default_rng((seed, 1)).integers(0, len(target), count).tolist()]


def _swapped(image: np.ndarray, look: np.ndarray) -> np.ndarray:
    own, other = (np.fft.fftshift(np.fft.fft2(pixels.astype(np.float32), axes=(0, 1)), axes=(0, 1)) for pixels in (image, look))
    side, middle = round(_SWAPPED * len(image)), len(image) // 2
    low = slice(middle - side, middle + side + 1)
    amplitude = np.abs(own)
    amplitude[low, low] = np.abs(other[low, low])
    mixed = np.fft.ifftshift(amplitude * np.exp(1j * np.angle(own)), axes=(0, 1))
    return np.clip(np.rint(np.fft.ifft2(mixed, axes=(0, 1)).real), 0, 255).astype(np.uint8)
