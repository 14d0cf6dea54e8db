"""Pictures of drawn towns: maps of simulated towns, and what the weights that know land cover make of them, unpicked.

    python -m bench.drawn_towns [--weights orthoforge-landcover] [--out docs/pictures]

The maps have buildings, streets, water, trees and lawns. Each row shows the classes of a map and its image in each style, seed 0.
No real image is shown, and none was left out.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge import generate, load_generator, simulate
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.scenes.simulate import simulate_maps

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TOWNS = ("arden", "salvora", "portwick")
SIZE_PX, GSD_M, GAP_PX, QUALITY = 256, 1.0, 4, 82


def main() -> None:
    """Draw, generate and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="orthoforge-landcover")
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(options.weights)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        simulate(folder, places=TOWNS, scenes_per_place=1, size_px=SIZE_PX, gsd_m=GSD_M)
        for path in simulate_maps(folder, places=TOWNS, scenes_per_place=1, size_px=SIZE_PX, gsd_m=GSD_M):
            shown = [_read(folder / "land-cover" / f"{path.stem}.tif")]
            for style in generator.styles:
                mask, image = folder / "train" / "gt" / f"{path.stem}.tif", folder / f"{path.stem}-{style}.tif"
                generate(generator, mask, image, layers=[path], style=style)
                shown.append(_read(image))
            padded = [np.pad(one, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255) for one in shown]
            rows.append(np.concatenate(padded, axis=1))
    out = options.out / "drawn-towns.jpg"
    Image.fromarray(np.concatenate(rows)[:-GAP_PX, :-GAP_PX]).save(out, quality=QUALITY)
    print(out)


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    with open_raster(path) as raster:
        return read_image(raster)


if __name__ == "__main__":
    main()
