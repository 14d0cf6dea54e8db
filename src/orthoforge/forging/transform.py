"""Real masks, changed: turned, flipped, scaled, bent, and with single buildings dropped, moved or mirrored."""

from dataclasses import asdict, dataclass

import numpy as np
import shapely

from orthoforge.forging.layouts.plot import LEAST_GAP_PX
from orthoforge.forging.shapes import SMALLEST_PX, draw, placed, take_apart

_MOST_TURNED_DEG = 8.0
_SCALES = (0.92, 1.08)  # sizes stay within what the place has, and a pixel stays a pixel
_MOST_SHEARED = 0.04
_BENT = 0.012  # how far smooth warps move a pixel, over the mask's side
_DROPPED, _MOVED, _MIRRORED = 0.06, 0.1, 0.1  # share of the whole buildings, at most


@dataclass(frozen=True)
class Change:
    """What is done to a mask, and to everything that belongs to it. The outline of the mask stays where it is."""

    flip: bool
    """Left and right exchanged, before the quarter turns."""
    quarter_turns: int
    """Counter-clockwise."""
    turn_deg: float
    scale: float
    shear: float
    bend: tuple[tuple[float, float, float, float, float], ...]
    """Waves that bend it: amplitude in x and y, waves over the mask in x and y, phase. Lengths are shares of the longer side."""
    seed: int
    """Of the single buildings that are dropped, moved and mirrored."""

    def values(self) -> dict[str, object]:
        """For a manifest; ``Change(**values)`` makes the same change again."""
        return asdict(self)


def random_change(rng: np.random.Generator, *, square: bool = True) -> Change:
    """A change drawn at random. A mask that is not square is not turned by 90 degrees."""
    bend = tuple(
        (*(_BENT * rng.normal(0, 0.5, 2)), *rng.uniform(-1.5, 1.5, 2), rng.uniform(0, 2 * np.pi)) for _ in range(3)
    )  # fmt: skip
    return Change(
        bool(rng.integers(2)),
        int(rng.integers(4)) if square else 2 * int(rng.integers(2)),
        float(rng.uniform(-_MOST_TURNED_DEG, _MOST_TURNED_DEG)),
        float(rng.uniform(*_SCALES)),
        float(rng.uniform(-_MOST_SHEARED, _MOST_SHEARED)),
        tuple(tuple(float(value) for value in wave) for wave in bend),  # type: ignore[misc]
        int(rng.integers(2**31)),
    )


def transform(mask: np.ndarray, change: Change) -> np.ndarray:
    """The mask (H, W) uint8 of 0 and 255, changed; as sharp as it was, and what was beyond its border mirrored into it.

    Raises nothing: a mask without buildings comes back without buildings.
    """
    return warped(_single_buildings(mask, np.random.default_rng(change.seed)), change)


def warped(pixels: np.ndarray, change: Change) -> np.ndarray:
    """Pixels (H, W) or (H, W, C), any dtype, under the change's geometry alone; each takes the nearest source pixel's value."""
    pixels = np.rot90(pixels[:, ::-1] if change.flip else pixels, change.quarter_turns)
    height, width = pixels.shape[:2]
    side = max(height, width)
    x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2) / side, (np.arange(height) + 0.5 - height / 2) / side)
    cos, sin = np.cos(np.radians(change.turn_deg)) / change.scale, np.sin(np.radians(change.turn_deg)) / change.scale
    source_x = cos * (x + change.shear * y) + sin * y
    source_y = -sin * (x + change.shear * y) + cos * y
    for amplitude_x, amplitude_y, waves_x, waves_y, phase in change.bend:
        wave = np.sin(2 * np.pi * (waves_x * x + waves_y * y) + phase)
        source_x, source_y = source_x + amplitude_x * wave, source_y + amplitude_y * wave
    cols = _mirrored(np.floor(source_x * side + width / 2).astype(int), width)
    rows = _mirrored(np.floor(source_y * side + height / 2).astype(int), height)
    return np.ascontiguousarray(pixels[rows, cols])


def _single_buildings(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some whole buildings dropped, moved by up to half their width or mirrored, where no other stands."""
    layout = take_apart(mask)
    whole = np.flatnonzero(~layout.cut)
    if not len(whole):
        return mask.copy()
    share = rng.uniform(0, (_DROPPED, _MOVED, _MIRRORED))
    fate = np.searchsorted(np.cumsum(share), rng.random(len(whole)), side="right")
    changed = mask.copy()
    tree = shapely.STRtree(layout.outlines)
    placed_so_far: list[shapely.Polygon] = []
    for i, what in zip(whole[fate < 3], fate[fate < 3], strict=True):
        offset = rng.normal(0, 0.25, 2) * layout.sides[i, 1]
        here = draw([layout.outlines[i]], mask.shape, (1.0, 1.0)) if what == 0 else None
        if here is not None:
            changed[here > 0] = 0
            continue
        turn = 2 * layout.angle[i] + np.pi if what == 2 else 0.0  # mirrored across its own long side
        other = placed(layout.polygons[i], layout.centre[i], layout.centre[i] + offset * (what == 1), turn, mirror=what == 2)
        near = [layout.outlines[j] for j in tree.query(other, predicate="dwithin", distance=LEAST_GAP_PX) if j != i]
        if near or any(other.distance(done) < LEAST_GAP_PX for done in placed_so_far) or other.area < SMALLEST_PX:
            continue
        changed[draw([layout.outlines[i]], mask.shape, (1.0, 1.0)) > 0] = 0
        changed[draw([other], mask.shape, (1.0, 1.0)) > 0] = 255
        placed_so_far.append(other)
    return changed


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices beyond an edge brought back as a mirror would show them."""
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)
