"""Scores of a run on tiles that it was not trained on.

python examples/evaluate_a_run.py RUN tiles --out scores
"""

import argparse
from pathlib import Path

from orthoforge import evaluate


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run, a published folder, or a folder of images")
    parser.add_argument("tiles", type=Path, help="tiles that `prepare` made")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, default=Path("scores"))
    options = parser.parse_args(argv)

    found = evaluate(options.run, options.tiles, options.out, split=options.split)

    # A distance says nothing alone. Its floor is the distance between two halves of the real images.
    distance = found["realism"]["kernel_x1000"]
    print(f"kernel distance × 1000: {distance['value']} (real halves: {distance['floor']})")
    print("verdict:", found["realism"]["verdict"])
    scores = found["scores"]
    if scores:
        for metric, of_generated in scores["generated"].items():
            print(f"{metric}: {of_generated['mean']}")
    for warning in found["warnings"]:
        print("warning:", warning)
    print(options.out / "report.html")


if __name__ == "__main__":
    main()
