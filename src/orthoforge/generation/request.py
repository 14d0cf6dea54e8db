"""The checksum of what decides an image, by which a finished one and the blocks of a begun one are known again."""

import hashlib
import json

from orthoforge.generation.chosen_styles import Style
from orthoforge.generation.options import Options
from orthoforge.generation.scene import lies_nowhere
from orthoforge.masks.opening import SceneMask
from orthoforge.trained_generator import TrainedGenerator

PIXELS = 2  # raised when the same request gives other pixels, so that blocks of two versions are not joined


def request_of(mask: SceneMask, generator: TrainedGenerator, style: Style, options: Options, name: str) -> str:
    """Checksum of what decides an image, apart from the network's weights and the seed."""
    grid = mask.grid
    place = [grid.height, grid.width, *grid.transform[:6], grid.crs.to_wkt() if grid.crs else None]
    place += [] if grid.unit_m is None else [grid.unit_m]  # images from before pixel sizes were stated keep their checksum
    how = [
        options.overlap_px,
        options.resample,
        options.compress,
        options.quality if options.compress in ("jpeg", "webp") else None,
    ]
    look = [style.identity] if style.identity else []  # images from before there were styles keep their checksum
    library: list[dict[str, object]] = [generator.canvases_by] if generator.canvases_by else []
    # A level apart is another image. What PyTorch makes keeps the checksum of images from before there were other backends.
    library += [{"backend": generator.backend_words}] if generator.backend != "torch" else []
    named = [{"place of": name}] if lies_nowhere(grid) and (generator.is_noisy or library) else []
    return hashlib.sha256(json.dumps([PIXELS, mask.identity, place, how, *look, *library, *named]).encode()).hexdigest()
