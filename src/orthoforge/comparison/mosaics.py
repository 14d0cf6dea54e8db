"""Whole scenes put together from a store's tiles, and their masks cut anew at the sizes that a run knows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from orthoforge.comparison.ground import tiles_by_position
from orthoforge.masks.classes import Classes
from orthoforge.tiles.cutting import Cut, cut_masks
from orthoforge.tiles.store import TileStore

MOST_SCENE_PIXELS = 40_000_000
MOST_TILES_A_SIDE = 6
GAP = 128  # grey, where the store has no tile

# Other cuts leave out another rest at a scene's right and bottom; a store with so much of it is as good as whole.
_NEARLY_ALL = 0.9


class Draw(Protocol):
    """Makes the image (H, W, 3) of a mask (H, W) in a place's style.

    ``number`` is a tile's id, which gives it noise of its own. Parts of one picture share ``number``, so they have one style, and
    say at which pixel of it they begin.
    """

    def __call__(self, mask: np.ndarray, place: str, *, number: int = 0, origin: tuple[int, int] = (0, 0)) -> np.ndarray: ...


@dataclass(frozen=True)
class WholeScene:
    """A scene in the pixels of one store: ``mask`` (H, W) and ``image`` (H, W, 3), uint8."""

    name: str
    place: str
    mask: np.ndarray
    image: np.ndarray
    side_px: tuple[int, int]
    """Height and width in the scene's own pixels, as far as its tiles reach."""
    missing: int
    """How many tiles the store has left out; there the mask is empty and the image grey."""


