"""Blind readings: sheets of numbered images for people who know neither model nor key, and the score of what they answered.

python -m bench.readings quarters REAL GENERATED --out work       # which of 60 quarters of 34 m are photographs?
python -m bench.readings pairs REAL GENERATED OTHER --out work    # which of two images of one mask looks more like a photograph?
python -m bench.readings ratings REAL GENERATED --out work        # how real does each tile look, from 1 to 5?
python -m bench.readings score work/quarters-key.json ANSWERS.json

REAL, GENERATED and OTHER are folders of PNGs of the same names (``python -m bench.judges tiles`` writes them). Tiles are drawn by
``--seed``, never chosen. The key stays in its file; readers are given the sheets alone. ANSWERS is a JSON object: of a number
"real" or "generated" for quarters, "left" or "right" for pairs, and 1 to 5 for ratings. Sheets show real images: they are not to
be published where their licence forbids it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from orthoforge.errors import DataError, OrthoforgeError

ENLARGED, A_ROW, ROWS, MARGIN = 3, 4, 3, 18


def main() -> int:
    """One verb."""
    options = _parser().parse_args()
    try:
        options.verb(options)
    except OrthoforgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def quarters(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(options.seed)
    if options.count % 2:
        raise DataError(f"--count is {options.count}; half of the quarters are real, so it must be even.")
    names = _names(options.real, options.generated)
    corners = [(name, row, col) for name in names for row in (0, 1) for col in (0, 1)]
    if len(corners) < options.count:
        raise DataError(f"{options.real}: {len(corners)} quarters, and {options.count} are asked for.")
    # A quarter is shown once, real or generated: nobody can compare the two of one mask.
    drawn = [corners[at] for at in rng.permutation(len(corners))[: options.count]]
    kinds = rng.permutation(["real", "generated"] * (options.count // 2))
    shown = [_quarter(getattr(options, kind) / name, row, col) for kind, (name, row, col) in zip(kinds, drawn, strict=True)]
    _write(options.out, "quarters", shown, kinds.tolist(), [f"{name} {row} {col}" for name, row, col in drawn])


def pairs(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(options.seed)
    names = _names(options.real, options.generated, options.other)
    drawn = [names[at] for at in rng.permutation(len(names))[: options.count]]
    sides = rng.permutation(["left", "right"] * len(drawn))[: len(drawn)].tolist()
    shown = []
    for side, name in zip(sides, drawn, strict=True):
        both = [_open(folder / name) for folder in (options.generated, options.other)]
        shown.append(
            np.concatenate([both[0], np.full((len(both[0]), 6, 3), 255, np.uint8), both[1]][:: 1 if side == "left" else -1], 1)
        )
    _write(options.out, "pairs", shown, sides, drawn, a_row=1, enlarged=2)


def ratings(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(options.seed)
    names = _names(options.real, options.generated)
    drawn = [names[at] for at in rng.permutation(len(names))[: options.count]]
    kinds = rng.permutation(["real", "generated"] * len(drawn))[: len(drawn)].tolist()
    _write(
        options.out,
        "ratings",
        [_open(getattr(options, kind) / name) for kind, name in zip(kinds, drawn, strict=True)],
        kinds,
        drawn,
        enlarged=2,
        a_row=2,
    )


def score(options: argparse.Namespace) -> None:
    key = json.loads(options.key.read_text(encoding="utf-8"))["key"]
    answers = {int(number): answer for number, answer in json.loads(options.answers.read_text(encoding="utf-8")).items()}
    if missing := [number for number in range(1, len(key) + 1) if number not in answers]:
        raise DataError(f"{options.answers}: no answer to {missing}.")
    given = [answers[number] for number in range(1, len(key) + 1)]
    if all(isinstance(answer, int) for answer in given):
        for kind in sorted(set(key)):
            rated = np.array([answer for answer, of in zip(given, key, strict=True) if of == kind], float)
            print(f"{kind}: {rated.mean():.2f} ± {rated.std(ddof=1) / len(rated) ** 0.5:.2f} of {len(rated)}")
        return
    right = sum(answer == of for answer, of in zip(given, key, strict=True))
    low, high = binomtest(right, len(key)).proportion_ci(method="wilson")
    print(f"{right} of {len(key)} as the key says: {right / len(key):.0%} ({low:.0%} to {high:.0%})")
    for kind in sorted(set(key)):
        of_kind = [answer == of for answer, of in zip(given, key, strict=True) if of == kind]
        print(f"  {kind}: {sum(of_kind)} of {len(of_kind)}")


def _names(*folders: Path) -> list[str]:
    names = sorted(path.name for path in folders[0].glob("*.png"))
    for folder in folders[1:]:
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise DataError(f"{folder}: {len(missing)} images are missing, such as {missing[0]}.")
    return names


def _open(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _quarter(path: Path, row: int, col: int) -> np.ndarray:
    image = _open(path)
    half = len(image) // 2
    return image[row * half : (row + 1) * half, col * half : (col + 1) * half]


def _write(
    out: Path,
    kind: str,
    images: list[np.ndarray],
    key: list[str],
    names: list[str],
    *,
    a_row: int = A_ROW,
    enlarged: int = ENLARGED,
) -> None:
    """Sheets of ``a_row`` × ``ROWS`` images with their numbers, and the key."""
    out.mkdir(parents=True, exist_ok=True)
    a_sheet, count = a_row * ROWS, 0
    for at in range(0, len(images), a_sheet):
        count += 1
        _sheet(images[at : at + a_sheet], at + 1, a_row, enlarged).save(out / f"{kind}-{count:02}.png")
    (out / f"{kind}-key.json").write_text(json.dumps({"key": key, "names": names}, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: {count} sheets of {kind}, {len(images)} numbers")


def _sheet(images: list[np.ndarray], first: int, a_row: int, enlarged: int) -> Image.Image:
    height, width = (enlarged * side for side in images[0].shape[:2])
    sheet = Image.new("RGB", (a_row * (width + MARGIN), ROWS * (height + MARGIN)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        x, y = number % a_row * (width + MARGIN), number // a_row * (height + MARGIN)
        sheet.paste(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC), (x, y + MARGIN))
        draw.text((x + 2, y + 3), str(first + number), fill="black")
    return sheet


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb, folders, count in ((quarters, 2, 60), (pairs, 3, 26), (ratings, 2, 40)):
        sub = verbs.add_parser(verb.__name__)
        sub.set_defaults(verb=verb)
        for folder in ("real", "generated", "other")[:folders]:
            sub.add_argument(folder, type=Path)
        sub.add_argument("--out", type=Path, required=True)
        sub.add_argument("--count", type=int, default=count)
        sub.add_argument("--seed", type=int, default=0)
    sub = verbs.add_parser("score")
    sub.set_defaults(verb=score)
    sub.add_argument("key", type=Path)
    sub.add_argument("answers", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
