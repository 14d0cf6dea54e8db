"""Where the light of roofs comes from and how strong it is: in real tiles, in canvases of their masks, and refined.

    python -m bench.sun DATA STATE [--places barnarp austin] [--tiles 48] [--seeds 2] [--weights orthoforge-material]

Of each wing that is longer than broad the two slopes beside its ridge are compared: by what share of their mean the one is lighter
than the other. A vector is fitted to that as a function of where they face: its direction is the azimuth that the light comes from,
its length the contrast, and coherence is the share of all differences that have the sign it says. Flat roofs have no slopes, so
where most are flat contrast is small; parapets shade the side of the sun, so that there light seems to come from the other one.
Intervals are standard deviations over tiles drawn anew. Each canvas is of the other tiles of its place. ``turned`` are canvases
under a sun that stands 120 degrees on (``--sun``): the light should be so, too.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from bench.proof.new_place import LABELLED, labelled_tiles
from bench.proof.places import PLACES, tiles_of
from bench.shortcuts import Pairs, Tiles, pairs_of
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.rectangles import Rectangle
from orthoforge.material.wings import wings_of
from orthoforge.tiles.subset import training_on
from orthoforge.trained_generator import load_generator

TURNED = 120.0
_LEAST_PX, _LEAST_FILL, _LONGER, _RIDGE_PX, _LEAST_SLOPE_PX = 100, 0.72, 1.2, 1.5, 20
_DRAWS, _LEAST_ROOFS = 100, 5


@dataclass(frozen=True)
class Shading:
    """``azimuth`` of the light in degrees clockwise from north and ``contrast`` as a share, each ± one standard deviation;
    ``coherence`` from -1 to 1; ``roofs``, how many."""

    azimuth: float
    off: float
    contrast: float
    off_contrast: float
    coherence: float
    roofs: int

    def __str__(self) -> str:
        return (
            f"{self.azimuth:.0f}° ± {self.off:.0f}°, {self.contrast:.3f} ± {self.off_contrast:.3f}, "
            f"coherence {self.coherence:.2f}, {self.roofs} roofs"
        )

    def beside(self, real: "Shading", turned: float = 0.0) -> str:
        """How far from the real one it is, and its contrast in the real one's direction as a share of that."""
        off = (self.azimuth - real.azimuth - turned + 180) % 360 - 180
        along = self.contrast * np.cos(np.radians(off)) / real.contrast
        return f"{off:+.0f}° ± {np.hypot(self.off, real.off):.0f}°, {along:.2f} of its contrast"


