"""The gallery of the documentation: what the weights in the package make of forged masks, unpicked.

    python -m bench.gallery [--out docs/pictures]

Masks are forged out of the package's own example, the first of each way of forging. Each row shows a mask and the images of seeds
0, 1, 2 and 3 in one style. ``first-image.jpg`` shows the example itself and the images of seeds 0, 1 and 2, reduced. No real image
is shown, and none was left out.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge import forge, load_generator
from orthoforge.forging.new_mask import How
from orthoforge.geo.example import EXAMPLE_MASK
from orthoforge.geo.rasters import open_raster, read_mask

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WAYS: tuple[How, ...] = ("recombine", "streets")
SIZE_PX, SEEDS, GAP_PX = 224, 4, 4
FIRST_SEEDS, FIRST_SIZE_PX = 3, 384
QUALITY = 82


def main() -> None:
    """Forge, generate, and write a sheet for each style."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PICTURES)
    out = parser.parse_args().out
    example = _mask(EXAMPLE_MASK)
    first = load_generator("orthoforge-material")
    _write(out / "first-image.jpg", [_row(example, [first(example, seed=seed) for seed in range(FIRST_SEEDS)], FIRST_SIZE_PX)])
    with tempfile.TemporaryDirectory() as work:
        masks = [_mask(forge("example", Path(work) / how, how=how, count=1, size=SIZE_PX).masks[0]) for how in WAYS]
    for weights in ("orthoforge-material", "orthoforge-s"):
        generator = load_generator(weights)
        for style in generator.styles:
            styled = generator.with_style(style)
            rows = [_row(mask, [styled(mask, seed=seed) for seed in range(SEEDS)], SIZE_PX) for mask in masks]
            _write(out / f"gallery-{weights}-{style}.jpg", rows)


def _mask(path: Path) -> np.ndarray:
    """(H, W) bool."""
    with open_raster(path) as raster:
        return read_mask(raster) > 0


def _row(mask: np.ndarray, images: list[np.ndarray], size_px: int) -> np.ndarray:
    """The mask, (H, W), and its images, (H, W, 3), side by side at ``size_px``, with white between them."""
    shown = [np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), *images]
    small = [np.asarray(Image.fromarray(one).resize((size_px, size_px), Image.Resampling.LANCZOS)) for one in shown]
    padded = [np.pad(one, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255) for one in small]
    return np.concatenate(padded, axis=1)


def _write(path: Path, rows: list[np.ndarray]) -> None:
    Image.fromarray(np.concatenate(rows)[:-GAP_PX, :-GAP_PX]).save(path, quality=QUALITY)
    print(path)


if __name__ == "__main__":
    main()
