"""Masks to images: files in, georeferenced files out."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from orthoforge.checkpoints import TrainedGenerator, load_generator
from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.files import require_free_space
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import DRIVERS, open_raster, read_mask, read_mask_rgb, require_memory, write_raster
from orthoforge.scenes.palette import Palette, classes_from_palette

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# A mask whose pixels are this much larger or smaller than those of the training tiles is worth a warning.
GSD_TOLERANCE = 0.15
# Deflate leaves at least so much of an image with texture: with less room than that the disk would fill up for certain.
LEAST_SHARE = 0.3


def generate(
    run: str | Path | TrainedGenerator,
    masks: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    threshold: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> list[Path]:
    """Generate an image for each mask; returns the paths written.

    ``out`` is a file (``.tif`` or ``.png``, for one mask) or a folder that gets ``STEM.tif`` for each. A mask's size, CRS and
    transform are the image's, exactly; tags mark it as synthetic. The same ``seed`` gives the same image.

    Raises ``DataError`` for a mask that cannot be read or holds other values, ``ResourceError`` for one too large for the memory,
    ``CheckpointError``, ``OutputExistsError``, ``LockedError``.
    """
    generator = run if isinstance(run, TrainedGenerator) else load_generator(run, device=device)
    targets = output_paths(masks, Path(out))
    if not overwrite:  # said before the first mask is generated, not after the others were
        for path in targets:
            if path.exists():
                raise OutputExistsError(f"{path} exists. Pass --overwrite to replace it, or choose another --out.")
    for mask_path, path in zip(masks, targets, strict=True):
        mask, grid = read_condition(Path(mask_path), generator, threshold=threshold)
        require_free_space(path.parent, round(LEAST_SHARE * 3 * mask.size), f"the image for {mask_path}")
        image = generator(mask, seed=seed)
        write_raster(path, image, grid, tags=synthetic_tags(generator, seed), overwrite=overwrite)
    return targets


def output_paths(masks: Sequence[Path], out: Path) -> list[Path]:
    """Where each mask's image goes. ``ConfigError`` when two would get one name."""
    if not masks:
        raise ConfigError("no mask was given.")
    if out.suffix.lower() in DRIVERS:
        if len(masks) > 1:
            raise ConfigError(f"{out} is one file, but {len(masks)} masks were given. Make --out a folder.")
        return [out]
    targets = [out / f"{Path(mask).stem}.tif" for mask in masks]
    doubled = next((path for path in targets if targets.count(path) > 1), None)
    if doubled is not None:
        raise ConfigError(f"two masks are called {doubled.stem}; their images would overwrite each other. Use two --out folders.")
    return targets


def read_condition(path: Path, generator: TrainedGenerator, *, threshold: int | None = None) -> tuple[np.ndarray, Grid]:
    """A mask file as the generator takes it, (H, W) uint8, and its grid. Refuses one whose image would not fit into memory."""
    with open_raster(path) as raster:
        grid = raster.grid
        what = f"{path}: generating {grid.width}×{grid.height} px in one piece"
        require_memory(generator.memory_bytes(grid.height, grid.width), what)
        if generator.classes is None:
            mask = read_mask(raster, threshold=threshold)
        else:
            mask = classes_from_palette(read_mask_rgb(raster), Palette.of(**generator.classes), path)
    gsd_m = grid.gsd_m()
    if gsd_m and generator.gsd_m and abs(gsd_m / generator.gsd_m - 1) > GSD_TOLERANCE:
        warnings.warn(
            f"{path}: its pixels are {gsd_m:.2f} m, the run was trained at {generator.gsd_m:.2f} m; buildings will come out in the "
            "wrong scale. Resample the mask.",
            stacklevel=2,
        )
    return mask, grid


def synthetic_tags(generator: TrainedGenerator, seed: int) -> dict[str, str]:
    """Tags that say an image is synthetic and where it comes from."""
    tags = {
        "SYNTHETIC": "YES",
        "DIGITAL_SOURCE_TYPE": SOURCE_TYPE,
        "SOFTWARE": f"orthoforge {version('orthoforge')}",
        "MODEL_SHA256": generator.sha256,
        "MODEL_RECIPE": generator.recipe.name,
        "MODEL_STEP": str(generator.step),
        "SEED": str(seed),
    }
    return tags | ({"SOURCE_ATTRIBUTION": generator.attribution} if generator.attribution else {})
