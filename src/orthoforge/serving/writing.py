"""Images as bytes: PNG, Cloud Optimized GeoTIFF, or several in a ZIP."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from orthoforge.generation.chosen_styles import Style
from orthoforge.generation.outputs import share_tags, synthetic_tags
from orthoforge.generation.scene import Generated, Scene
from orthoforge.geo.cog import write_raster

Format = Literal["png", "tif"]
MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "tif": "image/tiff"}
ZIP = "application/zip"
_PNG_LEVEL = 2  # a twentieth larger than at 6, in little more than half the time


def image_tags(scene: Scene, style: Style) -> dict[str, str]:
    """What an image says of itself: that it is synthetic, of which model, seed and mask."""
    grid = scene.delivered.grid
    place = [grid.height, grid.width, *grid.transform[:6], grid.crs.to_wkt() if grid.crs else None]
    place += [] if grid.unit_m is None else [grid.unit_m]
    sun = [] if scene.generator.sun is None else [{"sun": scene.generator.sun}]
    request = hashlib.sha256(json.dumps([scene.mask.identity, place, style.identity, *sun]).encode()).hexdigest()
    return synthetic_tags(scene.generator, scene.seed, Path("mask"), request) | style.tags


def encoded(made: Generated, scene: Scene, style: Style, form: Format, folder: Path) -> bytes:
    """One image: a PNG, or a GeoTIFF that is written in ``folder`` and read back."""
    tags = image_tags(scene, style) | share_tags(scene.generator, made.pixels_of)
    if form == "png":
        return _png(made.image, made.valid, tags)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own) / "image.tif"
        write_raster(path, made.image, scene.delivered.grid, valid=made.valid, tags=tags)
        return path.read_bytes()


def _png(image: np.ndarray, valid: np.ndarray | None, tags: Mapping[str, str]) -> bytes:
    """An image (H, W, 3) with its tags as text, and an alpha band where pixels are not ``valid`` (H, W)."""
    if valid is not None and not valid.all():
        image = np.dstack([image, valid.astype(np.uint8) * 255])
    text = PngInfo()
    for name, value in tags.items():
        text.add_itxt(name, value) if not value.isascii() else text.add_text(name, value)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=_PNG_LEVEL, pnginfo=text)
    return buffer.getvalue()


def zipped(images: Sequence[tuple[str, bytes]]) -> bytes:
    """Several files in a ZIP; stored, since images are packed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in images:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
