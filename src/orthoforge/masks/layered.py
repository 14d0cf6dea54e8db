"""Map layers beside a mask of buildings: which ones are asked for, and both as one mask of classes."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.files import no_such_file
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import Classes
from orthoforge.masks.layer_mask import LayerMask, MapLayers, load_layers, warn_of_ignored
from orthoforge.masks.layer_style import LayerStyle, load_style
from orthoforge.vectors.places import crs_asked, grid_for, reproject

# Files up to so many bytes in all are read once for all masks; of larger ones only what lies on a mask's ground.
_READ_WHOLE_BYTES = 200_000_000


class _Buildings(Protocol):
    """What of a mask of buildings is looked at."""

    @property
    def grid(self) -> Grid: ...

    @property
    def identity(self) -> str: ...

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]: ...

    def valid(self, window: Window) -> np.ndarray | None: ...

    def require_sound(self) -> None: ...


@dataclass(frozen=True)
class MapFiles:
    """Vector files of roads, water, trees … and the style by which they are painted; several masks may be painted from them."""

    paths: tuple[Path, ...]
    style: LayerStyle
    repair: bool = False
    _reading: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """A copy in another process reads the files for itself."""
        return MapFiles, (self.paths, self.style, self.repair)

    @staticmethod
    def asked(paths: Sequence[str | Path] | None, style: str | Path | None, *, repair: bool = False) -> "MapFiles | None":
        """As a command is asked for them; ``None`` without files. ``ConfigError`` for a style without files, or a wrong one."""
        if not paths:
            if style is not None:
                raise ConfigError("--layer-style says how map layers are painted, and no --layers were given.")
            return None
        for path in paths:
            if not Path(path).exists():
                raise DataError(no_such_file(Path(path)))
        return MapFiles(tuple(map(Path, paths)), load_style(None if style is None else Path(style)), repair)

    @property
    def plain(self) -> dict[str, object]:
        """Checksums of what decides the masks, for settings that are kept."""
        return {"files": [source_sha256(path) for path in self.paths], "style": self.style.sha256}

    def load(self, grid: Grid) -> MapLayers:
        """The layers, or what of them lies on a grid. What is of no class is warned of."""
        with self._reading:  # one of several threads reads
            if sum(path.stat().st_size for path in self.paths) <= _READ_WHOLE_BYTES:
                return self._whole
            layers = load_layers(self.paths, self.style, within=grid, repair=self.repair)
            warn_of_ignored(layers)
            return layers

    @cached_property
    def _whole(self) -> MapLayers:
        layers = load_layers(self.paths, self.style, repair=self.repair)
        warn_of_ignored(layers)
        return layers


class LayeredMask:
    """Map layers with the buildings of a mask on top of them: a mask of classes on that mask's grid."""

    def __init__(self, layers: LayerMask, buildings: _Buildings, building: int) -> None:
        self.grid, self._layers, self._buildings = buildings.grid, layers, buildings
        self._building = layers.indices[building]
        self.identity = hashlib.sha256(f"{layers.identity} {buildings.identity} {self._building}".encode()).hexdigest()

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        labels = self._layers.labels(window)
        buildings, valid = self._buildings.read(window)
        labels[buildings > 0] = self._building
        return labels, valid

    def labels(self, window: Window | None = None) -> np.ndarray:
        """A window, or all of it, as (h, w) uint8 of class indices."""
        return self.read(window or Window(0, 0, self.grid.height, self.grid.width))[0]

    def valid(self, window: Window) -> np.ndarray | None:
        return self._buildings.valid(window)

    def require_sound(self) -> None:
        self._buildings.require_sound()


def layered(buildings: _Buildings, files: MapFiles, classes: Classes | None = None, *, grid: Grid | None = None) -> LayeredMask:
    """The files' layers with buildings on top, on the buildings' grid: in the style's classes, or by name in those of a run.

    ``grid`` is where the buildings' own says too little of their place.
    """
    building, grid = files.style.building, grid or buildings.grid
    layers = files.load(grid).on(grid, classes, painted=[building])
    return LayeredMask(layers, buildings, building)


def map_on_its_ground(
    layers: MapLayers,
    path: Path,
    classes: Classes | None = None,
    *,
    like: Grid | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd_m: float | None = None,
    crs: str | None = None,
) -> LayerMask:
    """Map layers that say themselves where buildings are, on the grid that ``vectors.places.grid_for`` chooses for these.

    A map without buildings covers all that it paints. ``path`` is named in errors, which are those of ``grid_for``.
    """
    found = layers.buildings or [(crs_of, shapes) for crs_of, shapes in layers.shapes if len(shapes)]
    own = found[0][0] if found else None
    try:
        moved = [reproject(shapes, crs_of, own) for crs_of, shapes in found]
        ground = np.concatenate(moved) if moved else np.empty(0, object)
        chosen = crs_asked(crs) if crs is not None else None
        return layers.on(grid_for(ground, own, like=like, extent=extent, gsd_m=gsd_m, crs_out=chosen), classes)
    except DataError as error:
        kind = GridError if isinstance(error, GridError) else DataError
        raise kind(f"{path}: {error}") from error
