"""What lies beside an image and speaks of it: its STAC item and its signature."""

from datetime import UTC, datetime
from pathlib import Path

from orthoforge.generation.options import Options
from orthoforge.generation.outputs import lacking, side_files
from orthoforge.generation.scene import Scene
from orthoforge.geo.rasters import read_tags
from orthoforge.geo.signing import sign
from orthoforge.geo.stac import write_stac_item


def remove_side_files(path: Path) -> None:
    """What was said of the image that is about to be replaced."""
    for file in side_files(path):
        file.unlink(missing_ok=True)


def complete(path: Path, scene: Scene, options: Options) -> None:
    """Write what the image lacks beside it. What is said of it is what its own tags say, and the time at which it was made."""
    grid = scene.delivered.grid
    for file in lacking(path, located=grid.crs is not None, signed=options.sign is not None):
        if file.suffix == ".json":
            made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            write_stac_item(path, grid, tags=read_tags(path), bands=scene.generator.bands, created=made)
        elif options.sign:
            certificate, private_key = options.sign
            sign(path, certificate=certificate, private_key=private_key)
