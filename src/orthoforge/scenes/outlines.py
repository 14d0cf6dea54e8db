"""Outlines of objects in images, as tools for annotation save them, drawn as masks.

COCO's and YOLO's files say the same in two ways; each has a reader of its own. A mask holds 0 where nothing is, and the number of
the class elsewhere. What comes later in the file lies above.
"""

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.features import rasterize

from orthoforge.errors import DataError
from orthoforge.files import readable
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.rasters import open_raster, quiet_about_places
from orthoforge.masks.classes import Classes
from orthoforge.scenes.layouts import Layout, rasters_of

# Gives the folder that masks are drawn into.
Folder = Callable[[], Path]
BACKGROUND = "background"
MOST_CLASSES = 254


@dataclass(frozen=True)
class Polygon:
    """A ring of points (n, 2), x and y in pixels from the image's upper left corner."""

    points: np.ndarray


@dataclass(frozen=True)
class Pixels:
    """Pixels of an object, (H, W) bool."""

    inside: np.ndarray


Shape = Polygon | Pixels
# Of an image of this size (height, width): shapes from the lowest to the uppermost, each with its class from 1.
Shapes = Callable[[tuple[int, int]], Iterator[tuple[int, Shape]]]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and the outlines in it. ``size`` (height, width) is what the annotations say of it."""

    name: str
    path: Path
    shapes: Shapes
    size: tuple[int, int] | None = None

    def draw(self, folder: Path) -> Path:
        """Write the mask to ``folder``, on the image's grid: (H, W) uint8, a pixel is in a polygon when its centre is.

        ``DataError`` when the image has another size than the annotations say, or an outline cannot be drawn.
        """
        with open_raster(self.path) as raster:
            grid = raster.grid
        size = grid.height, grid.width
        if self.size not in (None, size):
            height, width = self.size or size
            raise DataError(
                f"{self.path}: has {grid.width}×{grid.height} px, its annotations are for {width}×{height} px. Export them anew "
                "for this image."
            )
        mask = np.zeros(size, np.uint8)
        for is_polygon, group in itertools.groupby(self.shapes(size), lambda one: isinstance(one[1], Polygon)):
            if is_polygon:
                rings = [({"type": "Polygon", "coordinates": [_closed(shape)]}, number) for number, shape in group]
                with quiet_about_places():
                    rasterize(rings, out=mask)
                continue
            for number, shape in group:
                assert isinstance(shape, Pixels)
                mask[shape.inside] = number
        path = folder / f"{self.name}.tif"
        write_geotiff(path, mask, grid, overwrite=True)
        return path


@dataclass(frozen=True)
class Annotations:
    """The images of a data set with outlines. ``lonely`` are images that are named and not there."""

    path: Path
    layout: Layout
    images: tuple[AnnotatedImage, ...]
    classes: Classes
    lonely: tuple[Path, ...] = ()


@contextlib.contextmanager
def folder_of_drawn_masks() -> Iterator[Folder]:
    """A temporary folder, made when it is first asked for (rasters need none), and removed at the end of the block."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orthoforge-")))

        yield folder


def classes_of(path: object, names: Sequence[str]) -> Classes:
    """Background, and a class for each name, whose value in masks is its number. ``DataError`` for too many, or one name twice."""
    if len(names) > MOST_CLASSES:
        raise DataError(f"{path}: names {len(names)} classes; {MOST_CLASSES} at most are taken.")
    own = [name for name in names if name != BACKGROUND]
    if len(set(own)) < len(own):
        raise DataError(f"{path}: two classes are called {next(name for name in own if own.count(name) > 1)!r}. Rename one.")
    every = [BACKGROUND, *(name if name != BACKGROUND else f"{BACKGROUND} (outlined)" for name in names)]
    return Classes(tuple(every), ((),) * len(every), tuple((value,) for value in range(len(every))))


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder. ``DataError`` where two share a stem."""
    found: dict[str, Path] = {}
    with readable(folder):
        for path in rasters_of(folder):
            if path.stem in found:
                raise DataError(f"{folder}: {found[path.stem].name} and {path.name} share one stem. Remove or rename one of them.")
            found[path.stem] = path
    return found


def _closed(shape: Shape) -> list[tuple[float, float]]:
    assert isinstance(shape, Polygon)
    points = [(float(x), float(y)) for x, y in shape.points]
    return [*points, points[0]]
