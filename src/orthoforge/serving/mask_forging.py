"""The process that forges masks: however long that takes, it ends in time, and the server's threads are free meanwhile.

Started as ``python -m orthoforge.serving.mask_forging BYTES``. Each line of its input is an order (``Order``, as JSON); the mask
then lies in the order's folder.
"""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from orthoforge.forging.new_mask import new_mask
from orthoforge.forging.places import Place, places_of
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.serving.answering import answer_all
from orthoforge.vectors import footprints_of, write_footprints

_SIMULATED_PX, _SIMULATED_GSD_M = 1024, 0.3
_PLACES = 4  # measured, that are remembered


@dataclass(frozen=True)
class Order:
    """A mask of ``width`` × ``height`` px like the one at ``place``, or without one like a simulated town, as the file ``name``
    (PNG, GeoTIFF, GeoJSON) in ``folder``."""

    folder: str
    name: str
    place: str | None
    how: Literal["recombine", "streets"]
    width: int
    height: int
    density: float
    seed: int

    def line(self) -> bytes:
        """As the process reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


def forge(order: Order) -> None:
    """Write the mask. The same order gives the same one."""
    side = max(order.width, order.height)
    made = new_mask(_measured(order.place), 0, order.how, side, None, order.density, order.seed, MaskReader(), ())
    window = Window(0, 0, order.height, order.width)
    mask, grid = np.ascontiguousarray(made.mask[window.slices]), made.grid.window(window)
    path = Path(order.folder) / order.name
    if path.suffix == ".geojson":
        assert grid.crs is not None, "footprints lie somewhere"
        write_footprints(path, footprints_of(mask, grid=grid), grid.crs)
    else:
        write_raster(path, mask, grid if path.suffix == ".tif" else Grid(*mask.shape))


@lru_cache(_PLACES)
def _measured(place: str | None) -> Place:
    if place is not None:
        return places_of([Path(place)], None, MaskReader())[0][0]
    with TemporaryDirectory() as folder:
        name = next(iter(PLACES))
        scene = render_scene(PLACES[name], seed=0, height_px=_SIMULATED_PX, width_px=_SIMULATED_PX, gsd_m=_SIMULATED_GSD_M)
        write_raster(Path(folder) / f"{name}.tif", scene.mask, Grid(_SIMULATED_PX, _SIMULATED_PX))
        return places_of([Path(folder) / f"{name}.tif"], None, MaskReader())[0][0]


def main() -> None:
    """Read orders until there are none any more."""
    answer_all(lambda line: forge(Order(**json.loads(line))))


if __name__ == "__main__":
    main()
