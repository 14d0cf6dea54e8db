"""One scene to its tiles, row by row of windows."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from orthoforge.errors import DataError, ResourceError
from orthoforge.geo import stamps
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import Raster, open_raster, read_image, reading_many
from orthoforge.geo.stamps import Listed, Stamp
from orthoforge.masks.layer_mask import LayerMask
from orthoforge.masks.layered import LayeredMask, layered
from orthoforge.masks.reader import RasterMask
from orthoforge.scenes.sources import Pair
from orthoforge.tiles import manifest
from orthoforge.tiles.cutting import LEAST_DATA, SAME_GSD, Cut, Read, cut_images, cut_masks, data_shares
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.settings import Settings

_LEAST_BESIDE_PX = 2**18  # of a row of windows
# In the place of a checksum.
_CHANGED = "changed while it was read"

# Takes a tile's image (S, S, B) and mask (S, S).
Keep = Callable[[np.ndarray, np.ndarray], object]


@dataclass(frozen=True)
class Scene:
    """A pair whose headers were read; ``cut`` is ``None`` when it is smaller than one tile.

    ``synthetic`` says that a generator made the image; ``made_from`` are the scenes whose masks it was made from, where known.
    ``ready`` are the tiles of one that was cut at once.
    """

    pair: Pair
    grid: Grid
    cut: Cut | None
    synthetic: bool = False
    made_from: tuple[str, ...] = ()
    ready: "Ready | None" = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As the pair is called."""
        return self.pair.name


@dataclass(frozen=True)
class SceneTiles:
    """The rows of a scene, and how many tiles lack data: ``empty`` ones, which are left out, and ``partly`` empty ones; and how its
    ``sources`` were (``stamp``)."""

    rows: list[TileRow]
    empty: int = 0
    partly: int = 0
    sources: list[Stamp] | None = None


class Ready(NamedTuple):
    """A scene's tiles before they are written: images (S, S, B), masks (S, S), and what is told of them."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    told: SceneTiles


def cut_scene(scene: Scene, settings: Settings, keep: Keep) -> SceneTiles:
    """Hand a scene's tiles to ``keep``, apart from those that are left out; those of a scene that is ``ready`` are there."""
    assert scene.cut
    if scene.ready:
        for image_of_tile, mask_of_tile in zip(scene.ready.images, scene.ready.masks, strict=True):
            keep(image_of_tile, mask_of_tile)
        return scene.ready.told
    with (
        _stamped_meanwhile(scene) as stamped,
        reading_many(),
        open_raster(scene.pair.image) as image,
        _opened_mask(scene, settings) as mask,
    ):
        told = cut_open(scene, image, mask, settings, keep)
        return replace(told, sources=stamped())


def cut_open(scene: Scene, image: Raster, mask: RasterMask | LayeredMask | LayerMask, settings: Settings, keep: Keep) -> SceneTiles:
    """The same of a scene whose files are open, row by row of windows. Nothing is said of its ``sources``.

    Tiles whose image has data on less than ``LEAST_DATA`` of their ground are left out, and those with too little building.
    """
    assert scene.cut
    cut, size = scene.cut, settings.size
    rows: list[TileRow] = []
    empty = partly = 0
    gsd_m = _tile_gsd_m(scene.grid.pixel_m(), cut, settings)
    with _second_thread(cut) as beside:
        pixels = _speaking_of_the_whole(partial(read_image, image, bands=settings.bands))
        labels = _speaking_of_the_whole(mask.labels)
        later = beside(cut_masks, labels, cut, 0, size, settings.classes)
        for row in range(cut.rows):
            masks_beside = later
            if row + 1 < cut.rows:  # masks take longer than images, so theirs is always begun
                later = beside(cut_masks, labels, cut, row + 1, size, settings.classes)
            images = cut_images(pixels, cut, row, size)
            masks, shares = masks_beside()
            data = _data_shares(image, cut, row)
            empty += int(np.count_nonzero(data < LEAST_DATA))
            kept = (shares >= settings.min_building) & (data >= LEAST_DATA)
            partly += int(np.count_nonzero(data[kept] < 1))
            for col in np.flatnonzero(kept).tolist():
                keep(images[col], masks[col])
                sums = float(shares[col]), manifest.tile_sha256(images[col], masks[col])
                rows.append(_row(scene, gsd_m, len(rows), cut.window(row, col), size, *sums))
    return SceneTiles(rows, empty, partly)


