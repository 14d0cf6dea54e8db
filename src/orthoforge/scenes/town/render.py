"""Draw a planned town as a camera straight above it would record it.

Everything is drawn into one map of heights first: roofs, chimneys, crowns, cars. Light then follows from it, slopes
facing the sun are bright and whatever the sun's ray meets a higher thing before is in shadow. Colours are multiplied by
that light in linear radiance; blur, haze and noise of the sensor come last. All textures are functions of metres, and
the picture is drawn in blocks, so neither resolution nor size changes what a place looks like.
"""

from __future__ import annotations

import numpy as np

from orthoforge.scenes.town.canvas import GAMMA, NOISE_CELLS_M, Canvas, View, noise_at
from orthoforge.scenes.town.model import Place, Town
from orthoforge.scenes.town.paint import paint_boxes, paint_crowns, paint_ground, paint_roofs
from orthoforge.scenes.town.shapes import Roofs, burn, burn_boxes, plant

BLOCK_PX = 1024
BLUR_PX = 2  # extra pixels around a block for the sensor's blur
COARSE_GSD_M = 0.5  # coarser pixels are averaged from 2 × 2, or eaves and cars would alias
SKY = np.array([0.17, 0.195, 0.245], np.float32)  # light that reaches shadows; the sun adds the rest up to 1
GRAIN = (0.009, 0.006)  # standard deviation of the sensor's noise, common to all bands and of each


def render_town(town: Town, place: Place, height_px: int, width_px: int, gsd_m: float, entropy: list[int]) -> np.ndarray:
    """The town's picture, (height_px, width_px, 3) uint8."""
    image = np.empty((height_px, width_px, 3), np.uint8)
    scene = Canvas(town, place, entropy)
    for top in range(0, height_px, BLOCK_PX):
        for left in range(0, width_px, BLOCK_PX):
            rows, columns = min(BLOCK_PX, height_px - top), min(BLOCK_PX, width_px - left)
            block = _block(scene, top, left, rows, columns, gsd_m, np.random.default_rng([*entropy, top, left]))
            image[top : top + rows, left : left + columns] = block
    return image


def _block(scene: Canvas, top: int, left: int, rows: int, columns: int, gsd_m: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns, 3) uint8 pixels from row `top` and column `left`."""
    split = 2 if gsd_m > COARSE_GSD_M else 1
    core = View(
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


def _radiance(scene: Canvas, core: View) -> np.ndarray:
    """(rows, columns, 3) float32 light that the ground sends upwards, 1 for a white plane in full sun."""
    gsd, to_sun = core.gsd, scene.to_sun
    # Things outside the window but towards the sun throw shadows into it.
    reach = int(np.ceil(scene.reach_m / gsd))
    before_x, after_x = 1 + (reach if to_sun[0] < 0 else 0), 1 + (reach if to_sun[0] > 0 else 0)
    before_y, after_y = 1 + (reach if to_sun[1] < 0 else 0), 1 + (reach if to_sun[1] > 0 else 0)
    wide = View(
        core.x0 - before_x * gsd, core.y0 - before_y * gsd,
        core.rows + before_y + after_y, core.columns + before_x + after_x, gsd,
    )  # fmt: skip
    inside = (slice(before_y, before_y + core.rows), slice(before_x, before_x + core.columns))

    building = burn(scene.town.buildings, scene.building_tree, wide)
    roof = Roofs(scene.town, building, wide)
    heights = np.zeros((wide.rows, wide.columns), np.float32)
    heights.flat[roof.flat] = roof.height
    box = burn_boxes(scene, building, wide)
    on_box = np.flatnonzero(box)
    heights.flat[on_box] += scene.town.boxes[box.flat[on_box] - 1, 5].astype(np.float32)
    crown, tree = plant(scene, wide)
    crown[(building > 0) | (crown <= heights)] = 0
    tree[crown == 0] = 0
    np.maximum(heights, crown, out=heights)
    lit = _sunlit(scene, heights, core, inside)

    noise = [noise_at(table, cell, core) for table, cell in zip(scene.tables, NOISE_CELLS_M, strict=True)]
    colour = paint_ground(scene, core, noise)
    slope = np.ones((core.rows, core.columns), np.float32)  # light on this slope relative to level ground
    paint_roofs(scene, roof, wide, inside, colour, slope, noise)
    paint_boxes(scene, box[inside], core, colour, slope)
    paint_crowns(scene, tree[inside], crown, inside, colour, slope, noise, gsd)
    tone = 1 + 0.05 * noise[3] + 0.06 * noise[4]
    direct = (slope * lit)[..., None] * (1 - SKY)
    direct += SKY
    colour *= direct
    colour *= tone[..., None]
    return colour


def _sunlit(scene: Canvas, heights: np.ndarray, core: View, inside: tuple[slice, slice]) -> np.ndarray:
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
