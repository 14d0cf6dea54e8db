"""Which annotations a data set has, and their reader: COCO's or YOLO's."""

from pathlib import Path

from orthoforge.scenes import coco, yolo
from orthoforge.scenes.layouts import Where, image_folder_of
from orthoforge.scenes.outlines import Annotations


def stated_annotations(data: Path | None, where: Where) -> Annotations | None:
    """The annotations that ``where.masks`` names: a COCO file, or a folder of YOLO's texts; ``None`` where it names none."""
    if where.masks is None:
        return None
    images = where.images or (image_folder_of(data) if data else None)
    if where.masks.is_file():
        return coco.read(where.masks, images)
    if yolo.is_labels(where.masks):
        return yolo.read(images or yolo.images_of(where.masks), where.masks)
    return None


def recognised_annotations(data: Path) -> Annotations | None:
    """The annotations of a folder in the layouts that COCO's and YOLO's tools write; ``None`` where there are none."""
    if folders := yolo.find(data):
        return yolo.read(*folders)
    found = coco.find(data)
    return coco.read(found, None) if found else None


def has_annotations(path: Path) -> bool:
    """Whether a path is a COCO file, a folder of YOLO's labels, or a data set with either."""
    if path.is_file():
        return path.suffix.lower() == ".json" and coco.looks_like_one(path)
    return path.is_dir() and (yolo.is_labels(path) or yolo.find(path) is not None or coco.find(path) is not None)
