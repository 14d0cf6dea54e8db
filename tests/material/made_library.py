"""Libraries of simulated tiles: red roofs on green ground, each tile with a tone of its own."""

import numpy as np

from orthoforge.material.library import Library

SIZE = 112


def make_library(tiles: int = 6, *, places: int = 1, seed: int = 0, bands: int = 3) -> Library:
    random = np.random.default_rng(seed)
    images = np.empty((tiles, SIZE, SIZE, bands), np.uint8)
    masks = np.zeros((tiles, SIZE, SIZE), bool)
    for image, mask in zip(images, masks, strict=True):
        for row in range(8, SIZE - 24, 36):
            for col in range(8, SIZE - 24, 40):
                height, width = random.integers(14, 22, 2)
                mask[row : row + height, col : col + width] = True
        ground = np.array([90, 130, 80, 60])[:bands] + random.integers(-15, 15, bands)
        roof = np.array([170, 60, 50, 90])[:bands] + random.integers(-15, 15, bands)
        image[...] = np.clip(np.where(mask[..., None], roof, ground) + random.normal(0, 4, (SIZE, SIZE, 1)), 0, 255)
    names = tuple(f"town{number}" for number in range(tiles))
    return Library(images, masks, np.arange(tiles) % places, tuple(f"place{number}" for number in range(places)), names)


def make_town(height: int = 300, width: int = 260, seed: int = 1) -> np.ndarray:
    """A mask (H, W) with houses, a long one among them and one that is cut off."""
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    for row in range(20, height - 30, 44):
        for col in range(15, width - 30, 48):
            tall, wide = random.integers(12, 26, 2)
            mask[row : row + tall, col : col + wide] = True
    mask[100:118, 10:220] = True
    mask[100:150, 60:80] = True  # a wing of it
    mask[180:240, 150:190] = np.kron(np.tri(15, 10, 2, bool), np.ones((4, 4), bool))  # as if of a coarser mask
    mask[-12:, 60:90] = True
    return mask
