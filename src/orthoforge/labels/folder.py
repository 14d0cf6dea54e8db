"""A folder with images that gets labels: what lies where, and what is there already."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from orthoforge.errors import ConfigError
from orthoforge.files import lock, new_file
from orthoforge.geo.bands import write_band
from orthoforge.geo.grid import Grid, strips_of
from orthoforge.labels import coco, yolo
from orthoforge.labels.categories import Categories
from orthoforge.labels.instances import Instance, numbers_in
from orthoforge.scenes.sources import natural_key

LabelFormat = Literal["coco", "yolo", "instances"]
FORMATS: tuple[LabelFormat, ...] = get_args(LabelFormat)
SPLITS = ("train", "val", "test")
# Of scenes that lie in several splits, or of which nobody knows: they are labelled, and in no list.
OTHER = "other"
_COCO, _INSTANCES = "annotations", "instances"
_MOST_IN_16_BITS = 2**16 - 1


def require_formats(formats: Sequence[str]) -> None:
    """``ConfigError`` for a format that nobody can write."""
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ConfigError(f"unknown labels {unknown[0]!r}; there are {', '.join(FORMATS)}.")


class Added(NamedTuple):
    """What was added to a copy of a folder in another process, by split: images, and COCO's rows by their names."""

    images: dict[str, list[str]]
    rows: dict[str, dict[str, coco.Labelled]]


class LabelFolder:
    """Writes labels of the images below ``root``, in ``formats``.

    * ``coco``: ``annotations/instances_SPLIT.json``; ``file_name`` is the image's own, without folders;
    * ``yolo``: ``labels/NAME.txt`` beside each folder ``images``, ``SPLIT.txt`` with its images, ``data.yaml``;
    * ``instances``: ``instances/NAME.tif`` beside the folder of images (``.png`` for a PNG or JPEG), uint16, or uint32 where there
      are more than 65 535 objects.

    Files of one image are written by ``add``, those of all of them by ``finish``. Each is complete when it has its name. What
    ``finish`` finds of other images of an earlier call stays. Raises ``ConfigError`` for an unknown format.
    """

    def __init__(self, root: Path, formats: Sequence[LabelFormat], categories: Categories) -> None:
        require_formats(formats)
        self.root, self.formats, self.categories = root, tuple(dict.fromkeys(formats)), categories
        self._rows: dict[str, dict[str, coco.Labelled]] = {}
        self._images: dict[str, list[str]] = {}

    def require_own(self) -> None:
        """``OutputExistsError`` before anything is made, where files of other programs, or of other categories, would be lost."""
        for split in (*SPLITS, OTHER) if "coco" in self.formats else ():
            coco.read_coco(self._coco_path(split), self.categories)
        if "yolo" in self.formats:
            yolo.require_own_data(self.root, self.categories)

    def has(self, image: Path, split: str = "train") -> bool:
        """Whether all labels of an image are there. They count as added then."""
        relative = PurePosixPath(image.relative_to(self.root))
        files = [self._text_path(relative)] * ("yolo" in self.formats) + [self._instances_path(image)] * (
            "instances" in self.formats
        )
        if not all(file.exists() for file in files):
            return False
        if "coco" in self.formats and image.name not in self._known(split):
            return False
        self._images.setdefault(split, []).append(relative.as_posix())
        return True

    def add(self, image: Path, grid: Grid, instances: Sequence[Instance], *, split: str = "train", synthetic: bool = True) -> None:
        """Write the labels of an image on ``grid``, replacing those that are there."""
        relative = PurePosixPath(image.relative_to(self.root))
        self._images.setdefault(split, []).append(relative.as_posix())
        if "yolo" in self.formats:
            path = self._text_path(relative)
            with new_file(path, overwrite=True) as partial:
                partial.write_text(yolo.label_lines(instances, grid.height, grid.width), encoding="utf-8")
        if "instances" in self.formats:
            self._write_numbers(image, grid, list(instances))
        if "coco" in self.formats:
            row = {"file_name": image.name, "height": grid.height, "width": grid.width, "synthetic": synthetic}
            annotations = coco.annotations_of(instances, grid.height, grid.width)
            self._known(split)[image.name] = coco.labelled(row, annotations)

    def handed_over(self) -> Added:
        """What was added since the last time, for ``take_in`` of the one that finishes the folder."""
        images, self._images = self._images, {}
        rows = {}
        for split, names in images.items():
            known = self._rows.get(split, {})
            rows[split] = {name: known[name] for name in (PurePosixPath(image).name for image in names) if name in known}
        return Added(images, rows)

    def take_in(self, added: Added) -> None:
        """What a copy in another process was given, as if it had been added here."""
        for split, images in added.images.items():
            self._images.setdefault(split, []).extend(images)
            if "coco" in self.formats:
                self._known(split).update(added.rows[split])

    def finish(self) -> None:
        """Write what speaks of all images: COCO's files, the lists of YOLO and, last, its ``data.yaml``."""
        with lock(self.root / ".labels", wait=f"{self.root}: another process is writing its labels; waiting for its end"):
            if "coco" in self.formats:
                for split, rows in self._rows.items():
                    self._finish_coco(split, rows)
            if "yolo" in self.formats:
                self._finish_yolo()

    def _finish_coco(self, split: str, rows: dict[str, coco.Labelled]) -> None:
        path = self._coco_path(split)
        added = {PurePosixPath(image).name for image in self._images.get(split, ())}
        found = coco.read_coco(path, self.categories) | {name: row for name, row in rows.items() if name in added}
        if found:
            coco.write_coco(path, self.categories, {name: found[name] for name in sorted(found, key=natural_key)})

    def _finish_yolo(self) -> None:
        lists = {}
        for split in SPLITS:
            there = [image for image in yolo.read_list(self.root, split) if (self.root / image).exists()]
            if images := sorted({*there, *self._images.get(split, ())}, key=natural_key):
                lists[split] = images
        if lists:
            yolo.write_lists(self.root, lists)
            yolo.write_data(self.root, list(lists), self.categories)

    def _known(self, split: str) -> dict[str, coco.Labelled]:
        """COCO's rows of a split by image: those that are there, and those that were added."""
        if split not in self._rows:
            self._rows[split] = coco.read_coco(self._coco_path(split), self.categories)
        return self._rows[split]

    def _coco_path(self, split: str) -> Path:
        return self.root / _COCO / f"instances_{split}.json"

    def _text_path(self, relative: PurePosixPath) -> Path:
        return self.root / yolo.label_path(relative)

    def _instances_path(self, image: Path) -> Path:
        suffix = ".tif" if image.suffix.lower() in (".tif", ".tiff") else ".png"
        folder = self.root if image.parent == self.root else image.parent.parent
        return folder / _INSTANCES / f"{image.stem}{suffix}"

    def _write_numbers(self, image: Path, grid: Grid, instances: list[Instance]) -> None:
        path = self._instances_path(image)
        small = max((one.number for one in instances), default=0) <= _MOST_IN_16_BITS
        if path.suffix == ".png" and not small:
            raise ConfigError(f"{path}: a PNG holds {_MOST_IN_16_BITS} numbers, and there are more objects. Write images as .tif.")
        dtype: Literal["uint16", "uint32"] = "uint16" if small else "uint32"
        strips = ((strip, numbers_in(instances, strip).astype(dtype), None) for strip in strips_of(grid))
        tags = {"LABELS": "instances", "OBJECTS": str(len(instances))}
        write_band(path, strips, grid, dtype=dtype, tags=tags, overwrite=True)
