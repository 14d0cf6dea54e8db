"""Where the masks come from that images are made of on the fly: arrays, files, tiles, or new ones that are forged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from orthoforge.errors import ConfigError, DataError
from orthoforge.forging.new_mask import new_mask
from orthoforge.forging.places import Place, places_of, real_masks
from orthoforge.generation.scene import at_resolution
from orthoforge.geo.grid import Window, require_north_up
from orthoforge.geo.pixel_sizes import PixelSizes, homes_of
from orthoforge.masks.opening import SceneMask
from orthoforge.masks.reader import MaskReader, open_raster_mask
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

Forge = Literal["transform", "recombine", "streets"]
Masks = str | Path | Sequence[str | Path] | Sequence[np.ndarray] | np.ndarray | Tensor | TileStore


class Drawn(NamedTuple):
    """A mask (H, W) as a generator takes it, and where it comes from."""

    mask: np.ndarray
    name: str
    place: str
    row: int
    col: int
    gsd_m: float


class MaskSource(Protocol):
    """Masks by number. ``draw`` gives one, or ``crop_px`` of it, by chance."""

    def __len__(self) -> int: ...

    def draw(self, number: int, crop_px: int | None, rng: np.random.Generator) -> Drawn: ...


def mask_source(
    masks: Masks,
    generator: TrainedGenerator,
    *,
    forge: Forge | None,
    resample: bool,
    threshold: int | None,
    pixel_size: PixelSizes | float | str | Path | None,
    seed: int,
) -> MaskSource:
    """The source that ``masks`` means. Raises what ``SyntheticPairs`` says."""
    if isinstance(masks, np.ndarray | Tensor) or _is_of_arrays(masks):
        if forge:
            raise ConfigError("masks are forged from files, a data set or a folder of masks; arrays have no place to learn from.")
        return ArrayMasks(_arrays(masks), generator.gsd_m)
    store = masks if isinstance(masks, TileStore) else _store_at(masks)
    if store is not None:
        if forge:
            raise ConfigError(
                f"{store.path}: masks are forged from whole scenes. Name the data set that these tiles were cut from."
            )
        _require_same_classes(store, generator)
        return TileMasks(store, store.ids("train"))
    if forge and generator.classes:
        raise ConfigError(f"forge={forge!r} makes masks of buildings; this run was trained on classes.")
    assert not isinstance(masks, np.ndarray | Tensor | TileStore)
    found = real_masks(masks if isinstance(masks, str | Path) else [Path(str(path)) for path in masks])
    homes = found.homes or homes_of(*found.paths)
    names, sizes = PlaceNames.stated(None, *homes), PixelSizes.stated(pixel_size, *homes)
    if forge:
        reader = MaskReader(threshold=threshold, pixel_sizes=sizes)
        places, _ = places_of(found.paths, None, reader, names)
        for place in places:
            source = place.sources[0]
            with reader.open(source.path) as opened:
                at_resolution(opened, generator, source.path, resample=False)
        return ForgedMasks(tuple(places), forge, seed, reader)
    return FileMasks(found.paths, generator, resample, threshold, names, sizes)


@dataclass(frozen=True)
class ArrayMasks:
    """Masks in memory, of pixels as large as the run's."""

    masks: Sequence[np.ndarray]
    gsd_m: float | None

    def __len__(self) -> int:
        return len(self.masks)

    def draw(self, number: int, crop_px: int | None, rng: np.random.Generator) -> Drawn:
        mask = np.asarray(self.masks[number])
        window = window_of(mask.shape[0], mask.shape[1], crop_px, rng, f"mask {number}")
        return Drawn(mask[window.slices], f"mask{number}", "", window.row, window.col, self.gsd_m or math.nan)


