"""A picture of what the weights in the package make: the first test tiles of a store, unpicked, with three seeds each.

    python -m bench.pretrained TILES [--out docs/pictures/orthoforge-s.jpg]

TILES as the model card says. The picture holds masks and generated images; no real one. The card's facts are in
``bench/pretrained.yaml``.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator

OUT = Path(__file__).parents[1] / "docs" / "pictures" / "orthoforge-s.jpg"
TILES, SEEDS, GAP = 2, 3, 4


def main() -> None:
    """Generate and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    store, generator = TileStore.open(options.tiles), load_generator("orthoforge-s")
    rows = []
    for tile_id in store.ids("test")[:TILES].tolist():
        _, mask = store.tile(tile_id)
        images = [store.mask_rgb(mask), *(generator(mask, seed=seed) for seed in range(SEEDS))]
        rows.append(np.concatenate([np.pad(image, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for image in images], axis=1))
    Image.fromarray(np.concatenate(rows)[:-GAP, :-GAP]).save(options.out, quality=90)
    print(options.out)


if __name__ == "__main__":
    main()
