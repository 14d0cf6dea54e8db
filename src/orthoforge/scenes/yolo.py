"""YOLO's labels for segmentation: a text for each image, a line for each object, its class and its outline in shares of the sides.

As ultralytics documents it: ``images/`` and ``labels/`` beside each other, both perhaps with ``train/``, and ``data.yaml`` with the
names of the classes. An image without a text shows no object.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import readable, require_end
from orthoforge.plain_yaml import read_yaml
from orthoforge.scenes.layouts import Layout
from orthoforge.scenes.outlines import AnnotatedImage, Annotations, Polygon, Shape, classes_of, images_by_stem

# Images and labels, as seen from DATA.
_LAYOUTS = (("images/train", "labels/train"), ("train/images", "train/labels"), ("images", "labels"))
_LISTS = ("classes.txt", "obj.names")
_MOST_BYTES = 2**26
# An outline may reach so much over the edge: rounding, and what was dragged out of the picture.
_OVER = 0.05


def is_labels(folder: Path) -> bool:
    """Whether a folder holds texts and no rasters."""
    with readable(folder):
        return folder.is_dir() and any(path.suffix == ".txt" for path in folder.iterdir()) and not images_by_stem(folder)


def images_of(labels: Path) -> Path:
    """The folder of the images of a folder of texts: the same path with images/ in place of labels/, as ultralytics has it."""
    parts = list(labels.absolute().parts)
    if "labels" not in parts:
        return labels
    parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
    found = Path(*parts)
    return found if found.is_dir() else labels


def find(data: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels below ``data``; ``None`` where there are none."""
    for images, labels in _LAYOUTS:
        if (data / images).is_dir() and (data / labels).is_dir() and is_labels(data / labels) and images_by_stem(data / images):
            return data / images, data / labels
    return None


def read(images: Path, labels: Path) -> Annotations:
    """The annotations of the images in ``images``. ``DataError`` names the file and the line that cannot be read."""
    by_stem = images_by_stem(images)
    texts = {path.stem: path for path in sorted(labels.glob("*.txt")) if path.name not in _LISTS}
    lines = {stem: _lines(texts[stem]) for stem in by_stem if stem in texts}
    if not lines:
        raise DataError(f"{labels}: none of its {len(texts)} texts is of an image in {images}. Name the folder with --images.")
    highest = max((number for of_image in lines.values() for number, _ in of_image), default=0)
    names = _names(labels, highest + 1)
    shown = tuple(AnnotatedImage(stem, path, _Shapes(lines.get(stem, []))) for stem, path in by_stem.items())
    lonely = tuple(path for stem, path in texts.items() if stem not in by_stem)
    layout = Layout(f"outlines of YOLO in {labels.parent.name}/{labels.name}/", images, labels)
    return Annotations(labels, layout, shown, classes_of(labels, names), lonely)


class _Shapes:
    """The shapes of one image."""

    def __init__(self, lines: Sequence[tuple[int, np.ndarray]]) -> None:
        self._lines = lines

    def __call__(self, size: tuple[int, int]) -> Iterator[tuple[int, Shape]]:
        height, width = size
        for number, points in self._lines:
            yield number + 1, Polygon(points * (width, height))


def _lines(path: Path) -> list[tuple[int, np.ndarray]]:
    """Class from 0, and points (n, 2) in shares of width and height, of each line."""
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            kind, values = int(words[0]), np.array(words[1:], np.float64)
        except ValueError:
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; a class and the coordinates of its outline are expected."
            ) from None
        if len(values) == 4:
            raise DataError(
                f"{path}: line {number} is a box (5 numbers), no outline; masks need YOLO's labels for segmentation. Export those."
            )
        if len(values) < 6 or len(values) % 2 or not 0 <= kind <= 999:
            raise DataError(f"{path}: line {number} has {len(values)} coordinates; x and y of three points or more are expected.")
        if not (np.isfinite(values).all() and (values >= -_OVER).all() and (values <= 1 + _OVER).all()):
            raise DataError(f"{path}: line {number} has coordinates beyond 0 to 1, the shares of the image's width and height.")
        found.append((kind, values.reshape(-1, 2)))
    return found


def _names(labels: Path, count: int) -> list[str]:
    """The names of ``count`` classes or more: of data.yaml, or of a list of names; else their numbers."""
    homes = list(dict.fromkeys([labels, labels.parent, labels.parent.parent]))
    names: list[str] = []
    for home in homes:
        for file in [*sorted(home.glob("*.yaml")), *sorted(home.glob("*.yml"))]:
            names = names or _names_in_yaml(file)
        for file in (home / name for name in _LISTS):
            if not names and file.is_file():
                names = [line.strip() for line in _text(file).splitlines() if line.strip()]
    if names and len(names) < count:
        raise DataError(
            f"{labels}: a line is of class {count - 1}, and the names that are given are {len(names)} ({', '.join(names[:5])})."
        )
    return names or [f"class {number}" for number in range(count)]


def _names_in_yaml(file: Path) -> list[str]:
    try:
        content = read_yaml(file)
    except ConfigError as error:
        raise DataError(str(error)) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[key] for key in sorted(names, key=int)]
    return [str(name) for name in names] if isinstance(names, list) else []


def _text(path: Path) -> str:
    try:
        require_end(path)
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: has {path.stat().st_size >> 20} MB, more than labels of an image have.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start}).") from error
