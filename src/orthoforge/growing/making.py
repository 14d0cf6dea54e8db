"""The image of a mask, at the resolution that the run was trained at and on the mask's own grid."""

import copy
from pathlib import Path

import numpy as np

from orthoforge.generation import generate
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.geo.resampling import nearest, resample
from orthoforge.growing.scale import Scale
from orthoforge.masks.reader import MaskReader
from orthoforge.masks.resampled import resample_building
from orthoforge.trained_generator import TrainedGenerator

# Where metres are unknown, scales that differ by less are the same one: resampling would only blur.
_SAME_SCALE = 0.02
_STRIP_PX = 2**21


def make_image(
    generator: TrainedGenerator,
    mask: Path,
    out: Path,
    *,
    scale: Scale,
    seed: int,
    style: str | None,
    reader: MaskReader,
    work: Path,
    device: str,
) -> None:
    """Write the image of ``mask`` in a ``style`` of the run, or any, to ``out`` (``.tif``), replacing what is there.

    ``scale`` is that of the tiles that the run learned the mask's place from. Where metres say it, ``generate`` resamples; where
    neither the mask nor the run knows them, the mask is brought to that scale and the image back.
    """
    with open_raster(mask) as raster:
        grid = raster.grid
    if grid.pixel_m() is not None or abs(scale.px - 1) <= _SAME_SCALE:
        of_place = copy.copy(generator)
        of_place.gsd_m = generator.gsd_m or scale.gsd_m  # a run of several resolutions does not know one of its own
        generate(
            of_place, [mask], out, seed=seed, style=style, resample=True, pixel_size=PixelSizes(), device=device, overwrite=True
        )  # fmt: skip
        return
    scaled = Grid(max(1, round(grid.height / scale.px)), max(1, round(grid.width / scale.px)))
    small_mask, small = work / f"{mask.stem}.mask.tif", work / f"{mask.stem}.image.tif"
    write_raster(small_mask, _scaled_mask(mask, grid, scaled, reader), scaled, overwrite=True)
    generate(
        generator, [small_mask], small, seed=seed, style=style, pixel_size=PixelSizes(), device=device, overwrite=True
    )  # fmt: skip
    with open_raster(small) as raster:
        pixels = read_image(raster, bands=range(1, generator.bands + 1))
    _, valid = reader.read(mask)
    tags = read_tags(small) | {"MASK": mask.name}
    write_raster(out, _scaled_image(pixels, scaled, grid), grid, valid=valid, tags=tags, overwrite=True)
    small_mask.unlink()
    small.unlink()


def _scaled_mask(path: Path, grid: Grid, scaled: Grid, reader: MaskReader) -> np.ndarray:
    """Building where it covers at least half a pixel; of classes, that at the pixel's centre."""
    sizes, whole = ((grid.height, grid.width), (scaled.height, scaled.width)), Window(0, 0, scaled.height, scaled.width)
    pixels, _ = reader.read(path)
    return (nearest if reader.classes else resample_building)(lambda w: pixels[w.slices], *sizes, whole)


def _scaled_image(pixels: np.ndarray, scaled: Grid, grid: Grid) -> np.ndarray:
    """(H, W, B) uint8 on ``grid``, some rows at a time: the sums are eight times as large as the pixels."""
    image = np.empty((grid.height, grid.width, pixels.shape[2]), np.uint8)
    rows = max(1, _STRIP_PX // grid.width)
    for row in range(0, grid.height, rows):
        strip = Window(row, 0, min(rows, grid.height - row), grid.width)
        sizes = (scaled.height, scaled.width), (grid.height, grid.width)
        image[strip.slices] = np.clip(np.rint(resample(lambda w: pixels[w.slices], *sizes, strip, kernel="cubic")), 0, 255)
    return image
