"""Whether the same piece of ground or roof comes again within sight: in scenes of canvases, by correlation with what lies around.

    python -m bench.repeats [--weights orthoforge-material] [--places kampala ...] [--metres 500] [--samples 60] [--out FOLDER]

A scene of open land and one of a town are composed for each place of the weights, without the network. Of each, squares of 14 m
are drawn by chance. Each is looked for within 200 m, as it is and not turned: a turned copy is not seen to be one. Squares that
show the same piece correlate at 0.9 or more, once tones that spread over more than 3 m are taken off. Ground of one kind is alike
without being the same, so the same figures stand beside it for squares of *another* scene of the place: what comes again there is
the library. Before, it says how many tiles would give what open land shows, if each gave as much: of the tiles alone, and of them
and their turned copies. With ``--out`` scenes are written as PNG, with the first squares that come again outlined.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.feature import match_template

from orthoforge.geo.grid import Window
from orthoforge.masks.turned import turned_mask
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.more_ground import more_ground
from orthoforge.material.pieces import ANY, Wanted
from orthoforge.trained_generator import TrainedGenerator, load_generator

SIDE_M, WITHIN_M, ALIKE, _SMOOTH_M = 14.0, 200.0, 0.9, 3.0
_SHOWN = 12


@dataclass(frozen=True)
class Again:
    """A square at ``row`` and ``col``, the square most like it within sight, and how much alike they are."""

    row: int
    col: int
    other: tuple[int, int]
    correlation: float


def fine(image: np.ndarray, gsd_m: float) -> np.ndarray:
    """(H, W) float32: brightness without tones that spread over some metres."""
    grey = image[..., :3].astype(np.float32).mean(axis=2)
    return grey - ndimage.gaussian_filter(grey, _SMOOTH_M / gsd_m)


def repeats(texture: np.ndarray, gsd_m: float, *, samples: int, seed: int, within_m: float = WITHIN_M) -> list[Again]:
    """``samples`` squares of ``texture`` (H, W), each with what is most like it within ``within_m`` and shares no pixel with it."""
    side, reach = round(SIDE_M / gsd_m), round(within_m / gsd_m)
    rng = np.random.default_rng(seed)
    found = []
    for row, col in rng.integers(0, np.array(texture.shape) - side, (samples, 2)).tolist():
        top, left = max(0, row - reach), max(0, col - reach)
        around = texture[top : row + side + reach, left : col + side + reach]
        alike = match_template(around, texture[row : row + side, col : col + side])
        own = slice(max(0, row - top - side + 1), row - top + side), slice(max(0, col - left - side + 1), col - left + side)
        alike[own] = -1
        best = np.unravel_index(np.argmax(alike), alike.shape)
        found.append(Again(row, col, (top + int(best[0]), left + int(best[1])), float(alike[best])))
    return found


def elsewhere(textures: Sequence[np.ndarray], gsd_m: float, *, samples: int, seed: int) -> list[float]:
    """How much squares of the first texture are like what is most like them in as much ground of the second."""
    texture, other = textures
    side, reach = round(SIDE_M / gsd_m), round(WITHIN_M / gsd_m)
    squares = np.random.default_rng(seed).integers(0, np.array(texture.shape) - side, (samples, 2)).tolist()
    return [
        float(match_template(other[max(0, row - reach) : row + side + reach, max(0, col - reach) : col + side + reach],
                             texture[row : row + side, col : col + side]).max())
        for row, col in squares
    ]  # fmt: skip


def tiles_seen(library: Library, allowed: np.ndarray, side_px: int, seed: int) -> float:
    """How many tiles would give the ground of open land ``side_px`` wide and high, if each gave as much."""

    def all_open(window: Window) -> Wanted:
        shape = window.height, window.width
        return Wanted(np.full(shape, ANY, np.int16), np.ones(shape, bool), np.zeros(shape, bool))

    source = Quilt(library, allowed, seed, all_open).lay(Window(0, 0, side_px, side_px))[2]
    return float(1 / ((np.bincount(source.ravel()) / source.size) ** 2).sum())


def _town(generator: TrainedGenerator, place: str, side_px: int, seed: int) -> np.ndarray:
    """A mask of ``side_px``, put together of turned masks of the place."""
    library = generator.library
    assert library is not None
    own = [number for number in range(len(library)) if library.place_names[library.places[number]] == place]
    size = library.size_px
    count = -(-side_px // size)
    rng = np.random.default_rng(seed)
    rows = [
        np.hstack([turned_mask(library.mask_values(int(rng.choice(own))), row, col, seed) for col in range(count)])
        for row in range(count)
    ]
    return np.ascontiguousarray(np.vstack(rows)[:side_px, :side_px])


def main() -> None:
    """Compose, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="orthoforge-material")
    parser.add_argument("--places", nargs="+")
    parser.add_argument("--metres", type=float, default=500.0)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    generator = load_generator(options.weights).with_refinement(0)
    library, gsd_m = generator.library, generator.gsd_m or 0.3
    assert library is not None
    side_px = round(options.metres / gsd_m)
    print(f"Of {options.samples} squares of {SIDE_M:g} m: how many come again within {WITHIN_M:g} m, median of what is most alike;")
    print("the same in another scene")
    for place in options.places or generator.styles:
        own = library.of_place(library.place_names.index(place))
        more = more_ground(library, own)
        alone, with_copies = (tiles_seen(of, those, side_px, options.seed) for of, those in ((library, own), more[:2]))
        print(f"{place}: {len(own)} tiles, open land as of {alone:.1f}; with turned copies as of {with_copies:.1f}", flush=True)
        styled = generator.with_style(place)
        for name, mask in (
            ("open land", np.zeros((side_px, side_px), np.uint8)),
            ("town", _town(generator, place, side_px, options.seed)),
        ):
            images = [styled(mask, seed=options.seed + number) for number in range(2)]
            textures = [fine(image, gsd_m) for image in images]
            found = repeats(textures[0], gsd_m, samples=options.samples, seed=options.seed)
            there = elsewhere(textures, gsd_m, samples=options.samples, seed=options.seed)
            again = sum(one.correlation >= ALIKE for one in found)
            print(
                f"{place}, {name}: {again} ({again / len(found):.0%}), {np.median([one.correlation for one in found]):.2f}; "
                f"{sum(one >= ALIKE for one in there)} ({np.mean(np.array(there) >= ALIKE):.0%}), {np.median(there):.2f}",
                flush=True,
            )
            if options.out:
                _draw(images[0], found, options.out / f"{place}-{name.replace(' ', '-')}.png", round(SIDE_M / gsd_m))


def _draw(image: np.ndarray, found: list[Again], path: Path, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = Image.fromarray(image)
    pen = ImageDraw.Draw(shown)
    for number, one in enumerate([one for one in found if one.correlation >= ALIKE][:_SHOWN]):
        colour = tuple(int(level) for level in np.random.default_rng(number).integers(80, 256, 3))
        for row, col in ((one.row, one.col), one.other):
            pen.rectangle((col, row, col + side, row + side), outline=colour, width=3)
    shown.save(path)


if __name__ == "__main__":
    main()
