"""Images of a folder to be scored, whoever made them, read one by one, and the masks that belong to them."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from orthoforge.errors import DataError
from orthoforge.evaluation.subject import ImageSet, Subject
from orthoforge.files import no_folder
from orthoforge.geo.rasters import DRIVERS, Raster, open_raster, read_image
from orthoforge.masks.reader import MaskReader
from orthoforge.tiles.store import TileStore

_SHOWN_NAMES = 3
_OF_BUILDINGS = MaskReader()


def folder_subject(
    path: Path, store: TileStore, split: str, *, masks: Path | None = None, reader: MaskReader = _OF_BUILDINGS
) -> Subject:
    """The images of a folder, and the ``masks`` of their names. Raises as ``folder_images`` and ``folder_masks`` do."""
    images = folder_images(path, store, split)
    mask = folder_masks(masks, images, reader=reader) if masks is not None else None
    return Subject(path, None, images, mask, None)


def folder_images(folder: Path, store: TileStore, split: str) -> ImageSet:
    """The rasters of a folder, each with the tile of ``split`` that its name means, if any.

    A tile is called SCENE_ROW_COLUMN after its window in the scene, or SCENE alone where it is the scene's only tile.

    Raises ``DataError`` when the folder holds no raster, two share a stem, one is no image of 8 bits with the tiles' bands, sizes
    differ among them or from the tiles', or a name means a tile of another split.
    """
    names, size = tile_names(store), store.size_px
    # Tiles in their own order, then the others by name.
    paths = sorted(files_by_stem(folder).values(), key=lambda path: (names.get(path.stem, len(store.rows)), path.stem))
    sizes: dict[tuple[int, int], list[Path]] = {}
    for path in paths:
        with open_raster(path) as raster:
            sizes.setdefault((raster.grid.height, raster.grid.width), []).append(path)
    if len(sizes) > 1:
        described = "; ".join(f"{w}×{h} px: {_few([path.name for path in some])}" for (h, w), some in sizes.items())
        raise DataError(f"{folder}: images of different sizes cannot be scored together ({described}). Crop them to one size.")
    height, width = next(iter(sizes))
    if (height, width) != (size, size):
        raise DataError(
            f"{folder}: its images have {width}×{height} px, the tiles in {store.path} {size}×{size} px. Scores compare images "
            f"of one size and scale only: prepare tiles of that size (`orthoforge prepare --size {width}`), or crop the images."
        )
    found = [names.get(path.stem) for path in paths]
    for path, tile_id in zip(paths, found, strict=True):
        if tile_id is not None and store.rows[tile_id].split != split:
            raise DataError(
                f"{path}: its name means {store.describe(tile_id)}, which is in split {store.rows[tile_id].split}, not {split}. "
                "Choose that split with --split, or move the image away."
            )
    for (path, tile_id), (other, other_id) in itertools.pairwise(zip(paths, found, strict=True)):
        if tile_id is not None and tile_id == other_id:
            raise DataError(f"{folder}: {path.name} and {other.name} both mean {store.describe(tile_id)}. Remove one of them.")
    scenes = [path.stem if tile_id is None else store.rows[tile_id].scene for path, tile_id in zip(paths, found, strict=True)]
    stems = tuple(path.stem for path in paths)
    return ImageSet(stems, tuple(scenes), (height, width), tuple(found), lambda index: _read_file(paths[index], store))


def folder_masks(folder: Path, images: ImageSet, *, reader: MaskReader = _OF_BUILDINGS) -> Callable[[int], np.ndarray]:
    """Masks (H, W) uint8 by the number of the image, from files of the images' stems: 0 and 255, or class indices.

    Raises ``DataError`` at once when an image has no mask, or one of another size; of other values when they are read.
    """
    masks = files_by_stem(folder)
    missing = [name for name in images.names if name not in masks]
    if missing:
        raise DataError(
            f"{folder}: no mask for {len(missing)} of {len(images)} images ({_few(missing)}). An image and its mask must share "
            "their name up to the suffix."
        )
    for name in images.names:
        with open_raster(masks[name]) as raster:
            if (raster.grid.height, raster.grid.width) != images.size_px:
                height, width = images.size_px
                raise DataError(
                    f"{masks[name]}: the mask is {raster.grid.width}×{raster.grid.height} px, its image {width}×{height} px. "
                    "Export one of them on the other's grid."
                )

    def read(index: int) -> np.ndarray:
        return reader.labels(masks[images.names[index]])

    return read


def tile_names(store: TileStore) -> dict[str, int]:
    """Every name that a file may have to mean a tile."""
    counts: dict[str, int] = {}
    for row in store.rows:
        counts[row.scene] = counts.get(row.scene, 0) + 1
    names = {f"{row.scene}_{row.window.row}_{row.window.col}": tile_id for tile_id, row in enumerate(store.rows)}
    return names | {row.scene: tile_id for tile_id, row in enumerate(store.rows) if counts[row.scene] == 1}


def files_by_stem(folder: Path) -> dict[str, Path]:
    """The rasters of a folder by name without suffix, sorted. ``DataError`` when there is none, or two share a stem."""
    files: dict[str, Path] = {}
    if not folder.is_dir():
        raise DataError(f"{no_folder(folder)}.")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in DRIVERS or path.name.startswith(".") or path.is_dir():
            continue
        if path.stem in files:
            raise DataError(f"{folder}: {files[path.stem].name} and {path.name} share one stem; remove or rename one of them.")
        files[path.stem] = path
    if not files:
        raise DataError(f"{folder}: no GeoTIFF, PNG or JPEG in it.")
    return files


def _read_file(path: Path, store: TileStore) -> np.ndarray:
    """The bands that are shown of an image, which has all those of the tiles."""
    with open_raster(path) as raster:
        if raster.band_count != store.bands:
            raise DataError(
                f"{path}: image has {raster.band_count} band{'s' * (raster.band_count > 1)}{' with alpha' * raster.has_alpha}, the "
                f"tiles in {store.path} have {store.bands}. {_same_bands(raster, store.bands)}"
            )
        if store.shown is None:
            return read_image(raster)
        return read_image(raster, bands=store.looked_at)


def _same_bands(raster: Raster, bands: int) -> str:
    """How an image gets as many bands as the tiles have."""
    colours = raster.band_count - raster.has_alpha
    if colours != 1 and colours < bands:
        return "Score it against tiles with its bands."
    numbers = [1] * bands if colours == 1 else range(1, bands + 1)
    return f"Save it with those: gdal_translate {' '.join(f'-b {number}' for number in numbers)} {raster.path.name} OUT."


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
