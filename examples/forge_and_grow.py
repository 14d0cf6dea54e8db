"""New masks out of your own, and a larger data set with synthetic pairs.

python examples/forge_and_grow.py RUN my-data --out work
"""

import argparse
from pathlib import Path

from orthoforge import forge, grow


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run that was trained on the data")
    parser.add_argument("data", type=Path, help="the data set that the tiles of the run were cut from")
    parser.add_argument("--out", type=Path, default=Path("work"))
    parser.add_argument("--count", type=int, default=10, help="masks for each place")
    parser.add_argument("--ratio", type=float, default=1.0, help="synthetic pairs for each real pair that trains")
    parser.add_argument("--masks", default="recombine", help="real, transform, recombine or streets")
    parser.add_argument("--least-agreement", type=float, default=0.5, help="0 keeps images that no segmenter looked at")
    options = parser.parse_args(argv)

    # New masks alone, with a page that compares them with the real ones.
    forged = forge(options.data, options.out / "forged", count=options.count)
    for place, card in forged.cards.items():
        print(place, card.summary())
    for place, why in forged.skipped.items():
        print(f"{place}: no masks ({why})")

    # Pairs: `grow` forges masks of the training ground alone, makes their images, and keeps those that show the mask.
    grown = grow(
        options.run, options.data, options.out / "larger", ratio=options.ratio, masks=options.masks,
        least_agreement=options.least_agreement,
    )  # fmt: skip
    print(f"{grown.added} synthetic pairs were added, {grown.rejected} were rejected: {grown.path}")


if __name__ == "__main__":
    main()
