"""Draw a planned town as a camera straight above it would record it.

Everything is drawn into one map of heights first: roofs, chimneys, crowns, cars. Light then follows from it, slopes
facing the sun are bright and whatever the sun's ray meets a higher thing before is in shadow. Colours are multiplied by
that light in linear radiance; blur, haze and noise of the sensor come last. All textures are functions of metres, and
the picture is drawn in blocks, so neither resolution nor size changes what a place looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from orthoforge.scenes.town.model import BOXES, COVERS, MATERIALS, ROOF, SPECIES, STREET_WITH_WALKS_M, Place, Town, rgb
from orthoforge.scenes.town.plan import MARGIN_M

BLOCK_PX = 1024
BLUR_PX = 2  # extra pixels around a block for the sensor's blur
COARSE_GSD_M = 0.5  # coarser pixels are averaged from 2 × 2, or eaves and cars would alias
SKY = np.array([0.17, 0.195, 0.245], np.float32)  # light that reaches shadows; the sun adds the rest up to 1
GAMMA = 2.2
GRAIN = (0.009, 0.006)  # standard deviation of the sensor's noise, common to all bands and of each
NOISE_CELLS_M = (0.45, 1.7, 5.0, 17.0, 75.0)

# second colour's brightness, contrast of patches, fine and middling texture
_TEXTURES = {
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


def render_town(town: Town, place: Place, height_px: int, width_px: int, gsd_m: float, entropy: list[int]) -> np.ndarray:
    """The town's picture, (height_px, width_px, 3) uint8."""
    image = np.empty((height_px, width_px, 3), np.uint8)
    scene = _Scene(town, place, entropy)
    for top in range(0, height_px, BLOCK_PX):
        for left in range(0, width_px, BLOCK_PX):
            rows, columns = min(BLOCK_PX, height_px - top), min(BLOCK_PX, width_px - left)
            block = _block(scene, top, left, rows, columns, gsd_m, np.random.default_rng([*entropy, top, left]))
            image[top : top + rows, left : left + columns] = block
    return image


@dataclass(frozen=True)
class _Window:
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


class _Scene:
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
    second = first * np.array([_TEXTURES[name][0] for name in MATERIALS])[material][:, None]
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
    return _linear(first).astype(np.float32), _linear(second).astype(np.float32), material


def _linear(colour: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(colour, 0, 1) ** GAMMA)


def _noise(table: np.ndarray, cell: float, window: _Window) -> np.ndarray:
    """(rows, columns) smooth noise of about -1..1 with features of `cell` metres; the same ground gets the same noise."""
    x, y = window.axes()
    (i, f), (j, g) = _lattice(y[:, 0], cell), _lattice(x[0], cell)
    rows = table[i & 255] * (1 - f)[:, None] + table[(i + 1) & 255] * f[:, None]
    return np.asarray(rows[:, j & 255] * (1 - g) + rows[:, (j + 1) & 255] * g)


