"""The picture of the demo in the tutorials, from what `make demo` left: the first place's unseen scene, not the best.

python -m bench.picture [--demo demo]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.run_files import panel

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "mask-generated-real.jpg"
SCENE = "arden5.tif"


def main() -> None:
    """Write mask | generated | real side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    demo = parser.parse_args().demo
    with open_raster(demo / "scenes" / "unseen" / "gt" / SCENE) as raster:
        mask = np.repeat(read_mask(raster)[..., None], 3, axis=-1)
    with open_raster(demo / "generated" / SCENE) as raster:
        fake = read_image(raster)
    with open_raster(demo / "scenes" / "unseen" / "images" / SCENE) as raster:
        real = read_image(raster)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(panel(mask[None], fake[None], real[None])).save(PICTURE, quality=88)
    print(PICTURE)


if __name__ == "__main__":
    main()
