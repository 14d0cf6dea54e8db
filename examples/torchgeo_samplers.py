"""Draw windows of a grown data set by the samplers of torchgeo, on the ground and not by file.

    python examples/torchgeo_samplers.py GROWN [--size 256] [--length 8]

GROWN is a folder that ``orthoforge grow`` made of georeferenced scenes in one CRS.

torchgeo's samplers ask a data set for ``index`` (a GeoDataFrame with a polygon of ground for each file and an interval of time),
``res`` (width and height of a pixel in units of the CRS) and ``bounds``, and give it slices of x, y and perhaps of time. That is
the interface which torchgeo documents for ``GeoDataset`` since 0.8. The data set below has just these names, and inherits nothing:
Orthoforge does not install torchgeo, which needs torchvision. **So this was run against the documented interface, not against
torchgeo itself.** Where torchgeo is not installed, ``GroundSampler`` stands in for its ``RandomGeoSampler``.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import rasterio
import shapely
import torch
from rasterio.windows import Window
from torch.utils.data import DataLoader, Sampler

Slices = tuple[slice, ...]
ALWAYS = pandas.Interval(pandas.Timestamp("1970-01-01"), pandas.Timestamp("2100-01-01"), closed="both")


class GrownGround:
    """The pairs of a grown data set, real and synthetic, by the ground that they show."""

    def __init__(self, folder: str | Path, *, synthetic_only: bool = True) -> None:
        folder = Path(folder)
        images, self._masks = (folder / part for part in json.loads((folder / "grown.json").read_text())["settings"]["layout"])
        self._files, grounds, places = [], [], set()
        for path in sorted(images.glob("*.tif")):
            with rasterio.open(path) as image:
                if synthetic_only and image.tags().get("SYNTHETIC") != "YES":
                    continue
                places.add((str(image.crs), image.res))
                grounds.append(shapely.box(*image.bounds))
                self._files.append(path)
        if len(places) != 1:
            raise ValueError(f"{folder}: samplers need one CRS and one pixel size; there are {sorted(places)}.")
        ((crs, self.res),) = places
        time = pandas.IntervalIndex([ALWAYS] * len(grounds), name="datetime")
        self.index = geopandas.GeoDataFrame({"file": range(len(grounds))}, geometry=grounds, index=time, crs=crs)
        self.crs = self.index.crs

    @property
    def bounds(self) -> Slices:
        """Slices of x, y and time."""
        left, bottom, right, top = self.index.total_bounds
        return slice(left, right), slice(bottom, top), slice(ALWAYS.left, ALWAYS.right)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, query: Slices) -> dict[str, Any]:
        """Image (B, H, W) float32 from 0 to 255, and mask (H, W) int64, as torchgeo's data sets give them."""
        x, y = query[:2]
        asked = shapely.box(x.start, y.start, x.stop, y.stop)
        shared = self.index.geometry.intersection(asked).area.to_numpy()
        path = self._files[int(self.index["file"].iloc[int(shared.argmax())])]
        size = round((y.stop - y.start) / self.res[1]), round((x.stop - x.start) / self.res[0])
        image, mask = (read(file, x, y, size) for file in (path, self._masks / path.name))
        return {"image": torch.from_numpy(image).float(), "mask": torch.from_numpy(mask[0] > 0).long(), "crs": str(self.crs)}


class GroundSampler(Sampler[Slices]):
    """Random windows of ``size`` pixels, each inside a file: what ``torchgeo.samplers.RandomGeoSampler`` does with these names."""

    def __init__(self, dataset: GrownGround, size: int, length: int) -> None:
        self._boxes, self._length = dataset.index.geometry.bounds.to_numpy(), length
        self._size = size * dataset.res[0], size * dataset.res[1]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Slices]:
        wide, high = self._size
        for _ in range(self._length):
            left, bottom, right, top = self._boxes[torch.randint(len(self._boxes), ()).item()]
            x, y = left + torch.rand(()).item() * (right - left - wide), bottom + torch.rand(()).item() * (top - bottom - high)
            yield slice(x, x + wide), slice(y, y + high), slice(ALWAYS.left, ALWAYS.right)


def read(path: Path, x: slice, y: slice, size: tuple[int, int]) -> np.ndarray:
    """Bands (B, H, W) of the ground between x and y; 0 outside the file."""
    with rasterio.open(path) as raster:
        row = round((y.stop - raster.transform.f) / raster.transform.e)
        col = round((x.start - raster.transform.c) / raster.transform.a)
        top, left, bottom, right = max(row, 0), max(col, 0), min(row + size[0], raster.height), min(col + size[1], raster.width)
        pixels = np.zeros((raster.count, *size), np.uint8)
        inside = raster.read(window=Window.from_slices((top, bottom), (left, right)))
        pixels[:, top - row : bottom - row, left - col : right - col] = inside
        return pixels


def sampler_of(dataset: GrownGround, size: int, length: int) -> Any:
    """torchgeo's sampler where it is installed, or the one above."""
    try:
        from torchgeo.samplers import RandomGeoSampler
    except ImportError:
        print("torchgeo is not installed: GroundSampler stands in for its RandomGeoSampler")
        return GroundSampler(dataset, size, length)
    return RandomGeoSampler(dataset, size=size, length=length)


def main(words: list[str] | None = None) -> list[tuple[int, ...]]:
    """Print the share of building in each window, and return the images' shapes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grown")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--length", type=int, default=8)
    args = parser.parse_args(words)
    dataset = GrownGround(args.grown)
    shapes = []
    for batch in DataLoader(dataset, batch_size=4, sampler=sampler_of(dataset, args.size, args.length)):
        shapes.append(tuple(batch["image"].shape))
        print(f"{shapes[-1]}: building {batch['mask'].float().mean():.0%}")
    return shapes


if __name__ == "__main__":
    main()
