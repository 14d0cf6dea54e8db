"""A picture of what the weights in the package make: the first test tiles of a store, unpicked, with three seeds each.

    python -m bench.pretrained TILES [--weights orthoforge-material] [--out docs/pictures/orthoforge-material.jpg]

TILES as the model card says. The picture holds masks and generated images; no real one. What weights with styles make of a test
tile is in the style of the tile's place. The card's facts are in ``bench/pretrained.yaml`` and ``bench/pretrained-material.yaml``.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge.runs import TileImages
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SEEDS, GAP = 3, 4


def main() -> None:
    """Generate and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--weights", default="orthoforge-material", help="a bundled name, or a run")
    parser.add_argument("--tiles-a-place", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    store, generator = TileStore.open(options.tiles), load_generator(options.weights)
    images_of = TileImages(generator)
    tests = store.ids("test").tolist()
    places = dict.fromkeys(store.rows[tile_id].place for tile_id in tests)
    shown = [tile_id for place in places for tile_id in [t for t in tests if store.rows[t].place == place][: options.tiles_a_place]]
    rows = []
    for tile_id in shown:
        _, mask = store.tile(tile_id)
        images = [store.mask_rgb(mask), *(images_of.of_tile(store, tile_id, seed) for seed in range(SEEDS))]
        rows.append(np.concatenate([np.pad(image, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for image in images], axis=1))
    out = options.out or PICTURES / f"{Path(options.weights).name}.jpg"
    Image.fromarray(np.concatenate(rows)[:-GAP, :-GAP]).save(out, quality=90)
    print(out)


if __name__ == "__main__":
    main()
