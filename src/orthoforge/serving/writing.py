"""Images as bytes: PNG, Cloud Optimized GeoTIFF, or several in a ZIP."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from orthoforge.generation.chosen_styles import Style
from orthoforge.generation.outputs import share_tags, synthetic_tags
from orthoforge.generation.scene import Generated, Scene
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid

Format = Literal["png", "tif"]
MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "tif": "image/tiff"}
ZIP = "application/zip"


def image_tags(scene: Scene, style: Style) -> dict[str, str]:
    """What an image says of itself: that it is synthetic, of which model, seed and mask."""
    grid = scene.delivered.grid
    place = [grid.height, grid.width, *grid.transform[:6], grid.crs.to_wkt() if grid.crs else None]
    request = hashlib.sha256(json.dumps([scene.mask.identity, place, style.identity]).encode()).hexdigest()
    return synthetic_tags(scene.generator, scene.seed, Path("mask"), request) | style.tags


def encoded(made: Generated, scene: Scene, style: Style, form: Format, folder: Path) -> bytes:
    """One image, written in ``folder`` and read back."""
    tags = image_tags(scene, style) | share_tags(scene.generator, made.pixels_of)
    grid = scene.delivered.grid if form == "tif" else Grid(scene.delivered.grid.height, scene.delivered.grid.width)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own) / f"image.{form}"
        write_raster(path, made.image, grid, valid=made.valid, tags=tags)
        return path.read_bytes()


def zipped(images: Sequence[tuple[str, bytes]]) -> bytes:
    """Several files in a ZIP; stored, since images are packed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in images:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
