"""How much detail canvases have where, and how light their ground is, beside the real tiles of the same masks.

    python -m bench.detail DATA STATE [--place rf_arid] [--tiles 22] [--weights orthoforge-material]

Detail is a standard deviation in levels: fine is what a Gaussian of 1 px takes away, middling what one of 4 px then takes away.
A segmenter that learns from canvases can tell buildings by any detail that canvases lack there, and then looks for that. Then come
quantiles of brightness of the ground by its distance off buildings.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from scipy import ndimage

from bench.proof.places import PLACES, tiles_of
from bench.shortcuts import given_tiles, parser_of_a_place

# An edge reaches so far to both sides, what lies beside walls so far out, other ground is so far off.
EDGE_PX, BESIDE_PX, OFF_PX = 2, 5, 4
BANDS_PX, QUANTILES = (1, 5, 10, 20, 40, 200), (0.05, 0.25, 0.5, 0.75, 0.95)


def parts_of(mask: np.ndarray) -> dict[str, np.ndarray]:
    """Parts of a tile by its mask (S, S), bool each."""
    built = mask > 0
    near, inner = ndimage.binary_dilation(built, iterations=EDGE_PX), ndimage.binary_erosion(built, iterations=EDGE_PX)
    return {
        "roofs": inner,
        "edges of roofs": near & ~inner,
        "beside walls": ndimage.binary_dilation(built, iterations=BESIDE_PX) & ~ndimage.binary_dilation(built),
        "other ground": ~ndimage.binary_dilation(built, iterations=OFF_PX),
    }


def detail_of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fine and middling detail of an image (S, S, B), squared levels (S, S)."""
    brightness = image.astype(np.float64).mean(axis=2)
    soft, softer = (ndimage.gaussian_filter(brightness, sigma) for sigma in (1, 4))
    return (brightness - soft) ** 2, (soft - softer) ** 2


def measured(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[str, float, float]]:
    """Each part of images with their masks, and its fine and middling detail in levels."""
    found: dict[str, list[np.ndarray]] = {}
    for image, mask in pairs:
        fine, middling = detail_of(image)
        for name, part in parts_of(mask).items():
            found.setdefault(name, []).append(np.stack([fine[part], middling[part]]))
    for name, squares in found.items():
        both = np.sqrt(np.concatenate(squares, axis=1).mean(axis=1))
        yield name, float(both[0]), float(both[1])


def brightness(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Bands of ground by how many pixels off buildings, and the ``QUANTILES`` of their brightness in levels."""
    found: list[list[np.ndarray]] = [[] for _ in pairwise(BANDS_PX)]
    for image, mask in zip(images, masks, strict=True):
        off_px = ndimage.distance_transform_edt(mask == 0) if mask.any() else np.full(mask.shape, 1e3)
        for values, (least, most) in zip(found, pairwise(BANDS_PX), strict=True):
            values.append(image.mean(axis=2)[(off_px > least) & (off_px <= most)])
    for values, (least, most) in zip(found, pairwise(BANDS_PX), strict=True):
        yield f"{least} to {most} px", np.quantile(np.concatenate(values), QUANTILES)


def main() -> None:
    """Measure and print."""
    options = parser_of_a_place(__doc__).parse_args()
    torch.set_num_threads(1)
    tiles = given_tiles(tiles_of(PLACES[options.place], options.data, options.state / "places"), options.tiles, options.weights)
    canvases = [tiles.canvas(number, number) for number in range(len(tiles.masks))]
    print(f"{options.place}, {options.tiles} tiles: fine and middling detail in levels, real tiles and canvases")
    real, made = (measured(zip(images, tiles.masks, strict=True)) for images in (tiles.images, canvases))
    for (name, *of_real), (_, *of_made) in zip(real, made, strict=True):
        print(f"| {name} | {of_real[0]:.1f}, {of_real[1]:.1f} | {of_made[0]:.1f}, {of_made[1]:.1f} |")
    print(f"brightness of ground: quantiles {QUANTILES} of real tiles and canvases")
    for (band, real_levels), (_, levels) in zip(*(brightness(of, tiles.masks) for of in (tiles.images, canvases)), strict=True):
        print(f"| {band} | {' / '.join(f'{one:.0f}' for one in real_levels)} | {' / '.join(f'{one:.0f}' for one in levels)} |")


if __name__ == "__main__":
    main()