def scene_layout(store: TileStore, scene: str, side_px: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Ids of the scene's tiles as they lie, (rows, cols); −1 where the store has none. (0, 0) for a scene that it does not know.

    A store may have left out the last tiles of a scene; ``side_px``, the scene's height and width, tells how many there were.
    """
    positions = tiles_by_position(store).get(scene, {})
    if not positions:
        return np.empty((0, 0), np.int64)
    window = store.rows[next(iter(positions.values()))].window
    rows = max(side_px[0] // window.height, *(row + 1 for row, _ in positions))
    cols = max(side_px[1] // window.width, *(col + 1 for _, col in positions))
    layout = np.full((rows, cols), -1, np.int64)
    for position, tile_id in positions.items():
        layout[position] = tile_id
    return layout


def whole_scene(stores: Sequence[TileStore], scene: str) -> WholeScene | None:
    """The scene from the store that has most of it, of those the one with the most pixels; ``None`` when it is too large."""
    sides = [_side_px(store, scene_layout(store, scene)) for store in stores]
    side_px = max(sides, key=math.prod)
    layouts = [(store, scene_layout(store, scene, side_px)) for store in stores]
    layouts = [(store, layout) for store, layout in layouts if 0 < layout.size * store.size_px**2 <= MOST_SCENE_PIXELS]
    if not layouts:
        return None

    def merit(entry: tuple[TileStore, np.ndarray]) -> tuple[float, int]:
        store, layout = entry
        share = float((layout >= 0).mean()) * math.prod(_side_px(store, layout)) / math.prod(side_px)
        return min(share, _NEARLY_ALL), layout.size * store.size_px**2

    store, layout = max(layouts, key=merit)
    first = store.rows[int(layout[layout >= 0][0])]
    empty = np.zeros((store.size_px,) * 2, np.uint8)
    grey = np.full((store.size_px, store.size_px, 3), GAP, np.uint8)
    tiles = [[(grey, empty) if tile_id < 0 else store.tile(tile_id) for tile_id in ids] for ids in layout.tolist()]
    return WholeScene(
        name=scene,
        place=first.place,
        mask=join_tiles([[mask for _, mask in row] for row in tiles]),
        image=join_tiles([[image for image, _ in row] for row in tiles]),
        side_px=_side_px(store, layout),
        missing=int((layout < 0).sum()),
    )


def join_tiles(tiles: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of tiles (S, S, …), side by side without a seam of its own: (rows·S, cols·S, …)."""
    return np.concatenate([np.concatenate(row, axis=1) for row in tiles], axis=0)


def cut_mask(mask: np.ndarray, count: int, size_px: int, classes: Classes | None) -> list[list[np.ndarray]]:
    """A scene's mask as ``count`` tiles along its shorter side, (S, S) each, as ``prepare --grid count`` would cut it.

    A pixel is building when at least half of its area is; of classes the one that covers most of it.
    """
    side = min(mask.shape) // count
    cut = Cut(side, side, mask.shape[0] // side, mask.shape[1] // side)
    tiles = (
        cut_masks(lambda window: np.ascontiguousarray(mask[window.slices]), cut, row, size_px, classes)[0]
        for row in range(cut.rows)
    )
    return [list(row) for row in tiles]


def masks_of_own_tiles(store: TileStore, scene: WholeScene, count: int) -> list[list[np.ndarray]] | None:
    """The masks of the store's own tiles where they are ``count`` along the scene's shorter side and complete; else ``None``."""
    layout = scene_layout(store, scene.name, scene.side_px)
    if not layout.size or min(layout.shape) != count or (layout < 0).any():
        return None
    return [[store.tile(tile_id)[1] for tile_id in ids] for ids in layout.tolist()]


def first_tile(layout: np.ndarray) -> int:
    """The tile of a scene after which all of its picture is drawn: where it is the only one, both are the same picture."""
    return int(layout[layout >= 0][0])


def drawn_as_tiles(draw: Draw, masks: Sequence[Sequence[np.ndarray]], place: str, number: int) -> np.ndarray:
    """Each tile (S, S) drawn on its own, then put side by side: seams and all."""

    def drawn(row: int, col: int) -> np.ndarray:
        mask = masks[row][col]
        return draw(mask, place, number=number, origin=(row * mask.shape[0], col * mask.shape[1]))

    return join_tiles([[drawn(row, col) for col in range(len(masks[row]))] for row in range(len(masks))])


def drawn_tile_by_tile(draw: Draw, store: TileStore, scene: WholeScene) -> tuple[np.ndarray, str]:
    """The store's own tiles of a scene, each drawn on its own, side by side, and in words what is shown.

    At most ``MOST_TILES_A_SIDE`` along each side, from the scene's middle; grey where the store has none.
    """
    layout = scene_layout(store, scene.name, scene.side_px)
    rows, cols = (min(side, MOST_TILES_A_SIDE) for side in layout.shape)
    top, left = (layout.shape[0] - rows) // 2, (layout.shape[1] - cols) // 2
    shown = layout[top : top + rows, left : left + cols]
    gap = np.full((store.size_px, store.size_px, 3), GAP, np.uint8)
    number = first_tile(layout)

    def drawn(row: int, col: int) -> np.ndarray:
        if layout[row, col] < 0:
            return gap
        origin = row * store.size_px, col * store.size_px
        return draw(store.tile(int(layout[row, col]))[1], scene.place, number=number, origin=origin)

    image = join_tiles([[drawn(row, col) for col in range(left, left + cols)] for row in range(top, top + rows)])
    words = f"{rows} × {cols} tiles of {store.size_px} px"
    if shown.shape != layout.shape:
        words += f", the middle of {layout.shape[0]} × {layout.shape[1]}"
    missing = int((shown < 0).sum())
    return image, words + (f", {missing} left out by its tiles" if missing else "")


def _side_px(store: TileStore, layout: np.ndarray) -> tuple[int, int]:
    """Height and width of the tiles of ``layout`` together, in scene pixels."""
    if not layout.size:
        return 0, 0
    window = store.rows[int(layout.max())].window
    return layout.shape[0] * window.height, layout.shape[1] * window.width


def held_out_share(store: TileStore, scene: str, split: str) -> tuple[int, int]:
    """How many of the store's tiles of a scene are in ``split``, and how many there are."""
    rows: list[Any] = [row for row in store.rows if row.scene == scene]
    return sum(row.split == split for row in rows), len(rows)
