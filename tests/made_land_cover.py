"""Simulated land cover: tiles whose classes have colours of their own, and a town that is like none of them."""

import numpy as np

from orthoforge.material.library import Library

SIZE = 112
LAND, BUILDING, ROAD, TREES, WATER = range(5)
COLOURS = np.array([[180, 160, 130], [170, 60, 50], [70, 70, 76], [40, 90, 40], [50, 90, 150]])


def make_land_cover(tiles: int = 6, seed: int = 0) -> Library:
    """Tiles with houses, a road, a wood and water, each class of a colour of its own."""
    random = np.random.default_rng(seed)
    classes = np.full((tiles, SIZE, SIZE), LAND, np.uint8)
    for tile in classes:
        at = int(random.integers(10, SIZE - 24))
        tile[:, at : at + 14] = ROAD
        tile[at : at + 12] = ROAD
        tile[: at // 2 + 12, : at // 2 + 12] = TREES
        tile[-at // 2 - 20 :, -40:] = WATER
        for row in range(20, SIZE - 40, 40):
            tile[row : row + 16, 70:88] = BUILDING
    noise = random.normal(0, 4, (*classes.shape, 1)) + random.integers(-10, 10, (tiles, 1, 1, 1))
    images = np.clip(COLOURS[classes] + noise, 0, 255).astype(np.uint8)
    names = tuple(f"town{number}" for number in range(tiles))
    return Library(images, classes == BUILDING, np.zeros(tiles, int), ("place0",), names, classes)


def make_classed_town(height: int = 220, width: int = 240) -> np.ndarray:
    """Classes (H, W) of a town that is like no tile: a slanting road, a lake, a wood and houses."""
    rows, cols = np.mgrid[:height, :width]
    town = np.full((height, width), LAND, np.uint8)
    town[np.abs(rows - 0.6 * cols - 20) < 7] = ROAD
    town[(rows - 50) ** 2 + (cols - 180) ** 2 < 40**2] = WATER
    town[150:200, 20:110] = TREES
    for row, col in ((90, 20), (130, 140), (180, 200), (20, 80)):
        town[row : row + 18, col : col + 22] = BUILDING
    return town