@contextlib.contextmanager
def _stamped_meanwhile(scene: Scene) -> Iterator[Callable[[], list[Stamp]]]:
    """Gives the stamp of a scene's files, which are read for it while the block reads pixels.

    The stamp of files that changed between the block's beginning and the call fits no file.
    """
    assert scene.cut
    before = _state(scene.pair)
    with _second_thread(scene.cut) as beside:
        later = beside(stamp, scene.pair)

        def stamped() -> list[Stamp]:
            found = later()
            return found if _state(scene.pair) == before else [[[*entry, _CHANGED] for entry in one] for one in before]

        yield stamped


def stamp(pair: Pair, listed: Listed | None = None) -> list[Stamp]:
    """How both files are, with what lies beside them, see ``stamps.stamp``. Reads them."""
    return [stamps.stamp(pair.image, listed), stamps.stamp(pair.mask, listed)]


def _state(pair: Pair) -> list[Stamp]:
    return [stamps.state(pair.image), stamps.state(pair.mask)]


@contextlib.contextmanager
def _second_thread(cut: Cut) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Calls a function beside the others, and gives what returns its result. Of a small scene a thread costs more than it saves."""
    if cut.height * cut.width * cut.cols < _LEAST_BESIDE_PX:
        yield lambda function, *arguments: partial(function, *arguments)
        return
    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result


@contextlib.contextmanager
def _opened_mask(scene: Scene, settings: Settings) -> Iterator[RasterMask | LayeredMask | LayerMask]:
    """The scene's mask: as it is, on top of map layers, or the map's alone where it has none."""
    layers, pair = settings.layers, scene.pair
    if layers is not None and not pair.has_mask:
        yield layers.load(scene.grid).on(scene.grid)
        return
    with settings.reader.open(pair.mask) as mask:
        yield mask if layers is None else layered(mask, layers, grid=scene.grid)


def _data_shares(image: Raster, cut: Cut, row: int) -> np.ndarray:
    """The share of pixels with data of each tile of a row: all of them where the file does not say which have none."""
    if image.read_valid(Window(row * cut.height, 0, 1, 1)) is None:
        return np.ones(cut.cols)

    def valid(window: Window) -> np.ndarray:
        found = image.read_valid(window)
        return np.ones((window.height, window.width), bool) if found is None else found

    return data_shares(valid, cut, row)


def _speaking_of_the_whole(read: Callable[[Window | None], np.ndarray]) -> Read:
    """``read``, but an error counts pixels of the whole file instead of those of a strip."""

    def read_window(window: Window) -> np.ndarray:
        try:
            return read(window)
        except DataError:
            with contextlib.suppress(ResourceError):
                read(None)
            raise

    return read_window


def _row(scene: Scene, gsd_m: float | None, index: int, window: Window, size_px: int, share: float, sha256: str) -> TileRow:
    grid = scene.grid.window(window).resized(size_px, size_px)
    return TileRow(scene.pair.name, scene.pair.place, index, window, grid, gsd_m, "", share, sha256, scene.synthetic)


def _tile_gsd_m(pixel_m: tuple[float, float] | None, cut: Cut, settings: Settings) -> float | None:
    """Metres per pixel of a scene's tiles, the mean of both axes; ``None`` where the scene's are unknown.

    Where ``--gsd`` was asked for and reached, it is that number: the 0.3 m of a UTM zone are 0.299971 m on the ellipsoid, and
    footprints drawn at one of them are not those drawn at the other.
    """
    if pixel_m is None:
        return None
    width_m, height_m = pixel_m
    gsd_m = (width_m * cut.width + height_m * cut.height) / 2 / settings.size
    return settings.gsd if settings.gsd and abs(gsd_m / settings.gsd - 1) <= SAME_GSD else gsd_m
