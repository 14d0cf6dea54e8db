"""Scenes for a training on land cover: of each image of Dubai's (CC0) the part with most kinds of ground, with its mask.

    python -m bench.landcover DUBAI SCENES [--whole]
    orthoforge prepare SCENES tiles --palette SCENES/palette.json --pixel-size 1 --gsd 1 --size 224 --split digits

DUBAI has ``images`` (JPEG) and ``masks_rgb`` (PNG). Its resolution is not told. Cars are 3.5 px long and lanes some 3 px wide, so a
pixel is taken for a metre. Most of the images is desert; ``PART_PX`` square pixels of each are kept, those whose classes are most
even (entropy of their shares), on a raster of ``STEP_PX``. With ``--whole`` images stay whole: ``bench.landcover_scores`` teaches
segmenters with them.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

PART_PX, STEP_PX = 448, 32
FIRST_HELD_OUT = 7  # of a place's scenes: those before train
# Four of its mosaics are there. Names of scenes say the place: what stands before their last numbers.
PLACES = {"1": "dubai_shore", "2": "dubai_lake", "4": "dubai_marina", "7": "dubai_desert"}
_NUMBERED = re.compile(r"dubai_t(\d)_(\d+)")
# Named as the layers of a map are, so that its masks are understood (masks/layer_style.yaml).
PALETTE = {
    "land": [132, 41, 246], "building": [60, 16, 152], "road": [110, 193, 228], "vegetation": [254, 221, 58],
    "water": [226, 169, 41], "unlabeled": [155, 155, 155], "(black, treat as unlabeled)": [0, 0, 0],
}  # fmt: skip


def main() -> None:
    """Cut and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dubai", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--whole", action="store_true", help="keep all of each image, of the scenes that are held out")
    options = parser.parse_args()
    for kind in ("images", "masks"):
        (options.scenes / kind).mkdir(parents=True)
    (options.scenes / "palette.json").write_text(json.dumps(PALETTE, indent=1))
    for path in sorted((options.dubai / "images").glob("*.jpg")):
        mask = Image.open(options.dubai / "masks_rgb" / f"{path.stem}.png").convert("RGB")
        if options.whole and int(path.stem[-1]) < FIRST_HELD_OUT:
            continue
        row, col = most_even(np.asarray(mask))
        box = (col, row, min(col + PART_PX, mask.width), min(row + PART_PX, mask.height))
        box = (0, 0, *mask.size) if options.whole else box
        name = _NUMBERED.sub(lambda found: f"{PLACES[found[1]]}_{found[2]}.png", path.stem)
        Image.open(path).convert("RGB").crop(box).save(options.scenes / "images" / name)
        mask.crop(box).save(options.scenes / "masks" / name)


def most_even(mask: np.ndarray) -> tuple[int, int]:
    """(row, column) of the part of a mask (H, W, 3) whose colours are most even."""
    packed = mask.astype(np.int64) @ (65536, 256, 1)
    maps = np.stack([packed == colour for colour in np.unique(packed)])
    corners = [
        (row, col)
        for row in range(0, max(1, mask.shape[0] - PART_PX + 1), STEP_PX)
        for col in range(0, max(1, mask.shape[1] - PART_PX + 1), STEP_PX)
    ]
    return max(corners, key=lambda corner: _entropy(maps, *corner))


def _entropy(maps: np.ndarray, row: int, col: int) -> float:
    shares = maps[:, row : row + PART_PX : 4, col : col + PART_PX : 4].mean(axis=(1, 2))
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


if __name__ == "__main__":
    main()
