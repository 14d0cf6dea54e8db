"""What tiles depend on beside the scenes."""

import json
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.metadata import version
from typing import get_args

import rasterio

from orthoforge.bands import require_band_numbers
from orthoforge.errors import ConfigError
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.masks.classes import Classes, plain_classes
from orthoforge.masks.coding import Coding
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.tiles import manifest
from orthoforge.tiles.splits import Method

_LATER = ("bands", "pixel_sizes", "coding", "layers", "places")


@dataclass(frozen=True)
class Settings:
    """What the tiles depend on beside the scenes. All but split, seed, attribution and places decides the pixels of a shard."""

    grid: int | None
    gsd: float | None
    size: int
    min_building: float
    threshold: int | None
    classes: Classes | None
    split: Method
    seed: int
    attribution: str
    bands: tuple[int, ...] | None = None
    """Of the scenes' images, by their number from 1; ``None`` for images of three bands."""
    pixel_sizes: PixelSizes = PixelSizes()  # noqa: RUF009 (immutable)
    """Of scenes without coordinates."""
    coding: Coding | None = None
    """How masks of classes say what is building, where tiles of buildings are made of them."""
    layers: MapFiles | None = None
    """Map layers that are painted under the masks' buildings: the tiles' masks then have the classes of their style."""
    places: PlaceNames = PlaceNames()  # noqa: RUF009 (immutable)
    """Of scenes whose names do not say theirs."""

    def __post_init__(self) -> None:
        if self.grid is not None and self.gsd is not None:
            raise ConfigError("--grid cuts a scene into a number of tiles, --gsd into tiles of one ground size. Pass one of them.")
        if self.grid is not None and self.grid < 1:
            raise ConfigError(f"grid is {self.grid}; it is the number of tiles along a scene's shorter side, 1 or more.")
        if self.gsd is not None and not 0 < self.gsd < float("inf"):
            raise ConfigError(f"gsd is {self.gsd}; it is the ground size of a tile's pixel in metres, above 0.")
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; it is the side of a tile in pixels, 1 or more.")
        if not 0 <= self.min_building <= 1:
            raise ConfigError(f"min_building is {self.min_building}; it is a share from 0 to 1 (0.25 for 25 %).")
        if self.split not in get_args(Method):
            raise ConfigError(f"split is {self.split!r}; known are {', '.join(get_args(Method))}.")
        if self.threshold is not None and self.classes and not self.layers:
            raise ConfigError("--threshold is for masks of buildings, --palette for masks of classes. Pass one of them.")
        require_band_numbers(self.bands)

    def shard_shapes(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the arrays of so many tiles' images and masks."""
        return manifest.shard_shapes(count, self.size, manifest.band_count(self.bands))

    @property
    def plain(self) -> dict[str, object]:
        """As plain values. Later fields only where they were chosen: a store without is the same as before there was a choice."""
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {
            "classes": plain_classes(self.classes), "pixel_sizes": self.pixel_sizes.plain or None,
            "coding": self.coding.plain() if self.coding else None, "layers": self._layer_sums,
            "places": self.places.plain or None,
        }  # fmt: skip
        return {name: value for name, value in values.items() if name not in _LATER or value is not None}

    @cached_property
    def _layer_sums(self) -> dict[str, object] | None:
        return self.layers.plain if self.layers else None

    @property
    def reader(self) -> MaskReader:
        """What reads the scenes' masks: of buildings alone where layers are painted under them."""
        return MaskReader(None if self.layers else self.classes, self.threshold, self.pixel_sizes, self.coding)

    @cached_property
    def pixels(self) -> dict[str, object]:
        """What a scene's shards depend on, the libraries that resize and read included."""
        others = ("split", "seed", "attribution", "places")
        own = {name: value for name, value in self.plain.items() if name not in others}
        return {"format": manifest.FORMAT, "versions": versions()} | json.loads(json.dumps(own))


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that read and resize: another one may round a pixel differently."""
    names = ("torch", "rasterio", "numpy")
    return {name: version(name) for name in names} | {"gdal": rasterio.__gdal_version__}