@dataclass(frozen=True)
class TileMasks:
    """The masks of prepared tiles."""

    store: TileStore
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def draw(self, number: int, crop_px: int | None, rng: np.random.Generator) -> Drawn:
        tile_id = int(self.ids[number])
        row, (_, mask) = self.store.rows[tile_id], self.store.tile(tile_id)
        window = window_of(mask.shape[0], mask.shape[1], crop_px, rng, self.store.path)
        gsd_m = math.nan if row.gsd_m is None else row.gsd_m
        return Drawn(mask[window.slices], row.scene, row.place, row.window.row, row.window.col, gsd_m)


@dataclass(frozen=True)
class FileMasks:
    """Masks in files, at the run's resolution."""

    paths: tuple[Path, ...]
    generator: TrainedGenerator
    resample: bool
    threshold: int | None
    names: PlaceNames
    sizes: PixelSizes

    def __len__(self) -> int:
        return len(self.paths)

    def draw(self, number: int, crop_px: int | None, rng: np.random.Generator) -> Drawn:
        path = self.paths[number]
        with open_raster_mask(path, classes=self.generator.classes, threshold=self.threshold, pixel_sizes=self.sizes) as opened:
            require_north_up(path, opened.grid)
            mask: SceneMask = at_resolution(opened, self.generator, path, resample=self.resample)
            window = window_of(mask.grid.height, mask.grid.width, crop_px, rng, path)
            gsd_m = mask.grid.gsd_m() or self.generator.gsd_m or math.nan
            return Drawn(mask.read(window)[0], path.stem, self.names.key(path), window.row, window.col, gsd_m)


@dataclass(frozen=True)
class ForgedMasks:
    """New masks, by the places in turn. There is no end of them: each number is another one."""

    places: tuple[Place, ...]
    how: Forge
    seed: int
    reader: MaskReader

    def __len__(self) -> int:
        return sum(len(place.sources) for place in self.places)

    def draw(self, number: int, crop_px: int | None, rng: np.random.Generator) -> Drawn:
        index, turn = divmod(number, len(self.places))
        place = self.places[turn]
        new = new_mask(place, index, self.how, crop_px, None, 1.0, self.seed, self.reader, ())
        return Drawn(new.mask, f"{place.name}_{self.how}{index}", place.name, 0, 0, new.grid.gsd_m() or math.nan)


def window_of(height: int, width: int, crop_px: int | None, rng: np.random.Generator, name: object) -> Window:
    """All of a mask, or a random square of it. ``ConfigError`` for one that is larger."""
    if crop_px is None:
        return Window(0, 0, height, width)
    if crop_px > min(height, width):
        raise ConfigError(f"{name}: is {width}×{height} px, and crops have {crop_px}. Take a smaller crop_px, or leave it out.")
    row, col = (int(rng.integers(side - crop_px + 1)) for side in (height, width))
    return Window(row, col, crop_px, crop_px)


def _is_of_arrays(masks: object) -> bool:
    return (
        isinstance(masks, Sequence) and not isinstance(masks, str) and len(masks) > 0 and isinstance(masks[0], np.ndarray | Tensor)
    )


def _arrays(masks: object) -> list[np.ndarray]:
    """Masks (H, W) one by one. ``DataError`` for other shapes, or none."""
    whole = [np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask) for mask in masks]  # type: ignore[attr-defined]
    if not whole or any(mask.ndim != 2 for mask in whole):
        shapes = whole[0].shape if whole else "nothing"
        raise DataError(f"masks are an array (N, H, W), or several (H, W); one here is {shapes}.")
    return whole


def _store_at(masks: object) -> TileStore | None:
    if isinstance(masks, str | Path) and (Path(masks) / "store.json").is_file():
        return TileStore.open(Path(masks))
    return None


def _require_same_classes(store: TileStore, generator: TrainedGenerator) -> None:
    own, theirs = ((one.names if one else ("building",)) for one in (store.classes, generator.classes))
    if own != theirs:
        raise ConfigError(
            f"{store.path}: its masks show {', '.join(own)}; {generator.recipe.name} was trained on {', '.join(theirs)}. "
            "Prepare tiles with the run's palette."
        )
