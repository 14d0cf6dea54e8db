"""Labels in the format of YOLO's segmentation (https://docs.ultralytics.com/datasets/segment/)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import shapely
from scipy.spatial import KDTree

from orthoforge.errors import OutputExistsError
from orthoforge.files import new_file
from orthoforge.labels.categories import Categories
from orthoforge.labels.instances import Instance

DATA = "data.yaml"
_OURS = "# Written by orthoforge"
_NO_VAL = "  # no image is held back: name real images of other ground here, or scores are those of training images"


def label_path(image: PurePosixPath) -> PurePosixPath:
    """Where the labels of an image are looked for, both from the data set's folder: in labels/ in place of the last images/.

    Beside the image where no folder of its path is called images.
    """
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return PurePosixPath(*parts).with_suffix(".txt")


def label_lines(instances: Sequence[Instance], height: int, width: int) -> str:
    """A line for each object of an image: its category, and x and y of each corner as shares of the image's width and height.

    A line holds one outline. Holes, and the parts of an object in several, are joined to it by a way there and back that has no
    width, as in Ultralytics' own conversion of COCO: an even-odd fill gives the object's pixels.
    """
    lines = []
    for one in instances:
        corners = one_outline(one.shape) / (width, height)
        lines.append(f"{one.category} {' '.join(f'{value:.7g}' for value in corners.ravel())}\n")
    return "".join(lines)


def one_outline(shape: shapely.Polygon | shapely.MultiPolygon) -> np.ndarray:
    """All rings of a shape as one, (n, 2) corners, each joined to those before it where they are closest."""
    rings = [shapely.get_coordinates(ring)[:-1] for polygon in shapely.get_parts(shape) for ring in shapely.get_rings(polygon)]
    outline = rings[0]
    for ring in rings[1:]:
        distances, nearest = KDTree(outline).query(ring)
        of_ring = int(distances.argmin())
        of_outline = int(nearest[of_ring])
        around = np.roll(ring, -of_ring, axis=0)
        outline = np.concatenate([outline[: of_outline + 1], around, around[:1], outline[of_outline:]])
    return outline


def require_own_data(root: Path, categories: Categories) -> None:
    """``OutputExistsError`` for a ``data.yaml`` that another program wrote, or that has other categories: it would be lost."""
    path = root / DATA
    if not path.exists():
        return
    there = path.read_text(encoding="utf-8", errors="replace")
    if not there.startswith(_OURS):
        raise OutputExistsError(f"{path}: was not written by orthoforge and would be replaced. Choose another --out.")
    if not there.endswith(_names(categories)):
        raise OutputExistsError(f"{path}: has other categories and would be replaced. Choose another --out.")


def write_lists(root: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """``train.txt`` and others with a path a line, from ``root``. A list without an image is not written."""
    for split, images in lists.items():
        if images:
            with new_file(root / f"{split}.txt", overwrite=True) as partial:
                partial.write_text("".join(f"./{image}\n" for image in images), encoding="utf-8")


def read_list(root: Path, split: str) -> list[str]:
    """The images of a list, from ``root``; nothing where there is none."""
    path = root / f"{split}.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.removeprefix("./") for line in lines if line]


def write_data(root: Path, splits: Sequence[str], categories: Categories) -> None:
    """``data.yaml``, which is what a training is given: lists of images and the names of categories.

    It has no ``path``: images are then looked for from the folder that it lies in, wherever that is moved.
    """
    train = "train" if "train" in splits else splits[0]
    lines = [f"{_OURS}\n", f"train: {train}.txt\n"]
    lines.append("val: val.txt\n" if "val" in splits else f"val: {train}.txt{_NO_VAL}\n")
    lines += ["test: test.txt\n"] if "test" in splits else []
    with new_file(root / DATA, overwrite=True) as partial:
        partial.write_text("".join(lines) + _names(categories), encoding="utf-8")


def _names(categories: Categories) -> str:
    named = (f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for index, name in enumerate(categories.names))
    return f"names:\n{''.join(named)}"
