"""A first image: trained weights turn a mask into three images.

python examples/first_image.py --out images
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from orthoforge import load_generator


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="orthoforge-material", help="a bundled name, a run or a published folder")
    parser.add_argument("--size", type=int, default=256, help="side of the mask in pixels of 0.3 m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("images"))
    options = parser.parse_args(argv)

    # A mask is an array: True where buildings are. Here it has rows of houses of 10 m × 8 m.
    mask = np.zeros((options.size, options.size), bool)
    for row in range(16, options.size - 32, 64):
        for column in range(16, options.size - 32, 56):
            mask[row : row + 27, column : column + 33] = True

    generator = load_generator(options.weights)
    print("styles:", ", ".join(generator.styles) or "none")
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        image = generator(mask, seed=seed)  # (H, W, 3) uint8
        path = options.out / f"seed{seed}.png"
        Image.fromarray(image).save(path)
        print(path)


if __name__ == "__main__":
    main()