def _lattice(position: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    index = np.floor(position / cell)
    share = (position / cell - index).astype(np.float32)
    return index.astype(np.int64), share * share * (3 - 2 * share)


def _fade(period: float | np.ndarray, gsd: float) -> float | np.ndarray:
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


def _block(scene: _Scene, top: int, left: int, rows: int, columns: int, gsd_m: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns, 3) uint8 pixels from row `top` and column `left`."""
    split = 2 if gsd_m > COARSE_GSD_M else 1
    core = _Window(
        (left - BLUR_PX) * gsd_m, (top - BLUR_PX) * gsd_m,
        (rows + 2 * BLUR_PX) * split, (columns + 2 * BLUR_PX) * split, gsd_m / split,
    )  # fmt: skip
    radiance = _radiance(scene, core)
    if split > 1:
        radiance = radiance.reshape(core.rows // split, split, core.columns // split, split, 3).mean(axis=(1, 3))
    picture = _develop(radiance, scene.place.haze)
    picture = 0.22 * picture[:-2] + 0.56 * picture[1:-1] + 0.22 * picture[2:]
    picture = 0.22 * picture[:, :-2] + 0.56 * picture[:, 1:-1] + 0.22 * picture[:, 2:]
    inner = picture[1:-1, 1:-1]
    grain = GRAIN[0] * rng.standard_normal((*inner.shape[:2], 1), np.float32)
    grain = grain + GRAIN[1] * rng.standard_normal(inner.shape, np.float32)
    return np.asarray(np.clip((inner + grain) * 255 + 0.5, 0, 255).astype(np.uint8))


def _develop(radiance: np.ndarray, haze: float) -> np.ndarray:
    """Display values 0..1 of linear radiance: the air's veil, muted colours, and a shoulder that keeps pale roofs from
    clipping."""
    grey = radiance.mean(axis=2, keepdims=True)
    veiled = (0.86 * radiance + 0.14 * grey) * np.float32(0.96 * (1 - haze)) + haze * np.array([0.36, 0.40, 0.46], np.float32)
    over = np.maximum(veiled - 0.5, 0)
    shoulder = np.clip(veiled, 0, 0.5) + np.float32(0.5) * (1 - np.exp(over * np.float32(-2)))
    return np.asarray(shoulder ** np.float32(1 / GAMMA))


def _radiance(scene: _Scene, core: _Window) -> np.ndarray:
    """(rows, columns, 3) float32 light that the ground sends upwards, 1 for a white plane in full sun."""
    gsd, to_sun = core.gsd, scene.to_sun
    # Things outside the window but towards the sun throw shadows into it.
    reach = int(np.ceil(scene.reach_m / gsd))
    before_x, after_x = 1 + (reach if to_sun[0] < 0 else 0), 1 + (reach if to_sun[0] > 0 else 0)
    before_y, after_y = 1 + (reach if to_sun[1] < 0 else 0), 1 + (reach if to_sun[1] > 0 else 0)
    wide = _Window(
        core.x0 - before_x * gsd, core.y0 - before_y * gsd,
        core.rows + before_y + after_y, core.columns + before_x + after_x, gsd,
    )  # fmt: skip
    inside = (slice(before_y, before_y + core.rows), slice(before_x, before_x + core.columns))

    building = _burn(scene.town.buildings, scene.building_tree, wide)
    roof = _Roofs(scene.town, building, wide)
    heights = np.zeros((wide.rows, wide.columns), np.float32)
    heights.flat[roof.flat] = roof.height
    box = _burn_boxes(scene, building, wide)
    on_box = np.flatnonzero(box)
    heights.flat[on_box] += scene.town.boxes[box.flat[on_box] - 1, 5].astype(np.float32)
    crown, tree = _plant(scene, wide)
    crown[(building > 0) | (crown <= heights)] = 0
    tree[crown == 0] = 0
    np.maximum(heights, crown, out=heights)
    lit = _sunlit(scene, heights, core, inside)

    noise = [_noise(table, cell, core) for table, cell in zip(scene.tables, NOISE_CELLS_M, strict=True)]
    colour = _ground(scene, core, noise)
    slope = np.ones((core.rows, core.columns), np.float32)  # light on this slope relative to level ground
    _paint_roofs(scene, roof, wide, inside, colour, slope, noise)
    _paint_boxes(scene, box[inside], core, colour, slope)
    _paint_crowns(scene, tree[inside], crown, inside, colour, slope, noise, gsd)
    tone = 1 + 0.05 * noise[3] + 0.06 * noise[4]
    direct = (slope * lit)[..., None] * (1 - SKY)
    direct += SKY
    colour *= direct
    colour *= tone[..., None]
    return colour


def _burn(polygons: list[shapely.Polygon], tree: shapely.STRtree, window: _Window) -> np.ndarray:
    """(rows, columns) int32: index + 1 of the last polygon over each pixel's centre, else 0."""
    chosen = np.sort(tree.query(window.box))
    shape = (window.rows, window.columns)
    if not len(chosen):
        return np.zeros(shape, np.int32)
    shapes = [(polygons[k], int(k) + 1) for k in chosen]
    return np.asarray(rasterize(shapes, out_shape=shape, transform=window.transform, dtype="int32"))


class _Roofs:
    """Geometry of every roof pixel of a window: `flat` index, `owner` building, height, distances and slope."""

    def __init__(self, town: Town, building: np.ndarray, window: _Window) -> None:
        self.flat = np.flatnonzero(building)
        self.owner = building.flat[self.flat] - 1
        x, y = window.at(self.flat)
        shape = (2, len(self.flat))
        self.run = np.full(len(self.flat), -1e6)  # horizontal distance to the eaves of the part in front
        self.across, self.along = np.zeros(shape[1]), np.zeros(shape[1])
        self.ridge = np.zeros(shape[1])  # horizontal distance to the ridge
        self.edge = np.full(shape[1], -1e6)  # horizontal distance to the nearest wall
        self.out = np.zeros(shape)  # downhill direction
        for part in range(2):
            cx, cy, cos, sin, half_l, half_w, hip_low, hip_high = town.parts[self.owner, part].T
            p = (x - cx) * cos + (y - cy) * sin
            q = (y - cy) * cos - (x - cx) * sin
            side = half_w - np.abs(q)
            end = half_l - np.abs(p)
            hipped = np.where(p < 0, hip_low, hip_high) > 0
            on_hip = hipped & (end < side)
            run = np.where(on_hip, end, side)
            # A pixel beyond a gable belongs to the other part, if there is one.
            score = run - np.where(end < -0.3, 50.0, 0.0) + np.where(half_l < 0, -1e5, 0.0)
            front = score > self.run
            self.run[front] = score[front]
            self.across[front], self.along[front] = q[front], p[front]
            sign_p, sign_q = np.sign(p), np.sign(q)
            out_x = np.where(on_hip, sign_p * cos, -sign_q * sin)
            out_y = np.where(on_hip, sign_p * sin, sign_q * cos)
            self.out[0, front], self.out[1, front] = out_x[front], out_y[front]
            self.ridge[front] = np.abs(q)[front]
            self.edge = np.maximum(self.edge, np.where(half_l < 0, -1e5, np.minimum(side, end)))
        self.run = np.clip(self.run, 0, None)
        eaves, pitch, level = town.roofs[self.owner, :3].T
        self.level = level > 0
        self.pitch = np.where(self.level, 0, pitch)
        parapet = self.level & (self.edge < 0.4)
        self.height = (eaves + self.pitch * self.run + 0.45 * parapet).astype(np.float32)


def _burn_boxes(scene: _Scene, building: np.ndarray, window: _Window) -> np.ndarray:
    """(rows, columns) int32: index + 1 of the box over each pixel; boxes keep to the roof, or to the ground."""
    boxes = scene.town.boxes
    shape = (window.rows, window.columns)
    x1, y1 = window.x0 + window.columns * window.gsd, window.y0 + window.rows * window.gsd
    near = (boxes[:, 0] > window.x0 - 30) & (boxes[:, 0] < x1 + 30) & (boxes[:, 1] > window.y0 - 30) & (boxes[:, 1] < y1 + 30)
    chosen = np.flatnonzero(near)
    if not len(chosen):
        return np.zeros(shape, np.int32)
    # A thin thing is drawn a pixel wide, or pixel centres would miss it; _paint_boxes makes it fainter instead.
    half = np.maximum(boxes[chosen, 3:5], 0.52 * window.gsd)
    cos, sin = np.cos(boxes[chosen, 2]), np.sin(boxes[chosen, 2])
    along, across = np.stack([cos, sin], 1) * half[:, :1], np.stack([-sin, cos], 1) * half[:, 1:]
    middle = boxes[chosen, :2]
    rings = np.stack([middle - along - across, middle + along - across, middle + along + across, middle - along + across], 1)
    polygons: Any = shapely.polygons(rings)
    box = rasterize(zip(polygons, (chosen + 1).tolist(), strict=True), out_shape=shape, transform=window.transform, dtype="int32")
    flat = np.flatnonzero(box)
    wrong = (boxes[box.flat[flat] - 1, 7] == ROOF) != (building.flat[flat] > 0)
    box.flat[flat[wrong]] = 0
    return np.asarray(box)


def _plant(scene: _Scene, window: _Window) -> tuple[np.ndarray, np.ndarray]:
    """Crown heights (rows, columns) in metres, and index + 1 of the tree that each belongs to."""
    crown = np.zeros((window.rows, window.columns), np.float32)
    tree = np.zeros((window.rows, window.columns), np.int32)
    stretched: dict[tuple[int, int, int], np.ndarray] = {}
    trees = scene.town.trees
    columns = np.floor((trees[:, 0] - window.x0) / window.gsd + 1e-6).astype(int)
    rows = np.floor((trees[:, 1] - window.y0) / window.gsd + 1e-6).astype(int)
    reach = np.maximum(1, np.rint(trees[:, 2] / window.gsd)).astype(int)
    seen = (columns + reach >= 0) & (columns - reach < window.columns) & (rows + reach >= 0) & (rows - reach < window.rows)
    for k in np.flatnonzero(seen).tolist():
        r, kind, height = int(reach[k]), int(trees[k, 4]), float(trees[k, 3])
        key = (kind, k % 9, r)
        if key not in stretched:
            pick = np.rint(np.linspace(0, 64, 2 * r + 3)).astype(int)[1:-1]
            stretched[key] = scene.crowns[kind][k % 9][np.ix_(pick, pick)]
        y0, x0 = int(rows[k]) - r, int(columns[k]) - r
        cut_y, cut_x = max(0, -y0), max(0, -x0)
        shape = stretched[key][cut_y : window.rows - y0, cut_x : window.columns - x0]
        area = (slice(y0 + cut_y, y0 + cut_y + shape.shape[0]), slice(x0 + cut_x, x0 + cut_x + shape.shape[1]))
        top = shape * height
        higher = top > crown[area]
        crown[area][higher] = top[higher]
        tree[area][higher] = k + 1
    return crown, tree


def _sunlit(scene: _Scene, heights: np.ndarray, core: _Window, inside: tuple[slice, slice]) -> np.ndarray:
    """(rows, columns) share of the sun's disc that each pixel of the core sees, 0..1."""
    stride = core.gsd / np.abs(scene.to_sun).max()  # metres of ray from one pixel to the next
    drop = stride * scene.tan_sun
    ceiling = np.zeros((core.rows, core.columns), np.float32)
    for k in range(1, int(scene.reach_m / stride) + 1):
        dx, dy = (round(float(step) * k * stride / core.gsd) for step in scene.to_sun)
        rows, columns = inside
        ray = heights[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx] - np.float32(k * drop)
        np.maximum(ceiling, ray, out=ceiling)
    ceiling -= heights[inside]
    return np.asarray(1 - np.clip((ceiling - 0.05) / max(0.25, drop), 0, 1))


def _ground(scene: _Scene, core: _Window, noise: list[np.ndarray]) -> np.ndarray:
    """(rows, columns, 3) float32 linear colour of everything level: gardens, fields, streets, water."""
    first, second, material = scene.surface_colours
    town, place = scene.town, scene.place
    surface = _burn(town.surfaces, scene.surface_tree, core)
    textures = np.array([_TEXTURES[name] for name in MATERIALS], np.float32)[material]
    dryness = np.concatenate([[place.lawn_dryness + 0.2], town.surface_kind[:, 1]]).astype(np.float32)
    patches = 0.55 * noise[2] + 0.35 * noise[1] + 0.35 * noise[3]
    share = 0.5 + 1.5 * (dryness[surface] - 0.5) + textures[surface, 1] * patches
    np.clip(share, 0, 1, out=share)
    light = 1 + 2 * (textures[surface, 2] * noise[0] + textures[surface, 3] * noise[1])
    _furrows(scene, core, surface, material, light, noise)
    colour = first[surface]
    colour += (second[surface] - colour) * share[..., None]
    colour *= np.clip(light, 0.3, 2.0)[..., None]
    x, y = core.axes()
    shore = None if town.water is None else town.water.distance(x, y)
    if shore is not None:
        _paint_water(scene, shore, colour, noise)
    _paint_streets(scene, town.streets.survey(*np.broadcast_arrays(x, y)), shore, colour, noise, core.gsd)
    return colour


def _furrows(
    scene: _Scene, core: _Window, surface: np.ndarray, material: np.ndarray, light: np.ndarray, noise: list[np.ndarray]
) -> None:
    """Rows and tractor tracks in fields, mowing stripes on pitches."""
    for name in ("crop", "pitch"):
        flat = np.flatnonzero((material == MATERIALS.index(name))[surface])
        if not len(flat):
            continue
        owner = surface.flat[flat]
        angle = scene.town.surface_kind[owner - 1, 3]
        x, y = core.at(flat)
        across = y * np.cos(angle) - x * np.sin(angle) + 0.12 * noise[1].flat[flat]
        if name == "pitch":
            light.flat[flat] += 0.09 * np.sign(np.sin(across * (2 * np.pi / 9.0)))
            continue
        period = scene.crop_period[owner]
        rows = np.sin(across * (2 * np.pi / period)) * _fade(period, core.gsd)
        track = np.abs((across + 0.4 * noise[2].flat[flat]) % 18.0 - 9.0)
        tracks = (np.abs(track - 0.9) < 0.3) * min(1.0, 0.6 / core.gsd)
        light.flat[flat] += 0.16 * rows * (1 + 0.6 * noise[3].flat[flat]) - 0.22 * tracks


def _paint_water(scene: _Scene, shore: np.ndarray, colour: np.ndarray, noise: list[np.ndarray]) -> None:
    bank = (shore > 0) & (shore < 5.5 + 1.6 * noise[2] + noise[1])
    colour[bank] = _linear(rgb(scene.place.palette.shore)) * (1 + 0.25 * noise[0] + 0.2 * noise[1] - 0.1 * noise[2])[bank][:, None]
    wet = shore <= 0.4 * noise[1]
    deep = np.clip(-shore[wet] / 14.0, 0, 1)[:, None]
    ripple = (1 + 0.13 * noise[0] + 0.14 * noise[1] + 0.10 * noise[2] + 0.14 * noise[3])[wet][:, None]
    water = _linear(rgb(scene.place.palette.water))
    colour[wet] = (water * (1.5 - 0.6 * deep) + 0.02 * (1 - deep)) * ripple


def _paint_streets(
    scene: _Scene, survey: dict[str, np.ndarray], shore: np.ndarray | None, colour: np.ndarray, noise: list[np.ndarray],
    gsd: float,
) -> None:  # fmt: skip
    place, streets = scene.place, scene.town.streets
    kerb, width = survey["kerb"], survey["width"]
    town = width >= STREET_WITH_WALKS_M
    main = width >= streets.main_m
    dry = np.ones(kerb.shape, bool)
    if shore is not None:
        dry = shore > 2.0
        if not scene.town.water.sea:  # type: ignore[union-attr]
            dry |= main  # on bridges
    asphalt, paving = _linear(rgb(place.palette.asphalt)), _linear(rgb(place.palette.paving))

    walk = np.flatnonzero((kerb >= 0) & (kerb < streets.sidewalk_m) & town & dry)
    joints = (np.abs((survey["along"].flat[walk] % 1.8) - 0.9) > 0.84) * _fade(1.8, 3 * gsd)
    light = 1 + 0.12 * noise[0].flat[walk] + 0.12 * noise[1].flat[walk] + 0.10 * noise[2].flat[walk] - 0.15 * joints
    light *= 1 + 0.18 * (kerb.flat[walk] < 0.25)
    colour.reshape(-1, 3)[walk] = paving * light[:, None]

    track = np.flatnonzero((kerb < 0.25 * noise[1]) & ~town & (width > 0) & dry)
    verge = np.clip(1.4 - np.abs(survey["axis"].flat[track]) / 0.45 + 0.8 * noise[1].flat[track], 0, 1)[:, None]
    light = (1 + 0.2 * noise[0].flat[track] + 0.15 * noise[1].flat[track])[:, None]
    track_colour = _linear(rgb(place.palette.gravel)) * (1 - 0.75 * verge) + _linear(rgb(place.palette.grass)) * 0.75 * verge
    colour.reshape(-1, 3)[track] = track_colour * light

    road = np.flatnonzero((kerb < 0) & town & dry)
    axis, along, crossing = (survey[name].flat[road] for name in ("axis", "along", "crossing"))
    half, wide = width.flat[road] / 2, main.flat[road]
    n0, n1, n2, n3 = (level.flat[road] for level in noise[:4])
    wheels = np.cos(axis * (2 * np.pi / 1.75)) * np.clip(1 - np.abs(axis - half / 2) / 2.0, 0, 1)
    light = 1 + 0.09 * n0 + 0.07 * n1 + 0.08 * n2 + 0.13 * n3 + 0.05 * wheels
    repairs = (n2 + 0.6 * n3 > 0.62) * -0.14 + (np.abs(n2 + 0.35 * n1) < 0.035) * -0.12 * min(1.0, 0.45 / gsd)
    light += repairs - 0.12 * np.clip(1 + kerb.flat[road] / 0.5, 0, 1)
    tone = asphalt * np.clip(light, 0.3, 2)[:, None]
    line_px = min(1.0, 0.14 / gsd) if gsd > 0.14 else 1.0
    between = crossing > 4.5
    near_axis = np.abs(axis) < max(0.07, gsd * 0.5)
    dashes = (along % 9.0 < 3.5) & near_axis & between & (half > 3.6)
    edges = (np.abs(axis - half + 2.3) < max(0.07, gsd * 0.5)) & between & wide
    zebra = (crossing > 0.8) & (crossing < 3.8) & wide & (np.abs(axis) < half - 0.4) & (axis % 1.1 < 0.55)
    paint = np.maximum(0.75 * line_px * (dashes | edges), 0.62 * zebra * _fade(1.1, gsd) * (0.8 + 0.4 * n1))
    tone += (0.62 - tone) * np.clip(paint, 0, 1)[:, None]
    colour.reshape(-1, 3)[road] = tone


def _paint_roofs(
    scene: _Scene, roof: _Roofs, wide: _Window, inside: tuple[slice, slice], colour: np.ndarray, slope: np.ndarray,
    noise: list[np.ndarray],
) -> None:  # fmt: skip
    gsd = wide.gsd
    row, column = np.divmod(roof.flat, wide.columns)
    row, column = row - inside[0].start, column - inside[1].start
    seen = np.flatnonzero((row >= 0) & (row < colour.shape[0]) & (column >= 0) & (column < colour.shape[1]))
    target = row[seen] * colour.shape[1] + column[seen]
    owner, run, along, edge = roof.owner[seen], roof.run[seen], roof.along[seen], roof.edge[seen]
    pitch, level, ridge, out = roof.pitch[seen], roof.level[seen], roof.ridge[seen], roof.out[:, seen]
    cover = scene.town.roofs[owner, 3]
    n0, n1, n2, n3 = (level_.flat[target] for level_ in noise[:4])

    light = np.ones(len(seen))
    for name, fine, stains in (("tile", 0.16, 0.10), ("shingle", 0.13, 0.10), ("metal", 0.04, 0.07), ("membrane", 0.06, 0.13)):
        mine = cover == COVERS.index(name)
        light[mine] += (fine * n0 + 0.6 * stains * n1 + stains * n2 + 0.5 * stains * n3)[mine]
    courses = np.sin(run * (2 * np.pi / 0.9)) * 0.07 * _fade(0.9, gsd)
    light += np.where((cover == COVERS.index("tile")) & ~level, courses, 0)
    seams = (np.abs(along % 1.3 - 0.65) > 0.5) * 0.13 * _fade(1.3, gsd)
    light -= np.where(cover == COVERS.index("metal"), seams, 0)
    strips = (np.abs(along % 3.0 - 1.5) > 1.4) * 0.06 * _fade(3.0, gsd)
    light += np.where(level, strips + 0.16 * (edge < 0.4) - 0.07 * np.clip(n2 - 0.25, 0, 1) * 3, 0)
    capped = ~level & (cover != COVERS.index("metal"))
    light += np.where(capped & (ridge < 0.22), 0.14, 0) - np.where(~level & (edge < 0.2), 0.12, 0)
    base = _linear(scene.town.roofs[owner, 4:7])
    rust = np.clip(n2 + 0.5 * n1 - 0.55, 0, 0.5) * (cover == COVERS.index("metal"))
    base += (_linear(rgb("#7d5a45")) - base) * rust[:, None]
    colour.reshape(-1, 3)[target] = base * np.clip(light, 0.25, 1.9)[:, None]
    facing = (out[0] * scene.to_sun[0] + out[1] * scene.to_sun[1]) * pitch
    slope.flat[target] = (np.clip(1 + facing / scene.tan_sun, 0, None) / np.sqrt(1 + pitch**2)) ** 0.85


def _paint_boxes(scene: _Scene, box: np.ndarray, core: _Window, colour: np.ndarray, slope: np.ndarray) -> None:
    flat = np.flatnonzero(box)
    boxes = scene.town.boxes[box.flat[flat] - 1]
    x, y = core.at(flat)
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    p = ((x - boxes[:, 0]) * cos + (y - boxes[:, 1]) * sin) / boxes[:, 3]
    q = ((y - boxes[:, 1]) * cos - (x - boxes[:, 0]) * sin) / boxes[:, 4]
    kind = boxes[:, 6].astype(int)
    tone = _linear(boxes[:, 8:11])
    car = kind == BOXES.index("car")
    glass = car & (((p > 0.12) & (p < 0.42)) | ((p < -0.55) & (p > -0.8)) | ((np.abs(q) > 0.78) & (p < 0.3) & (p > -0.7)))
    tone[glass] = 0.25 * tone[glass] + 0.012
    tone[car & ~glass & (np.abs(p) > 0.85)] *= 0.7
    solar = kind == BOXES.index("solar")
    frame = solar & (np.abs((p * boxes[:, 3]) % 1.05 - 0.5) > 0.45)
    tone[frame] += 0.06 * _fade(1.05, core.gsd)
    ribs = (kind == BOXES.index("container")) & ((p * boxes[:, 3]) % 0.8 < 0.4)
    tone[ribs] *= 0.86
    thin = np.isin(kind, (BOXES.index("fence"), BOXES.index("paint")))
    cover = np.where(thin, np.minimum(1, boxes[:, 4] / (0.52 * core.gsd)), 1.0)[:, None]
    under = colour.reshape(-1, 3)[flat]
    colour.reshape(-1, 3)[flat] = under + (tone - under) * cover
    level = ~np.isin(kind, (BOXES.index("solar"), BOXES.index("paint"))) & (boxes[:, 5] > 0.3)
    slope.flat[flat[level]] = 1.0


def _paint_crowns(
    scene: _Scene, tree: np.ndarray, crown: np.ndarray, inside: tuple[slice, slice], colour: np.ndarray,
    slope: np.ndarray, noise: list[np.ndarray], gsd: float,
) -> None:  # fmt: skip
    rows, columns = inside
    flat = np.flatnonzero(tree)
    trees = scene.town.trees[tree.flat[flat] - 1]
    around = crown[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1]
    uphill_x = ((around[1:-1, 2:] - around[1:-1, :-2]) / (2 * gsd)).flat[flat]
    uphill_y = ((around[2:, 1:-1] - around[:-2, 1:-1]) / (2 * gsd)).flat[flat]
    steep = np.maximum(1.0, np.hypot(uphill_x, uphill_y) / 1.5)
    facing = -(uphill_x * scene.to_sun[0] + uphill_y * scene.to_sun[1]) / steep
    lambert = np.clip(1 + facing / scene.tan_sun, 0, None) / np.sqrt(1 + (np.hypot(uphill_x, uphill_y) / steep) ** 2)
    deep = 0.5 + 0.5 * np.clip(crown[inside].flat[flat] / trees[:, 3], 0, 1)
    leaves = deep * (1 + 0.28 * noise[0].flat[flat] + 0.15 * noise[1].flat[flat])
    colour.reshape(-1, 3)[flat] = _linear(trees[:, 5:8]) * leaves[:, None]
    slope.flat[flat] = 0.25 + 0.85 * lambert
