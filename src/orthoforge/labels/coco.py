"""Labels in COCO's format for instance segmentation (Lin et al. 2014; https://cocodataset.org/#format-data)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from orthoforge.errors import OutputExistsError
from orthoforge.files import new_file
from orthoforge.labels.categories import Categories
from orthoforge.labels.instances import Instance

_OURS = "Written by orthoforge"

Row = dict[str, Any]


class Labelled(NamedTuple):
    """An image's row, and its annotations as JSON without numbers: as text, since a town's outlines are many small numbers."""

    image: Row
    annotations: list[str]


def annotations_of(instances: Sequence[Instance], height: int, width: int) -> list[Row]:
    """An annotation for each object of an image (``height``, ``width``), without the numbers that only a whole file gives it.

    Outlines are polygons that pycocotools fills to the same pixels. An object with a hole is run-length encoded, since the
    polygons of COCO know no holes. ``instance`` is the object's number in the mask of instances.
    """
    rows = []
    for one in instances:
        left, top, right, bottom = map(int, one.shape.bounds)
        rows.append(
            {
                "category_id": one.category + 1,
                "segmentation": _segmentation(one.shape, height, width),
                "area": int(one.shape.area),
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "instance": one.number,
            }
        )
    return rows


def run_lengths(shape: shapely.Polygon | shapely.MultiPolygon, height: int, width: int) -> list[int]:
    """Lengths of the runs of 0 and 1 by turns, column by column, of an image (``height``, ``width``) that shows the shape."""
    left, top, right, bottom = map(int, shape.bounds)
    inside = rasterize(
        [shape], out_shape=(bottom - top, right - left), transform=Affine.translation(left, top), dtype=np.uint8
    )  # fmt: skip
    edges = np.diff(np.pad(inside.astype(np.int8), ((1, 1), (0, 0))), axis=0).T  # (columns, rows + 1): 1 begins a run, -1 ends it
    (col, row), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    starts, ends = (left + col) * height + top + row, (left + col) * height + top + end
    apart = np.concatenate([[True], starts[1:] != ends[:-1]])  # a run that reaches the image's last row goes on in the next column
    starts, ends = starts[apart], ends[np.concatenate([apart[1:], [True]])]
    borders = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [height * width]])
    lengths: list[int] = np.diff(borders).tolist()
    return lengths[:-1] if lengths[-1] == 0 else lengths


def labelled(image: Row, annotations: Sequence[Row]) -> Labelled:
    """An image with its annotations, ready to be written."""
    return Labelled(image, [_line(row)[1:] for row in annotations])


def write_coco(path: Path, categories: Categories, images: Mapping[str, Labelled]) -> None:
    """Write images and annotations in this order, with numbers from 1. Replaces what is there."""
    number = 0
    with new_file(path, overwrite=True) as partial, open(partial, "w", encoding="utf-8") as file:
        info = {"description": f"{_OURS} {version('orthoforge')}"}
        listed = [{"id": index + 1, "name": name, "supercategory": "object"} for index, name in enumerate(categories.names)]
        file.write(f'{{"info": {json.dumps(info)}, "licenses": [],\n"categories": {json.dumps(listed, ensure_ascii=False)},\n')
        file.write('"images": [\n')
        file.write(",\n".join(_line({"id": index, **row}) for index, (row, _) in enumerate(images.values(), 1)))
        file.write('\n],\n"annotations": [\n')
        for index, (_, rows) in enumerate(images.values(), 1):
            for row in rows:
                file.write(",\n" * (number > 0))
                number += 1
                file.write(f'{{"id":{number}, "image_id":{index}, {row}')
        file.write("\n]}\n")


def read_coco(path: Path, categories: Categories) -> dict[str, Labelled]:
    """What a file holds that ``write_coco`` wrote, by image; nothing where no file is.

    ``OutputExistsError`` for a file of another program, or of other categories: it would be lost.
    """
    try:
        body = json.loads(path.read_bytes()) if path.exists() else None
        if body is None:
            return {}
        ours = str(body["info"]["description"]).startswith(_OURS)
        names = tuple(category["name"] for category in body["categories"])
        images = {image.pop("id"): image for image in body["images"]}
        rows: dict[int, list[Row]] = {number: [] for number in images}
        for row in body["annotations"]:
            rows[row.pop("image_id")].append({name: value for name, value in row.items() if name != "id"})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        ours, names = False, ()
    if not ours or names != categories.names:
        other = "was not written by orthoforge" if not ours else f"has other categories ({', '.join(names)})"
        raise OutputExistsError(f"{path}: {other} and would be replaced. Choose another --out.")
    return {image["file_name"]: labelled(image, rows[number]) for number, image in images.items()}


def _segmentation(shape: shapely.Polygon | shapely.MultiPolygon, height: int, width: int) -> list[list[int]] | Row:
    polygons: Iterable[shapely.Polygon] = shapely.get_parts(shape)
    if any(len(polygon.interiors) for polygon in polygons):
        return {"size": [height, width], "counts": run_lengths(shape, height, width)}
    return [shapely.get_coordinates(polygon)[:-1].astype(int).ravel().tolist() for polygon in polygons]


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(", ", ":"))
