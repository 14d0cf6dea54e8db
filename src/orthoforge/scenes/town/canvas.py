"""The picture in the making: views of pixels, textures as functions of metres, and the surfaces of a town."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine

from orthoforge.scenes.town.model import MATERIALS, SPECIES, Place, Town, rgb
from orthoforge.scenes.town.plan import MARGIN_M

GAMMA = 2.2
NOISE_CELLS_M = (0.45, 1.7, 5.0, 17.0, 75.0)

# second colour's brightness, contrast of patches, fine and middling texture
TEXTURES = {
    "grass": (1.0, 0.9, 0.13, 0.10),
    "garden": (1.0, 1.1, 0.17, 0.12),
    "soil": (0.8, 0.9, 0.10, 0.10),
    "asphalt": (0.82, 0.8, 0.05, 0.04),
    "paving": (0.86, 0.8, 0.05, 0.05),
    "gravel": (0.84, 0.9, 0.13, 0.06),
    "crop": (1.0, 0.8, 0.10, 0.08),
    "pool": (1.12, 0.6, 0.03, 0.07),
    "forest": (1.0, 0.9, 0.20, 0.14),
    "pitch": (1.0, 0.7, 0.06, 0.05),
    "shore": (0.8, 0.9, 0.14, 0.08),
}


@dataclass(frozen=True)
class View:
    """Square pixels of `gsd` metres, the first one's corner at x0, y0."""

    x0: float
    y0: float
    rows: int
    columns: int
    gsd: float

    @property
    def transform(self) -> Affine:
        return Affine(self.gsd, 0, self.x0, 0, self.gsd, self.y0)

    @property
    def box(self) -> shapely.Polygon:
        return shapely.box(self.x0, self.y0, self.x0 + self.columns * self.gsd, self.y0 + self.rows * self.gsd)

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """x (1, columns) and y (rows, 1) of the pixel centres."""
        x = self.x0 + (np.arange(self.columns) + 0.5) * self.gsd
        y = self.y0 + (np.arange(self.rows) + 0.5) * self.gsd
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)

    def at(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y of pixels given by their flat index."""
        row, column = np.divmod(flat, self.columns)
        x, y = self.x0 + (column + 0.5) * self.gsd, self.y0 + (row + 0.5) * self.gsd
        return x.astype(np.float32), y.astype(np.float32)


class Canvas:
    """What all blocks share: search trees, noise tables, crown shapes."""

    def __init__(self, town: Town, place: Place, entropy: list[int]) -> None:
        rng = np.random.default_rng([*entropy, 7])
        self.town, self.place = town, place
        azimuth, elevation = np.radians(place.sun_azimuth_deg), np.radians(place.sun_elevation_deg)
        self.to_sun = np.array([np.sin(azimuth), -np.cos(azimuth)])
        self.tan_sun = float(np.tan(elevation))
        self.tables = rng.random((len(NOISE_CELLS_M), 256, 256), np.float32) * 2 - 1
        self.crowns = _crowns(rng)
        self.crop_period = rng.uniform(1.1, 2.8, len(town.surfaces) + 1)
        boxes = town.boxes
        self.box_sides = boxes[:, 3:5].copy()
        self.building_tree = shapely.STRtree(town.buildings)
        self.surface_tree = shapely.STRtree(town.surfaces)
        self.surface_colours = _surface_colours(town, place)
        tallest = max([6.0, *(town.roofs[:, 0] + 6.0), *town.trees[:, 3]])
        self.reach_m = min(MARGIN_M - 5, tallest / self.tan_sun)


def _surface_colours(town: Town, place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per surface, the unplanned ground first: both colours in linear radiance, (n, 3) each, and the material, (n,)."""
    palette = place.palette
    wild = np.array([[MATERIALS.index("grass"), min(1.0, place.lawn_dryness + 0.2), 0.95, 0, *rgb(palette.grass)]])
    kind = np.concatenate([wild, town.surface_kind])
    material = kind[:, 0].astype(int)
    first = kind[:, 4:7] * kind[:, 2:3]
    second = first * np.array([TEXTURES[name][0] for name in MATERIALS])[material][:, None]
    for name, low, high in (
        ("grass", rgb(palette.grass), rgb(palette.dry)),
        ("garden", rgb(palette.grass), 0.75 * rgb(palette.dry) + 0.25 * rgb(palette.soil)),
        ("forest", 0.62 * rgb(palette.grass), 0.7 * rgb(palette.soil)),
        ("pitch", rgb(palette.grass) * (0.95, 1.06, 0.95), rgb(palette.dry)),
    ):
        chosen = material == MATERIALS.index(name)
        first[chosen], second[chosen] = low * kind[chosen, 2:3], high * kind[chosen, 2:3]
    crop = material == MATERIALS.index("crop")
    second[crop] = 0.6 * first[crop] + 0.4 * rgb(palette.soil)
    return linear(first).astype(np.float32), linear(second).astype(np.float32), material


def linear(colour: np.ndarray) -> np.ndarray:
    """Linear radiance of a display colour in 0 to 1."""
    return np.asarray(np.clip(colour, 0, 1) ** GAMMA)


def noise_at(table: np.ndarray, cell: float, window: View) -> np.ndarray:
    """(rows, columns) smooth noise of about -1..1 with features of `cell` metres; the same ground gets the same noise."""
    x, y = window.axes()
    (i, f), (j, g) = _lattice(y[:, 0], cell), _lattice(x[0], cell)
    rows = table[i & 255] * (1 - f)[:, None] + table[(i + 1) & 255] * f[:, None]
    return np.asarray(rows[:, j & 255] * (1 - g) + rows[:, (j + 1) & 255] * g)


def _lattice(position: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    index = np.floor(position / cell)
    share = (position / cell - index).astype(np.float32)
    return index.astype(np.int64), share * share * (3 - 2 * share)


def fade(period: float | np.ndarray, gsd: float) -> float | np.ndarray:
    """Strength of a periodic pattern that pixels of `gsd` still resolve, 0..1."""
    return np.clip(1.6 - 2.4 * gsd / period, 0.0, 1.0)


def _crowns(rng: np.random.Generator) -> dict[int, list[np.ndarray]]:
    """Crown shapes per species, (65, 65) heights 0..1, 0 outside the crown."""
    size = 65
    v, u = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    shapes: dict[int, list[np.ndarray]] = {kind: [] for kind in range(len(SPECIES))}

    def lobes(count: int, low: float, high: float) -> np.ndarray:
        crown = np.zeros((size, size))
        for _ in range(count):
            r, a, own = 0.62 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi), rng.uniform(low, high)
            bump = 1 - ((u - r * np.cos(a)) ** 2 + (v - r * np.sin(a)) ** 2) / own**2
            top = 0.55 + 0.45 * np.sqrt(1 - r * r)
            crown = np.maximum(crown, top * np.sqrt(np.clip(bump, 0, None)))
        return crown

    for _ in range(9):
        crown = lobes(17, 0.24, 0.46)
        ragged = 1 + 0.10 * rng.standard_normal((size, size))
        shapes[0].append(np.where(crown * ragged > 0.12, np.clip(crown * ragged, 0, 1), 0))
        twigs = np.abs(np.sin(angle * rng.integers(7, 11) + 5 * radius * rng.uniform(0.5, 1.5) + rng.uniform(0, 6)))
        sparse = (rng.random((size, size)) < 0.38) | (twigs > 0.93)
        shapes[3].append(np.where(sparse & (crown > 0.2), 0.45 + 0.5 * crown, 0))
        arms = 0.5 + 0.5 * np.cos(angle * rng.integers(8, 13) + rng.uniform(0, 6))
        cone = np.clip(1.0 - radius / (0.8 + 0.2 * arms), 0, None) * (0.8 + 0.2 * arms)
        shapes[1].append(np.clip(cone * (1 + 0.12 * rng.standard_normal((size, size))), 0, 1))
        fronds = np.abs(np.cos(angle * rng.integers(4, 6) + 0.5 * radius + rng.uniform(0, 6)))
        palm = (fronds > 0.35 + 0.5 * radius) & (radius < 1)
        shapes[2].append(np.where(palm, 1 - 0.25 * radius**2, 0))
    return {kind: [crown.astype(np.float32) for crown in crowns] for kind, crowns in shapes.items()}
