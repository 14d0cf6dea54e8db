"""How often `orthoforge check` takes a right mask of buildings for an inverted one, and how often it notices one that is.

    python -m bench.inverted ../shared/data

Looks at all masks in folders called ``masks`` or ``masks_building`` below DATA that are neither empty nor full, as they are and
inverted, as a whole each.
"""

import argparse
from pathlib import Path

import numpy as np

from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.masks.share import MaskShare

FOLDERS = ("masks", "masks_building")


def main() -> None:
    """Count, and name the false alarms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    masks = 0
    alarms, noticed = [], []
    for path in sorted(path for folder in FOLDERS for path in data.glob(f"*/{folder}/*")):
        with open_raster(path) as raster:
            building = read_mask(raster) > 0
        if not building.any() or building.all():
            continue
        masks += 1
        alarms += [path] if _looks_inverted(building) else []
        noticed += [path] if _looks_inverted(~building) else []
    print(f"{masks} masks: {len(alarms)} are called inverted as they are, {len(noticed)} once they are inverted")
    for path in alarms:
        print(f"  {path.relative_to(data)}")


def _looks_inverted(building: np.ndarray) -> bool:
    """Whether a mask (H, W) is said to be inverted."""
    share = MaskShare()
    share.add(building)
    return "inverted" in (share.warning("") or "")


if __name__ == "__main__":
    main()
