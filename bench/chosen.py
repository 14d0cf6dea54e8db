"""Which roofs and pieces of ground canvases of held-out masks are made of, by place of the weights in the package.

    python -m bench.chosen DATA STATE

For each place: how many buildings its held-out tiles have, how many roofs of the library are on them, how often the most
frequent one comes; by how many levels roofs vary within 5 px (standard deviation) in the library, in canvases, and in the real
tiles of the same masks; the share of open land that the first piece of a patch covers, and that no piece covers.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from bench.proof.new_place import labelled_tiles
from orthoforge.geo.grid import Window
from orthoforge.material.canvas import Composer
from orthoforge.material.library import Library
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, load_generator

_WITHIN_PX, _OFF_WALLS_PX = 5, 3


def main() -> None:
    """Compose and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    options = parser.parse_args()
    generator, store = load_generator("orthoforge-material"), labelled_tiles(options.data, options.state)
    library = generator.library
    assert library is not None
    for place, name in enumerate(library.place_names):
        _report(generator, library, place, _held_out(store, name))


def _held_out(store: TileStore, place: str) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Number, image and mask of the tiles of a place that do not train."""
    ids = np.concatenate([store.ids(split) for split in ("val", "test")]).tolist()
    tiles = ((number, *store.tile(number)) for number in ids if store.rows[number].place == place)
    return [(number, image, mask > 0) for number, image, mask in tiles]


def _report(generator: TrainedGenerator, library: Library, place: int, tiles: list[tuple[int, np.ndarray, np.ndarray]]) -> None:
    roofs: Counter[tuple[int, int]] = Counter()
    canvases, covered = [], np.zeros(3)
    for number, _, mask in tiles:
        buildings = generator.buildings_of(partial(_part, mask), *mask.shape)
        assert buildings is not None
        composer = Composer.of(library, buildings, seed=1000 + number, place=place)
        window = Window(0, 0, *mask.shape)
        canvases.append((composer.canvas(window).image, mask))
        roofs.update(composer.roofs_on(one)[0].roof.building for one in range(len(buildings)))
        covered += _covered(composer, window)
    own = ((library.images[tile], library.masks[tile]) for tile in library.of_place(place).tolist())
    varies = [_variation(of) for of in (own, canvases, ((image, mask) for _, image, mask in tiles))]
    counts = f"{roofs.total()} buildings, {len(roofs)} roofs, one {max(roofs.values())} times"
    print(f"{library.place_names[place]}: {len(tiles)} tiles, {counts}")
    print("  roofs vary by {:.1f} levels in the library, {:.1f} in canvases, {:.1f} in real tiles of their masks".format(*varies))
    print("  of open land the first piece covers {:.1%}, none {:.1%}".format(*(covered[:2] / covered[2])))


def _part(mask: np.ndarray, window: Window) -> np.ndarray:
    return mask[window.slices]


def _covered(composer: Composer, window: Window) -> np.ndarray:
    """How many pixels of open land the first piece covers, how many none does, and how many there are, in patches of a window."""
    quilt, found = composer.quilt, np.zeros(3)
    for patch in quilt._meeting(window):
        made = quilt._made(patch)
        pieces = quilt._pieces.of(patch, made.wanted, made.beside).pieces
        fits = [quilt._pieces.fits(piece, made.wanted.kinds) for piece in pieces]
        needed = made.wanted.needed
        found += (needed & fits[0]).sum(), (needed & ~np.any(fits, axis=0)).sum(), needed.sum()
    return found


def _variation(tiles: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The mean standard deviation of brightness within some pixels, on roofs off their walls."""
    return float(np.concatenate(list(_variations(tiles))).mean())


def _variations(tiles: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
    for image, mask in tiles:
        brightness = image.mean(axis=2)
        mean, of_squares = (ndimage.uniform_filter(of, _WITHIN_PX) for of in (brightness, brightness**2))
        yield np.sqrt(np.maximum(of_squares - mean**2, 0))[ndimage.binary_erosion(mask, iterations=_OFF_WALLS_PX)]


if __name__ == "__main__":
    main()