def slopes(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n, 3): of each roof with a ridge by what share one of its slopes is lighter, and where that faces, east and south."""
    brightness = image[..., :3].astype(float).mean(axis=2)
    ids = Houses.of(mask > 0).ids(Window(0, 0, *mask.shape))
    found = []
    for number, box in enumerate(ndimage.find_objects(ids), start=1):
        own = ids[box] == number
        if own.sum() >= _LEAST_PX:
            inner = ndimage.binary_erosion(np.pad(own, 1), iterations=2)[1:-1, 1:-1]
            found += [row for wing in wings_of(own) for row in _slopes_of(wing, inner, brightness[box])]
    return np.array(found).reshape(-1, 3)


def _slopes_of(wing: Rectangle, inner: np.ndarray, brightness: np.ndarray) -> Iterator[tuple[float, float, float]]:
    sides = wing.width, wing.height
    if wing.fill < _LEAST_FILL or max(sides) < _LONGER * min(sides):
        return
    along, across = wing.local(*np.indices(inner.shape))
    of_wing = inner & (np.abs(along) <= wing.width / 2) & (np.abs(across) <= wing.height / 2)
    off_ridge, angle = (across, wing.angle + np.pi / 2) if wing.width > wing.height else (along, wing.angle)
    parts = [of_wing & (side * off_ridge > _RIDGE_PX) for side in (1, -1)]
    if min(part.sum() for part in parts) >= _LEAST_SLOPE_PX:
        one, other = (float(brightness[part].mean()) for part in parts)
        yield 2 * (one - other) / max(one + other, 1.0), float(np.cos(angle)), float(np.sin(angle))


def shading(of_tiles: Sequence[np.ndarray]) -> Shading | None:
    """The shading that slopes of tiles, (n, 3) each, have in common; ``None`` of a few roofs."""
    every = np.concatenate(of_tiles)
    if len(every) < _LEAST_ROOFS:
        return None
    azimuth, contrast, coherence = _fitted(every)
    rng = np.random.default_rng(0)
    draws = [np.concatenate([of_tiles[at] for at in rng.integers(0, len(of_tiles), len(of_tiles))]) for _ in range(_DRAWS)]
    fits = np.array([_fitted(draw)[:2] for draw in draws if len(draw) >= _LEAST_ROOFS])
    off = (fits[:, 0] - azimuth + 180) % 360 - 180
    return Shading(azimuth, float(off.std()), contrast, float(fits[:, 1].std()), coherence, len(every))


def _fitted(rows: np.ndarray) -> tuple[float, float, float]:
    lighter, facing = rows[:, 0], rows[:, 1:]
    light = np.linalg.lstsq(facing, lighter, rcond=None)[0]
    coherence = (lighter * np.sign(facing @ light)).sum() / max(np.abs(lighter).sum(), 1e-9)
    return float(np.degrees(np.arctan2(light[0], -light[1])) % 360), float(np.hypot(*light)), float(coherence)


def tiles_of_place(name: str, data: Path, state: Path, count: int, weights: str) -> Tiles:
    """So many tiles of a place, of any split, as material of a generator."""
    store = labelled_tiles(data, state) if name in LABELLED else tiles_of(PLACES[name], data, state / "places")
    ids = np.array([number for number, row in enumerate(store.rows) if row.place == name])
    ids = ids[:: max(1, len(ids) // count)][:count]
    given = load_generator(weights).with_material(replace(training_on(store, ids), shown=None)).with_refinement(1)
    return Tiles(*pairs_of(store, ids.tolist()), given.with_style(given.styles[0]))


def shadings(tiles: Tiles, seeds: int) -> Iterator[tuple[str, Shading | None, float]]:
    """Each kind of image, its shading, and by how many degrees its sun was turned."""
    library = tiles.generator.library
    assert library is not None
    masks, numbers = tiles.masks, range(len(tiles.masks))
    yield "real", _shading_of([(tiles.images, masks)]), 0.0
    canvases = [np.stack([tiles.canvas(number, 1000 * seed + number) for number in numbers]) for seed in range(1, seeds + 1)]
    yield "canvas", _shading_of([(canvas, masks) for canvas in canvases]), 0.0
    refined = [
        np.stack([tiles.refined(number, seed, canvas[number]) for number in numbers]) for seed, canvas in enumerate(canvases)
    ]
    yield "refined", _shading_of([(images, masks) for images in refined]), 0.0
    own = library.light(0).azimuth
    if own is not None:
        sun = (own + TURNED) % 360
        turned = np.stack([tiles.canvas(number, 1000 + number, sun=sun) for number in numbers])
        yield "turned", _shading_of([(turned, masks)]), TURNED


def _shading_of(sets: Iterable[Pairs]) -> Shading | None:
    """Of images of the same masks."""
    each = [[slopes(image, mask) for image, mask in zip(*pairs, strict=True)] for pairs in sets]
    return shading([np.concatenate(of_tile) for of_tile in zip(*each, strict=True)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--places", nargs="+", default=[*LABELLED, "rf_arid", "barnarp", "austin"])
    parser.add_argument("--tiles", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--weights", default="orthoforge-material")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.places:
        tiles = tiles_of_place(name, options.data, options.state, options.tiles, options.weights)
        assert tiles.generator.library is not None
        sun = tiles.generator.library.light(0).azimuth
        print(f"{name}: {len(tiles.masks)} tiles, sun {'not seen' if sun is None else f'at {sun:.0f}°'} by its shadows", flush=True)
        real = None
        for kind, found, turned in shadings(tiles, options.seeds):
            real = found if kind == "real" else real
            beside = "" if kind == "real" or found is None or real is None else f"; {found.beside(real, turned)}"
            print(f"  {kind}: {found or 'too few roofs'}{beside}", flush=True)


if __name__ == "__main__":
    main()
