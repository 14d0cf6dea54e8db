"""What stands on each pixel, and how high: roofs, boxes, trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from rasterio.features import rasterize

from orthoforge.scenes.town.canvas import Canvas, View
from orthoforge.scenes.town.model import ROOF, Town


def burn(polygons: list[shapely.Polygon], tree: shapely.STRtree, window: View) -> np.ndarray:
    """(rows, columns) int32: index + 1 of the last polygon over each pixel's centre, else 0."""
    chosen = np.sort(tree.query(window.box))
    shape = (window.rows, window.columns)
    if not len(chosen):
        return np.zeros(shape, np.int32)
    shapes = [(polygons[k], int(k) + 1) for k in chosen]
    return np.asarray(rasterize(shapes, out_shape=shape, transform=window.transform, dtype="int32"))


class Roofs:
    """Geometry of every roof pixel of a window: `flat` index, `owner` building, height, distances and slope."""

    def __init__(self, town: Town, building: np.ndarray, window: View) -> None:
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


def burn_boxes(scene: Canvas, building: np.ndarray, window: View) -> np.ndarray:
    """(rows, columns) int32: index + 1 of the box over each pixel; boxes keep to the roof, or to the ground."""
    boxes = scene.town.boxes
    shape = (window.rows, window.columns)
    x1, y1 = window.x0 + window.columns * window.gsd, window.y0 + window.rows * window.gsd
    near = (boxes[:, 0] > window.x0 - 30) & (boxes[:, 0] < x1 + 30) & (boxes[:, 1] > window.y0 - 30) & (boxes[:, 1] < y1 + 30)
    chosen = np.flatnonzero(near)
    if not len(chosen):
        return np.zeros(shape, np.int32)
    # A thin thing is drawn a pixel wide, or pixel centres would miss it; paint_boxes makes it fainter instead.
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


def plant(scene: Canvas, window: View) -> tuple[np.ndarray, np.ndarray]:
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
