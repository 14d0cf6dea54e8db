"""What Ultralytics documents of a segmentation data set, checked file by file, and its labels as pixels again.

https://docs.ultralytics.com/datasets/segment/: data.yaml names ``train`` and ``val`` (a folder, a list or several) and ``names``;
labels lie under labels/ where images lie under images/; a line is a class and at least three points, from 0 to 1.
"""

from pathlib import Path

import numpy as np
import yaml

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}  # of those that are documented, what is written here


def images_of(data: Path, split: str) -> list[Path]:
    """The images that ``data.yaml`` lists for a split."""
    body = yaml.safe_load(data.read_text(encoding="utf-8"))
    assert {"train", "val", "names"} <= set(body), body
    listed = (Path(body.get("path", data.parent)) / body[split]).resolve()
    if listed.suffix != ".txt":
        return sorted(path for path in listed.rglob("*") if path.suffix.lower() in IMAGES)
    lines = listed.read_text(encoding="utf-8").splitlines()
    return [listed.parent / line.removeprefix("./") for line in lines]


def labels_of(image: Path) -> Path:
    """The last /images/ of a path becomes /labels/."""
    before, found, after = str(image).rpartition("/images/")
    return Path(f"{before}/labels/{after}" if found else str(image)).with_suffix(".txt")


def check(data: Path, split: str = "train") -> dict[str, list[tuple[int, np.ndarray]]]:
    """Objects by image: class and corners (n, 2) in [0, 1]. Asserts what is documented."""
    names = yaml.safe_load(data.read_text(encoding="utf-8"))["names"]
    assert sorted(names) == list(range(len(names)))
    found = {}
    for image in images_of(data, split):
        assert image.is_file() and image.suffix.lower() in IMAGES, image
        rows = []
        for line in labels_of(image).read_text(encoding="utf-8").splitlines():
            category, *numbers = line.split()
            corners = np.array(numbers, float).reshape(-1, 2)
            assert int(category) in names and len(corners) >= 3, line
            assert corners.min() >= 0 and corners.max() <= 1, line
            rows.append((int(category), corners))
        found[image.stem] = rows
    assert found
    return found


def filled(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool: pixels whose centre an even-odd fill of an outline holds, by counting what each of its edges turns over."""
    points = np.rint(corners * (width, height)).astype(int)
    inside = np.zeros((height, width), bool)
    for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if x == next_x:  # every pixel right of an upright edge changes sides
            inside[min(y, next_y) : max(y, next_y), x:] ^= True
        elif y != next_y:  # a way to a hole or to another part, there and back, turns over the same pixels twice
            rows = np.arange(min(y, next_y), max(y, next_y))
            at = x + (rows + 0.5 - y) * (next_x - x) / (next_y - y)
            for row, left in zip(rows.tolist(), at.tolist(), strict=True):
                inside[row, max(0, int(np.ceil(left - 0.5))) :] ^= True
    return inside
