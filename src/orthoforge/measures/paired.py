"""Scores of an image against the real one of the same mask, and the floor that says what the numbers are worth."""

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
import torch

from orthoforge.measures.means import Mean, mean_and_error
from orthoforge.measures.pixels import SEED_PSNR_OFFSET_DB, detail_levels, psnr
from orthoforge.measures.similarity import MS_SSIM_LEAST_PX, ssim_and_ms_ssim
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.store import TileStore

METRICS = {
    "psnr": "peak signal-to-noise ratio in dB over the tile's pixels and bands, range 255; higher is closer",
    "ssim": "structural similarity (Gaussian window of 11 px, σ 1.5), 1 when equal; higher is closer",
    "psnr_seed": "psnr by the formula of the 2021 project, 6.02 dB lower; only for comparison with its figures",
    "l1_levels": "mean absolute difference in levels of 0 to 255; lower is closer",
    "detail_levels": "mean absolute difference between neighbouring pixels of an image, in levels; best near the real images'",
}
MORE_METRICS = {
    "ms_ssim": f"structural similarity at five scales, 1 when equal; needs sides of {MS_SSIM_LEAST_PX} px; higher is closer",
    "perceptual": "distance of unit-length features of EfficientNet-Lite0, as LPIPS without learnt weights; lower is closer",
    "lpips": "LPIPS (Zhang et al. 2018), from the weights that were given; lower is closer",
}
# Equal images have no finite PSNR. Rounding to bytes alone allows 59 dB, so nothing else reaches this.
PSNR_OF_EQUAL_DB = 100.0

Image = Literal["generated", "mean_colours", "real"]
Scores = dict[str, float]
"""By metric: those of ``METRICS``, and of ``MORE_METRICS`` those that were measured."""


class PairScores(TypedDict):
    """What an image, the floor in its place and the real image score."""

    generated: Scores
    mean_colours: Scores
    real: Scores


class MeanScores(TypedDict):
    """Means over tiles by metric, for each kind of image."""

    generated: dict[str, Mean]
    mean_colours: dict[str, Mean]
    real: dict[str, Mean]


def tile_scores(image: np.ndarray, real: np.ndarray) -> Scores:
    """All of ``METRICS`` for an image and the real one, both (H, W, 3) uint8."""
    scores = pair_scores(np.array(image)[None], np.array(real)[None])[0]  # copies: torch takes no read-only arrays
    return {name: scores[name] for name in METRICS}


def pair_scores(images: np.ndarray, reals: np.ndarray) -> list[Scores]:
    """``METRICS`` of each image (N, H, W, 3) uint8 and the real one in its place, and ``ms_ssim`` where it can be had."""
    fake_tensor, real_tensor = (encode_image(torch.from_numpy(np.ascontiguousarray(pixels))) for pixels in (images, reals))
    decibels = psnr(fake_tensor, real_tensor).clamp(max=PSNR_OF_EQUAL_DB)
    similarities, multiscale = ssim_and_ms_ssim(fake_tensor, real_tensor)
    rows = []
    for number, (image, real) in enumerate(zip(images, reals, strict=True)):
        scores = {
            "psnr": float(decibels[number]),
            "ssim": float(similarities[number]),
            "psnr_seed": float(decibels[number]) - SEED_PSNR_OFFSET_DB,
            "l1_levels": float(np.abs(image.astype(np.int16) - real).mean()),
            "detail_levels": detail_levels(image),
        }
        rows.append(scores if multiscale is None else scores | {"ms_ssim": float(multiscale[number])})
    return rows


def mean_colours(store: TileStore, tile_ids: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """The mean colour of each mask value (256, 3) uint8 for each place of ``tile_ids``, and in words where they come from.

    Indexed with a mask it is the picture of a generator that learnt each place's colours and no texture. The colours come from
    training tiles, of the same place where it has any; without training tiles from ``tile_ids`` themselves, which flatters it.
    """
    source, words = store.ids("train"), "the training tiles of each place"
    if not len(source):
        source, words = tile_ids, "the scored tiles themselves, for want of training tiles"
    sums: dict[str, np.ndarray] = {}
    for tile_id in source.tolist():
        image, mask = store.tile(tile_id)
        place = store.rows[tile_id].place
        bands = [image[..., band].ravel() for band in range(3)] + [np.ones(mask.size)]
        counted = np.stack([np.bincount(mask.ravel(), weights=band, minlength=256) for band in bands], axis=1)  # (256, 4)
        sums[place] = sums.get(place, np.zeros((256, 4))) + counted
    everywhere = np.sum(list(sums.values()), axis=0)
    places = {store.rows[tile_id].place for tile_id in tile_ids.tolist()}
    if places - sums.keys():
        words += f" (of all places for {', '.join(sorted(places - sums.keys()))})"
    return {place: _colours(sums.get(place, everywhere)) for place in places}, words


def mean_scores(tiles: Sequence[PairScores]) -> MeanScores:
    """Mean, standard error and n of every metric, for each kind of image, over the tiles that have it."""

    def means(image: Image) -> dict[str, Mean]:
        rows = [row[image] for row in tiles]
        metrics = dict.fromkeys(name for row in rows for name in row)
        return {metric: mean_and_error(row[metric] for row in rows if metric in row) for metric in metrics}

    return {"generated": means("generated"), "mean_colours": means("mean_colours"), "real": means("real")}


def _colours(sums: np.ndarray) -> np.ndarray:
    """(256, 4) sums of red, green, blue and pixels by mask value to (256, 3) uint8; unseen values get the mean of all."""
    seen = sums[:, 3] > 0
    colours = np.tile(sums[:, :3].sum(0) / sums[:, 3].sum(), (256, 1))
    colours[seen] = sums[seen, :3] / sums[seen, 3:]
    return colours.round().astype(np.uint8)
