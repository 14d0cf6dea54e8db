"""Headers of scenes. Small scenes are cut while their files are open for it: opening a file takes longer than reading some hundred
pixels.
"""

import math
import threading
from collections.abc import Container, Sequence
from dataclasses import replace

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.grid import grid_of_pair, require_same_grid
from orthoforge.geo.rasters import open_raster, reading_many
from orthoforge.geo.stamps import Listed
from orthoforge.scenes.sources import Pair
from orthoforge.tiles.cutting import Cut, cut_by_gsd, cut_by_number
from orthoforge.tiles.scene_tiles import Ready, Scene, cut_open, stamp
from orthoforge.tiles.settings import Settings

# Both files of a small scene together, and the tiles of all that are held in memory before they are written.
_SMALL_BYTES, _AHEAD_BYTES = 2**20, 2**26


class Ahead:
    """Which scenes are cut while they are surveyed: small ones that are not among those ``recorded`` as finished, as long as there
    is room for their tiles."""

    def __init__(self, recorded: Container[str]) -> None:
        self._recorded, self._lock = recorded, threading.Lock()
        self._room_bytes = _AHEAD_BYTES
        self.listed = Listed()

    def takes(self, pair: Pair) -> bool:
        """Whether a pair is small, and nothing says that it was finished before."""
        try:
            small = sum(file.stat().st_size for file in (pair.image, pair.mask)) <= _SMALL_BYTES
        except OSError:  # whoever opens it says so
            return False
        return small and pair.name not in self._recorded

    def has_room(self, cut: Cut, settings: Settings) -> bool:
        """Whether the scene and its tiles are small enough; their room is then taken."""
        needed = sum(map(math.prod, settings.shard_shapes(cut.rows * cut.cols)))
        if cut.rows * cut.height * cut.cols * cut.width > _SMALL_BYTES:
            return False
        with self._lock:
            if needed > self._room_bytes:
                return False
            self._room_bytes -= needed
        return True


def survey_scenes(pairs: Sequence[Pair], settings: Settings, ahead: Ahead | None = None) -> list[Scene | DataError | ConfigError]:
    """As ``survey_scene`` of each; what is raised of a pair stands in its place. GDAL's options are set once for all."""
    with reading_many():
        return [_surveyed(pair, settings, ahead) for pair in pairs]


def _surveyed(pair: Pair, settings: Settings, ahead: Ahead | None) -> Scene | DataError | ConfigError:
    try:
        return survey_scene(pair, settings, ahead)
    except (DataError, ConfigError) as error:
        return error


def survey_scene(pair: Pair, settings: Settings, ahead: Ahead | None = None) -> Scene:
    """Read both headers and plan the cut; of a scene that ``ahead`` takes, cut it. ``DataError`` when the pair does not fit."""
    sources = stamp(pair, ahead.listed) if ahead and ahead.takes(pair) else None  # before opening, as in ``cut_scene``
    with reading_many(), open_raster(pair.image) as image, open_raster(pair.mask) as mask:
        require_same_grid(pair.name, image.grid, mask.grid)
        grid = grid_of_pair(image.grid, mask.grid)
        synthetic = image.tags().get("SYNTHETIC") == "YES"
        grid = settings.pixel_sizes.applied(grid, pair.image)
        made_from = tuple(filter(None, mask.tags().get("SOURCE_SCENES", "").split(", "))) if synthetic else ()
        if settings.gsd is not None:
            cut = cut_by_gsd(pair.name, grid, settings.gsd, settings.size)
        else:
            assert settings.grid is not None
            cut = cut_by_number(grid, settings.grid)
        scene = Scene(pair, grid, cut, synthetic, made_from)
        if cut is None or sources is None or ahead is None or not ahead.has_room(cut, settings):
            return scene
        images: list[np.ndarray] = []
        masks: list[np.ndarray] = []

        def keep(image_of_tile: np.ndarray, mask_of_tile: np.ndarray) -> None:
            images.append(image_of_tile)
            masks.append(mask_of_tile)

        try:
            told = cut_open(scene, image, settings.reader.on(mask, grid), settings, keep)
        except (DataError, ConfigError):  # said when its turn comes to be cut: which scenes share a shard must not hang on it
            return scene
        return replace(scene, ready=Ready(images, masks, replace(told, sources=sources)))
