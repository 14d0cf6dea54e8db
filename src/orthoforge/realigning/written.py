"""What a scene becomes: its mask with the buildings moved, on its own grid, and a row for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Window
from orthoforge.geo.resampling import nearest
from orthoforge.masks.reader import MaskReader
from orthoforge.realigning.ground import SceneGround, building_ids
from orthoforge.realigning.rows import Row, Status
from orthoforge.realigning.search import Placed, buildings_of, drawn, missing_of

_TAGS = {"REALIGNED": "YES"}


@dataclass(frozen=True)
class Outcome:
    """A scene's buildings by their numbers in its mask, where they belong, and what its last segmenter said, (H, W)."""

    ground: SceneGround
    numbers: Sequence[int]
    placed: Placed
    odds: np.ndarray


def write_scene(outcome: Outcome, reader: MaskReader, path: Path, *, add: bool, overwrite: bool) -> list[Row]:
    """Write the mask to ``path`` and return the rows of its buildings, those that it lacks last; with ``add`` it holds these
    too."""
    ground = outcome.ground
    mask, valid = reader.read(ground.pair.mask)
    ids = building_ids(mask)
    shifts = native_shifts(outcome)
    moved = moved_mask(ids, shifts)
    work = drawn_as_placed(outcome)
    extra = missing_of(outcome.odds, work, gsd_m=ground.gsd_m)
    if add:
        whole = Window(0, 0, *ids.shape)
        moved[nearest(lambda window: extra[window.slices] > 0, extra.shape, ids.shape, whole) & (moved == 0)] = 255
    if valid is not None:
        moved[~valid] = 0
    write_raster(path, moved, ground.grid, valid=valid, tags=_TAGS, overwrite=overwrite)
    return _rows(outcome, ids, shifts, path.name) + _found(outcome, extra, path.name)


def native_shifts(outcome: Outcome) -> dict[int, tuple[int, int]]:
    """By how many rows and columns of the mask each building is moved."""
    scale = np.array(outcome.ground.scale)
    moved = np.rint(outcome.placed.shift * scale).astype(int).tolist()
    return {number: (row, col) for number, (row, col) in zip(outcome.numbers, moved, strict=True)}


def moved_mask(ids: np.ndarray, shifts: dict[int, tuple[int, int]]) -> np.ndarray:
    """A mask (H, W) of 0 and 255 out of building numbers (H, W), each moved by its shift, or left where it has none."""
    mask = np.zeros(ids.shape, np.uint8)
    height, width = ids.shape
    for number, box in enumerate(ndimage.find_objects(ids), start=1):
        if box is None:
            continue
        down, right = shifts.get(number, (0, 0))
        rows, cols = np.nonzero(ids[box] == number)
        rows, cols = rows + box[0].start + down, cols + box[1].start + right
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        mask[rows[inside], cols[inside]] = 255
    return mask


def drawn_as_placed(outcome: Outcome) -> np.ndarray:
    """The mask at the resolution of the search."""
    return drawn(list(buildings_of(outcome.ground.ids).values()), outcome.placed.shift, outcome.ground.shape)


def _rows(outcome: Outcome, ids: np.ndarray, shifts: dict[int, tuple[int, int]], file: str) -> list[Row]:
    ground, placed = outcome.ground, outcome.placed
    height_m, width_m = _pixel_m(ground)
    count = int(ids.max())
    centres = ndimage.center_of_mass(ids > 0, ids, range(1, count + 1)) if count else []
    areas = np.bincount(ids.ravel(), minlength=count + 1)
    at_of = {number: at for at, number in enumerate(outcome.numbers)}
    rows = []
    for number in range(1, count + 1):
        row, col = centres[number - 1]
        x, y = ground.grid.transform @ (col + 0.5, row + 0.5)
        area_m2 = float(areas[number] * height_m * width_m)
        if (at := at_of.get(number)) is None:
            rows.append(Row(file, float(x), float(y), area_m2, 0.0, 0.0, None, None, "doubtful"))
            continue
        down, right = shifts[number]
        settled: Status = "moved" if down or right else "kept"
        status: Status = settled if placed.sure[at] else "doubtful"
        scores = [float(1 / (1 + np.exp(-odds[at]))) for odds in (placed.before, placed.after)]
        rows.append(Row(file, float(x), float(y), area_m2, right * width_m, -down * height_m + 0.0, scores[0], scores[1], status))
    return rows


def _found(outcome: Outcome, extra: np.ndarray, file: str) -> list[Row]:
    ground = outcome.ground
    rows = []
    for number in range(1, int(extra.max(initial=0)) + 1):
        here = extra == number
        row, col = np.argwhere(here).mean(axis=0) + 0.5
        x, y = ground.grid.transform @ (col * ground.scale[1], row * ground.scale[0])
        score = float(1 / (1 + np.exp(-outcome.odds[here].mean())))
        rows.append(Row(file, float(x), float(y), float(here.sum() * ground.gsd_m**2), 0.0, 0.0, None, score, "found"))
    return rows


def _pixel_m(ground: SceneGround) -> tuple[float, float]:
    """Height and width of a pixel of the mask in metres."""
    pixel = ground.grid.pixel_m()
    assert pixel is not None, ground.name
    return pixel[1], pixel[0]
