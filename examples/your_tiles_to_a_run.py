"""Your own pairs to a trained run, and to an image of a new mask.

python examples/your_tiles_to_a_run.py my-data --mask new-mask.tif --out work
"""

import argparse
from pathlib import Path

from orthoforge import check, generate, load_recipe, prepare, train


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--mask", type=Path, required=True, help="mask to make an image of")
    parser.add_argument("--out", type=Path, default=Path("work"))
    parser.add_argument("--gsd", type=float, default=0.3, help="ground resolution in metres per pixel")
    parser.add_argument("--size", type=int, default=224, help="side of a tile in pixels")
    parser.add_argument("--recipe", default="orthoforge-s")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--width", type=int, help="channels of both networks; the recipe's when left out")
    options = parser.parse_args(argv)

    report = check(options.data)
    if report.faults:
        raise SystemExit(f"{report.faults} faults in {options.data}: `orthoforge check {options.data}` names them.")

    tiles = prepare(options.data, options.out / "tiles", gsd=options.gsd, size=options.size)
    print({split: len(tiles.ids(split)) for split in ("train", "val", "test")})

    changes = {"epochs": options.epochs - options.epochs // 4, "decay_epochs": options.epochs // 4}
    if options.width:
        changes |= {"generator_width": options.width, "discriminator_width": options.width, "crops_per_tile": 1}
    recipe = load_recipe(options.recipe, **changes)
    run = train(recipe, options.out / "tiles", options.out / "run")

    for path in generate(run, [options.mask], options.out / "images"):
        print(path)


if __name__ == "__main__":
    main()
