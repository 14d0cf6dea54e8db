"""How often `orthoforge check` notices a mask that lies some pixels off its image, and how often it cries wolf.

    python bench/shift_detection.py [--data DIR] [--pictures DIR]

Each real mask is moved by 0, 1, 2, 5 and 10 px in a random direction; image and mask are cut to their common area, so
that nothing wraps around. Printed are the share of scenes warned about per shift and site, the same for a whole site
moved alike, and the curve for other thresholds. With ``--pictures``, scenes that raise an alarm unmoved are drawn
with their outlines as they are and as estimated.
"""

import argparse
import math
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.scenes.alignment import CONFIDENT, MIN_SHIFT_PX, Shift, cast_votes, common_shift, estimate
from orthoforge.scenes.sources import find_pairs

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "building"
SHIFTS_PX = (0, 1, 2, 5, 10)


def moved(image: np.ndarray, mask: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Both, cut to the area that they share when the mask is moved."""
    height, width = mask.shape
    rows, cols = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    from_rows, from_cols = slice(max(0, -down), height + min(0, -down)), slice(max(0, -right), width + min(0, -right))
    return image[rows, cols], mask[from_rows, from_cols]


def direction(rng: np.random.Generator, length_px: float) -> tuple[int, int]:
    """A whole-pixel move of about that length."""
    angle = rng.uniform(0, 2 * math.pi)
    return round(length_px * math.sin(angle)), round(length_px * math.cos(angle))


def measure(scenes: dict[str, list[tuple[str, np.ndarray, np.ndarray]]], seed: int) -> None:
    """Print all curves for scenes by site."""
    rng = np.random.default_rng(seed)
    single: dict[tuple[str, int], list[Shift | None]] = defaultdict(list)
    errors: dict[int, list[float]] = defaultdict(list)
    shared: dict[tuple[str, int], Shift | None] = {}
    foreign: list[Shift] = []
    for site, group in scenes.items():
        for index, (_, image, _) in enumerate(group):
            for _, _, mask in (group * 2)[index + 1 : index + min(4, len(group))]:
                if mask.shape == image.shape[:2] and (shift := estimate(cast_votes(image, mask))):
                    foreign.append(shift)
        for length in SHIFTS_PX:
            together, totals = direction(rng, length), []
            for _, image, mask in group:
                down, right = direction(rng, length)
                shift = estimate(cast_votes(*moved(image, mask, down, right)))
                single[site, length].append(shift)
                if shift:
                    errors[length].append(math.hypot(shift.down - down, shift.right - right))
                votes = cast_votes(*moved(image, mask, *together))
                if estimate(votes):
                    totals.append(votes.sum(axis=0))
            shared[site, length] = common_shift(totals) if len(totals) >= 4 else None

    print(f"{'moved by':<26}" + "".join(f"{length:>7} px" for length in SHIFTS_PX) + "   scenes (of them with enough outline)")
    for site in scenes:
        seen = [[shift for shift in single[site, length] if shift] for length in SHIFTS_PX]
        shares = [f"{100 * np.mean([s.is_sure for s in found]):>8.0f} %" if found else f"{'–':>10}" for found in seen]
        print(f"{site:<26}" + "".join(shares) + f"   {len(scenes[site])} ({len(seen[0])})")
    everything = [[s for site in scenes for s in single[site, length] if s] for length in SHIFTS_PX]
    print(f"{'all, warned':<26}" + "".join(f"{100 * np.mean([s.is_sure for s in found]):>8.0f} %" for found in everything))
    print(f"{'estimate within 2 px':<26}" + "".join(f"{100 * np.mean(np.array(errors[n]) <= 2):>8.0f} %" for n in SHIFTS_PX))
    for site in scenes:
        if any(shared[site, length] for length in SHIFTS_PX):
            told = [shared[site, length] for length in SHIFTS_PX]
            print(f"{site + ', moved alike':<26}" + "".join(f"{'warned' if s and s.is_sure else '-':>10}" for s in told))
    if foreign:
        warned, alone = (100 * np.mean([test(s) for s in foreign]) for test in (_is_sure, _would_be_sure_without_agreement))
        print(f"masks of other scenes: {warned:.0f} % of {len(foreign)} warned, {alone:.0f} % without asking for agreement")
    print("\nwarned at other thresholds (%), all sites")
    for confidence in (2, 3, 4, 5):
        for distance in (1.4, 2, 2.5, 3):
            rates = [
                np.mean([s.is_seen and s.confidence >= confidence and s.distance_px >= distance for s in f]) for f in everything
            ]
            print(f"confidence {confidence}, {distance} px".ljust(26) + "".join(f"{100 * share:>8.0f} %" for share in rates))


def _is_sure(shift: Shift) -> bool:
    return shift.is_sure


def _would_be_sure_without_agreement(shift: Shift) -> bool:
    return shift.confidence >= CONFIDENT and shift.distance_px >= MIN_SHIFT_PX


def draw_alarms(scenes: dict[str, list[tuple[str, np.ndarray, np.ndarray]]], folder: Path) -> None:
    """PNGs of unmoved scenes with an alarm: outline of the mask in red, where it is estimated to belong in green."""
    folder.mkdir(parents=True, exist_ok=True)
    for group in scenes.values():
        for name, image, mask in group:
            shift = estimate(cast_votes(image, mask))
            if shift and shift.distance_px >= 2 and shift.confidence >= 2:
                picture = image.copy()
                for colour, (down, right) in (((255, 0, 0), (0, 0)), ((0, 255, 0), (-shift.down, -shift.right))):
                    line = np.roll(mask, (down, right), (0, 1))
                    edge = (line != np.roll(line, 1, 0)) | (line != np.roll(line, 1, 1))
                    picture[edge] = colour
                write_raster(folder / f"{name}.png", picture, Grid(*mask.shape), overwrite=True)
                print(f"{name}: {shift}, confidence {shift.confidence:.1f}, {shift.votes} votes")


def load(data: Path) -> dict[str, list[tuple[str, np.ndarray, np.ndarray]]]:
    """Images and masks of a data set by place."""
    scenes = defaultdict(list)
    for pair in find_pairs(data).pairs:
        with open_raster(pair.image) as image, open_raster(pair.mask) as mask:
            scenes[pair.place].append((pair.name, read_image(image), read_mask(mask)))
    return dict(scenes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.data.is_dir():
        print(f"Real scenes: {options.data}, seed {options.seed}")
        scenes = load(options.data)
        measure(scenes, options.seed)
        if options.pictures:
            draw_alarms(scenes, options.pictures)
    else:
        print(f"{options.data} is not there; real scenes are left out.", file=sys.stderr)
    from orthoforge.scenes.simulate import simulate

    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "towns", scenes_per_place=4, size_px=512, seed=options.seed)
        print("\nSimulated scenes (labels exact to the pixel)")
        measure(load(Path(folder) / "towns"), options.seed)


if __name__ == "__main__":
    main()
